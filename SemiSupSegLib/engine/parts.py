"""Connected parts: how many an organ has where people annotated it, and as many of a prediction's.

An organ that is one piece in every annotated case is one piece in the next: what else was predicted, far away, is
most often wrong. Where the cases do not agree (lesions), or one alone shows the organ, nothing is known of its parts.
Strokes show parts too: those that lie near each other are of one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..data.prepare import PreparedCase
from ..project.annotation import label_mask
from ..project.components import count_parts, numbered_parts

__all__ = ["PART_ML", "agreed_parts", "annotated_parts", "largest_parts", "most_parts"]

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
        for channel in np.flatnonzero(case.everywhere).tolist():
            mask = label_mask(labels, label_set, channel)
            if mask.any():
                found[channel].append(count_parts(mask))
        for channel, parts in case.stroke_parts.items():
            found[channel].append(parts)
    return found


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
