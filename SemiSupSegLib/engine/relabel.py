"""SMILEr: rounds in which the model's surest positives become labels of their own, and the model learns from them.

Petit et al., DLMIA 2018, Algorithm 1 (the printed line uses m_t before it is defined; it must be m_{t-1}): for
t = 1..T, gamma_t = t/T gamma_max; in each image the top gamma_t share of the predicted positives of every organ that
is not annotated there, by score, becomes positive; retrain. Only positives are added, they never exclude other
organs, they never become *known*, and they never enter the hold-out. They live in the run's folder, not in the cases.
What ranks them may be something else than the score, see :mod:`.selection`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..config import Config
from ..data.prepare import PreparedCase, prepare
from ..data.pseudo import load_pseudo, save_pseudo
from ..errors import ConfigError, RunError
from ..jobs.protocol import EventKind, RunState
from ..jobs.run import Run
from ..jobs.state import run_state
from ..networks.confidence import ConfidenceHead
from ..project.project import Project
from .confidence import head_budget, learn_confidence, load_head, save_head, segmentor_budget
from .evaluate import reference_on_grid
from .model import Model
from .parts import annotated_parts, most_parts
from .plan import check_trainable
from .reference import LabelFolder
from .reporter import Reporter
from .round import Relabelling, Round, last_round
from .selection import Select, positives, ranking, select_top
from .train import MODEL_FOLDER, PSEUDO_FOLDER, UNFINISHED_PSEUDO, Outcome, train

__all__ = ["Relabelled", "Relabelling", "relabel", "resume_relabelling", "select_top"]

CONFIDENCE_FOLDER = "confidence"
"""Inside the run's folder: the head that ranked what the round added."""

Perform = Callable[[Run, Callable[[], Outcome]], Outcome]


@dataclass(frozen=True)
class Relabelled:
    """What one round added."""

    round: int
    rounds: int
    """How many there will be."""
    gamma: float
    select: Select
    added: dict[str, int]
    """Voxels on the training grid, per label."""
    precision: dict[str, float | None]
    """TP / (TP + FP) per label; None without a reference or where nothing was added."""


def relabel(
    project: Project,
    config: Config,
    relabelling: Relabelling,
    *,
    start: Path,
    perform: Perform,
    on_round: Callable[[Relabelled], None] = lambda _: None,
) -> Outcome:
    """All rounds; the model of the last one is offered for promotion.

    Args:
        project: only its training cases are relabelled.
        config: what each round trains with; its budget is one round's, that of a confidence head included.
        relabelling: rounds and shares.
        start: folder of m_0, a model trained on what is known, inside the project.
        perform: does the work of a round's run, with whatever display and handling of errors the caller has.
        on_round: told what each round added.

    Returns:
        How the last round ended, or the round that the user stopped, perhaps to keep what it had learnt.

    Raises:
        ConfigError: ``uncertainty`` for a network without dropout.
        RunError: the reference lacks a training case.
    """
    if relabelling.select == "uncertainty" and not Model.load(start).config.network.dropout:
        msg = "selection by uncertainty needs dropout, and this model was trained without: choose another one"
        raise ConfigError(msg)
    if relabelling.select == "confidence":
        config = segmentor_budget(config)
    return _rounds(project, config, Round(1, relabelling, start, None), None, perform, on_round)


def resume_relabelling(
    project: Project,
    *,
    reference: Path | None = None,
    perform: Perform,
    on_round: Callable[[Relabelled], None] = lambda _: None,
) -> Outcome:
    """Go on with the project's newest relabelling where it was stopped or cut short, and do the rounds that remain.

    Args:
        project: whose.
        reference: as of :class:`Relabelling`; it was not kept.
        perform: as of :func:`relabel`.
        on_round: told what each round adds from now on.

    Returns:
        As :func:`relabel` does.

    Raises:
        RunError: there is none, or its last round is finished.
    """
    run = last_round(project)
    this = Round.load(run, project, reference=reference)
    if run_state(run)[0] is not RunState.FINISHED:
        return _rounds(project, run.config(), this, run, perform, on_round)
    if this.is_last:
        msg = f"the last relabelling of this project is finished, with run {run.id}: start a new one"
        raise RunError(msg)
    following = this.after(run.folder / MODEL_FOLDER, run)
    return _rounds(project, run.config(), following, None, perform, on_round)


