"""Slice order: which slice of a proposal a person should look at next."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .annotation import Annotation, RegionKind, State

__all__ = ["finished_slices", "slice_order"]

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


def slice_order(errors: Floats, finished: NDArray[np.bool_]) -> list[int]:
    """Slices k that are not finished, the one with most errors first; slices without any are left out.

    That the next one may lie right beside the last one costs nothing: of slices that lie 10 mm apart a person corrects
    fewer errors, and a model learns no more from them (``Testing/benchmarks/bench_rounds.py``).

    Args:
        errors: (k,) what is expected to be wrong in each slice, at least 0; of equals the first one comes first.
        finished: (k,) of :func:`finished_slices`.
    """
    order = np.argsort(-np.asarray(errors, float), kind="stable")
    return [int(k) for k in order if errors[k] > 0 and not finished[k]]
