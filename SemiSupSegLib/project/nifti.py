"""The NIfTI-1 file format, as much of it as we need to write volumes quickly and to know whether a file is whole."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from .atomic import replacing
from .geometry import Grid

__all__ = ["HEADER_BYTES", "StoredVoxels", "stored_voxels", "write_nifti"]

HEADER_BYTES = 352
"""Where voxels begin in files that we write: the header of 348 bytes and an empty extension."""
KINDS = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768, "i8": 1024, "u8": 1280}
"""NIfTI's code of each kind of voxel."""
LONGEST_AXIS = 32767


@dataclass(frozen=True)
class StoredVoxels:
    """What a header promises: where the voxels begin, how many bytes they take, and of which kind they are."""

    offset: int
    length: int
    floats: np.dtype[Any] | None
    """Their kind when they are floating-point numbers, else None."""


def stored_voxels(header: bytes) -> StoredVoxels | None:
    """Where a NIfTI-1 file keeps its voxels.

    Args:
        header: the first 348 bytes of the uncompressed file.

    Returns:
        None when this is no NIfTI-1 header.
    """
    for order in "<>":
        if len(header) >= 348 and struct.unpack_from(f"{order}i", header)[0] == 348:
            dimension, *size = struct.unpack_from(f"{order}8h", header, 40)
            kind, bits = struct.unpack_from(f"{order}2h", header, 70)
            offset = int(struct.unpack_from(f"{order}f", header, 108)[0])
            voxels = math.prod(max(n, 0) for n in size[:dimension]) if 0 < dimension < 8 else 0
            floats = {16: "f4", 64: "f8"}.get(kind)
            return StoredVoxels(max(offset, 348), voxels * bits // 8, np.dtype(order + floats) if floats else None)
    return None


def write_nifti(array: NDArray[Any], grid: Grid, path: Path, *, slope: float = 1.0) -> None:
    """Write a volume as ``.nii`` or ``.nii.gz`` (fast compression), atomically, with nothing but voxels and geometry.

    The same input gives the same bytes.

    Args:
        array: (k, j, i), one of the ten kinds of integers and floats that NIfTI has.
        grid: its place.
        path: a file whose folder exists.
        slope: readers multiply stored values by it.

    Raises:
        ImageError: an axis is longer than NIfTI can say.
        WriteError: the file could not be written; an older one is untouched.
        ValueError: shape and grid differ, or NIfTI has no such kind of voxel.
    """
    if array.shape != grid.shape or array.dtype.str[1:] not in KINDS:
        msg = f"array {array.shape} of {array.dtype} on a grid of shape {grid.shape}"
        raise ValueError(msg)
    if max(grid.size) > LONGEST_AXIS:
        msg = f"{path.name}: a NIfTI file holds at most {LONGEST_AXIS} voxels along an axis, found {max(grid.size)}"
        raise ImageError(msg)
    pieces = _pieces(array, grid, slope)
    with replacing(path) as temp, temp.open("xb") as file:
        for piece in _gzipped(pieces) if path.suffix.lower() == ".gz" else pieces:
            file.write(piece)


def _pieces(array: NDArray[Any], grid: Grid, slope: float) -> Iterator[bytes]:
    yield _header(grid, array.dtype, slope)
    for plane in array:  # a slice at a time, so that the volume is not held twice
        yield np.ascontiguousarray(plane, array.dtype.newbyteorder("<")).tobytes()


def _gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _header(grid: Grid, kind: np.dtype[Any], slope: float) -> bytes:
    to_ras = np.diag([-1.0, -1.0, 1.0])
    steps, origin = to_ras @ grid.matrix, to_ras @ np.asarray(grid.origin)
    cosines = to_ras @ np.reshape(grid.direction, (3, 3))
    handed = -1.0 if np.linalg.det(cosines) < 0 else 1.0
    quaternion = _quaternion(cosines * [1.0, 1.0, handed])
    header = bytearray(HEADER_BYTES)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *grid.size, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, KINDS[kind.str[1:]], kind.itemsize * 8)
    struct.pack_into("<8f", header, 76, handed, *grid.spacing, 0, 0, 0, 0)
    struct.pack_into("<3f", header, 108, HEADER_BYTES, slope, 0)
    header[123] = 2  # millimetres
    struct.pack_into("<2h", header, 252, 1, 1)  # both forms below are scanner coordinates
    struct.pack_into("<6f", header, 256, *quaternion, *origin)
    for row in range(3):
        struct.pack_into("<4f", header, 280 + 16 * row, *steps[row], origin[row])
    struct.pack_into("<4s", header, 344, b"n+1")
    return bytes(header)


def _quaternion(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """The parts b, c, d of the unit quaternion of a rotation matrix, with a >= 0 (NIfTI-1, method 2)."""
    # The quaternion is the eigenvector of this symmetric matrix with the largest eigenvalue (Bar-Itzhack 2000): no case
    # distinctions, and the nearest rotation where the matrix is slightly off.
    r = rotation
    skew = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    matrix = np.empty((4, 4))
    matrix[0, 0] = np.trace(r)
    matrix[0, 1:] = matrix[1:, 0] = skew
    matrix[1:, 1:] = r + r.T - np.trace(r) * np.eye(3)
    quaternion = np.linalg.eigh(matrix)[1][:, -1]
    return np.asarray(quaternion[1:] * (-1 if quaternion[0] < 0 else 1))
