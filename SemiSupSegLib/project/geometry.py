"""Where voxels lie in the patient: grids, the same-grid check, orientation, resampling. The only file that transposes.

World coordinates are those of SimpleITK: millimetres, LPS (x grows to the left, y to the back, z to the head).
Arrays of LIGHT are (k, j, i) as SimpleITK gives them; arrays of the training side are (X, Y, Z) with X to the right,
Y to the front and Z to the head (RAS+).
"""

# SimpleITK names the types of some of its methods only:
# mypy: allow-untyped-calls
from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations, product
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813

__all__ = [
    "GRID_TOLERANCE",
    "Grid",
    "array_xyz",
    "check_same_grid",
    "image_from_kji",
    "image_from_xyz",
    "resample",
    "to_ras",
    "training_grid",
]

GRID_TOLERANCE = 0.01
"""Two grids are the same when all eight corners agree to this share of the smallest spacing (0.01 mm for 1 mm voxels):
more than the rounding of float32 headers, too little for any voxel to mean another place."""
DOWNSAMPLED = 1.2
"""A volume is smoothed along an axis before linear resampling when the new spacing is more than this times the old."""


@dataclass(frozen=True)
class Grid:
    """Size and place of a volume: all of an image but its voxels."""

    size: tuple[int, int, int]
    """Voxels along i, j, k."""
    spacing: tuple[float, float, float]
    """Millimetres between voxel centres along i, j, k."""
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """World position of the centre of voxel (0, 0, 0), mm, LPS."""
    direction: tuple[float, float, float, float, float, float, float, float, float] = (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)
    """Direction cosines, row by row; column a is the world direction of axis a."""

    @classmethod
    def of(cls, image: sitk.Image | sitk.ImageFileReader) -> Grid:
        """The grid of a 3D image, or of a reader that has read a 3D header."""
        return cls(
            tuple(int(n) for n in image.GetSize()),  # type: ignore[arg-type]
            tuple(float(x) for x in image.GetSpacing()),  # type: ignore[arg-type]
            tuple(float(x) for x in image.GetOrigin()),  # type: ignore[arg-type]
            tuple(float(x) for x in image.GetDirection()),  # type: ignore[arg-type]
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (k, j, i) of an array on this grid."""
        return self.size[::-1]

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel in cubic millimetres."""
        return math.prod(self.spacing)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3): world step in mm of one voxel along each axis, in the columns."""
        return np.asarray(np.reshape(self.direction, (3, 3)) * np.asarray(self.spacing))

    def point(self, index: Any) -> NDArray[np.float64]:
        """World position (..., 3) of voxel indices (..., 3) in the order i, j, k, whole or fractional."""
        return np.asarray(np.asarray(index, float) @ self.matrix.T + np.asarray(self.origin))

    def corners(self) -> NDArray[np.float64]:
        """(8, 3): world positions of the centres of the eight corner voxels, mm."""
        return self.point(list(product(*((0, n - 1) for n in self.size))))

    def to_json(self) -> dict[str, Any]:
        """A readable JSON object; :meth:`from_json` is its inverse."""
        return {name: list(value) for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Grid:
        """Inverse of :meth:`to_json`.

        Raises:
            ImageError: a key is missing or a value is of the wrong kind.
        """
        try:
            size = tuple(int(n) for n in data["size"])
            rest = [tuple(float(x) for x in data[name]) for name in ("spacing", "origin", "direction")]
            if [len(size), *map(len, rest)] != [3, 3, 3, 9]:
                msg = "wrong number of values"
                raise ValueError(msg)
            return cls(size, *rest)  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError) as error:
            msg = f"a grid cannot be read: {error!r}"
            raise ImageError(msg) from error


def check_same_grid(a: Grid, b: Grid, *, what: str, where: str) -> None:
    """Make sure that two volumes have the same voxels at the same places (see :data:`GRID_TOLERANCE`).

    Args:
        a: the grid that is expected, usually of the image.
        b: the grid that was found.
        what: what ``b`` belongs to, in words, for the message: ``labels``.
        where: which case or file, for the message.

    Raises:
        ImageError: the first of size, spacing, direction and position that differs, with both values.
    """
    if a.size != b.size:
        _refuse_grid(what, where, "size", _words(a.size), _words(b.size))
    distance = float(np.abs(a.corners() - b.corners()).max())
    tolerance = GRID_TOLERANCE * min(a.spacing)
    if distance <= tolerance:
        return
    for name, unit in (("spacing", " mm"), ("direction", ""), ("origin", " mm")):
        ours, theirs = getattr(a, name), getattr(b, name)
        if not np.allclose(ours, theirs, rtol=0, atol=1e-4 if name == "direction" else tolerance):
            _refuse_grid(what, where, name, _words(ours) + unit, _words(theirs) + unit)
    _refuse_grid(what, where, "corner", f"within {tolerance:.3g} mm", f"{distance:.3g} mm away")


def to_ras(image: sitk.Image) -> sitk.Image:
    """The image with its axes permuted and flipped so that its (X, Y, Z) array points right, front and head.

    No voxel value is interpolated and no voxel moves in the world. Of all 48 axis orders the one nearest to RAS is
    taken, so an oblique image stays oblique by less than it was; a left-handed image becomes right-handed.
    """
    import SimpleITK as sitk  # noqa: N813

    cosines = np.reshape(image.GetDirection(), (3, 3))
    # rows: world axis, columns: image axis; RAS is opposite to LPS in x and y
    ras = cosines * np.asarray([[-1.0], [-1.0], [1.0]])
    order = max(permutations(range(3)), key=lambda p: sum(abs(ras[row, column]) for row, column in enumerate(p)))
    flips = [bool(ras[row, column] < 0) for row, column in enumerate(order)]
    if order != (0, 1, 2):
        image = sitk.PermuteAxes(image, order)
    return sitk.Flip(image, flips, False) if any(flips) else image


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
        (float(spacing[0]), float(spacing[1]), float(spacing[2])),
        (float(origin[0]), float(origin[1]), float(origin[2])),
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

    return np.ascontiguousarray(sitk.GetArrayViewFromImage(image).transpose(2, 1, 0))


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


def _words(values: tuple[float, ...]) -> str:
    return " x ".join(f"{v:.6g}" for v in values) if len(values) == 3 else " ".join(f"{v:.4g}" for v in values)


def _refuse_grid(what: str, where: str, name: str, ours: str, theirs: str) -> NoReturn:
    msg = f"{what} of {where} do not lie on the image: {name} {theirs}, expected {ours}"
    raise ImageError(msg)
