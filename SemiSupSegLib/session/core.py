"""Core: what every part of a session stands on: the open project, its owner, the screen, the signals, and asking."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ProjectError
from ..project.cases import Case
from ..project.project import Project
from ..project.transactions import commit
from .owner import Owner
from .painting import Layers, Masks, Painted, Painting, differing, painted
from .saved import Saved
from .signals import Signals
from .task import Task, default_program
from .words import joined

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
    """

    def __init__(
        self,
        *,
        who: str | None = None,
        program: Sequence[str] | None = None,
        painting: Painting | None = None,
        threads: bool = True,
    ) -> None:
        self.signals = Signals()
        self.who = who or _login_name()
        self.program = tuple(program or default_program())
        self.painting = painting
        self.threads = threads
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

    def _may_change(self, button: str) -> str | None:
        if self._project is None:
            return f"{button}: open or create a project first"
        if self._owner is not None:
            return f"{button}: {self._owner.sentence}"
        if not self._writable:
            return f"{button}: the folder of this project cannot be written"
        return None

    def _may_change_case(self, button: str) -> str | None:
        if (reason := self._may_change(button)) is not None:
            return reason
        return f"{button}: open a case first" if self.current_case is None else None

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

    # The screen ------------------------------------------------------------------------------------------------------

    def label_voxels(self, case_id: str | None = None, names: Iterable[str] | None = None) -> Masks:
        """What the project holds, by label name: (k, j, i) bool; all labels of the current case by default."""
        from ..project.annotation import label_mask

        project, case = self._opened(), self._case(case_id)
        layers = self._layers.of(case, project.label_set)
        wanted = project.label_set.names if names is None else tuple(map(self._name, names))
        return {name: label_mask(layers, project.label_set, project.label_set.index(name)) for name in wanted}

    def has_voxels(self, label: str, case_id: str | None = None) -> bool:
        """Whether any voxel carries the label, on the screen where it is there, else in the project."""
        case, name = self._case(case_id), self._name(label)
        on_screen = self._on_screen(case)
        if name in on_screen:
            return bool(np.any(on_screen[name]))
        label_set = self._opened().label_set
        return self._layers.holds(case, label_set, label_set.index(name))

    def save_painting(self) -> tuple[str, ...]:
        """Store what the person painted in the current case, as one change that undo takes back.

        Returns:
            Labels whose voxels differ from before; empty when nothing does, or the project may not be changed.

        Raises:
            ProjectError: two labels that exclude each other share voxels; the screen names no label of the project.
            ImageError: what is on the screen is not on the grid of the case.
        """
        case = self.current_case
        if case is None or self.may_change is not None:
            return ()
        found = self._painted(case)
        if found is None:
            return ()
        names = list(found.changed)
        self._commit(case.id, label=", ".join(names), detail={"painted": names}, labels=found.layers)
        return found.changed

    def _on_screen(self, case: Case) -> Masks:
        masks = None if self.painting is None else self.painting(case.id)
        return {} if masks is None else {self._name(name): mask for name, mask in masks.items()}

    def _painted(self, case: Case) -> Painted | None:
        masks = self._on_screen(case)
        if not masks:
            return None
        label_set = self._opened().label_set
        layers = self._layers.of(case, label_set)
        if self._unseen:
            self._unseen &= differing(label_set, layers, masks)
            masks = {name: mask for name, mask in masks.items() if name not in self._unseen}
        return painted(case, label_set, layers, masks)

    def _commit(
        self,
        case_id: str,
        *,
        label: str | None,
        detail: dict[str, Any],
        labels: NDArray[np.integer[Any]] | None = None,
        **changes: Any,
    ) -> Case:
        """One change of a case, told to everybody."""
        project, who = self._opened(), self.who
        case = commit(
            project, case_id, action="annotate", who=who, label=label, detail=detail, labels=labels, **changes
        )
        self._tell_case(case.id)
        return case

    def _tell_case(self, case_id: str, *, written: Iterable[str] = ()) -> None:
        """A case changed; ``written`` are labels whose voxels the screen does not show yet."""
        tell, signals = self.signals.tell, self.signals
        if names := tuple(written):
            tell(signals.labels_written, case_id, names)
            self._check_screen(case_id, names)
        tell(signals.cases_changed)
        if case_id == self._saved.case:
            tell(signals.organs_changed)

    def _check_screen(self, case_id: str, names: Iterable[str]) -> None:
        """Find what was written and is not on the screen: to store it as painted there would erase it again."""
        case = self._opened().cases[case_id]
        if case_id != self._saved.case or not (masks := self._on_screen(case)):
            return
        label_set = self._opened().label_set
        self._unseen |= differing(label_set, self._layers.of(case, label_set), masks) & set(names)
        if self._unseen:
            said = f"the screen does not show {joined(sorted(self._unseen))} of case {case_id} as it is stored"
            self._say(f"{said}: show the case again", "error")

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


