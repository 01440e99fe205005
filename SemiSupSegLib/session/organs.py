"""Organs: what is said about each label of a case, and the labels themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ProjectError, SemiSupSegError
from ..project.annotation import Annotation, Region, RegionKind, State
from ..project.cases import Case
from .core import require
from .label_names import LabelNames
from .rows import OrganRow
from .words import SYMBOLS, counted, joined, slices_in_words

__all__ = ["Organs"]


class Organs(LabelNames):
    """Commands and rules of the organ table."""

    _ignored: tuple[tuple[str, str], int] | None = None
    """Case and file, and how many voxels it excludes: a file is never overwritten."""

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
                    State.UNKNOWN if case is None else self._next_state(case, label.name),
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
        if state is State.PARTIAL and found.annotation(self._name(label)).state is not State.PARTIAL:
            return f"{button}: a label becomes partial by its finished slices: go to one and say that it is done"
        if state is State.ABSENT and self.has_voxels(label, found.id):
            return f"{button}: {label} is painted in case {found.id}: erase it before saying that it is absent"
        if state is State.COMPLETE and not self.has_voxels(label, found.id):
            return f"{button}: nothing is painted; if it was looked for and is not there, it is {SYMBOLS['absent']}"
        return None

    def set_state(self, label: str, state: State, case: str | None = None) -> None:
        """Say what is known of a label, and store what was painted with it.

        Raises:
            ProjectError: :meth:`may_set_state` gives a reason.
        """
        name, state = self._name(label), State(state)
        require(self.may_set_state(name, state, case))
        found = self._case(case)
        if found.annotation(name).state is state:  # nothing new is said, but perhaps something was painted
            if found.id == self._saved.case:
                self.save_painting()
            return
        self._annotate(found, name, state, {"state": str(state)})
        self._say(f"{name} is {_in_words(state)} in case {found.id}")

    def cycle(self, label: str) -> None:
        """What a click on the chip does: see :attr:`OrganRow.next_state`."""
        self.set_state(label, self._next_state(self._case(), self._name(label)))

    def apply_to_all(self, label: str, state: State) -> tuple[int, list[tuple[str, str]]]:
        """Give a label the same state in every case where that may be.

        Returns:
            Number of cases that changed, and id and reason of those that could not.

        Raises:
            ProjectError: the project may not be changed.
        """
        name, state = self._name(label), State(state)
        require(self._may_change(f"{SYMBOLS[state]} {name}"))
        changed, refused = 0, []
        for case in list(self._opened().cases.values()):
            if case.annotation(name).state is state:
                continue
            try:
                reason = self.may_set_state(name, state, case.id)
                if reason is None:
                    self._annotate(case, name, state, {"state": str(state)})
                    changed += 1
                else:
                    refused.append((case.id, reason))
            except SemiSupSegError as error:  # a damaged case must not keep the others from changing
                refused.append((case.id, str(error)))
        left = f"; not in {joined(case_id for case_id, _ in refused)}" if refused else ""
        level = "warning" if refused else "info"
        self._say(f"{name} is {_in_words(state)} in {counted(changed, 'more case')}{left}", level)
        return changed, refused

    def _next_state(self, case: Case, name: str) -> State:
        """? or ✎ becomes ✓ where something is painted, ? becomes ∅ where nothing is, and all others ?."""
        state = case.annotation(name).state
        if state in (State.COMPLETE, State.ABSENT):
            return State.UNKNOWN
        if self.has_voxels(name, case.id):
            return State.COMPLETE
        return State.UNKNOWN if state is State.PARTIAL else State.ABSENT

    def _annotate(
        self, case: Case, name: str, state: State, detail: dict[str, Any], regions: tuple[Region, ...] = ()
    ) -> None:
        """One change: the state of one label, and all that is painted on the screen of that case."""
        found = self._painted(case)
        before = case.annotation(name)
        if found is not None and name in found.changed and state is not State.UNKNOWN:
            after = Annotation(state, regions)  # voxels of a person: what came from a model is theirs now
        elif state is State.UNKNOWN and before.human is not None:  # takes back what people said, too
            after = replace(before, state=state, regions=(), human=Annotation())
        else:
            after = replace(before, state=state, regions=regions)
        if found is not None:
            detail = {**detail, "painted": list(found.changed)}
        layers = None if found is None else found.layers
        self._commit(case.id, label=name, detail=detail, labels=layers, annotations={name: after})

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
        found = self._painted(case)
        said = {name: _with_slice(case.annotation(name), index, axis, shape) for name in open_ones}
        detail: dict[str, Any] = {"state": "partial", "slice": index, "axis": axis}
        if found is not None:
            detail["painted"] = list(found.changed)
        layers = None if found is None else found.layers
        self._commit(case.id, label=", ".join(open_ones), detail=detail, labels=layers, annotations=said)
        self._say(f"slice {index} of case {case.id} is done for {joined(open_ones)}")

    def unfinish(self, label: str) -> None:
        """Take back what was said to be finished of a label; its voxels stay."""
        self.set_state(label, State.UNKNOWN)

    def ignore(self) -> NDArray[np.bool_] | None:
        """(k, j, i): what is excluded in the current case; None for nothing."""
        return self._case().ignore()

    @property
    def ignored_voxels(self) -> int:
        """How many voxels are excluded in the current case; 0 without one. Read once, as panels ask at every redraw."""
        case = self.current_case
        if case is None or case.ignore_file is None:
            return 0
        key = (case.id, case.ignore_file)
        if self._ignored is None or self._ignored[0] != key:
            mask = case.ignore()
            self._ignored = (key, 0 if mask is None else int(np.count_nonzero(mask)))
        return self._ignored[1]

    @property
    def may_ignore(self) -> str | None:
        """Why nothing can be excluded from training and scores; None when something can."""
        return self._may_change_case("Ignore here")

    @property
    def may_ignore_nothing(self) -> str | None:
        """Why no exclusion can be taken back; None when one can."""
        button = "Ignore nothing"
        nothing = None if self.ignored_voxels else f"{button}: nothing is left out in this case"
        return self._may_change_case(button) or nothing

    def set_ignore(self, mask: NDArray[np.bool_]) -> None:
        """Exclude voxels of the current case from training and scores; all False takes it back.

        Args:
            mask: (k, j, i) on the grid of the case.

        Raises:
            ProjectError: the project may not be changed.
            ImageError: the mask does not fit.
        """
        require(self._may_change_case("Ignore here"))
        case = self._case()
        voxels = int(np.count_nonzero(mask))
        self._commit(case.id, label=None, detail={"ignored": voxels}, ignore=np.asarray(mask, bool))
        self._say(f"{counted(voxels, 'voxel')} of case {case.id} are left out" if voxels else "nothing is left out")


def _with_slice(said: Annotation, index: int, axis: int, shape: tuple[int, ...]) -> Annotation:
    """The annotation with one more finished slice; neighbouring slices become one range."""
    if axis == 0:
        others = tuple(region for region in said.regions if region.kind is not RegionKind.SLICES)
        ranges = [r for region in said.regions if region.kind is RegionKind.SLICES for r in region.ranges]
        regions = (*others, Region(RegionKind.SLICES, _merged([*ranges, (index, index)])))
    else:
        box = tuple((index, index) if a == axis else (0, n - 1) for a, n in enumerate(shape))
        new = Region(RegionKind.BOX, box)
        regions = said.regions if new in said.regions else (*said.regions, new)
    return replace(said, state=State.PARTIAL, regions=regions)


def _merged(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def _finished(said: Annotation) -> str:
    slices = slices_in_words(r for region in said.regions if region.kind is RegionKind.SLICES for r in region.ranges)
    others = sum(region.kind is not RegionKind.SLICES for region in said.regions)
    return " and ".join(filter(None, (slices, counted(others, "further region") if others else "")))


def _accepted(said: Annotation) -> str:
    parts = [f"{a.what} of run {a.run} by {a.who}" for a in said.accepted]
    return f"accepted: {joined(parts, most=2)}" if parts else ""


def _in_words(state: State) -> str:
    return "not annotated" if state is State.UNKNOWN else str(state)
