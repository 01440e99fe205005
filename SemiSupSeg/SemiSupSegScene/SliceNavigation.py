"""From a slice of a case to the slice views, and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SemiSupSegLib.project.geometry import Grid

from .Grids import pointInScene, pointOnGrid

__all__ = ["jumpToSlice", "sliceInView", "viewAlong"]


def jumpToSlice(
    scene: Any, grid: Grid, k: int, *, mask: NDArray[np.bool_] | None = None
) -> tuple[float, float, float]:
    """Let every slice view of the scene show one place of slice k; their orientation and zoom stay.

    Args:
        scene: a ``vtkMRMLScene``.
        grid: of the case.
        k: index of the slice, from 0; one beyond the ends counts as the last.
        mask: (k, j, i) of an organ, whose voxel nearest to its middle in that slice is shown; None, or one without a
            voxel there, for the middle of the slice.

    Returns:
        The place: mm, RAS.
    """
    k = min(max(int(k), 0), grid.size[2] - 1)
    middle = ((grid.size[0] - 1) / 2, (grid.size[1] - 1) / 2)
    if mask is not None and mask[k].any():
        rows = np.argwhere(mask[k])
        nearest = rows[np.linalg.norm(rows - rows.mean(axis=0), axis=1).argmin()]
        middle = (float(nearest[1]), float(nearest[0]))
    position = pointInScene(grid, (*middle, k))
    for sliceNode in _sliceNodes(scene):
        sliceNode.JumpSliceByOffsetting(*position)
    return position


def sliceInView(sliceNode: Any, grid: Grid) -> int:
    """Index of the case's slice that a view shows in its middle, from 0; the nearest one when it shows none."""
    matrix = sliceNode.GetSliceToRAS()
    index = pointOnGrid(grid, [matrix.GetElement(row, 3) for row in range(3)])
    return min(max(round(float(index[2])), 0), grid.size[2] - 1)


def viewAlong(scene: Any, axis: NDArray[np.floating[Any]]) -> Any | None:
    """The slice node of the view that looks along a direction (3,), RAS, more than the others; None without any."""
    return max(_sliceNodes(scene), key=lambda node: abs(float(np.dot(_normal(node), axis))), default=None)


def _normal(sliceNode: Any) -> list[float]:
    return [sliceNode.GetSliceToRAS().GetElement(row, 2) for row in range(3)]


def _sliceNodes(scene: Any) -> Iterator[Any]:
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
        yield scene.GetNthNodeByClass(number, "vtkMRMLSliceNode")
