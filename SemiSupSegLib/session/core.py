"""Core: what every part of a session stands on: the open project, its owner, the screen, the signals, and asking."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..errors import ProjectError
from ..project.cases import Case
from ..project.project import Project
from .owner import Owner
from .painting import Layers, Painting
from .saved import Saved
from .signals import Signals
from .task import Task, default_program
from .worker import Worker

__all__ = ["Core", "require"]


def require(reason: str | None) -> None:
    """Nothing, or the reason as an error.

    Raises:
        ProjectError: there is a reason.
    """
    if reason is not None:
        raise ProjectError(reason)


class Core:
    """State that the parts of a session share.

    Args:
        who: id of the annotator for the journal; the login name when None.
        program: the words that start the engine; :func:`.task.default_program` when None.
        painting: gives what is on the screen; None where nothing is painted.
        threads: False computes at once what otherwise a thread does: for scripts and tests.
        background: let cases, proposals and changes be read and written in a thread, so that nobody waits: commands
            return at once then, and :meth:`.Session.poll` hands over what came of them.
    """

    def __init__(
        self,
        *,
        who: str | None = None,
        program: Sequence[str] | None = None,
        painting: Painting | None = None,
        threads: bool = True,
        background: bool = False,
    ) -> None:
        self.signals = Signals()
        self.who = who or _login_name()
        self.program = tuple(program or default_program())
        self.painting = painting
        self.threads, self.background = threads, background
        self._worker = Worker()
        self._project: Project | None = None
        self._owner: Owner | None = None
        self._me: Owner | None = None
        self._writable = True
        self._saved = Saved()
        self._layers = Layers()
        self._unseen: set[str] = set()
        """Labels of the current case that were written, and that the screen did not take over."""
        self._task: Task | None = None

    @property
    def project(self) -> Project | None:
        """The open project; None before :meth:`open`. To be read only: changes go through the session."""
        return self._project

    @property
    def owner(self) -> Owner | None:
        """Who else has the project open; None when this session may change it."""
        return self._owner

    @property
    def current_case(self) -> Case | None:
        """The case that is shown."""
        if self._project is None or self._saved.case is None:
            return None
        return self._project.cases.get(self._saved.case)

    @property
    def may_change(self) -> str | None:
        """Whether anything may be changed at all."""
        return self._may_change("Change")

    def _may_own(self, button: str) -> str | None:
        """Whether the project is this session's; also while something is being stored."""
        if self._project is None:
            return f"{button}: open or create a project first"
        if self._owner is not None:
            return f"{button}: {self._owner.sentence}"
        if not self._writable:
            return f"{button}: the folder of this project cannot be written"
        return None

    def _may_change(self, button: str) -> str | None:
        """Whether anything may be changed now: one change after the other."""
        if (reason := self._may_own(button)) is not None:
            return reason
        return None if self._worker.writing is None else f"{button}: {self._worker.writing}"

    def _may_change_case(self, button: str) -> str | None:
        if (reason := self._may_change(button)) is not None:
            return reason
        if self.current_case is None:
            return f"{button}: open a case first"
        return self._may_see(button)

    def _may_see(self, button: str) -> str | None:
        """Whether the current case is on the screen already."""
        return f"{button}: {self._worker.reading}" if self._is_opening else None

    def _may_look(self, button: str) -> str | None:
        """Whether the current case and what is looked at in it are on the screen already."""
        return None if self._worker.reading is None else f"{button}: {self._worker.reading}"

    _reads_case = False

    @property
    def _is_opening(self) -> bool:
        return self._reads_case and self._worker.reading is not None

    @property
    def opening(self) -> str | None:
        """What is being read for the screen, as ``case c1 is being opened``; None when all is there."""
        return self._worker.reading

    @property
    def busy(self) -> str | None:
        """What is being written, else read, as a sentence without its stop; None for nothing."""
        return self._worker.writing or self._worker.reading

    def _opened(self) -> Project:
        if self._project is None:
            msg = "open or create a project first"
            raise ProjectError(msg)
        return self._project

    def _case(self, case_id: str | None = None) -> Case:
        """A case, the current one when None."""
        if case_id is not None:
            return self._opened().case(case_id)
        if self.current_case is None:
            msg = "open a case first"
            raise ProjectError(msg)
        return self.current_case

    def _name(self, label: str) -> str:
        label_set = self._opened().label_set
        return label_set.names[label_set.index(label)]

    def _remember(self, **said: Any) -> None:
        """Autosave: what changed of the session itself."""
        saved = replace(self._saved, **said)
        if saved != self._saved:
            self._saved = saved
            if self._project is not None and self._owner is None and self._writable:
                saved.save(self._project.root)

    def _say(self, sentence: str, level: str = "info") -> None:
        self.signals.tell(self.signals.message, sentence, level)

    # Work beside the front end ---------------------------------------------------------------------------------------

    def _may_start(self, button: str) -> str | None:
        """Whether another task may begin: one at a time, so that their progress can be told."""
        if self._task is None:
            return None
        return f"{button}: {self._task.poll().words} is under way: wait for its end or cancel it"

    def _begin(self, task: Task) -> None:
        self._task = task
        self.signals.tell(self.signals.task_changed, task.poll())


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # some containers know no name
        return "unknown"


