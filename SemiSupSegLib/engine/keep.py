"""Keep: what a run has learnt becomes a model in the run's folder, and is offered for promotion.

The training itself does it at its end, or when the user stops it early; :func:`keep_best` does it for a run that has
ended without.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

from ..config import Config
from ..data.prepare import prepare
from ..errors import RunError, SemiSupSegError
from ..jobs.protocol import EventKind
from ..jobs.run import Run
from ..project.labels import LabelSet
from ..project.models import promoted_model
from ..project.project import Project
from .atlases import with_atlases
from .checkpoint import Checkpoint, load_checkpoint
from .model import Model
from .parts import slice_parts
from .promote import Verdict, promote
from .reporter import Reporter
from .seen import look
from .state import predicting_weights
from .threshold import shifts, with_shifts

__all__ = ["MODEL_FOLDER", "check_learnt", "keep", "keep_best", "model_of", "offer"]

MODEL_FOLDER = "model"
"""Inside the run's folder: what it learnt."""
SHARE = 0.05
"""Of the training's time that looking at annotated cases may take; at least one is looked at."""


def model_of(checkpoint: Checkpoint, run: Run, name: str, label_set: LabelSet) -> Model:
    """The model that a checkpoint's weights make.

    Args:
        checkpoint: of the run.
        run: which.
        name: of the checkpoint.
        label_set: the project's, for a checkpoint of a version that did not say in which order its channels are.
    """
    said = checkpoint.state.get("label_set")
    return Model(
        weights=predicting_weights(checkpoint),
        config=Config.from_json(checkpoint.state["config"]),
        label_set=label_set if said is None else LabelSet.from_json(said),
        run=run.id,
        checkpoint=name,
        step=checkpoint.step,
        parts=checkpoint.state.get("parts", {}),
    )


def keep(run: Run, project: Project, reporter: Reporter, *, moves: bool = True) -> Model:
    """Write the run's ``model``: its best checkpoint on the hold-out, or the last one where nothing was scored.

    Args:
        run: has ended.
        project: its annotated training cases say where each label's threshold lies, see :mod:`.threshold`.
        reporter: told what is being done.
        moves: whether to move thresholds; never done to what follows a paper.

    Raises:
        RunError: there is no checkpoint.
        ModelFileError: it is damaged, or predicts a label that the project does not have.
    """
    name, checkpoint = _best_or_last(run)
    model = model_of(checkpoint, run, name, project.label_set)
    model.check_labels(project.label_set)
    if moves and not model.config.options.get("paper"):
        model = _adjusted(model, project, reporter, seconds=SHARE * float(checkpoint.state["elapsed"]))
    folder = run.folder / MODEL_FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was killed right here
    model.save(folder)
    return model


def _adjusted(model: Model, project: Project, reporter: Reporter, *, seconds: float) -> Model:
    """The model with its thresholds where they suit the annotated cases best, with the parts of labels that are
    finished in slices alone, and with atlases where they help; as it is where the cases cannot be read."""
    if model.label_set != project.label_set:  # labels came or went since; its channels are not those of the cases
        return model

    def alive() -> None:
        reporter.alive("moving thresholds")

    alive()
    try:
        cases = [case for case in prepare(project, model.config.data) if case.annotated.any()]
    except SemiSupSegError:  # a case went while it trained; what was learnt must not go with it
        return model
    seen = look(model, cases, seconds=seconds, alive=alive)
    model = with_shifts(model, shifts(seen, model.label_set))
    model = replace(model, parts={**slice_parts(seen, cases, model), **model.parts})
    try:
        return with_atlases(
            model, project, cases, seconds=seconds, alive=lambda: reporter.alive("comparing with annotated cases")
        )
    except SemiSupSegError:
        return model


def offer(project: Project, model: Model, reporter: Reporter) -> Verdict:
    """Offer a model for promotion and tell what became of it."""
    verdict = promote(project, model, alive=lambda: reporter.alive("scoring the hold-out"))
    reporter.say(
        EventKind.PROMOTED if verdict.promoted else EventKind.NOT_PROMOTED,
        model=verdict.model,
        score=verdict.score,
        before=verdict.before,
        reason=verdict.reason,
    )
    return verdict


def keep_best(run: Run, project: Project) -> None:
    """Keep what a run has learnt on which no process works any more, offer it, and finish the run.

    Raises:
        RunError: it has learnt nothing, see :func:`check_learnt`.
        ModelFileError: as of :func:`keep`.
    """
    check_learnt(run)
    reporter = Reporter(run, speaks=True)
    reporter.say(EventKind.HEARTBEAT, doing="keeping the best checkpoint")
    model = keep(run, project, reporter)
    if not _in_use(project, model):  # else it was cut short right after the promotion
        offer(project, model, reporter)
    last = load_checkpoint(run.checkpoints, optimizers=False)
    assert last is not None
    reporter.say(EventKind.FINISHED, step=last.step, seconds=round(last.state["elapsed"], 1), early=True)


def check_learnt(run: Run) -> None:
    """Nothing, if a checkpoint of the run has learnt something: the first one is from before the first step.

    Raises:
        RunError: none has.
        ModelFileError: it is damaged.
    """
    _, checkpoint = _best_or_last(run)
    if checkpoint.step == 0:
        msg = f"run {run.id} ended before its first checkpoint, so there is nothing to keep"
        raise RunError(msg)


def _best_or_last(run: Run) -> tuple[str, Checkpoint]:
    best = load_checkpoint(run.checkpoints, "best", optimizers=False)
    if best is not None and best.state.get("best") is not None:
        return "best", best
    last = load_checkpoint(run.checkpoints, optimizers=False)
    if last is None:
        msg = f"run {run.id} ended before its first checkpoint, so there is nothing to keep"
        raise RunError(msg)
    return "last", last


def _in_use(project: Project, model: Model) -> bool:
    folder = promoted_model(project.models_folder)
    used = None if folder is None else Model.load(folder)
    return used is not None and (used.run, used.checkpoint, used.step) == (model.run, model.checkpoint, model.step)