def _rounds(
    project: Project,
    config: Config,
    this: Round,
    run: Run | None,
    perform: Perform,
    on_round: Callable[[Relabelled], None],
) -> Outcome:
    """From one round to the last; ``run`` is the first's when it was begun before, ``config`` what it or the one before
    trains with."""
    check_trainable(project)
    _check_reference(project, this.relabelling.reference)
    while True:
        resumed = run is not None
        if run is None:
            config = _of_round(config, this)
            run = Run.create(project.runs_folder, config, method=f"{config.method}_relabel{this.number}")
            this.save(run, project)

        def work(run: Run = run, this: Round = this, resumed: bool = resumed) -> Outcome:
            return _one_round(project, run, this, on_round, resumed=resumed)

        outcome = perform(run, work)
        if not outcome.finished or outcome.early or outcome.model_folder is None or this.is_last:
            return outcome
        this, run = this.after(outcome.model_folder, run), None


def _of_round(config: Config, this: Round) -> Config:
    """What a round trains with, from what the one before did: it draws its own patches, of full size, at its own
    learning rate."""
    train = replace(config.train, seed=config.train.seed + 1, schedule_span=this.schedule_span)
    return replace(config, data=replace(config.data, first_patch_size=None), train=train)


def _check_reference(project: Project, reference: Path | None) -> None:
    """Refuse a folder that lacks a training case now, not after hours."""
    if reference is None:
        return
    folder = LabelFolder(reference)
    missing = [case.id for case in project.train_cases() if not folder.has(case.id)]
    if missing:
        msg = f"{reference.name} has no labels of {', '.join(missing[:4])}: the precision needs those of every case"
        raise RunError(msg)


class _StopError(Exception):
    """The user asked to stop before the round's training began."""


def _one_round(
    project: Project, run: Run, this: Round, on_round: Callable[[Relabelled], None], *, resumed: bool
) -> Outcome:
    if not (run.folder / PSEUDO_FOLDER).is_dir():
        try:
            told = _add_positives(project, run, this)
        except _StopError:
            run.write(EventKind.STOPPED, step=0)
            return Outcome(finished=False)
        run.write(EventKind.RELABELLED, **vars(told))
        on_round(told)
    return train(run, project, start=this.start, resume=resumed, promotes=this.is_last)


def _add_positives(project: Project, run: Run, this: Round) -> Relabelled:
    names, reference = project.label_set.names, this.relabelling.reference
    added, right = np.zeros(len(names), int), np.zeros(len(names), int)
    unfinished = run.folder / UNFINISHED_PSEUDO
    shutil.rmtree(unfinished, ignore_errors=True)  # of an attempt that was cut short
    unfinished.mkdir()
    model = Model.load(this.start)
    cases = prepare(project, replace(model.config.data, distance="none"))
    head = _head(run, this, model, cases) if this.relabelling.select == "confidence" else None
    parts = None if this.relabelling.all_parts else most_parts(annotated_parts(cases))
    rank = ranking(this.relabelling.select, model, head)
    for done, prepared in enumerate(cases):
        if run.stop_requested:
            raise _StopError
        run.write(EventKind.HEARTBEAT, doing=f"relabelling case {done + 1} of {len(cases)}")
        ranked = rank(prepared.image)
        chosen = positives(ranked, model.label_set, project.label_set, prepared.known(), this.gamma, parts)
        if this.earlier is not None and this.relabelling.keep_earlier:
            chosen |= load_pseudo(this.earlier / PSEUDO_FOLDER, prepared.case_id, chosen.shape)
        save_pseudo(unfinished, project.case(prepared.case_id), chosen)
        added += chosen.reshape(len(names), -1).sum(1)
        if reference is not None:
            truth = reference_on_grid(reference, prepared.case_id, project.label_set, prepared.grid)
            right += (chosen & truth).reshape(len(names), -1).sum(1)
    unfinished.rename(run.folder / PSEUDO_FOLDER)
    return Relabelled(
        this.number,
        this.relabelling.rounds,
        this.gamma,
        this.relabelling.select,
        {name: int(n) for name, n in zip(names, added, strict=True)},
        {name: float(r / n) if reference and n else None for name, r, n in zip(names, right, added, strict=True)},
    )


def _head(run: Run, this: Round, model: Model, cases: Sequence[PreparedCase]) -> ConfidenceHead:
    """The round's confidence head: what it trained before it was cut short, or trained now from that of the last."""
    folder, names = run.folder / CONFIDENCE_FOLDER, model.label_set.names
    if (found := load_head(folder, names)) is not None:
        return found
    before = None if this.earlier is None else load_head(this.earlier / CONFIDENCE_FOLDER, names)
    reporter = Reporter(run, speaks=True)
    reporter.say(EventKind.HEARTBEAT, doing="learning which answers of the model to trust")

    def tell(step: int, loss: float) -> None:
        reporter.alive(f"learning which answers of the model to trust: step {step}, loss {loss:.4f}")

    budget = head_budget(run.config().train)
    head = learn_confidence(model, cases, budget, begin=before, stop=lambda: run.stop_requested, tell=tell)
    if head is None:
        raise _StopError
    save_head(folder, head, model)
    return head
