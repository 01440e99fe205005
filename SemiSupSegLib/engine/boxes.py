"""Boxes: the part of a volume that has to be looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["bounding_box", "grown"]

Box = tuple[slice, ...]


def bounding_box(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box that holds all True voxels; None when there is none."""
    box = []
    for axis in range(mask.ndim):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        if not hit.size:
            return None
        box.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(box)


def grown(box: Box, by: Any, shape: tuple[int, ...]) -> Box:
    """The box with ``by`` voxels more on both sides of each axis (a number or one per axis), cut to the volume."""
    more = np.broadcast_to(np.ceil(by).astype(int), len(box))
    return tuple(
        slice(max(s.start - int(m), 0), min(s.stop + int(m), n)) for s, m, n in zip(box, more, shape, strict=True)
    )
