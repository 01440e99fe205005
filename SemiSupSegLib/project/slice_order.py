"""Slice order: which slice of a proposal a person should look at next."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .annotation import Annotation, RegionKind, State

__all__ = ["finished_slices", "next_slice", "slice_order"]

APART_MM = 10.0
"""From this distance on, a slice counts in full. Slices next to each other have the same errors: five that touch say
less that is new than five that lie apart (``Testing/benchmarks/bench_rounds.py``)."""

Floats = NDArray[np.floating[Any]]


def finished_slices(annotation: Annotation, depth: int) -> NDArray[np.bool_]:
    """Slices k in which a label is known as a whole, (depth,): those that were said to be done or were accepted.

    Boxes and strokes finish no slice.
    """
    found = np.full(depth, annotation.state in (State.COMPLETE, State.ABSENT))
    for region in annotation.regions:
        if region.kind is RegionKind.SLICES:
            for first, last in region.ranges:
                found[first : last + 1] = True
    return found


def next_slice(errors: Floats, thickness_mm: float, seen: Collection[int]) -> int | None:
    """The slice k with most errors that nobody has seen; one that is less than 10 mm from one that was seen counts as
    much less as it is nearer, in proportion.

    Args:
        errors: (k,) what is expected to be wrong in each slice, in any unit, at least 0.
        thickness_mm: from one slice to the next.
        seen: slices that were finished or looked at.

    Returns:
        The first one of equals; None when no slice with errors is left.
    """
    left = np.array(errors, float)
    if seen:
        there = np.asarray(sorted(seen))
        distance = np.abs(np.arange(len(left))[:, np.newaxis] - there).min(axis=1) * thickness_mm
        left *= np.minimum(distance / APART_MM, 1)
    return int(left.argmax()) if left.any() else None


def slice_order(errors: Floats, thickness_mm: float, finished: NDArray[np.bool_]) -> list[int]:
    """All slices with errors that are not finished, one :func:`next_slice` after the other.

    Args:
        errors: (k,), as there.
        thickness_mm: as there.
        finished: (k,) of :func:`finished_slices`.
    """
    seen, found = set(np.flatnonzero(finished).tolist()), []
    while (k := next_slice(errors, thickness_mm, seen)) is not None:
        found.append(k)
        seen.add(k)
    return found
