"""SMILEr: rounds in which the model's surest positives become labels of their own, and the model learns from them.

Petit et al., DLMIA 2018, Algorithm 1 (the printed line uses m_t before it is defined; it must be m_{t-1}): for t = 1..T,
gamma_t = t/T gamma_max; in each image the top gamma_t share of the predicted positives of every organ that is not annotated
there, by score, becomes positive; retrain. Only positives are added, they never exclude other organs, they never become
*known*, and they never enter the hold-out. They live in the run's folder, not in the cases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Config
from ..data.prepare import PreparedCase, prepare
from ..data.pseudo import load_pseudo, save_pseudo
from ..jobs.protocol import EventKind
from ..jobs.run import Run
from ..project.cases import Case
from ..project.project import Project
from .model import Model
from .train import train
from .volume import predict_prepared

__all__ = ["Relabelled", "Relabelling", "relabel", "select_top"]


@dataclass(frozen=True)
class Relabelling:
    """How to relabel."""

    rounds: int = 3
    """T, at least 1."""
    gamma_max: float = 1.0
    """Share of the predicted positives that the last round takes, in (0, 1]."""
    keep_earlier: bool = True
    """Union with what earlier rounds added (the paper); False selects anew each round, so that errors can go away."""
    reference: Path | None = None
    """Folder of complete labels, only to report the precision TP / (TP + FP) of what is added."""


@dataclass(frozen=True)
class Relabelled:
    """What one round added."""

    round: int
    gamma: float
    added: dict[str, int]
    """Voxels on the training grid, per label."""
    precision: dict[str, float | None]
    """TP / (TP + FP) per label; None without a reference or where nothing was added."""


def select_top(score: NDArray[np.floating[Any]], candidates: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """The ``share`` of the candidates with the highest scores, ties by position; (*S) bool.

    Args:
        score: (*S), any scale.
        candidates: (*S) voxels to choose from.
        share: in [0, 1]; the number chosen is rounded up, so that a small organ is not forgotten.
    """
    where = np.flatnonzero(candidates)
    chosen = np.zeros(candidates.shape, bool)
    count = int(np.ceil(share * len(where)))
    if count:
        order = np.argsort(-score.ravel()[where], kind="stable")
        chosen.flat[where[order[:count]]] = True
    return chosen


def relabel(
    project: Project,
    config: Config,
    relabelling: Relabelling,
    *,
    start: Path,
    new_run: Callable[[Config, int], Run],
    on_round: Callable[[Relabelled], None] = lambda _: None,
) -> Path | None:
    """All rounds; the model of the last one is offered for promotion.

    Args:
        project: only its training cases are relabelled.
        config: what each round trains with; its budget is one round's.
        relabelling: rounds and shares.
        start: folder of m_0, a model trained on what is known.
        new_run: makes the run folder of a round.
        on_round: told what each round added.

    Returns:
        Folder of the last model; None when the user stopped on the way.
    """
    earlier: Path | None = None
    for number in range(1, relabelling.rounds + 1):
        run = new_run(replace(config, train=replace(config.train, seed=config.train.seed + number)), number)
        pseudo = run.folder / "pseudo"
        gamma = number / relabelling.rounds * relabelling.gamma_max
        model = Model.load(start)
        told = _add_positives(project, model, pseudo, gamma, relabelling, number, earlier, run)
        run.write(EventKind.RELABELLED, round=number, gamma=gamma, added=told.added, precision=told.precision)
        on_round(told)
        outcome = train(run, project, start=start, pseudo=pseudo, promotes=number == relabelling.rounds)
        if not outcome.finished:
            return None
        assert outcome.model_folder is not None
        start, earlier = outcome.model_folder, pseudo
    return start


def _add_positives(
    project: Project,
    model: Model,
    pseudo: Path,
    gamma: float,
    relabelling: Relabelling,
    number: int,
    earlier: Path | None,
    run: Run,
) -> Relabelled:
    names = project.label_set.names
    added, right = np.zeros(len(names), int), np.zeros(len(names), int)
    cases = prepare(project, model.config.data)
    for done, prepared in enumerate(cases):
        run.write(EventKind.HEARTBEAT, doing=f"relabelling case {done + 1} of {len(cases)}")
        chosen = _positives(model, prepared, gamma)
        if earlier is not None and relabelling.keep_earlier:
            chosen |= load_pseudo(earlier, prepared.case_id, chosen.shape)
        save_pseudo(pseudo, project.case(prepared.case_id), chosen)
        added += chosen.reshape(len(names), -1).sum(1)
        if relabelling.reference is not None:
            truth = _reference(relabelling.reference, project, project.case(prepared.case_id), prepared)
            right += (chosen & truth).reshape(len(names), -1).sum(1)
    known = relabelling.reference is not None
    return Relabelled(
        number, gamma, {name: int(n) for name, n in zip(names, added, strict=True)},
        {name: float(r / n) if known and n else None for name, r, n in zip(names, right, added, strict=True)},
    )


def _positives(model: Model, prepared: PreparedCase, gamma: float) -> NDArray[np.bool_]:
    """(K, X, Y, Z) what one round adds in one case: per label, the top share of what is predicted and not known."""
    probability = predict_prepared(model, prepared)
    known = prepared.known()
    best = probability.argmax(axis=0)
    exclusive = not model.label_set.overlaps
    return np.stack([
        select_top(p, (p > 0.5) & ~known[k] & ((best == k) if exclusive else True), gamma)
        for k, p in enumerate(probability)
    ])


def _reference(folder: Path, project: Project, case: Case, prepared: PreparedCase) -> NDArray[np.bool_]:
    """(K, X, Y, Z) complete labels of a case on its training grid."""
    from .evaluate import reference_on_grid

    return reference_on_grid(folder, case.id, project.label_set, prepared.grid)
