# SimpleITK names the types of some of its methods only:
# mypy: allow-untyped-calls
"""Connected parts: how many an organ has where people annotated it, and as many of a prediction's.

An organ that is one piece in every annotated case is one piece in the next: what else was predicted, far away, is
most often wrong. Where the cases do not agree (lesions), or one alone shows the organ, nothing is known of its parts.
Strokes show parts too: those that lie near each other are of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..data.implied import around_strokes
from ..data.prepare import PreparedCase
from ..project.annotation import label_mask
from ..project.geometry import Grid, image_from_kji

__all__ = ["PART_ML", "agreed_parts", "annotated_parts", "largest_parts", "most_parts", "numbered_parts"]

SPECK = 0.02
"""Share of a label's voxels below which a part is a slip of the brush."""
PART_ML = 0.1
"""A predicted piece counts as a part from this volume on; less is speckle."""
AGREEING = 2
"""Cases that must show as many parts of a label before predictions are held to that."""
LOOKED_AT = 24
"""Cases that are counted at most, spread over all of them: counting takes time, and the first ones agree or do not."""


def annotated_parts(cases: Sequence[PreparedCase]) -> list[list[int]]:
    """For each label its number of parts in each case in which it is annotated everywhere and not absent, or has
    strokes with strokes of something else around them.

    Args:
        cases: of one project, at least one; of more than 24 every second, third, ... is looked at.
    """
    label_set = cases[0].label_set
    found: list[list[int]] = [[] for _ in range(len(label_set))]
    for case in cases[:: -(-len(cases) // LOOKED_AT)]:
        labels = np.asarray(case.labels)
        for channel in np.flatnonzero(case.everywhere):
            mask = label_mask(labels, label_set, int(channel))
            if mask.any():
                found[channel].append(_parts_of(mask))
        for stroked, mask in _stroked(case):
            found[stroked].append(_parts_of(mask))
    return found


def _parts_of(mask: NDArray[np.bool_]) -> int:
    sizes = np.bincount(numbered_parts(mask).ravel())[1:]
    return int((sizes >= SPECK * sizes.sum()).sum())


def _stroked(case: PreparedCase) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """The labels of whose strokes something is implied, and what lies around these strokes."""
    implied = case.implied()
    if implied is None:
        return
    known, labels = case.known(), np.asarray(case.labels)
    for channel in np.flatnonzero(implied.any(axis=(1, 2, 3))):
        target = label_mask(labels, case.label_set, int(channel))
        yield int(channel), around_strokes(known[channel] & target, known[channel] & ~target, case.grid.spacing)


def most_parts(annotated: Sequence[Sequence[int]]) -> list[int | None]:
    """For each label the largest number of parts in any case; None where no case shows the whole of it."""
    return [max(counts) if counts else None for counts in annotated]


def agreed_parts(annotated: Sequence[Sequence[int]]) -> list[int | None]:
    """For each label the number of parts that all cases have, two of them at least; None where there is none such."""
    return [counts[0] if len(counts) >= AGREEING and len(set(counts)) == 1 else None for counts in annotated]


def largest_parts(
    mask: NDArray[np.bool_], count: int | None, weight: NDArray[np.floating] | None = None
) -> NDArray[np.bool_]:
    """The largest parts (26 neighbours) of a mask.

    Args:
        mask: (three axes) bool.
        count: how many to keep, at least 1; None: all.
        weight: of each voxel, for instance its probability; None: all alike, the largest part has most voxels.
    """
    if count is None or not mask.any():
        return mask
    parts = numbered_parts(mask)
    sizes = np.bincount(parts.ravel(), None if weight is None else weight.ravel())[1:]
    if len(sizes) <= count:
        return mask
    kept = np.zeros(len(sizes) + 1, bool)
    kept[np.argsort(-sizes, kind="stable")[:count] + 1] = True
    return np.asarray(kept[parts])


def numbered_parts(mask: NDArray[np.bool_]) -> NDArray[np.integer]:
    """Number of the part of each voxel of a mask (three axes, in any order), from 1; 0 outside."""
    import SimpleITK as sitk  # noqa: N813  everybody's name for it

    image = image_from_kji(mask, Grid(mask.shape[::-1], (1.0, 1.0, 1.0)))  # whatever the order: nothing is copied
    return np.asarray(sitk.GetArrayFromImage(sitk.ConnectedComponent(image, True)))
