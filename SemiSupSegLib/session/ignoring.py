"""Ignoring: what a person excludes from training and scores, whatever the label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..project.project import Project
from ..project.transactions import commit
from .core import require
from .label_names import LabelNames
from .painting import Painted
from .words import counted

__all__ = ["Ignoring"]


class Ignoring(LabelNames):
    """The ignore mask of the current case."""

    _ignored: tuple[tuple[str, str], int] | None = None
    """Case and file, and how many voxels it excludes: a file is never overwritten."""

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
        told = f"{counted(voxels, 'voxel')} of case {case.id} are left out" if voxels else "nothing is left out"

        def make(project: Project, _found: Painted | None) -> None:
            detail = {"ignored": voxels}
            commit(project, case.id, action="annotate", who=self.who, detail=detail, ignore=np.asarray(mask, bool))

        words = f"what is left out of case {case.id} is being stored"
        self._commit(case, words, make, said=lambda: self._say(told), paints=False)
