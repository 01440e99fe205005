"""Slice order: which slice of a proposal a person should look at next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .annotation import Annotation, RegionKind, State

__all__ = ["finished_slices", "reach_mm", "slice_order"]

REACH = 2.0
"""mm: at least, however thin the slices are."""

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


def slice_order(errors: Floats, finished: NDArray[np.bool_], slice_mm: float) -> Iterator[int]:
    """Slices k that are not finished, where most is to be gained first; slices without any errors are left out.

    What is proposed beside a finished slice follows it (``engine/propagation.py``), so errors there count less and less
    the nearer one is: one more slice beside those that were just corrected would teach little
    (``Testing/benchmarks/bench_rounds.py``).

    Args:
        errors: (k,) what is expected to be wrong in each slice, at least 0; of equals the first one comes first.
        finished: (k,) of :func:`finished_slices`.
        slice_mm: from one slice to the next; 0 where that is not known, and then each counts for itself.
    """
    left, place = np.asarray(errors, float).copy(), np.arange(len(errors)) * slice_mm
    reach = reach_mm(slice_mm)

    def follows(k: int) -> Floats:
        near = np.exp(-(((place - place[k]) / reach) ** 2) / 2) if slice_mm > 0 else np.zeros(len(place))
        near[k] = 1
        return 1 - near

    for k in np.flatnonzero(finished).tolist():
        left *= follows(k)
    while left.any():
        k = int(left.argmax())
        yield k
        left *= follows(k)


def reach_mm(slice_mm: float) -> float:
    """Deviation in mm of the Gaussian with which a finished slice counts for the slices beside it.

    Args:
        slice_mm: from one slice to the next.
    """
    return max(REACH, slice_mm)
