"""Connected parts: how many an organ has where people annotated it, and as many of a prediction's.

An organ that is one piece in every annotated case is one piece in the next: what else was predicted, far away, is
most often wrong. Where the cases do not agree (lesions), or one alone shows the organ, nothing is known of its parts.
Strokes show parts too: those that lie near each other are of one. Finished slices do not, as nobody sees what connects
them; but a model that has learnt from them does, and which of its parts lie on something finished tells them apart from
what it found by mistake.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..data.prepare import PreparedCase
from ..project.annotation import label_mask
from ..project.components import SPECK, count_parts, numbered_parts
from ..project.labels import LabelSet
from .model import Model
from .seen import Seen

__all__ = ["PART_ML", "agreed_parts", "annotated_parts", "largest_parts", "most_parts", "slice_parts"]

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


def slice_parts(seen: Sequence[Seen], cases: Sequence[PreparedCase], model: Model) -> dict[str, int]:
    """Number of parts of each label that is finished in slices alone, by name: the predicted parts in which some of
    what people drew lies, where the cases agree.

    Args:
        seen: annotated cases, as the model predicts them.
        cases: all annotated cases.
        model: with its thresholds moved.
    """
    label_set, found = model.label_set, {}
    moved = np.array([model.moved.get(name, 0.0) for name in label_set.names])
    proposed = [each.proposed(moved, label_set) for each in seen]
    for channel, name in enumerate(label_set.names):
        if any(case.everywhere[channel] or channel in case.stroke_parts for case in cases):
            continue
        pairs = zip(seen, proposed, strict=True)
        counts = [_parts_drawn_on(one, its[channel], channel, label_set) for one, its in pairs if one.shown[channel]]
        agreed = agreed_parts([[count for count in counts if count]])[0]
        if agreed is not None:
            found[name] = agreed
    return found


def _parts_drawn_on(seen: Seen, proposed: NDArray[np.bool_], channel: int, label_set: LabelSet) -> int:
    """In how many parts of a proposal some of the label was drawn; 0 where the model missed anything that was drawn,
    for then it does not know all parts."""
    drawn = seen.drawn(channel, label_set)
    if not drawn.any() or drawn.sum() < (1 - SPECK) * seen.whole[channel]:
        return 0

    def parts(mask: NDArray[np.bool_]) -> NDArray[np.integer]:
        """(N,): the part in which each voxel lies."""
        volume = np.zeros(seen.near.shape, bool)
        volume[seen.near] = mask
        return numbered_parts(volume)[seen.near]

    pieces = parts(drawn)
    sizes, found = np.bincount(pieces)[1:], np.bincount(pieces[proposed], minlength=pieces.max() + 1)[1:]
    if (2 * found < sizes)[sizes >= SPECK * sizes.sum()].any():
        return 0
    counts = np.bincount(parts(proposed)[drawn & proposed])[1:]
    return int((counts >= SPECK * counts.sum()).sum())


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
