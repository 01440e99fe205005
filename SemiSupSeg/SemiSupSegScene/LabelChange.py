"""A label's change in the project, brought to the user's segments without touching what the user drew meanwhile."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from SemiSupSegLib.project.geometry import Grid
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.session.differences import Difference

from .SegmentMatches import addSegment, matchedSegments
from .SegmentVoxels import changeInBox, segmentInBox

__all__ = ["changeLabel"]


def changeLabel(
    segmentationNode: Any,
    grid: Grid,
    labelSet: LabelSet,
    name: str,
    difference: Difference,
    before: NDArray[np.integer[Any]],
) -> bool:
    """Add and remove voxels of one label; those on which the user has drawn a label that excludes it stay.

    Args:
        segmentationNode: the user's.
        grid: of the case.
        labelSet: the project's.
        name: of the label.
        difference: what changed in the project.
        before: layers (L, k, j, i) of the project before that.

    Returns:
        Whether the segment shows the label as it is now, where it is different from before.

    Raises:
        ImageError: a segment does not lie on the image.
    """
    channel, box = labelSet.index(name), difference.box
    matched, added = matchedSegments(segmentationNode, labelSet), difference.added.copy()
    for other, its in enumerate(labelSet.names):
        if added.any() and its in matched and not labelSet.may_overlap(channel, other):
            place = labelSet.places[other]
            was = before[place.layer][box] == place.value
            added &= ~(segmentInBox(segmentationNode, matched[its], grid, box) & ~was)
    segmentId = matched.get(name) or addSegment(segmentationNode, labelSet.labels[channel])
    changeInBox(segmentationNode, segmentId, grid, box, added=added, removed=difference.removed)
    shown = segmentInBox(segmentationNode, segmentId, grid, box)
    return not ((difference.added & ~shown).any() or (difference.removed & shown).any())
