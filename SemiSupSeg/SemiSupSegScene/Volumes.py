"""Volume nodes: made from an image of the project, and read as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import slicer.util
import vtk
from numpy.typing import NDArray
from vtk.util import numpy_support

from SemiSupSegLib.errors import ImageError
from SemiSupSegLib.project.geometry import Grid, image_from_kji

from .Grids import gridOfVolume, matrixOfGrid

if TYPE_CHECKING:
    import SimpleITK as sitk

__all__ = ["addDisplay", "addVolume", "emptyImage", "imageOfVolume", "setVolume"]


def imageOfVolume(volumeNode: Any) -> sitk.Image:
    """The volume as the project stores it: a copy in the world, its linear parent transforms included.

    The node itself stays as it is. No voxel is interpolated.

    Raises:
        ImageError: several values a voxel, no voxels, values that are no numbers, skewed axes, or a parent transform
            that bends.
    """
    grid, name = gridOfVolume(volumeNode), volumeNode.GetName()
    components = volumeNode.GetImageData().GetNumberOfScalarComponents()
    if components != 1:
        msg = f"{name} cannot be used: it has {components} values a voxel (colours or vectors), expected one"
        raise ImageError(msg)
    voxels = slicer.util.arrayFromVolume(volumeNode)
    if voxels.dtype.kind == "f" and not (finite := np.isfinite(voxels)).all():
        msg = (
            f"{name} cannot be used: {np.count_nonzero(~finite)} of its voxels hold no number; "
            "save it as a file and add that, which fills them"
        )
        raise ImageError(msg)
    return image_from_kji(voxels, grid)


def addVolume(
    scene: Any, voxels: NDArray[Any], grid: Grid, name: str, *, window: tuple[float, float] | None = None
) -> Any:
    """A new volume node with a copy of voxels (k, j, i) on a grid, and a display node.

    Args:
        scene: the ``vtkMRMLScene``.
        voxels: (k, j, i).
        grid: their place in the world.
        name: of the node.
        window: intensities that are black and white. None lets Slicer find them, for which it looks at every voxel:
            about a second for 512 x 512 x 300 of them.
    """
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    setVolume(node, voxels, grid)
    if window is None:
        node.CreateDefaultDisplayNodes()
    else:
        addDisplay(node, window)
    return node


def addDisplay(volumeNode: Any, window: tuple[float, float]) -> Any:
    """A display node that shows a window, of which Slicer works out nothing itself."""
    display = slicer.vtkMRMLScalarVolumeDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetAutoThreshold(False)
    display.SetWindowLevelMinMax(*window)
    volumeNode.GetScene().AddNode(display)
    display.SetDefaultColorMap()
    volumeNode.SetAndObserveDisplayNodeID(display.GetID())
    return display


def emptyImage(grid: Grid) -> tuple[Any, NDArray[np.float32]]:
    """Room for floats on a grid, and the same as an array (k, j, i): a thread may fill it while no node has it yet.

    Returns:
        A ``vtkImageData``, to be kept as long as the array is in use, and the array.
    """
    image = vtk.vtkImageData()
    image.SetDimensions(*grid.size)
    image.AllocateScalars(vtk.VTK_FLOAT, 1)
    return image, numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(grid.shape)


def setVolume(volumeNode: Any, voxels: NDArray[Any], grid: Grid) -> None:
    """Replace place and voxels (k, j, i) of a node that stands under no transform.

    Raises:
        ValueError: the array's shape is not ``grid.shape``.
    """
    if voxels.shape != grid.shape:
        msg = f"array of shape {voxels.shape} on a grid of shape {grid.shape}"
        raise ValueError(msg)
    volumeNode.SetIJKToRASMatrix(matrixOfGrid(grid))
    slicer.util.updateVolumeFromArray(volumeNode, voxels)
