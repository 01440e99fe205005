"""Ignoring: what a person excludes from training and scores, whatever the label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..project.cases import Case
from ..project.project import Project
from ..project.transactions import commit
from .core import require
from .label_names import LabelNames
from .left_out import LeftOut
from .painting import Painted
from .words import counted

__all__ = ["Ignoring"]

KEPT = 4
"""Files whose content is kept: undo goes back to an earlier one."""


class Ignoring(LabelNames):
    """The ignore mask of the current case."""

    _ignores: tuple[LeftOut, ...] = ()
    """What was read or stored last, newest first."""

    def ignore(self) -> NDArray[np.bool_] | None:
        """(k, j, i): what is excluded in the current case; None for nothing."""
        found = self._left_out(self._case())
        return None if found is None else found.mask()

    def keep_left_out(self, found: LeftOut | None) -> None:
        """Spare the session the reading of what somebody else has read."""
        if found is not None:
            others = (each for each in self._ignores if (each.case, each.file) != (found.case, found.file))
            self._ignores = (found, *others)[:KEPT]

    def _left_out(self, case: Case) -> LeftOut | None:
        """Read once: panels ask at every redraw."""
        if case.ignore_file is None:
            return None
        found = next((each for each in self._ignores if each.is_of(case)), None)
        if found is None:
            found = LeftOut.of(case)
            self.keep_left_out(found)
        return found

    @property
    def ignored_voxels(self) -> int:
        """How many voxels are excluded in the current case; 0 without one, and while the case is being opened."""
        if self.current_case is None or self._is_opening:
            return 0
        found = self._left_out(self.current_case)
        return 0 if found is None else found.voxels

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
        told = f"{counted(voxels, 'voxel')} of case {case.id} are left out" if voxels else "nothing is left out"

        now: list[LeftOut | None] = []

        def make(project: Project, _found: Painted | None) -> None:
            detail, wanted = {"ignored": voxels}, np.asarray(mask, bool)
            commit(project, case.id, action="annotate", who=self.who, detail=detail, ignore=wanted)
            now.append(LeftOut.of(project.cases[case.id], wanted))

        def stored(_result: None) -> None:
            self.keep_left_out(now[0])
            self._tell_case(case.id)
            self._say(told)

        self._write(f"what is left out of case {case.id} is being stored", make, stored, paints=False)
