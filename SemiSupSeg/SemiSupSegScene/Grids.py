"""Grids of nodes: Slicer's matrices in RAS and the project's :class:`Grid` in LPS, parent transforms included.

A parent transform is never hardened on the user's node: its matrix is put in front of the node's own. So reading and
writing a node under a transform leaves the node where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from numpy.typing import NDArray

from SemiSupSegLib.errors import ImageError
from SemiSupSegLib.project.geometry import Grid
from SemiSupSegLib.project.grid import triple
from SemiSupSegLib.project.images import check_directions

__all__ = [
    "gridFromMatrix",
    "gridOfVolume",
    "matrixInNode",
    "matrixOfGrid",
    "pointInScene",
    "pointOnGrid",
    "worldMatrix",
]

SIGNS = np.array([-1.0, -1.0, 1.0])
"""What turns RAS into LPS, and back."""


def matrixOfGrid(grid: Grid) -> vtk.vtkMatrix4x4:
    """The matrix from voxel indices (i, j, k) to Slicer's world, in mm, RAS."""
    matrix = np.eye(4)
    matrix[:3, :3] = SIGNS[:, np.newaxis] * grid.matrix
    matrix[:3, 3] = SIGNS * grid.origin
    return slicer.util.vtkMatrixFromArray(matrix)


def gridFromMatrix(
    matrix: vtk.vtkMatrix4x4, size: Sequence[int], name: str, *, first: Sequence[int] = (0, 0, 0)
) -> Grid:
    """Inverse of :func:`matrixOfGrid`.

    Args:
        matrix: from voxel indices to Slicer's world, RAS.
        size: voxels along i, j, k.
        name: of the node, for the message.
        first: index of the first voxel; parts of a volume keep the indices that they have in the whole.

    Raises:
        ImageError: the axes are not at right angles, or one has no length.
    """
    rows = slicer.util.arrayFromVTKMatrix(matrix)
    steps = SIGNS[:, np.newaxis] * rows[:3, :3]
    spacing = np.linalg.norm(steps, axis=0)
    if not (spacing > 0).all() or not np.isfinite(rows).all():
        msg = f"{name} cannot be used: the spacing of its voxels is {' x '.join(f'{x:g}' for x in spacing)} mm"
        raise ImageError(msg)
    direction = steps / spacing
    check_directions(direction, name)
    cosines: Any = tuple(float(x) for x in direction.ravel())
    i, j, k = (int(n) for n in size)
    grid = Grid((i, j, k), triple(spacing), triple(SIGNS * rows[:3, 3]), cosines)
    return replace(grid, origin=triple(grid.point(first))) if any(first) else grid


def gridOfVolume(volumeNode: Any) -> Grid:
    """Where the voxels of a volume node are in the world, its parent transforms included.

    Raises:
        ImageError: the node has no voxels, stands under a transform that bends, or has skewed axes.
    """
    image, name = volumeNode.GetImageData(), volumeNode.GetName()
    if image is None or 0 in image.GetDimensions():
        msg = f"{name} cannot be used: it has no voxels"
        raise ImageError(msg)
    own, placed = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(own)
    vtk.vtkMatrix4x4.Multiply4x4(worldMatrix(volumeNode), own, placed)
    return gridFromMatrix(placed, image.GetDimensions(), name)


def worldMatrix(node: Any) -> vtk.vtkMatrix4x4:
    """The product of a node's parent transforms, from its own coordinates to the world; identity without a parent.

    Raises:
        ImageError: one of them is not linear.
    """
    matrix, parent = vtk.vtkMatrix4x4(), node.GetParentTransformNode()
    if parent is None:
        return matrix
    if not parent.IsTransformToWorldLinear():
        msg = (
            f"{node.GetName()} cannot be used: its transform {parent.GetName()} is not linear; "
            "harden it on a resampled copy, or remove it"
        )
        raise ImageError(msg)
    parent.GetMatrixTransformToWorld(matrix)
    return matrix


def matrixInNode(grid: Grid, node: Any) -> vtk.vtkMatrix4x4:
    """The matrix from voxel indices of a grid in the world to a node's own coordinates, before its parent transforms.

    Raises:
        ImageError: the node stands under a transform that bends.
    """
    matrix = worldMatrix(node)
    matrix.Invert()
    inside = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Multiply4x4(matrix, matrixOfGrid(grid), inside)
    return inside


def pointInScene(grid: Grid, index: Sequence[float]) -> tuple[float, float, float]:
    """Slicer's world position, mm, RAS, of a voxel index (i, j, k), whole or fractional."""
    return triple(SIGNS * grid.point(index))


def pointOnGrid(grid: Grid, position: Sequence[float]) -> NDArray[np.float64]:
    """Inverse of :func:`pointInScene`: a fractional voxel index (i, j, k); it may lie outside the volume."""
    return np.asarray(np.linalg.solve(grid.matrix, SIGNS * position - np.asarray(grid.origin)))
