"""SegmentSnapshot: what the user's segments held at one moment, to be looked at in any thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SemiSupSegLib.project.geometry import Grid
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.session.painting import Snapshot

from .SegmentMatches import matchedSegments
from .SegmentVoxels import labelmapOf, maskOnGrid

__all__ = ["SegmentSnapshot"]


class SegmentSnapshot(Snapshot):
    """Copies of the labelmaps, each once, cut to their extent; a mask is made when it is asked for, and not kept.

    Args:
        segmentationNode: what the user draws in.
        labelSet: the project's labels.
        grid: of the case, on which the masks are wanted.

    Raises:
        ProjectError: names and terminology of the segments contradict each other.
        ImageError: a segment has a surface only, or stands under a transform that bends.
    """

    def __init__(self, segmentationNode: Any, labelSet: LabelSet, grid: Grid) -> None:
        self._grid, self._where = grid, segmentationNode.GetName()
        self._maps: dict[int, tuple[NDArray[Any], Grid]] = {}
        self._segments: dict[str, tuple[int | None, int, str]] = {}
        self._values: dict[int, set[int]] = {}
        for name, segmentId in matchedSegments(segmentationNode, labelSet).items():
            segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
            part, key = labelmapOf(segmentationNode, segmentId), None
            if part is not None:
                key = int(part[0].__array_interface__["data"][0])
                if key not in self._maps:
                    self._maps[key] = (part[0].copy(), part[1])
            self._segments[name] = (key, int(segment.GetLabelValue()), segment.GetName())

    def __getitem__(self, name: str) -> NDArray[np.bool_]:
        key, value, called = self._segments[name]
        if key is None:
            return np.zeros(self._grid.shape, bool)
        voxels, grid = self._maps[key]
        return maskOnGrid(voxels == value, grid, self._grid, what=f"the segment {called}", where=self._where)

    def __iter__(self) -> Iterator[str]:
        return iter(self._segments)

    def __len__(self) -> int:
        return len(self._segments)

    def holds(self, name: str) -> bool:
        """See :meth:`.Snapshot.holds`."""
        key, value, _called = self._segments[name]
        if key is None:
            return False
        if key not in self._values:
            voxels = self._maps[key][0]
            values = np.unique(voxels) if voxels.dtype.itemsize > 2 or voxels.dtype.kind != "u" else _values(voxels)
            self._values[key] = {int(value) for value in values}
        return value in self._values[key]


def _values(voxels: NDArray[Any]) -> NDArray[Any]:
    seen = np.zeros(np.iinfo(voxels.dtype).max + 1, bool)
    for plane in voxels:  # slice by slice, as an index array is eight times as large
        seen[plane] = True
    return np.flatnonzero(seen)
