"""Task: long work beside the front end. A child process of the command line, or a thread for what has no verb."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from ..errors import RunError, SemiSupSegError
from ..jobs.child import child_environment, detached
from .rows import TaskProgress
from .words import said_by_program

__all__ = ["Child", "Task", "Thread", "clear_up", "default_program"]

LOG_FILE, OUT_FILE = "log.txt", "out.txt"
TAIL = 4096
_CHILDREN: list[subprocess.Popen[bytes]] = []
"""Kept when a session forgets them, which is allowed; the next start clears the ended ones."""
_PERCENT = re.compile(r"\] (\d+) of (\d+)")


def default_program() -> tuple[str, ...]:
    """Slicer's Python when there is one, else this one, and the package: what verbs are added to."""
    return shutil.which("PythonSlicer") or sys.executable, "-m", "SemiSupSegLib"


class Task(Protocol):
    """Work that goes on while the front end does something else."""

    kind: str

    def poll(self) -> TaskProgress:
        """How it stands; quick."""

    def cancel(self) -> None:
        """End it as soon as possible."""

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called."""

    def forget(self) -> None:
        """Remove what it left on the disk."""

    @property
    def problem(self) -> str | None:
        """One sentence when it is over and did not succeed."""

    @property
    def result(self) -> Any:
        """What it gave; None until it is over."""


class Child:
    """A verb of the command line in a child process. It outlives the front end, as a training does.

    Args:
        kind: a word for :class:`TaskProgress`.
        words: what it does, for the status line: ``predicting 3 cases``.
        command: the whole command.
        folder: made anew; holds its log and its output until they are read.

    Raises:
        RunError: the command cannot be started.
    """

    def __init__(self, kind: str, words: str, command: Sequence[str], folder: Path) -> None:
        from ..jobs.process_tree import ProcessIdentity  # here, as importing a session must be quick

        self.kind = kind
        self._words, self._folder = words, folder
        self._cancelled = False
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOG_FILE).open("wb") as log, (folder / OUT_FILE).open("wb") as out:
            try:
                self._process = subprocess.Popen(
                    list(command), stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                    env=child_environment(PYTHONIOENCODING="utf-8"), **detached(),
                )
            except OSError as error:
                msg = f"{command[0]} cannot be started: {error.strerror}"
                raise RunError(msg) from error
        _CHILDREN[:] = [self._process, *(child for child in _CHILDREN if child.poll() is None)]
        self._identity = ProcessIdentity.of(self._process.pid, command=tuple(command), own_session=True)
        with suppress(OSError):  # only whoever clears up reads it
            self._identity.save(folder)

    @property
    def active(self) -> bool:
        """Whether it works still."""
        return self._process.poll() is None

    def poll(self) -> TaskProgress:
        """How far, by the last line with a number in its log."""
        found = _PERCENT.findall(self.log)
        done, whole = map(int, found[-1]) if found else (0, 0)
        return TaskProgress(self.kind, self._words, done / whole if whole else None, self.active)

    def cancel(self) -> None:
        """End it and all its descendants, beside the front end: that may take a second or two."""
        self._cancelled = True
        threading.Thread(target=self._identity.kill, name="cancel", daemon=True).start()

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called."""
        return self._cancelled

    @property
    def log(self) -> str:
        """The end of what it wrote on standard error."""
        return _tail(self._folder / LOG_FILE)

    @property
    def problem(self) -> str | None:
        """Its own sentence, or how it ended."""
        code = self._process.poll()
        if code in (None, 0):
            return None
        if self._cancelled:
            return "cancelled"
        killed = f"killed by signal {-code}" if code and code < 0 else f"ended with code {code}"
        hint = ": most often because memory ran out" if code == -9 else ""
        return said_by_program(self.log) or f"its process was {killed}{hint}"

    @property
    def result(self) -> Any:
        """The JSON that it printed, else the text; None while it works."""
        if self.active:
            return None
        text = (self._folder / OUT_FILE).read_text(encoding="utf-8", errors="replace")
        try:
            return json.loads(text)
        except ValueError:
            return text

    def forget(self) -> None:
        """Remove its files: they may name the files of a patient."""
        shutil.rmtree(self._folder, ignore_errors=True)


class Thread:
    """A function in a thread of this process; its result waits until somebody asks.

    Args:
        kind: a word for :class:`TaskProgress`.
        words: what it does.
        work: called with a function that takes done and all, and raises when the task was cancelled.
    """

    def __init__(self, kind: str, words: str, work: Callable[[Callable[[int, int], None]], Any]) -> None:
        self.kind = kind
        self._words, self._work = words, work
        self._fraction: float | None = None
        self._cancel = threading.Event()
        self._result: Any = None
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._run, name=kind, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._work(self._tell)
        except (SemiSupSegError, OSError) as error:
            self._problem = str(error)
        except Exception as error:
            self._problem = f"a mistake in the program: {type(error).__name__}: {error}"

    def _tell(self, done: int, whole: int) -> None:
        if self._cancel.is_set():
            msg = "cancelled"
            raise RunError(msg)
        self._fraction = done / whole if whole else None

    @property
    def active(self) -> bool:
        """Whether it works still."""
        return self._thread.is_alive()

    def poll(self) -> TaskProgress:
        """How far."""
        return TaskProgress(self.kind, self._words, self._fraction, self.active)

    def cancel(self) -> None:
        """End it before its next step."""
        self._cancel.set()

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called."""
        return self._cancel.is_set()

    @property
    def problem(self) -> str | None:
        """What went wrong; None while it works or when all went well."""
        return None if self.active else self._problem

    @property
    def result(self) -> Any:
        """What the function returned."""
        return None if self.active else self._result

    def forget(self) -> None:
        """Nothing lies on the disk."""

    def wait(self, seconds: float) -> bool:
        """Wait for its end; whether it came."""
        self._thread.join(seconds)
        return not self.active


def clear_up(tasks: Path) -> None:
    """Remove what children left that ended while nobody looked.

    Args:
        tasks: one folder a task; may be missing.
    """
    from ..jobs.process_tree import ProcessIdentity

    for folder in tasks.iterdir() if tasks.is_dir() else ():
        identity = ProcessIdentity.load(folder)
        if identity is None or (identity.here and not identity.alive):
            shutil.rmtree(folder, ignore_errors=True)


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
