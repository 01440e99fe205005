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
from SemiSupSegLib.project.boxes import Box, bounding_box
from SemiSupSegLib.project.geometry import Grid, check_same_grid, image_from_kji, paste, resample
from SemiSupSegLib.project.grid import triple

from .Grids import gridFromMatrix, matrixInNode, worldMatrix

__all__ = [
    "LABELMAP", "changeInBox", "changeSegment", "labelmapOf", "maskOnGrid", "orientedImage", "segmentInBox",
    "segmentMask",
]  # fmt: skip

LABELMAP = "Binary labelmap"
SURFACE = "Closed surface"


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
    what, where = f"the segment {segment.GetName()}", segmentationNode.GetName()
    return maskOnGrid(voxels == segment.GetLabelValue(), itsGrid, grid, what=what, where=where, nearest=nearest)


def maskOnGrid(
    mask: NDArray[np.bool_], itsGrid: Grid, grid: Grid, *, what: str, where: str, nearest: bool = False
) -> NDArray[np.bool_]:
    """A mask (k, j, i) on another grid; see :func:`segmentMask`. No node is touched.

    Args:
        mask: on ``itsGrid``.
        itsGrid: where it is.
        grid: where it is wanted.
        what: whose mask it is, for the message.
        where: of which node, for the message.
        nearest: take the nearest voxel where the grids differ, instead of refusing it.
    """
    box = bounding_box(mask)
    if box is None:
        return np.zeros(grid.shape, bool)
    start = tuple(int(s.start) for s in box)  # what is empty needs no place in the image
    cut = Grid(mask[box].shape[::-1], itsGrid.spacing, triple(itsGrid.point(start[::-1])), itsGrid.direction)
    try:
        return np.asarray(paste(mask[box][np.newaxis], cut, grid, what=what, where=where)[0])
    except ImageError:
        if not nearest:
            raise
    import SimpleITK as sitk

    moved = resample(image_from_kji(mask[box], cut), grid, linear=False)
    return np.asarray(sitk.GetArrayViewFromImage(moved) != 0)


def segmentInBox(segmentationNode: Any, segmentId: str, grid: Grid, box: Box) -> NDArray[np.bool_]:
    """A box (k, j, i) of :func:`segmentMask`, at the cost of that box.

    Raises:
        ImageError: the segment lies on another grid, has surfaces only, or stands under a transform that bends.
    """
    result = np.zeros(tuple(s.stop - s.start for s in box), bool)
    part = _placedLabelmap(segmentationNode, segmentId, grid)
    if part is not None:
        voxels, first = part
        start = [max(s.start, f) for s, f in zip(box, first, strict=True)]
        stop = [min(s.stop, f + n) for s, f, n in zip(box, first, voxels.shape, strict=True)]
        if all(a < b for a, b in zip(start, stop, strict=True)):
            inner = tuple(slice(a - f, b - f) for a, b, f in zip(start, stop, first, strict=True))
            outer = tuple(slice(a - s.start, b - s.start) for a, b, s in zip(start, stop, box, strict=True))
            value = segmentationNode.GetSegmentation().GetSegment(segmentId).GetLabelValue()
            result[outer] = voxels[inner] == value
    return result


def _placedLabelmap(segmentationNode: Any, segmentId: str, grid: Grid) -> tuple[NDArray[Any], list[int]] | None:
    """The labelmap of a segment and the index (k, j, i) of its first voxel on a grid; None when it is empty."""
    part = labelmapOf(segmentationNode, segmentId)
    if part is None:
        return None
    voxels, itsGrid = part
    offset = np.rint(np.linalg.solve(grid.matrix, np.subtract(itsGrid.origin, grid.origin))).astype(int)
    moved = Grid(itsGrid.size, grid.spacing, triple(grid.point(offset)), grid.direction)
    name = segmentationNode.GetSegmentation().GetSegment(segmentId).GetName()
    check_same_grid(moved, itsGrid, what=f"the segment {name}", where=segmentationNode.GetName())
    return voxels, [int(n) for n in offset[::-1]]


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
    box = bounding_box(added | removed)
    if box is not None:
        changeInBox(segmentationNode, segmentId, grid, box, added=added[box], removed=removed[box])


def changeInBox(
    segmentationNode: Any,
    segmentId: str,
    grid: Grid,
    box: Box,
    *,
    added: NDArray[np.bool_],
    removed: NDArray[np.bool_],
) -> None:
    """What :func:`changeSegment` does, with arrays of a box (k, j, i), at the cost of that box and of the segment."""
    whole = box  # Slicer is given the whole segment: what it merges by itself may change others of the same labelmap
    part = _placedLabelmap(segmentationNode, segmentId, grid)
    if part is not None:
        value = segmentationNode.GetSegmentation().GetSegment(segmentId).GetLabelValue()
        own = bounding_box(part[0] == value)
        if own is not None:
            places = zip(box, own, part[1], strict=True)
            k, j, i = (slice(min(b.start, o.start + f), max(b.stop, o.stop + f)) for b, o, f in places)
            whole = (k, j, i)
    mask = segmentInBox(segmentationNode, segmentId, grid, whole)
    here = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, whole, strict=True))
    mask[here] |= added
    if not mask.any():
        return
    mask[here] &= ~removed
    first = [s.start for s in whole][::-1]
    modifier = orientedImage(mask.astype(np.uint8), grid, segmentationNode, first=first)
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
