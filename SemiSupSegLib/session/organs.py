"""Organs: what is said about each label of a case, and the labels themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ProjectError, SemiSupSegError
from ..project.annotation import Annotation, RegionKind, State
from ..project.cases import Case
from ..project.project import Project
from ..project.transactions import commit
from .core import require
from .ignoring import Ignoring
from .painting import Painted
from .rows import OrganRow
from .states import commit_state, refused, refused_in, with_slice
from .words import SYMBOLS, counted, joined, slices_in_words

__all__ = ["Organs"]


class Organs(Ignoring):
    """Commands and rules of the organ table."""

    def organ_rows(self) -> list[OrganRow]:
        """All labels of the project as they are in the current case; empty without a project."""
        if self._project is None:
            return []
        case, proposed = self.current_case, self._proposed()
        rows = []
        for label in self._project.label_set.labels:
            said = Annotation() if case is None else case.annotation(label.name)
            rows.append(
                OrganRow(
                    label.name, label.colour, label.terminology, said.state, SYMBOLS[said.state],
                    case is not None and (case.id, label.name) in proposed, _finished(said), _accepted(said),
                    said.state if case is None or self._is_opening else self._next_state(case, label.name),
                )
            )  # fmt: skip
        return rows

    def _proposed(self) -> set[tuple[str, str]]:
        """Case and label of the proposals that wait; the review says which."""
        return set()

    # States ----------------------------------------------------------------------------------------------------------

    def may_set_state(self, label: str, state: State, case: str | None = None) -> str | None:
        """Why a label cannot be given a state; None when it can."""
        button = f"{SYMBOLS[state]} {label}"
        if (reason := self._may_change(button)) is not None:
            return reason
        if case is None and self.current_case is None:
            return f"{button}: open a case first"
        found = self._case(case)
        if found.id == self._saved.case and (reason := self._may_see(button)) is not None:
            return reason
        return refused(found, self._name(label), state, lambda: self.has_voxels(label, found.id))

    def set_state(
        self, label: str, state: State, case: str | None = None, *, then: Callable[[], None] = lambda: None
    ) -> None:
        """Say what is known of a label, and store what was painted with it; ``then`` is called when that is done.

        Raises:
            ProjectError: :meth:`may_set_state` gives a reason.
        """
        name, state = self._name(label), State(state)
        require(self.may_set_state(name, state, case))
        found = self._case(case)
        if found.annotation(name).state is state:  # nothing new is said, but perhaps something was painted
            if found.id == self._saved.case:
                self._stored_then(then)
            return

        def said() -> None:
            self._say(f"{name} is {_in_words(state)} in case {found.id}")
            then()

        self._annotate(found, name, state, said)

    def cycle(self, label: str) -> None:
        """What a click on the chip does: see :attr:`OrganRow.next_state`."""
        self.set_state(label, self._next_state(self._case(), self._name(label)))

    def apply_to_all(self, label: str, state: State) -> tuple[int, list[tuple[str, str]]]:
        """Give a label the same state in every case where that may be.

        Returns:
            Number of cases that changed, and id and reason of those that could not; nothing yet where a thread does it.

        Raises:
            ProjectError: the project may not be changed.
        """
        name, state = self._name(label), State(state)
        button = f"{SYMBOLS[state]} {name}"
        require(self._may_change(button) or self._may_see(button))
        changed: list[str] = []
        left_out: list[tuple[str, str]] = []

        def make(project: Project, found: Painted | None) -> None:
            """The change, of a twin of the project."""
            for case in list(project.cases.values()):
                here = found if found is not None and found.case == case.id else None
                try:
                    reason = refused_in(project, case, name, state, here)
                    if reason is not None:
                        left_out.append((case.id, reason))
                    elif case.annotation(name).state is not state:
                        commit_state(project, case, name, state, here, who=self.who)
                        changed.append(case.id)
                except SemiSupSegError as error:  # a damaged case must not keep the others from changing
                    left_out.append((case.id, str(error)))

        def told(_result: Any) -> None:
            """Say what came of it."""
            for case_id in changed:
                self._tell_case(case_id)
            left = f"; not in {joined(case_id for case_id, _ in left_out)}" if left_out else ""
            level = "warning" if left_out else "info"
            self._say(f"{name} is {_in_words(state)} in {counted(len(changed), 'more case')}{left}", level)

        self._write(f"what is said of {name} is being stored", make, told)
        return len(changed), list(left_out)

    def _next_state(self, case: Case, name: str) -> State:
        """? or ✎ becomes ✓ where something is painted, ? becomes ∅ where nothing is, and all others ?."""
        state = case.annotation(name).state
        if state in (State.COMPLETE, State.ABSENT):
            return State.UNKNOWN
        if self.has_voxels(name, case.id):
            return State.COMPLETE
        return State.UNKNOWN if state is State.PARTIAL else State.ABSENT

    def _annotate(self, case: Case, name: str, state: State, said: Callable[[], None]) -> None:
        """One change: the state of one label, and all that is painted on the screen of that case."""

        def make(project: Project, found: Painted | None) -> None:
            """The change, of a twin of the project."""
            found = found if found is not None and found.case == case.id else None
            commit_state(project, case, name, state, found, who=self.who)

        self._commit(case, f"what is said of {name} in case {case.id} is being stored", make, said=said)

    # Finished slices and the ignore mask -----------------------------------------------------------------------------

    @property
    def may_finish_slice(self) -> str | None:
        """Why no slice can be called done; None when one can."""
        button = "This slice is done"
        if (reason := self._may_change_case(button)) is not None:
            return reason
        case, names = self._case(), self._opened().label_set.names
        if not names:
            return f"{button}: add an organ first"
        if all(case.annotation(name).everywhere for name in names):
            return f"{button}: every organ is finished in case {case.id} already"
        return None

    def finish_slice(self, index: int, axis: int = 0, label: str | None = None) -> None:
        """Say that a slice is done: what is painted there is the label, and what is not painted is not.

        Args:
            index: of the slice, from 0.
            axis: 0, 1, 2 for k, j, i of the array.
            label: for one label; None for all that are neither complete nor absent.

        Raises:
            ProjectError: :attr:`may_finish_slice` gives a reason, the label is finished, or there is no such slice.
        """
        require(self.may_finish_slice)
        case = self._case()
        names = self._opened().label_set.names if label is None else (self._name(label),)
        open_ones = [name for name in names if not case.annotation(name).everywhere]
        require(None if open_ones else f"This slice is done: {names[0]} is finished in case {case.id} already")
        shape = case.grid().shape
        if axis not in (0, 1, 2) or not 0 <= index < shape[axis]:
            msg = f"This slice is done: expected slice 0 to {shape[axis % 3] - 1}, found {index}"
            raise ProjectError(msg)
        said = {name: with_slice(case.annotation(name), index, axis, shape) for name in open_ones}

        def make(project: Project, found: Painted | None) -> None:
            """The change, of a twin of the project."""
            detail: dict[str, Any] = {"state": "partial", "slice": index, "axis": axis}
            if found is not None:
                detail["painted"] = list(found.changed)
            commit(
                project, case.id, action="annotate", who=self.who, label=", ".join(open_ones), detail=detail,
                labels=None if found is None else found.layers, annotations=said,
            )  # fmt: skip

        words = f"slice {index} of case {case.id} is being stored"
        told = f"slice {index} of case {case.id} is done for {joined(open_ones)}"
        if axis == 0 and case.split != "holdout" and any((case.id, name) in self._proposed() for name in open_ones):
            told += "; Propose labels again, and what is proposed beside finished slices follows them"
        self._commit(case, words, make, said=lambda: self._say(told))

    def unfinish(self, label: str) -> None:
        """Take back what was said to be finished of a label; its voxels stay."""
        self.set_state(label, State.UNKNOWN)


def _finished(said: Annotation) -> str:
    slices = slices_in_words(r for region in said.regions if region.kind is RegionKind.SLICES for r in region.ranges)
    others = sum(region.kind is not RegionKind.SLICES for region in said.regions)
    return " and ".join(filter(None, (slices, counted(others, "further region") if others else "")))


def _accepted(said: Annotation) -> str:
    parts = [f"{a.what} of run {a.run} by {a.who}" for a in said.accepted]
    return f"accepted: {joined(parts, most=2)}" if parts else ""


def _in_words(state: State) -> str:
    return "not annotated" if state is State.UNKNOWN else str(state)
