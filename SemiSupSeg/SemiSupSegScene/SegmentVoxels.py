"""Voxels of segments, read and written on a grid of the project. Overlapping segments stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util import numpy_support

from SemiSupSegLib.errors import ImageError
from SemiSupSegLib.project.geometry import Grid, image_from_kji, paste, resample
from SemiSupSegLib.project.grid import triple

from .Grids import gridFromMatrix, matrixInNode, worldMatrix

__all__ = ["LABELMAP", "boxOf", "changeSegment", "labelmapOf", "orientedImage", "segmentMask"]

LABELMAP = "Binary labelmap"
SURFACE = "Closed surface"
Box = tuple[slice, slice, slice]


def segmentMask(segmentationNode: Any, segmentId: str, grid: Grid, *, nearest: bool = False) -> NDArray[np.bool_]:
    """Where a segment is, (k, j, i) bool on a grid; all False for an empty one.

    Args:
        segmentationNode: may stand under linear transforms.
        segmentId: one of its segments.
        grid: where the voxels are wanted, in the world.
        nearest: take the nearest voxel where the segment lies on another grid, instead of refusing it.

    Raises:
        ImageError: the segment lies on another grid, reaches beyond the image, has surfaces only, or stands under a
            transform that bends.
    """
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    part = labelmapOf(segmentationNode, segmentId)
    if part is None:
        return np.zeros(grid.shape, bool)
    voxels, itsGrid = part
    mask = voxels == segment.GetLabelValue()
    if not mask.any():
        return np.zeros(grid.shape, bool)
    box = boxOf(mask)  # what is empty needs no place in the image
    start = tuple(int(s.start) for s in box)
    cut = Grid(mask[box].shape[::-1], itsGrid.spacing, triple(itsGrid.point(start[::-1])), itsGrid.direction)
    what, where = f"the segment {segment.GetName()}", segmentationNode.GetName()
    try:
        return np.asarray(paste(mask[box][np.newaxis], cut, grid, what=what, where=where)[0])
    except ImageError:
        if not nearest:
            raise
    import SimpleITK as sitk

    moved = resample(image_from_kji(mask[box], cut), grid, linear=False)
    return np.asarray(sitk.GetArrayViewFromImage(moved) != 0)


def labelmapOf(segmentationNode: Any, segmentId: str) -> tuple[NDArray[Any], Grid] | None:
    """The labelmap that a segment shares with others, as a view (k, j, i) with its grid in the world; None when empty.

    Raises:
        ImageError: the segment has no labelmap, or stands under a transform that bends.
    """
    segmentation = segmentationNode.GetSegmentation()
    segment = segmentation.GetSegment(segmentId)
    image = segment.GetRepresentation(LABELMAP)
    if image is None:
        if segment.GetRepresentation(SURFACE) is None:
            return None
        msg = f"the segment {segment.GetName()} cannot be used: it has a surface only; create its binary labelmap first"
        raise ImageError(msg)
    scalars, extent = image.GetPointData().GetScalars(), image.GetExtent()
    if scalars is None or any(extent[2 * a] > extent[2 * a + 1] for a in range(3)):
        return None
    own, placed = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(own)
    vtk.vtkMatrix4x4.Multiply4x4(worldMatrix(segmentationNode), own, placed)
    size = image.GetDimensions()
    grid = gridFromMatrix(placed, size, segmentationNode.GetName(), first=extent[::2])
    return numpy_support.vtk_to_numpy(scalars).reshape(size[::-1]), grid


def changeSegment(
    segmentationNode: Any, segmentId: str, grid: Grid, *, added: NDArray[np.bool_], removed: NDArray[np.bool_]
) -> None:
    """Add voxels to a segment and take others away; no other segment changes, also where they overlap.

    Args:
        segmentationNode: may stand under linear transforms.
        segmentId: one of its segments.
        grid: of the arrays, in the world.
        added: (k, j, i) bool.
        removed: (k, j, i) bool.

    Raises:
        ImageError: the segment lies on another grid, or stands under a transform that bends.
    """
    mask = segmentMask(segmentationNode, segmentId, grid) | added
    if not mask.any():
        return
    own = boxOf(mask)  # the labelmap need not be larger than the segment
    mask &= ~removed
    modifier = orientedImage(mask[own].astype(np.uint8), grid, segmentationNode, first=[s.start for s in own][::-1])
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    if not logic.SetBinaryLabelmapToSegment(modifier, segmentationNode, segmentId, logic.MODE_REPLACE):
        msg = f"Slicer could not write the segment {segmentId} of {segmentationNode.GetName()}"
        raise RuntimeError(msg)


def orientedImage(voxels: NDArray[Any], grid: Grid, node: Any, *, first: Sequence[int] = (0, 0, 0)) -> Any:
    """Voxels (k, j, i) as Slicer's segmentations hold them, in the coordinates of a node; a copy.

    Args:
        voxels: of the whole grid or a box of it.
        grid: in the world.
        node: the segmentation node that they go to.
        first: index (i, j, k) of the box's first voxel.
    """
    image = slicer.vtkOrientedImageData()
    k, j, i = voxels.shape
    image.SetExtent(first[0], first[0] + i - 1, first[1], first[1] + j - 1, first[2], first[2] + k - 1)
    scalars = numpy_support.numpy_to_vtk(np.ascontiguousarray(voxels).ravel(), deep=True)
    image.GetPointData().SetScalars(scalars)
    image.SetImageToWorldMatrix(matrixInNode(grid, node))
    return image


def boxOf(mask: NDArray[np.bool_]) -> Box:
    """The smallest box that holds a mask with at least one voxel."""
    slices = []
    for axis in range(3):
        filled = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        slices.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return slices[0], slices[1], slices[2]
