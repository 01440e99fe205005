"""LocalJob: a run's process on this machine: start, poll, stop, kill, and attach again after a restart.

The only link to the process is the run's folder. Closing the program that started it does not end it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import psutil

from ..errors import RunError
from .child import child_environment, detached
from .process_tree import ProcessIdentity, process_tree
from .protocol import LOG_FILE, EventKind, RunState
from .run import Run
from .state import ACTIVE, Watch

__all__ = ["LocalJob", "claim", "default_command"]

LOOK_SECONDS = 0.05
_CHILDREN: list[subprocess.Popen[bytes]] = []
"""Kept when their jobs are forgotten, which is allowed; the next start clears the ended ones."""


def default_command(run: Run) -> list[str]:
    """Slicer's Python when there is one, else this one, with what makes a run (torchrun takes the same last words)."""
    python = shutil.which("PythonSlicer") or sys.executable
    return [python, "-m", "SemiSupSegLib", "train-run", str(run.folder.resolve())]


class LocalJob:
    """The process of one run. Only :meth:`wait`, :meth:`kill` and :meth:`stop` with a grace take noticeable time.

    Args:
        run: its folder.
        process: the child when this program started it.
    """

    def __init__(self, run: Run, process: subprocess.Popen[bytes] | None = None) -> None:
        self.run = run
        self._process = process
        self._watch = Watch(run)
        self._asked = False

    @classmethod
    def start(cls, run: Run, command: list[str] | None = None) -> LocalJob:
        """Start the process of a run: no input, output to its log, a session of its own.

        Args:
            run: new, or ended with a request to resume.
            command: what to start; :func:`default_command` when None.

        Raises:
            RunError: a process works on the run already, or the command cannot be started.
        """
        _refuse_a_second(run)
        command = command or default_command(run)
        run.clear_stop()
        begin = run.events_size
        with (run.folder / LOG_FILE).open("ab") as log:
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                    env=child_environment(PYTHONFAULTHANDLER="1"), close_fds=True, **detached(),
                )  # fmt: skip
            except OSError as error:
                msg = f"{command[0]} cannot be started: {error.strerror}"
                raise RunError(msg) from error
        identity = ProcessIdentity.of(process.pid, command=tuple(command), own_session=True, events_from=begin)
        try:
            identity.save(run.folder)
        except OSError:  # without process.json nobody could ever stop it
            identity.kill()
            process.wait()
            raise
        _CHILDREN[:] = [process, *(child for child in _CHILDREN if child.poll() is None)]
        return cls(run, process)

    @classmethod
    def attach(cls, run: Run) -> LocalJob:
        """The job of a run that another program started, or this one before it was closed."""
        return cls(run)

    @property
    def watch(self) -> Watch:
        """What is known about the run."""
        return self._watch

    def poll(self) -> tuple[RunState, str]:
        """State and words, as :func:`~SemiSupSegLib.jobs.state.run_state` gives them."""
        code = None if self._process is None else self._process.poll()
        state, words = self._watch.state()
        if state is RunState.CRASHED and code is not None and code < 0:
            hint = ": most often because memory ran out" if code == -9 else ""
            words = f"killed by signal {-code}{hint}; {words}"
        return state, words

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the run and of all its processes; whether it came within the time."""
        deadline = time.monotonic() + seconds
        while self.poll()[0] in ACTIVE or self._alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def stop(self, *, grace: float | None = None, keep_best: bool = False) -> None:
        """Ask the run to write a checkpoint and end. A second call, or the end of the grace, ends it at once.

        Args:
            keep_best: see :meth:`.Run.request_stop`; scoring the model on the hold-out takes longer than stopping.
            grace: seconds to wait for it before it is killed; None returns at once and never kills on the first call.

        Raises:
            RunError: it has to be killed and runs on another machine.
        """
        if self._asked:
            self.kill()
            return
        self._asked = True
        self.run.request_stop(keep_best=keep_best)
        if grace is not None and not self.wait(grace):
            self.kill()

    def kill(self) -> None:
        """End the whole process tree now; what was learnt since the last checkpoint is lost. Nothing when it has ended.

        Raises:
            RunError: it runs on another machine, or a process of it cannot be ended.
        """
        identity = ProcessIdentity.load(self.run.folder)
        if identity is None:
            return
        if not identity.here:
            msg = f"run {self.run.id} works on {identity.host}: only there it can be ended at once"
            raise RunError(msg)
        worked = self.poll()[0] in ACTIVE
        gone = identity.kill()
        if self._process is not None:
            self._process.poll()  # so that no zombie stays
        if not gone:
            msg = f"run {self.run.id}: a process of {identity.pid} could not be ended; do you have the right to?"
            raise RunError(msg)
        if worked and self._watch.state()[0] is RunState.CRASHED:  # its writer is gone, so this is the only one
            saved = self._watch.latest(EventKind.CHECKPOINT)
            self.run.write(EventKind.STOPPED, step=None if saved is None else saved.data.get("step"), at_once=True)

    def _alive(self) -> bool:
        identity = ProcessIdentity.load(self.run.folder)
        return identity is not None and (identity.alive or bool(process_tree(identity)))


def claim(run: Run) -> None:
    """Say that this process makes the run, unless whoever started it has said so already (:meth:`LocalJob.start`).

    Raises:
        RunError: another process works on it.
    """
    identity = ProcessIdentity.load(run.folder)
    mine = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    if identity is not None and identity.alive and identity.pid in mine:
        if identity.own_session:
            return
    else:
        _refuse_a_second(run)
    run.clear_stop()
    ProcessIdentity.of(os.getpid(), command=tuple(sys.argv), events_from=run.events_size).save(run.folder)


def _refuse_a_second(run: Run) -> None:
    process = ProcessIdentity.load(run.folder)
    if process is not None and Watch(run).state()[0] in ACTIVE:
        msg = f"run {run.id} is being worked on already, by process {process.pid} on {process.host}"
        raise RunError(msg)
