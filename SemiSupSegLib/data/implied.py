"""Where strokes imply that a label is not, though nobody said so there. Ours.

Strokes cover a hundredth of a volume: a network that is told nothing of the rest finds the label in half of it. But
whoever strokes a label and what lies around it says more. The label ends between its strokes and the strokes of other
things, so it reaches no further from its own than the furthest of those is from anything else. A voxel is *implied* not
to be the label when

* it is nearer to a stroke of something else than to any of the label's,
* it is further from the label's than any of those is from something else, T mm,
* it lies in the box of the label's strokes, which is open on each side on which something else is stroked beyond
  them: strokes in one slice say nothing of the slices beside it.

That is a hint for training: its own term, its own weight. It is never *known*, never scored, never written into a case;
and nothing is implied of labels without strokes. An unstroked second part of a label within the box is the price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..project.annotation import label_mask
from .bits import pack
from .cache import Cache, Made, StoredArray
from .distance import distance_to
from .prepared import PreparedCase

__all__ = ["around_strokes", "implied_absent", "with_implied"]

VERSION = 1


def with_implied(case: PreparedCase, stroked: Sequence[int], cache: Cache | None = None) -> PreparedCase:
    """The case with what its strokes imply, to be cut into patches with the rest.

    Args:
        case: a training case.
        stroked: the labels of which some region is strokes; without any the case is returned unchanged.
        cache: keeps the result on disk; without it, or for a case in memory, it is computed at each call.
    """
    if not stroked:
        return case

    def make() -> Made:
        known, labels = case.known(), np.asarray(case.labels)
        implied = np.zeros((len(case.label_set), *case.shape), bool)
        for c in stroked:
            target = label_mask(labels, case.label_set, c)
            implied[c] = implied_absent(known[c] & target, known[c] & ~target, case.grid.spacing)
        return {"implied": pack(implied)}, {}

    array: StoredArray | NDArray[np.uint8] | None
    if cache is None or not case.key:
        array = make()[0]["implied"]
    else:
        ingredients = {"version": VERSION, "labels": case.key, "stroked": list(stroked)}
        array = cache.entry("implied", ingredients, make).array("implied")
    assert array is not None
    return replace(case, arrays={**case.arrays, "implied": array})


def implied_absent(
    positive: NDArray[np.bool_], negative: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """Voxels that the strokes of one label imply not to be it; the rule is the module's.

    Args:
        positive: (X, Y, Z) voxels known to be the label.
        negative: (X, Y, Z) voxels known not to be.
        spacing: millimetres along X, Y, Z.

    Returns:
        (X, Y, Z), never where either is known; nothing unless there are some of both.
    """
    if not (positive.any() and negative.any()):
        return np.zeros(positive.shape, bool)
    to_label, to_other = distance_to(positive, spacing), distance_to(negative, spacing)
    reach = _reach(positive, to_other)
    implied = np.zeros(positive.shape, bool)
    box = _box(positive, negative)
    implied[box] = (to_label[box] > to_other[box]) & (to_label[box] > reach)
    return implied & ~negative


def around_strokes(
    positive: NDArray[np.bool_], negative: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """Voxels within T / 2 of the strokes of one label: its strokes grow together where they are less than T apart.

    Args:
        positive: (X, Y, Z) voxels known to be the label, some.
        negative: (X, Y, Z) voxels known not to be, some.
        spacing: millimetres along X, Y, Z.
    """
    return distance_to(positive, spacing) <= _reach(positive, distance_to(negative, spacing)) / 2


def _reach(positive: NDArray[np.bool_], to_other: NDArray[np.float32]) -> float:
    """T: how far the label's strokes are from anything else at most, mm."""
    return float(to_other[positive].max())


def _box(positive: NDArray[np.bool_], negative: NDArray[np.bool_]) -> tuple[slice, ...]:
    box = []
    for axis in range(positive.ndim):
        (first, last), (beyond_first, beyond_last) = _span(positive, axis), _span(negative, axis)
        box.append(slice(None if beyond_first < first else first, None if beyond_last > last else last + 1))
    return tuple(box)


def _span(mask: NDArray[np.bool_], axis: int) -> tuple[int, int]:
    """First and last index with a voxel of the mask, which is not empty."""
    there = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
    return int(there[0]), int(there[-1])
