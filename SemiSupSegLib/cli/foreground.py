"""Making a run in this process: what goes wrong is written into its events, and Ctrl-C is a request to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from ..errors import RunError, SemiSupSegError
from ..jobs.protocol import EventKind, RunState
from ..jobs.run import Run
from ..jobs.state import Watch
from ..project.project import Project

__all__ = ["carry_out", "project_folder", "stopping_on_interrupt", "train_here"]


def project_folder(run: Run) -> Path:
    """The project that a run belongs to: two folders up."""
    return run.folder.resolve().parents[1]


def train_here(run: Run) -> None:
    """Train in this process as the run's folder says, and leave a terminal event behind whatever happens.

    Raises:
        SemiSupSegError: the training failed; the sentence is in the FAILED event, too.
        KeyboardInterrupt: it was aborted.
        Exception: a bug, or memory that ran out; its traceback is in the log.
    """

    def work() -> None:
        from ..engine.train import train  # imported here: a torch that cannot be imported is a failure of the run

        request = run.request()
        train(run, Project.open(project_folder(run)), from_scratch=request.from_scratch, resume=request.resume)

    carry_out(run, work)


def carry_out(run: Run, work: Callable[[], None]) -> None:
    """Do the work of a run; what it raises is written as its last event, then raised again.

    Raises:
        SemiSupSegError: as the work raised it.
        RunError: the work returned, but the run says that it failed.
    """
    try:
        work()
    except SemiSupSegError as error:
        _record_failure(run, str(error))
        raise
    except KeyboardInterrupt:
        _record(run, EventKind.STOPPED, step=_last_checkpoint(run), at_once=True)
        raise
    except Exception as error:
        root = str(project_folder(run))
        silent = "memory ran out" if isinstance(error, MemoryError) else "no details"
        first = (str(error).strip().splitlines() or [silent])[0]
        with contextlib.suppress(OSError):
            run.append_log(traceback.format_exc().replace(root, "PROJECT"))
        _record_failure(run, f"{type(error).__name__}: {first}".replace(root, "PROJECT"))
        raise
    state, words = Watch(run).state()
    if state is RunState.FAILED and run.writes:
        raise RunError(words)


def _record_failure(run: Run, reason: str) -> None:
    if Watch(run).state()[0] is not RunState.FAILED:  # the engine writes the failures that it foresees
        _record(run, EventKind.FAILED, reason=reason)


def _record(run: Run, kind: EventKind, **data: object) -> None:
    with contextlib.suppress(OSError):  # on a full disk the reason is lost, but not the error that is on its way
        run.write(kind, **data)


def _last_checkpoint(run: Run) -> int | None:
    watch = Watch(run)
    watch.update()
    event = watch.latest(EventKind.CHECKPOINT)
    return None if event is None else event.data.get("step")


@contextlib.contextmanager
def stopping_on_interrupt(run: Run) -> Iterator[None]:
    """While open, the first Ctrl-C asks the run to write a checkpoint and end; the second one aborts it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner, pressed = os.getpid(), False

    def interrupted(_signal: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        if os.getpid() != owner:  # a loader's process gets the same Ctrl-C; it ends with the training, not before
            return
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        run.request_stop()
        os.write(2, b"\nstopping: a checkpoint is written first (Ctrl-C again to abort)\n")  # print is not safe in here

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
