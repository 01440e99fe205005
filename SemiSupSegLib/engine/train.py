"""Training a run: prepare, start from the model in use, loop, keep what was learnt, offer it for promotion.

One way for all methods, on the CPU, on one GPU, or on the processes that torchrun started; :mod:`.loop` is the loop.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from ..data.prepare import PreparedCase, ct_statistics, prepare, prepare_holdout
from ..errors import RunError, SemiSupSegError
from ..jobs.protocol import EventKind
from ..jobs.run import Run
from ..project.models import promoted_model
from ..project.project import Project
from .checkpoint import Checkpoint, load_checkpoint
from .device import choose_device
from .keep import MODEL_FOLDER, keep, offer
from .launch import launch
from .loop import Loop
from .model import Model
from .plan import check_trainable, estimate
from .probe import probe
from .reporter import Reporter
from .start import first_checkpoint

__all__ = ["MODEL_FOLDER", "PSEUDO_FOLDER", "UNFINISHED_PSEUDO", "Outcome", "train"]

PSEUDO_FOLDER = "pseudo"
"""Inside the run's folder: what a relabelling round added."""
UNFINISHED_PSEUDO = ".pseudo"
"""Its name while it is being made."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    finished: bool
    """False: stopped by the user; ``last`` is written."""
    model_folder: Path | None = None
    """What was learnt, inside the run; None when stopped."""
    promoted: str | None = None
    """Name under which it is now in use; None when it was not promoted."""
    early: bool = False
    """Whether the user ended it before its time and kept what was learnt."""


def train(
    run: Run,
    project: Project,
    *,
    from_scratch: bool = False,
    resume: bool = False,
    start: Path | None = None,
    promotes: bool = True,
) -> Outcome:
    """Train the run's method on the project until the budget is spent or the user stops it.

    Stopped with the wish to keep the best (:meth:`.Run.request_stop`), it ends like one whose budget is spent, unless
    it has learnt nothing yet.

    Args:
        run: its ``config.json`` says everything; events, log and checkpoints go there. Voxels that a relabelling round
            added are in its folder ``pseudo``, see :mod:`SemiSupSegLib.data.pseudo`.
        project: labels and cases.
        from_scratch: begin with random weights; otherwise with the promoted model when there is one.
        resume: go on from the run's last checkpoint.
        start: folder of the model to begin with instead of the promoted one.
        promotes: whether to offer the result for promotion at the end; what is kept early always is.

    Raises:
        SemiSupSegError: it cannot work; the sentence is also in the run's FAILED event.
    """
    device, reason = choose_device(run.config().train.device)
    fabric = launch(device)
    loop = Loop(run, project, run.config(), fabric, Reporter(run, speaks=fabric.is_global_zero))
    try:
        checkpoint = _begin(loop, reason, resume=resume)
        folder = start or (None if from_scratch else promoted_model(project.models_folder))
        earlier = None if folder is None or checkpoint is not None else Model.load(folder)
        try:
            cases, holdout = _prepare(loop, earlier)
            loop.count_parts(cases)
        except _StopError:
            return _stopped_before(loop, checkpoint)
        if checkpoint is None:
            checkpoint = first_checkpoint(loop, earlier, cases)
        if loop.go(cases, holdout, checkpoint):
            return Outcome(finished=False)
        return _finish(loop, loop.state.iteration, promotes=promotes)
    except SemiSupSegError as error:
        loop.reporter.say(EventKind.FAILED, reason=str(error))
        raise


class _StopError(Exception):
    """The user asked to stop while the cases were being prepared."""


def _begin(loop: Loop, reason: str, *, resume: bool) -> Checkpoint | None:
    """Refuse what cannot work; the checkpoint to resume from."""
    check_trainable(loop.project)
    if (loop.run.folder / UNFINISHED_PSEUDO).exists():
        cut = f"the relabelling of run {loop.run.id} was cut short, so it has nothing to learn from"
        msg = f"{cut}: relabel again, or go on with `semisupseg relabel --resume`"
        raise RunError(msg)
    checkpoint = load_checkpoint(loop.run.checkpoints) if resume else None
    if checkpoint is not None:
        loop.take_up(checkpoint)
    loop.reporter.say(
        EventKind.STARTED,
        device=loop.fabric.device.type,
        reason=reason,
        processes=loop.fabric.world_size,
        resumed_from=None if checkpoint is None else checkpoint.step,
    )
    return checkpoint


def _prepare(loop: Loop, earlier: Model | None) -> tuple[list[PreparedCase], list[PreparedCase]]:
    """Training and hold-out cases on the training grid, out of the cache where they are there already."""
    begin = time.monotonic()
    if loop.config.data.intensity == "ct" and loop.config.data.ct_window is None:
        # A round goes on with the window of the model it starts from: its weights are used to those numbers.
        window = None if earlier is None else earlier.config.data.ct_window
        data = replace(loop.config.data, ct_window=window or ct_statistics(loop.project))
        loop.config = replace(loop.config, data=data)

    def on_progress(done: int, of: int) -> None:
        if loop.fabric.is_global_zero and loop.run.stop_requested:
            raise _StopError
        loop.reporter.alive(f"preparing case {done + 1} of {of}")

    pseudo = loop.run.folder / PSEUDO_FOLDER
    cases = []
    try:
        cases = prepare(
            loop.project,
            loop.config.data,
            pseudo=pseudo if pseudo.is_dir() else None,
            on_progress=on_progress,
        )
        stopped = False
    except _StopError:
        stopped = True
    if loop.first_says(stopped)[0]:  # now, as what follows is done by all processes together
        raise _StopError
    holdout = prepare_holdout(loop.project, loop.config.data)
    need = estimate(loop.project, loop.config)
    probed = probe(loop.config, loop.fabric.device)
    loop.reporter.say(
        EventKind.PREPARED,
        cases=len(cases),
        holdout=len(holdout),
        seconds=round(time.monotonic() - begin, 1),
        spacing=loop.config.data.spacing,
        patch_size=loop.config.data.patch_size,
        batch_size=loop.config.train.batch_size,
        memory_gb=round(need.memory_gb, 2),
        minutes=need.minutes,
        precision=probed.precision,
        threads=probed.threads,
        why=probed.reason,
    )
    return cases, holdout


def _stopped_before(loop: Loop, checkpoint: Checkpoint | None) -> Outcome:
    """Stopped while the cases were prepared: what an earlier process of the run learnt may be kept all the same."""
    step = 0 if checkpoint is None else checkpoint.step
    loop.early = bool(step and loop.first_says(loop.run.keep_requested)[0])
    if loop.early:
        return _finish(loop, step, promotes=True)
    loop.reporter.say(EventKind.STOPPED, step=step)
    return Outcome(finished=False)


def _finish(loop: Loop, step: int, *, promotes: bool) -> Outcome:
    promoted = None
    if loop.fabric.is_global_zero:
        offers = promotes or loop.early  # a round of a relabelling is not offered, and its thresholds stay
        model = keep(loop.run, loop.project, loop.reporter, moves=offers)
        promoted = offer(loop.project, model, loop.reporter).model if offers else None
    loop.fabric.barrier()
    early = {"early": True} if loop.early else {}
    loop.reporter.say(EventKind.FINISHED, step=step, seconds=round(loop.elapsed, 1), **early)
    return Outcome(True, loop.run.folder / MODEL_FOLDER, promoted, early=loop.early)
