"""Whether an image file is whole, and was read as it is.

ITK reads truncated NIfTI and damaged MetaImage files without a word, and makes 0 of NaN in NIfTI files; we do not.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from .nifti import stored_voxels

__all__ = ["check_before_reading", "check_voxels"]

CHUNK = 1 << 20
META_BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "LONG": 4, "ULONG": 4}
META_BYTES |= {"LONG_LONG": 8, "ULONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def check_before_reading(path: Path) -> None:
    """Make sure that a file is as long as its header says, before ITK reads it.

    MetaImage files are decoded once for this, because ITK would print to the terminal and go on.

    Raises:
        ImageError: the file is empty, cut off, or its compressed part is damaged.
    """
    if path.stat().st_size == 0:
        _damaged(path, "it is empty")
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        _check_nifti_header(path)
    elif name.endswith((".mha", ".mhd")):
        _check_meta_image(path)


def check_voxels(path: Path, voxels: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Make sure that what ITK read from a file is what was once written.

    The checksum stored in a gzip-compressed NIfTI or NRRD file is compared with that of the voxels in memory, which
    takes hardly any time; only where they differ (ITK scaled the values, swapped bytes or lost a NaN, or the file is
    damaged) is the file decompressed again.

    Args:
        path: the file.
        voxels: the voxels as read.

    Returns:
        Where a NIfTI file holds NaN or infinity, which ITK reads as 0, in the order of ``voxels.ravel()``; None for
        nowhere.

    Raises:
        ImageError: the file is cut off, or its compressed part is damaged.
    """
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        return _check_nifti(path, voxels)
    if name.endswith((".nrrd", ".nhdr")):
        fields, offset = _text_header(path, b":")
        data = fields.get("data file", fields.get("datafile"))
        detached = path.parent / (data or "")
        if fields.get("encoding", "").lower() in ("gzip", "gz") and (data is None or detached.is_file()):
            _check_nrrd(detached if data else path, 0 if data else offset, voxels)
    return None


def _check_nifti_header(path: Path) -> None:
    compressed = path.name.lower().endswith(".gz")
    with path.open("rb") as file:
        header = _decompressed_start(path, file, 348) if compressed else file.read(348)
    stored = stored_voxels(header)
    if stored is None:
        second = int.from_bytes(header[:4], "little") == 540 or int.from_bytes(header[:4], "big") == 540
        _damaged(path, "it is NIfTI-2, save it as NIfTI-1" if second else "it has no NIfTI header")
    if stored.length == 0:  # ITK would make one voxel of none
        _damaged(path, "it has no voxels")
    if not compressed and path.stat().st_size < stored.offset + stored.length:
        _damaged(path, f"it ends after {path.stat().st_size} of {stored.offset + stored.length} bytes")


def _check_nifti(path: Path, voxels: NDArray[Any]) -> NDArray[np.bool_] | None:
    compressed = path.name.lower().endswith(".gz")
    with path.open("rb") as file:
        stored = stored_voxels(_decompressed_start(path, file, 348) if compressed else file.read(348))
        assert stored is not None  # check_before_reading saw it
        file.seek(0)
        if compressed:
            if _same_checksum(file, _decompressed_start(path, file, stored.offset), voxels):
                return None
            file.seek(0)
        elif stored.floats is None:
            return None
        content = b"".join(_decompressed(path, file, 31)) if compressed else file.read()
    if len(content) < stored.offset + stored.length:
        _damaged(path, f"it ends after {len(content)} of {stored.offset + stored.length} bytes")
    if stored.floats is None:
        return None
    numbers = np.frombuffer(content, stored.floats, stored.length // stored.floats.itemsize, stored.offset)
    holes = ~np.isfinite(numbers)
    return holes if holes.any() else None


def _check_nrrd(path: Path, offset: int, voxels: NDArray[Any]) -> None:
    with path.open("rb") as file:
        if not _same_checksum(file, b"", voxels):
            file.seek(offset)
            found = _decompressed_length(path, file, 31)
            if found < voxels.nbytes:
                _damaged(path, f"it holds {found} of {voxels.nbytes} bytes of voxels")


def _same_checksum(file: BinaryIO, head: bytes, voxels: NDArray[Any]) -> bool:
    """Whether a gzip file ends with the checksum and length of these bytes and voxels."""
    if file.seek(0, 2) < 8:
        return False
    file.seek(-8, 2)
    checksum = zlib.crc32(np.ascontiguousarray(voxels).data, zlib.crc32(head))
    length = (len(head) + voxels.nbytes) & 0xFFFFFFFF
    return file.read(8) == checksum.to_bytes(4, "little") + length.to_bytes(4, "little")


def _decompressed_start(path: Path, file: BinaryIO, wanted: int) -> bytes:
    unpacker, start = zlib.decompressobj(31), b""
    try:
        while len(start) < wanted and (chunk := unpacker.unconsumed_tail or file.read(4096)):
            start += unpacker.decompress(chunk, wanted - len(start))
    except zlib.error:
        _damaged(path, "its compressed part is broken")
    return start


def _decompressed_length(path: Path, file: BinaryIO, window: int) -> int:
    return sum(len(piece) for piece in _decompressed(path, file, window))


def _decompressed(path: Path, file: BinaryIO, window: int) -> Iterator[bytes]:
    """A compressed stream that goes from here to the end of the file, checksums compared."""
    unpacker = zlib.decompressobj(window)
    try:
        while chunk := file.read(CHUNK):
            yield unpacker.decompress(chunk)
            while unpacker.eof and unpacker.unused_data[:2] == b"\x1f\x8b":  # gzip files may be joined
                chunk, unpacker = unpacker.unused_data, zlib.decompressobj(window)
                yield unpacker.decompress(chunk)
    except zlib.error:
        _damaged(path, "its compressed part is broken")
    if not unpacker.eof:
        _damaged(path, "it is cut off")


def _check_meta_image(path: Path) -> None:
    fields, offset = _text_header(path, b"=")
    where = fields.get("elementdatafile", "")
    data = path if where.upper() == "LOCAL" else path.parent / where
    size = META_BYTES.get(fields.get("elementtype", "").removeprefix("MET_").removesuffix("_ARRAY"))
    if not where or size is None or not data.is_file():
        _damaged(path, f"its header names no readable data ({where!r})" if where else "its header is incomplete")
    try:
        voxels = int(np.prod([int(n) for n in fields["dimsize"].split()], dtype=object))
        expected = voxels * size * int(fields.get("elementnumberofchannels", 1))
    except (KeyError, ValueError):
        _damaged(path, "its header is incomplete")
    if data != path:
        offset = max(int(fields.get("headersize", 0)), 0)
    with data.open("rb") as file:
        file.seek(offset)
        if fields.get("compresseddata", "").lower() in ("true", "1"):
            found = _decompressed_length(path, file, 47)
        else:
            found = data.stat().st_size - offset
    if found < expected:
        _damaged(path, f"it holds {found} of {expected} bytes of voxels")


def _text_header(path: Path, separator: bytes) -> tuple[dict[str, str], int]:
    """Fields of a NRRD or MetaImage header with lower-case names, and where the voxels begin."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        for line in file:
            name, found, value = line.partition(separator)
            if found:
                fields[name.strip().decode(errors="replace").lower()] = value.strip().decode(errors="replace")
            if (separator == b":" and not line.strip()) or "elementdatafile" in fields or file.tell() > CHUNK:
                break
        return fields, file.tell()


def _damaged(path: Path, how: str) -> NoReturn:
    msg = f"{path.name} is damaged or incomplete: {how}"
    raise ImageError(msg)
