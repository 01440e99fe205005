"""Where strokes and finished slices imply that a label is not, though nobody said so there. Ours.

Strokes cover a hundredth of a volume: a network that is told nothing of the rest finds the label in half of it. But
whoever strokes a label and what lies around it says more. The label ends between its strokes and the strokes of other
things, so it reaches no further from its own than the furthest of those is from anything else. A voxel is *implied* not
to be the label when it lies in the box of the label's strokes, which is open on each side on which something else is
stroked beyond them (strokes in one slice say nothing of the slices beside it), and

* either it is nearer to a stroke of something else than to any of the label's, and further from the label's than any of
  those is from something else, T mm,
* or it looks otherwise than the label does in this case (:mod:`.intensity_range`).

Finished slices tell how a label looks better than strokes do, and nothing of how far it reaches beyond them: for a
label that is finished in some slices, how a voxel looks counts in all of the volume, where it lies in none of it.

That is a hint for training: its own term, its own weight. It is never *known*, never scored, never written into a case;
and nothing is implied of other labels. An unstroked second part of a label within the box is the price, and a part that
looks like no stroked or finished one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..project.annotation import label_mask
from ..project.boxes import bounding_box
from ..project.components import count_parts
from .bits import pack
from .cache import Cache, Made, StoredArray
from .distance import distance_to
from .intensity_range import looks_otherwise
from .prepared import PreparedCase

__all__ = ["what_strokes_say", "with_implied"]

VERSION = 3


def with_implied(
    case: PreparedCase, stroked: Sequence[int], sliced: Sequence[int] = (), cache: Cache | None = None
) -> PreparedCase:
    """The case with what its strokes and finished slices imply, to be cut into patches with the rest.

    Args:
        case: a training case.
        stroked: the labels of which some region is strokes.
        sliced: those of which slices are finished and nothing else; without any of both the case is returned unchanged.
        cache: keeps the result on disk; without it, or for a case in memory, it is computed at each call.
    """
    if not (stroked or sliced):
        return case

    def make() -> Made:
        """What all these labels say, for the cache."""
        known, labels, image = case.known(), np.asarray(case.labels), np.asarray(case.image)
        implied, parts = np.zeros((len(case.label_set), *case.shape), bool), []
        for c in (*stroked, *sliced):
            target = label_mask(labels, case.label_set, c)
            positive, negative = known[c] & target, known[c] & ~target
            if c in sliced:
                implied[c] = looks_otherwise(image, positive) & ~known[c]
                continue
            implied[c], count = what_strokes_say(positive, negative, case.grid.spacing)
            implied[c] |= _looks_otherwise_in_box(image, positive, negative)
            parts += [(c, count)] if count else []
        return {"implied": pack(implied)}, {"parts": parts}

    array: StoredArray | NDArray[np.uint8] | None
    if cache is None or not case.key:
        arrays, meta = make()
        array = arrays["implied"]
    else:
        image = case.arrays["image"]
        key = image.entry if isinstance(image, StoredArray) else None
        ingredients = {"version": VERSION, "image": key, "labels": case.key, "stroked": list(stroked)}
        ingredients |= {"sliced": list(sliced)} if sliced else {}
        entry = cache.entry("implied", ingredients, make)
        array, meta = entry.array("implied"), entry.meta
    assert array is not None
    counts = {int(c): int(count) for c, count in meta["parts"]}
    return replace(case, arrays={**case.arrays, "implied": array}, stroke_parts=counts)


def what_strokes_say(
    positive: NDArray[np.bool_], negative: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> tuple[NDArray[np.bool_], int]:
    """Voxels that the strokes of one label imply not to be it, by the module's rule, and how many parts they show.

    Args:
        positive: (X, Y, Z) voxels known to be the label.
        negative: (X, Y, Z) voxels known not to be.
        spacing: millimetres along X, Y, Z.

    Returns:
        (X, Y, Z), never where either is known, and the number of groups of the label's strokes: those that are less
        than T apart are of one part. Nothing, and 0, unless there are voxels of both kinds.
    """
    if not (positive.any() and negative.any()):
        return np.zeros(positive.shape, bool), 0
    to_label, to_other = distance_to(positive, spacing), distance_to(negative, spacing)
    reach = float(to_other[positive].max())
    implied = np.zeros(positive.shape, bool)
    box = _box(positive, negative)
    implied[box] = (to_label[box] > to_other[box]) & (to_label[box] > reach)
    return implied & ~negative, count_parts(to_label <= reach / 2)


def _looks_otherwise_in_box(
    image: NDArray[np.floating[Any]], positive: NDArray[np.bool_], negative: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """:func:`.looks_otherwise` where the label's strokes say something, and nothing is known."""
    found = np.zeros(positive.shape, bool)
    if positive.any() and negative.any():
        box = _box(positive, negative)
        found[box] = looks_otherwise(image[(slice(None), *box)], positive[box])
    return found & ~positive & ~negative


def _box(positive: NDArray[np.bool_], negative: NDArray[np.bool_]) -> tuple[slice, ...]:
    inner, outer = bounding_box(positive), bounding_box(negative)
    assert inner is not None
    assert outer is not None
    return tuple(
        slice(None if o.start < i.start else i.start, None if o.stop > i.stop else i.stop)
        for i, o in zip(inner, outer, strict=True)
    )
