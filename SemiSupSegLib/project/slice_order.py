"""Slice order: which slice of a proposal a person should look at next."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .annotation import Annotation, RegionKind, State

__all__ = ["finished_slices", "next_slice", "slice_order"]

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


def next_slice(errors: Floats, seen: Collection[int]) -> int | None:
    """The slice k with most errors that nobody has seen.

    That the next one may lie right beside the last one costs nothing: of slices that lie 10 mm apart a person corrects
    fewer errors, and a model learns no more from them (``Testing/benchmarks/bench_rounds.py``).

    Args:
        errors: (k,) what is expected to be wrong in each slice, in any unit, at least 0.
        seen: slices that were finished or looked at.

    Returns:
        The first one of equals; None when no slice with errors is left.
    """
    left = np.array(errors, float)
    left[list(seen)] = 0
    return int(left.argmax()) if left.any() else None


def slice_order(errors: Floats, finished: NDArray[np.bool_]) -> list[int]:
    """All slices with errors that are not finished, one :func:`next_slice` after the other.

    Args:
        errors: (k,), as there.
        finished: (k,) of :func:`finished_slices`.
    """
    order = np.argsort(-np.asarray(errors, float), kind="stable")
    return [int(k) for k in order if errors[k] > 0 and not finished[k]]
