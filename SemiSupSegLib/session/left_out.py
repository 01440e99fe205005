"""LeftOut: the voxels of a case that a person excluded, small enough to be kept for the front end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..project.cases import Case

__all__ = ["LeftOut"]


@dataclass(frozen=True)
class LeftOut:
    """One file's content, a bit a voxel: files are never overwritten, so it stays true."""

    case: str
    file: str
    voxels: int
    """How many are excluded."""
    _shape: tuple[int, ...]
    _bits: NDArray[np.uint8]

    @classmethod
    def of(cls, case: Case, mask: NDArray[np.bool_] | None = None) -> LeftOut | None:
        """Of a case as it is now; None when nothing is excluded in it.

        Args:
            case: the case.
            mask: (k, j, i) what its file holds, where that is known; else it is read.

        Raises:
            ImageError: the file is damaged.
        """
        found = case.ignore() if mask is None else mask
        if case.ignore_file is None or found is None:
            return None
        return cls(case.id, case.ignore_file, int(np.count_nonzero(found)), found.shape, np.packbits(found))

    def is_of(self, case: Case) -> bool:
        """Whether a case still has that file."""
        return (self.case, self.file) == (case.id, case.ignore_file)

    def mask(self) -> NDArray[np.bool_]:
        """(k, j, i)."""
        count = int(np.prod(self._shape))
        return np.unpackbits(self._bits, count=count).view(np.bool_).reshape(self._shape)
