"""Boolean volumes in an eighth of the memory: eight voxels along Z in one byte, so that a part can be read without
the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "pack", "unpack"]

Box = tuple[slice, slice, slice]
"""A part of a volume along X, Y, Z; starts and stops are given, not negative, and within the volume."""


def pack(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(C, X, Y, Z) bool to (C, X, Y, ceil(Z / 8)) uint8."""
    return np.packbits(mask, axis=-1)


def unpack(bits: NDArray[Any], box: Box) -> NDArray[np.bool_]:
    """The voxels of a box, (C, *box) bool, out of what :func:`pack` made; only the bytes of the box are read."""
    x, y, z = box
    first = z.start // 8
    part = np.ascontiguousarray(bits[:, x, y, first : -(-z.stop // 8)])
    return np.unpackbits(part, axis=-1)[..., z.start - 8 * first : z.stop - 8 * first].view(bool)
