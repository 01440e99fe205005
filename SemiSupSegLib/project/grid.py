# SimpleITK names the types of some of its methods only:
# mypy: allow-untyped-calls
"""Grid: the size of a volume and its place in the world, and whether two volumes share it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813

__all__ = ["GRID_TOLERANCE", "Grid", "check_same_grid", "paste", "triple"]

GRID_TOLERANCE = 0.01
"""Two grids are the same when all eight corners agree to this share of the smallest spacing (0.01 mm for 1 mm voxels):
more than the rounding of float32 headers, too little for any voxel to mean another place."""


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


def paste(layers: NDArray[Any], grid: Grid, target: Grid, *, what: str, where: str) -> NDArray[Any]:
    """Layers on another grid of the same voxels: cut and filled up with zeros, never interpolated.

    Args:
        layers: (L, k, j, i) on ``grid``.
        grid: their grid; its voxels coincide with those of ``target`` or with the lattice around it.
        target: the grid that is wanted.
        what: what is moved, in words, for the message: ``labels``.
        where: which case or file, for the message.

    Raises:
        ImageError: the voxels do not coincide (see :data:`GRID_TOLERANCE`), or a voxel that is not 0 lies
            outside ``target``.
    """
    offset = np.rint(np.linalg.solve(target.matrix, np.subtract(grid.origin, target.origin))).astype(int)
    start = np.maximum(offset, 0)
    stop = np.minimum(offset + grid.size, target.size)
    moved = Grid(grid.size, target.spacing, triple(target.point(offset)), target.direction)
    if grid.size == target.size or (start >= stop).any():
        check_same_grid(target, grid, what=what, where=where)
        return layers
    check_same_grid(moved, grid, what=what, where=where)
    inner = tuple(slice(a, b) for a, b in zip(start[::-1], stop[::-1], strict=True))
    outer = tuple(slice(a, b) for a, b in zip((start - offset)[::-1], (stop - offset)[::-1], strict=True))
    if np.count_nonzero(layers) != np.count_nonzero(layers[:, *outer]):
        msg = f"{what} of {where} reach beyond the image: its size is {_words(target.size)} voxels"
        raise ImageError(msg)
    result = np.zeros((len(layers), *target.shape), layers.dtype)
    result[:, *inner] = layers[:, *outer]
    return result


def triple(values: Any) -> tuple[float, float, float]:
    """Three numbers of any kind as a tuple of Python floats."""
    return float(values[0]), float(values[1]), float(values[2])


def _words(values: tuple[float, ...]) -> str:
    return " x ".join(f"{v:.6g}" for v in values) if len(values) == 3 else " ".join(f"{v:.4g}" for v in values)


def _refuse_grid(what: str, where: str, name: str, ours: str, theirs: str) -> NoReturn:
    msg = f"{what} of {where} do not lie on the image: {name} {theirs}, expected {ours}"
    raise ImageError(msg)
