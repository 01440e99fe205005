"""Atlases: which annotated cases a model has laid over what it predicts, and how much they count.

That is found on annotated cases themselves. The network has learnt from them and the other cases have not, so the
network is judged too kindly: atlases get a share only where they help all the same. They do in brains, with a hundred
regions that lie in much the same place in everybody, and not where organs move (``Testing/benchmarks/bench_atlas.py``).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..data.prepare import PreparedCase
from ..errors import SemiSupSegError
from ..project.annotation import label_mask
from ..project.cases import Case
from ..project.project import Project
from .atlas import Atlas, Votes, vote
from .decision import of_layers
from .device import choose_device
from .model import Model
from .probe import probe_here
from .seen import SMALL
from .volume import Inference

__all__ = ["atlases_of", "choose", "with_atlases"]

EACH = 5
"""Atlases that know a label, where there are as many: each takes some seconds of every prediction."""
CASES = 2
"""Annotated cases that are predicted to find the share, at most."""
SHARES = (0.0, 0.2, 0.4, 0.6)
WORTH = 0.01
"""Dice by which a share must be better than none, to be worth the time that atlases take."""
GOOD = 0.85
"""Dice of the network on cases that it learnt from, above which atlases were never better."""

Halves = NDArray[np.float16]


def choose(cases: Sequence[Case], names: Sequence[str]) -> list[Case]:
    """Cases for atlases: those with most labels first, until each label is known everywhere in five.

    Args:
        cases: training cases; those of equal rank in their order.
        names: of the labels.
    """
    count: Counter[str] = Counter()
    chosen = []
    whole = {case.id: [name for name in names if case.annotation(name).everywhere] for case in cases}
    for case in sorted(cases, key=lambda each: -len(whole[each.id])):
        if any(count[name] < EACH for name in whole[case.id]):
            chosen.append(case)
            count.update(whole[case.id])
    return chosen


def atlases_of(project: Project, model: Model) -> list[Atlas]:
    """The model's atlases. A case that is gone, cannot be read, or has moved into the hold-out is left out."""
    found = []
    for case_id in model.atlases if model.atlas_share > 0 else ():
        case = project.cases.get(case_id)
        if case is None or case.split == "holdout":
            continue
        try:
            found.append(Atlas.of(case, project.label_set, model.label_set.names))
        except SemiSupSegError:
            continue
    return [atlas for atlas in found if atlas is not None]


def with_atlases(
    model: Model,
    project: Project,
    cases: Sequence[PreparedCase],
    *,
    seconds: float = np.inf,
    alive: Callable[[], None] = lambda: None,
) -> Model:
    """The model with the atlases that help it, and their share; without any where they do not.

    Args:
        model: with its thresholds moved, of the project's own labels.
        project: whose training cases may become atlases.
        cases: prepared on its grid.
        seconds: no further case is looked at after them.
        alive: called now and then.

    Raises:
        ImageError: a case cannot be read.
    """
    names, prepared = model.label_set.names, {case.case_id: case for case in cases}
    chosen = choose([case for case in project.train_cases() if case.id in prepared], names)
    if len(chosen) < 2 or not model.config.train.atlases:
        return model
    begin, found = time.monotonic(), []
    for scores in _scores(model, project, chosen, prepared, alive):
        if scores[0] >= GOOD:
            return model
        found.append(scores)
        if len(found) == CASES or time.monotonic() - begin > seconds:
            break
    mean = np.mean(found, axis=0) if found else np.zeros(len(SHARES))
    best = int(mean.argmax())
    if mean[best] < mean[0] + WORTH:
        return model
    return replace(model, atlases=tuple(case.id for case in chosen), atlas_share=SHARES[best])


def _scores(
    model: Model,
    project: Project,
    chosen: Sequence[Case],
    prepared: Mapping[str, PreparedCase],
    alive: Callable[[], None],
) -> Iterator[list[float]]:
    """Of one annotated case after the other, the Dice for each of :data:`SHARES`, the other ones being its atlases; for
    the network alone where that is good."""
    names = model.label_set.names
    device, _ = choose_device(model.config.train.device)
    probed = probe_here(model.config, device)
    inference = Inference(model.segmentor(), model.config, device=device, probed=probed, names=names)
    atlases: list[Atlas] = []
    for case in chosen:
        alive()
        own = prepared[case.id]
        probability = inference.run(own.image, len(names)).probability
        near = _somewhere(probability)
        alone = _dice(probability[:, near].astype(np.float32), near, own)
        if alone is None:
            continue
        if alone >= GOOD:
            yield [alone]
            continue
        atlases = atlases or [atlas for one in chosen if (atlas := Atlas.of(one, project.label_set, names))]
        others = [atlas for atlas in atlases if atlas.case_id != case.id]
        votes = vote(case.image(), own.grid, others, on_progress=lambda _: alive())
        yield _with_each_share(probability, votes, own, names)


def _with_each_share(probability: Halves, votes: Votes, case: PreparedCase, names: Sequence[str]) -> list[float]:
    """Dice of the case for each of :data:`SHARES`."""
    said = np.empty_like(probability)
    heard = np.empty(probability.shape, bool)
    for channel, name in enumerate(names):
        said[channel], heard[channel] = votes.of(name)
    near = _somewhere(probability) | _somewhere(said)
    own = probability[:, near].astype(np.float32)
    difference = np.where(heard[:, near], said[:, near] - own, np.float32(0))
    return [_dice(own + np.float32(share) * difference, near, case) or 0.0 for share in SHARES]


def _somewhere(probability: Halves) -> NDArray[np.bool_]:
    """(X, Y, Z): where any label has a chance, (K, X, Y, Z)."""
    return np.asarray(np.logical_or.reduce([one >= SMALL for one in probability]))


def _dice(probability: NDArray[np.floating], near: NDArray[np.bool_], case: PreparedCase) -> float | None:
    """Mean over the labels that are known everywhere, and there; None where none is.

    Args:
        probability: (K, N) in the voxels of ``near``; elsewhere nothing is proposed.
        near: (X, Y, Z).
        case: prepared.
    """
    places, labels, found = case.label_set.places, np.asarray(case.labels), []
    proposed, there = of_layers(probability, [place.layer for place in places]), labels[:, near]
    for channel in np.flatnonzero(case.everywhere).tolist():
        whole = int(label_mask(labels, case.label_set, channel).sum())
        if whole:
            right = proposed[channel] & label_mask(there, case.label_set, channel)
            found.append(float(2 * right.sum() / (proposed[channel].sum() + whole)))
    return float(np.mean(found)) if found else None
