"""SMILEr: rounds in which the model's surest positives become labels of their own, and the model learns from them.

Petit et al., DLMIA 2018, Algorithm 1 (the printed line uses m_t before it is defined; it must be m_{t-1}): for
t = 1..T, gamma_t = t/T gamma_max; in each image the top gamma_t share of the predicted positives of every organ that
is not annotated there, by score, becomes positive; retrain. Only positives are added, they never exclude other
organs, they never become *known*, and they never enter the hold-out. They live in the run's folder, not in the cases.
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
from ..project.project import Project
from .evaluate import reference_on_grid
from .model import Model
from .train import PSEUDO_FOLDER, UNFINISHED_PSEUDO, Outcome, train
from .volume import Inference

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
    perform: Callable[[Run, Callable[[], Outcome]], Outcome],
    on_round: Callable[[Relabelled], None] = lambda _: None,
) -> Outcome:
    """All rounds; the model of the last one is offered for promotion.

    Args:
        project: only its training cases are relabelled.
        config: what each round trains with; its budget is one round's.
        relabelling: rounds and shares.
        start: folder of m_0, a model trained on what is known.
        perform: does the work of a round's run, with whatever display and handling of errors the caller has.
        on_round: told what each round added.

    Returns:
        How the last round ended, or the round that the user stopped.
    """
    earlier: Path | None = None
    for number in range(1, relabelling.rounds + 1):
        of_round = replace(config, train=replace(config.train, seed=config.train.seed + number))
        run = Run.create(project.runs_folder, of_round, method=f"{config.method}_relabel{number}")

        def work(run: Run = run, number: int = number, start: Path = start, earlier: Path | None = earlier) -> Outcome:
            told = _add_positives(project, Model.load(start), run, relabelling, number, earlier)
            run.write(EventKind.RELABELLED, **vars(told))
            on_round(told)
            return train(run, project, start=start, promotes=number == relabelling.rounds)

        outcome = perform(run, work)
        if not outcome.finished or outcome.model_folder is None:
            return outcome
        start, earlier = outcome.model_folder, run.folder / PSEUDO_FOLDER
    return outcome


def _add_positives(
    project: Project, model: Model, run: Run, relabelling: Relabelling, number: int, earlier: Path | None
) -> Relabelled:
    names = project.label_set.names
    gamma = number / relabelling.rounds * relabelling.gamma_max
    added, right = np.zeros(len(names), int), np.zeros(len(names), int)
    cases = prepare(project, model.config.data)
    inference = Inference(model.segmentor(), model.config, device=model.config.train.device)
    unfinished = run.folder / UNFINISHED_PSEUDO
    for done, prepared in enumerate(cases):
        run.write(EventKind.HEARTBEAT, doing=f"relabelling case {done + 1} of {len(cases)}")
        chosen = _positives(inference, model, project, prepared, gamma)
        if earlier is not None and relabelling.keep_earlier:
            chosen |= load_pseudo(earlier, prepared.case_id, chosen.shape)
        save_pseudo(unfinished, project.case(prepared.case_id), chosen)
        added += chosen.reshape(len(names), -1).sum(1)
        if relabelling.reference is not None:
            truth = reference_on_grid(relabelling.reference, prepared.case_id, project.label_set, prepared.grid)
            right += (chosen & truth).reshape(len(names), -1).sum(1)
    unfinished.rename(run.folder / PSEUDO_FOLDER)
    known = relabelling.reference is not None
    return Relabelled(
        number,
        gamma,
        {name: int(n) for name, n in zip(names, added, strict=True)},
        {name: float(r / n) if known and n else None for name, r, n in zip(names, right, added, strict=True)},
    )


def _positives(
    inference: Inference, model: Model, project: Project, prepared: PreparedCase, gamma: float
) -> NDArray[np.bool_]:
    """(K, X, Y, Z) what one round adds in one case: per label, the top share of what is predicted and not known."""
    probability = inference.run(prepared.image, len(model.label_set)).probability.astype(np.float32)
    known, best = prepared.known(), probability.argmax(axis=0)
    chosen = np.zeros_like(known)
    for row, name in enumerate(model.label_set.names):
        channel = project.label_set.index(name)
        likeliest = (best == row) | bool(model.label_set.overlaps)
        positives = (probability[row] > 0.5) & likeliest & ~known[channel]
        chosen[channel] = select_top(probability[row], positives, gamma)
    return chosen
