"""Labels of a case as segments, and segments as labels of a case."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from SemiSupSegLib.project.cases import Case
from SemiSupSegLib.project.geometry import Grid
from SemiSupSegLib.project.labels import LabelSet

from .CaseContent import Parts, partsOf
from .SegmentMatches import addSegment, matchedSegments, setMeaning
from .SegmentTags import tagSegment
from .SegmentVoxels import LABELMAP, orientedImage, segmentMask

__all__ = ["addSegments", "fillSegmentation", "labelMasks", "tagSegments"]


def fillSegmentation(
    segmentationNode: Any,
    layers: NDArray[np.integer[Any]],
    labelSet: LabelSet,
    grid: Grid,
    *,
    only: Iterable[str] | None = None,
) -> None:
    """Add a segment for every label, in the set's order; those of one layer share one labelmap, as Slicer does.

    Args:
        segmentationNode: without these labels.
        layers: (L, k, j, i) in the order of ``labelSet.places``.
        labelSet: what the values mean.
        grid: the place of the voxels in the world.
        only: names of the labels to add; None for all. A label without a voxel becomes an empty segment.
    """
    addSegments(segmentationNode, partsOf(layers, labelSet, only), labelSet, grid, only=only)


def addSegments(
    segmentationNode: Any, parts: Parts, labelSet: LabelSet, grid: Grid, *, only: Iterable[str] | None = None
) -> None:
    """What :func:`fillSegmentation` does, with layers that were cut before.

    Args:
        segmentationNode: without these labels.
        parts: what :func:`.CaseContent.partsOf` gives of the same labels.
        labelSet: what the values mean.
        grid: of the whole layers.
        only: names of the labels to add; None for all.
    """
    wanted = labelSet.names if only is None else [labelSet.names[labelSet.index(name)] for name in only]
    images = {
        layer: orientedImage(voxels, grid, segmentationNode, first=[part.start for part in box][::-1])
        for layer, (box, voxels) in parts.items()
    }
    segmentation = segmentationNode.GetSegmentation()
    for label, place in zip(labelSet.labels, labelSet.places, strict=True):
        if label.name not in wanted:
            continue
        if place.layer not in images:
            addSegment(segmentationNode, label)
            continue
        segment = slicer.vtkSegment()
        setMeaning(segment, label)
        segment.AddRepresentation(LABELMAP, images[place.layer])
        segment.SetLabelValue(place.value)
        segmentation.AddSegment(segment, segmentation.GenerateUniqueSegmentID("SemiSupSeg"))


def labelMasks(
    segmentationNode: Any, labelSet: LabelSet, grid: Grid, *, nearest: bool = False
) -> dict[str, NDArray[np.bool_]]:
    """Where the user's segments are, (k, j, i) bool by label name; a label without a segment is not in it.

    Raises:
        ProjectError: names and terminology of the segments contradict each other.
        ImageError: see :func:`.SegmentVoxels.segmentMask`.
    """
    matched = matchedSegments(segmentationNode, labelSet)
    return {name: segmentMask(segmentationNode, its, grid, nearest=nearest) for name, its in matched.items()}


def tagSegments(segmentationNode: Any, case: Case, labelSet: LabelSet) -> None:
    """Write what the project says of each label of a case onto its segment."""
    segmentation = segmentationNode.GetSegmentation()
    for name, segmentId in matchedSegments(segmentationNode, labelSet).items():
        decision = case.reviewed.get(name, {}).get("decision")
        tagSegment(segmentation.GetSegment(segmentId), case.annotation(name), decision=decision)
