"""Segments of a ``.seg.nrrd`` file: how Slicer names, colours and places labels in the header of a NRRD file.

Written as Slicer 5 writes them and read as it reads them: the header fields ``Segment<n>_ID``, ``_Name``, ``_Color``,
``_Extent``, ``_LabelValue``, ``_Layer`` and ``_Tags``; overlapping segments lie in further layers of voxels.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .atomic import replacing
from .geometry import Grid

__all__ = ["TERMINOLOGY_TAG", "Segment", "segments_of", "write_segments"]

TERMINOLOGY_TAG = "TerminologyEntry"
"""Name of the tag that holds a serialized terminology entry."""
BINARY_LABELMAP = "Binary labelmap"


@dataclass(frozen=True)
class Segment:
    """One segment: the voxels of ``layer`` that equal ``value``."""

    name: str
    layer: int
    value: int
    colour: tuple[int, int, int] = (128, 128, 128)
    """Red, green, blue, each 0 to 255."""
    tags: Mapping[str, str] = field(default_factory=dict)


def segments_of(metadata: Mapping[str, str], *, layers: int) -> list[Segment]:
    """The segments that the header of a NRRD file names, in the file's order; empty for a plain label volume.

    Files of Slicer before 4.11 give neither layer nor value: segment n is then value 1 in layer n.

    Args:
        metadata: the header's own fields, ``Segment0_Name`` and so on.
        layers: number of layers of voxels in the file.

    Raises:
        ValueError: a value, layer or colour is no number, or the layer does not exist.
    """
    segments: list[Segment] = []
    while any(f"Segment{len(segments)}_{part}" in metadata for part in ("ID", "Name")):
        number = len(segments)
        prefix = f"Segment{number}_"
        name = metadata.get(prefix + "Name") or metadata.get(prefix + "ID") or ""
        layer = int(metadata.get(prefix + "Layer", number if layers > 1 else 0))
        value = int(metadata.get(prefix + "LabelValue", 1))
        if not 0 <= layer < layers or value < 1:
            msg = f"segment {name!r} is said to be value {value} in layer {layer} of {layers}"
            raise ValueError(msg)
        red, green, blue = (round(255 * float(x)) for x in metadata.get(prefix + "Color", "0.5 0.5 0.5").split())
        segments.append(Segment(name, layer, value, (red, green, blue), _tags(metadata.get(prefix + "Tags", ""))))
    return segments


def write_segments(layers: NDArray[np.integer[Any]], segments: Sequence[Segment], grid: Grid, path: Path) -> None:
    """Write layers of labels as a ``.seg.nrrd`` file that Slicer opens as a segmentation, atomically.

    Args:
        layers: (L, k, j, i), uint8 or uint16.
        segments: what the values mean; may be empty.
        grid: the place of the voxels.
        path: a file whose folder exists.

    Raises:
        WriteError: the file could not be written; an older one is untouched.
    """
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    with replacing(path) as temp, temp.open("xb") as file:
        file.write(_header(layers, segments, grid))
        for k in range(layers.shape[1]):  # a slice at a time, so that the volume is not held twice
            plane = np.ascontiguousarray(np.moveaxis(layers[:, k], 0, -1), layers.dtype.newbyteorder("<"))
            file.write(packer.compress(plane.data))
        file.write(packer.flush())


def _header(layers: NDArray[np.integer[Any]], segments: Sequence[Segment], grid: Grid) -> bytes:
    several = len(layers) > 1
    sizes = ([len(layers)] if several else []) + list(grid.size)
    steps = ["none"] * several + [f"({','.join(map(repr, step))})" for step in grid.matrix.T.tolist()]
    lines = [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        f"type: {'unsigned char' if layers.dtype.itemsize == 1 else 'unsigned short'}",
        f"dimension: {len(sizes)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, sizes))}",
        f"space directions: {' '.join(steps)}",
        f"kinds: {' '.join(['list'] * several + ['domain'] * 3)}",
        "endian: little",
        "encoding: gzip",
        f"space origin: ({','.join(map(repr, grid.origin))})",
        *(f"{key}:={_escaped(value)}" for key, value in _fields(segments, grid)),
    ]
    return ("\n".join(lines) + "\n\n").encode()


def _fields(segments: Iterable[Segment], grid: Grid) -> Iterator[tuple[str, str]]:
    # Slicer cuts a whole layer to the extent of its first segment, so every segment gets that of the volume.
    extent = " ".join(f"0 {n - 1}" for n in grid.size)
    for number, segment in enumerate(segments):
        prefix = f"Segment{number}_"
        yield prefix + "Color", " ".join(f"{c / 255:.6g}" for c in segment.colour)
        yield prefix + "ColorAutoGenerated", "0"
        yield prefix + "Extent", extent
        yield prefix + "ID", f"Segment_{number + 1}"
        yield prefix + "LabelValue", str(segment.value)
        yield prefix + "Layer", str(segment.layer)
        yield prefix + "Name", segment.name
        yield prefix + "NameAutoGenerated", "0"
        yield prefix + "Tags", "".join(f"{_tag(key)}:{_tag(value)}|" for key, value in sorted(segment.tags.items()))
    yield "Segmentation_ContainedRepresentationNames", BINARY_LABELMAP + "|"
    yield "Segmentation_ConversionParameters", ""
    yield "Segmentation_MasterRepresentation", BINARY_LABELMAP
    yield "Segmentation_ReferenceImageExtentOffset", "0 0 0"


def _tag(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")  # the bar ends a tag and cannot be escaped


def _tags(text: str) -> dict[str, str]:
    pairs = (part.partition(":") for part in text.split("|"))
    return {key.strip(): value for key, colon, value in pairs if colon}


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
