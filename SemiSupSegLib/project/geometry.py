"""Where voxels lie in the patient: grids, the same-grid check, orientation, resampling. The only file that transposes.

World coordinates are those of SimpleITK: millimetres, LPS (x grows to the left, y to the back, z to the head).
Arrays of LIGHT are (k, j, i) as SimpleITK gives them; arrays of the training side are (X, Y, Z) with X to the right,
Y to the front and Z to the head (RAS+).
"""

# SimpleITK names the types of some of its methods only:
# mypy: allow-untyped-calls
from __future__ import annotations

import math
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .grid import GRID_TOLERANCE, Grid, check_same_grid, paste, triple

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813

__all__ = [
    "GRID_TOLERANCE",
    "Grid",
    "array_xyz",
    "check_same_grid",
    "image_from_kji",
    "image_from_xyz",
    "ras_extent",
    "paste",
    "resample",
    "to_ras",
    "training_grid",
]

DOWNSAMPLED = 1.2
"""A volume is smoothed along an axis before linear resampling when the new spacing is more than this times the old."""


def to_ras(image: sitk.Image) -> sitk.Image:
    """The image with its axes permuted and flipped so that its (X, Y, Z) array points right, front and head.

    No voxel value is interpolated and no voxel moves in the world. Of all 48 axis orders the one nearest to RAS is
    taken, so an oblique image stays oblique by less than it was; a left-handed image becomes right-handed.
    """
    import SimpleITK as sitk  # noqa: N813

    order, flips = _ras_order(image.GetDirection())
    if order != (0, 1, 2):
        image = sitk.PermuteAxes(image, order)
    return sitk.Flip(image, flips, False) if any(flips) else image


def ras_extent(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Length and spacing in mm along X, Y and Z, (3,) each, that a volume will have after :func:`to_ras`."""
    order, _ = _ras_order(grid.direction)
    spacing = np.asarray(grid.spacing)[list(order)]
    return np.asarray(grid.size)[list(order)] * spacing, spacing


def _ras_order(direction: Any) -> tuple[tuple[int, ...], list[bool]]:
    """Which image axis becomes X, Y and Z, and whether each is flipped: of all 48 orders the one nearest to RAS."""
    # rows: world axis, columns: image axis; RAS is opposite to LPS in x and y
    ras = np.reshape(direction, (3, 3)) * np.asarray([[-1.0], [-1.0], [1.0]])
    order = max(permutations(range(3)), key=lambda p: sum(abs(ras[row, column]) for row, column in enumerate(p)))
    return order, [bool(ras[row, column] < 0) for row, column in enumerate(order)]


def training_grid(grid: Grid, spacing: tuple[float, float, float]) -> Grid:
    """The grid of another spacing that covers the volume of ``grid`` (of an image from :func:`to_ras`).

    The directions stay. Along each axis the new voxels cover the old ones from outer face to outer face; where the
    length is no multiple of the spacing, the excess, less than one voxel, is shared by both ends. So every new voxel
    centre lies within the old volume, and every old one within the new. At least one voxel an axis.

    Args:
        grid: the image's grid.
        spacing: millimetres along X, Y, Z.
    """
    length = np.asarray(grid.size) * np.asarray(grid.spacing)
    # A thousandth of a voxel is rounding of headers, not a reason for one more voxel.
    size = np.maximum(1, np.ceil(length / spacing - 1e-3)).astype(int)
    centre = grid.point((np.asarray(grid.size) - 1) / 2)
    axes = np.reshape(grid.direction, (3, 3))
    origin = centre - axes @ ((size - 1) / 2 * np.asarray(spacing))
    return Grid(
        (int(size[0]), int(size[1]), int(size[2])),
        triple(spacing),
        triple(origin),
        grid.direction,
    )


def resample(image: sitk.Image, grid: Grid, *, linear: bool, outside: float = 0, antialias: bool = True) -> sitk.Image:
    """The image on another grid; unchanged (not even copied) when it lies on it already.

    Args:
        image: scalar 3D image.
        grid: where values are wanted.
        linear: linear interpolation, float32 result; otherwise the nearest voxel, pixel type kept: right for labels.
        outside: value of voxels outside the image (more than half a voxel from its outermost centres).
        antialias: with ``linear``, smooth first along axes whose spacing grows by more than 1.2, with the Gaussian that
            turns the old point spread function into the new one (Cardoso et al., "Scale factor point spread function
            matching", MICCAI 2015). Switch it off to bring a probability back to thick slices.
    """
    import SimpleITK as sitk  # noqa: N813

    if linear:
        image = sitk.Cast(image, sitk.sitkFloat32) if image.GetPixelID() != sitk.sitkFloat32 else image
    if Grid.of(image) == grid:
        return image
    if linear and antialias:
        image = _smoothed(image, grid)
    return sitk.Resample(
        image,
        grid.size,
        sitk.Transform(),
        sitk.sitkLinear if linear else sitk.sitkNearestNeighbor,
        grid.origin,
        grid.spacing,
        grid.direction,
        outside,
        image.GetPixelID(),
    )


def array_xyz(image: sitk.Image) -> NDArray[Any]:
    """Voxels of an image as a contiguous copy (X, Y, Z)."""
    import SimpleITK as sitk  # noqa: N813

    # Always a copy: the transpose of a line of voxels is contiguous already, and a view would outlive the image.
    return np.array(sitk.GetArrayViewFromImage(image).transpose(2, 1, 0), order="C")


def image_from_xyz(array: NDArray[Any], grid: Grid) -> sitk.Image:
    """Inverse of :func:`array_xyz`: an image on ``grid`` from (X, Y, Z); bool becomes uint8, float16 float32.

    Raises:
        ValueError: the array's shape is not ``grid.size``.
    """
    return image_from_kji(array.transpose(2, 1, 0), grid)


def image_from_kji(array: NDArray[Any], grid: Grid) -> sitk.Image:
    """An image on ``grid`` from (k, j, i); bool becomes uint8, float16 float32.

    Raises:
        ValueError: the array's shape is not ``grid.shape``.
    """
    import SimpleITK as sitk  # noqa: N813

    if array.shape != grid.shape:
        msg = f"array of shape {array.shape} on a grid of shape {grid.shape}"
        raise ValueError(msg)
    kind = {"?": np.uint8, "e": np.float32}.get(array.dtype.char, array.dtype)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array, kind))
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    return image


def _smoothed(image: sitk.Image, grid: Grid) -> sitk.Image:
    import SimpleITK as sitk  # noqa: N813

    old = np.asarray(image.GetSpacing())
    alike = np.abs(np.reshape(image.GetDirection(), (3, 3)).T @ np.reshape(grid.direction, (3, 3)))
    new = np.asarray(grid.spacing)[alike.argmax(axis=1)]
    # full width at half maximum = spacing, before and after; sigma = FWHM / 2.3548
    variance = np.where(new > DOWNSAMPLED * old, (new**2 - old**2) / (8 * math.log(2)), 0.0)
    if not variance.any():
        return image
    return sitk.DiscreteGaussian(image, variance.tolist(), 128, 0.01, True)
