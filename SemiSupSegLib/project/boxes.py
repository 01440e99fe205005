"""Boxes: the part of a volume that has to be looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "bounding_box", "grown", "within"]

Box = tuple[slice, ...]
"""A slice an axis; starts and stops are given."""


def bounding_box(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box that holds all True voxels; None when there is none."""
    box: list[slice] = []
    for axis in range(mask.ndim):  # each axis within what the ones before left: the whole mask is looked at once
        part = mask[tuple(box)]
        hit = np.flatnonzero(part.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
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


def within(box: Box, part: Box) -> Box:
    """A box of the content of ``box``, as a box of the volume."""
    return tuple(slice(b.start + p.start, b.start + p.stop) for b, p in zip(box, part, strict=True))
