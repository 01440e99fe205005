"""Atlases: which annotated cases a model has laid over what it predicts, and how much they count.

That is found on annotated cases themselves. The network has learnt from them and the other cases have not, so the
network is judged too kindly: atlases get a share only where they help all the same. They do in brains, with a hundred
regions that lie in much the same place in everybody, and not where organs move (``Testing/benchmarks/bench_atlas.py``).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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
from .volume import Inference

__all__ = ["atlases_of", "choose", "with_atlases"]

EACH = 5
"""Atlases that know a label, where there are as many: each takes some seconds of every prediction."""
CASES = 2
"""Annotated cases that are predicted to find the share, at most."""
SHARES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
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
    device, _ = choose_device(model.config.train.device)
    probed = probe_here(model.config, device)
    inference = Inference(model.segmentor(), model.config, device=device, probed=probed, names=names)
    atlases: list[Atlas] = []
    found, begin = [], time.monotonic()
    for case in chosen[:CASES]:
        alive()
        own = prepared[case.id]
        probability = inference.run(own.image, len(names)).probability
        if _dice(probability, own) >= GOOD:
            return model
        atlases = atlases or [atlas for one in chosen if (atlas := Atlas.of(one, project.label_set, names))]
        others = [atlas for atlas in atlases if atlas.case_id != case.id]
        votes = vote(case.image(), own.grid, others, on_progress=lambda _: alive())
        found.append([_dice(mixed, own) for mixed in _with_each_share(probability, votes, names)])
        if time.monotonic() - begin > seconds:
            break
    mean = np.mean(found, axis=0)
    best = int(mean.argmax())
    if mean[best] < mean[0] + WORTH:
        return model
    return replace(model, atlases=tuple(case.id for case in chosen), atlas_share=SHARES[best])


def _with_each_share(probability: Halves, votes: Votes, names: Sequence[str]) -> Iterator[Halves]:
    """(K, X, Y, Z) for each of :data:`SHARES`."""
    said = np.empty_like(probability)
    heard = np.empty(probability.shape, bool)
    for channel, name in enumerate(names):
        said[channel], heard[channel] = votes.of(name)
    difference = np.where(heard, said - probability, np.float16(0))
    for share in SHARES:
        yield np.asarray(probability + np.float16(share) * difference, np.float16)


def _dice(probability: Halves, case: PreparedCase) -> float:
    """Mean over the labels that are known everywhere, and there; 1 where none is."""
    places, found = case.label_set.places, []
    proposed = of_layers(probability, [place.layer for place in places])
    for channel in np.flatnonzero(case.everywhere).tolist():
        drawn = label_mask(np.asarray(case.labels), case.label_set, channel)
        if drawn.any():
            found.append(float(2 * (proposed[channel] & drawn).sum() / (proposed[channel].sum() + drawn.sum())))
    return float(np.mean(found)) if found else 1.0
