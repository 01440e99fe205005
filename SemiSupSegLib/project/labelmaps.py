# SimpleITK names the types of some of its methods only:
# mypy: allow-untyped-calls
"""Reading and writing labels. In files that carry names (``.seg.nrrd``) the names decide, never order or numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, ProjectError
from .geometry import Grid, paste
from .images import file_reader, read_file, volume_grid
from .labels import LabelSet, Place
from .nifti import write_nifti
from .segments import TERMINOLOGY_TAG, Segment, segments_of, write_segments
from .terminology import terminology_of

__all__ = ["Entry", "load_labels", "read_labels", "read_segments", "write_labels"]

LARGEST_VALUE = 65535

Entry = tuple[str | None, int, int]
"""A label in a file: its name (None when the file has no names), layer and value."""


def read_labels(path: Path) -> tuple[NDArray[np.integer[Any]], list[Entry], Grid]:
    """Read any label file.

    Args:
        path: a ``.seg.nrrd`` of one or several layers, or a plain label volume (NIfTI, NRRD, MetaImage; integers, or
            floats that are whole numbers).

    Returns:
        The layers (L, k, j, i), uint8 where all values fit, else uint16; the labels: first the segments that the file
        names, empty ones too, then values that occur without a name, in ascending order; the grid.

    Raises:
        ImageError: the file cannot be read, or holds negative values, fractions, or values above 65535.
    """
    layers, segments, grid = read_segments(path)
    entries: list[Entry] = [(segment.name, segment.layer, segment.value) for segment in segments]
    named = {(layer, value) for _, layer, value in entries}
    for layer, voxels in enumerate(layers):
        entries += [(None, layer, value) for value in _values(voxels) if (layer, value) not in named]
    return layers, entries, grid


def read_segments(path: Path) -> tuple[NDArray[np.integer[Any]], list[Segment], Grid]:
    """Layers (L, k, j, i), segments with their colours and tags, and grid of a label file; see :func:`read_labels`."""
    import SimpleITK as sitk  # noqa: N813

    reader = file_reader(path)
    grid = volume_grid(reader, path.name, layers=True)
    components = int(reader.GetNumberOfComponents())
    metadata = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys() if key.startswith("Segment")}
    try:
        segments = segments_of(metadata, layers=components)
    except ValueError as error:
        msg = f"{path.name} cannot be used: {error}"
        raise ImageError(msg) from error
    if components > 1 and not segments:
        msg = f"{path.name} cannot be used: it has {components} values a voxel and names no segments"
        raise ImageError(msg)
    image = read_file(path, reader)  # kept while the view of its memory is in use
    voxels = sitk.GetArrayViewFromImage(image).reshape(*grid.shape, components)
    return _whole_numbers(np.moveaxis(voxels, -1, 0), path.name), segments, grid


def load_labels(
    path: Path, label_set: LabelSet, *, names: Mapping[int, str] | None = None, grid: Grid | None = None
) -> tuple[NDArray[np.integer[Any]], Grid]:
    """Read a label file into the layers of a label set.

    Args:
        path: see :func:`read_labels`.
        label_set: says which layer and value each name gets.
        names: what the values of a file without names mean.
        grid: the image's grid; the file may then cover a part of it only, as Slicer saves cropped segmentations. None
            for the file's own grid.

    Returns:
        The layers (L, k, j, i) in the order of ``label_set.places``, and their grid. A label that the file does not
        have is empty.

    Raises:
        ImageError: see :func:`read_labels`; or the file's voxels are not those of ``grid``.
        ProjectError: a name is not in the label set or occurs twice, a value has no name, or labels overlap that
            exclude each other.
    """
    layers, entries, found = read_labels(path)
    if grid is not None:
        layers = paste(layers, found, grid, what="labels", where=path.name)
    result = np.zeros((label_set.n_layers, *layers.shape[1:]), _kind(_largest(label_set)))
    placed: set[int] = set()
    tables: dict[tuple[int, int], NDArray[Any]] = {}
    if any(name for name, _, _ in entries):
        names = None
    for name, layer, value in entries:
        channel = _channel(path, label_set, (name, layer, value), names)
        if channel in placed:
            msg = f"{path.name} holds the label {label_set.names[channel]!r} twice; a label appears once in a file"
            raise ProjectError(msg)
        placed.add(channel)
        place = label_set.places[channel]
        largest = int(np.iinfo(layers.dtype).max)
        table = tables.setdefault((layer, place.layer), np.zeros(largest + 1, result.dtype))
        if value <= largest:  # a segment may name a value that no voxel has
            table[value] = place.value
    for (layer, target), table in tables.items():
        _merge(result[target], table[layers[layer]], label_set, target, path)
    return result, grid or found


def write_labels(
    path: Path,
    layers: NDArray[np.integer[Any]],
    label_set: LabelSet,
    grid: Grid,
    *,
    tags: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Write labels, atomically.

    Args:
        path: ``.seg.nrrd``: names, colours, terminology and tags of all labels, empty ones too, and all layers, as
            Slicer opens them; ``.nii.gz`` or ``.nii``: values only.
        layers: (L, k, j, i) in the order of ``label_set.places``.
        label_set: what the values mean.
        grid: the place of the voxels.
        tags: further tags by label name, for ``.seg.nrrd``: where a label comes from, for example.

    Raises:
        ProjectError: overlapping labels do not fit into a NIfTI file.
        WriteError: the file could not be written; an older one is untouched.
        ValueError: the shape of ``layers`` is not that of the label set on the grid, or a value has no label.
    """
    largest = _largest(label_set)
    if layers.shape != (label_set.n_layers, *grid.shape) or (layers.size and int(layers.max()) > largest):
        msg = f"layers of shape {layers.shape} for {label_set.n_layers} layers on a grid of shape {grid.shape}"
        raise ValueError(msg)
    layers = layers.astype(_kind(largest), copy=False)
    if path.name.lower().endswith((".nii", ".nii.gz")):
        if label_set.n_layers > 1:
            msg = f"{path.name}: labels that may overlap need {label_set.n_layers} layers; write a .seg.nrrd file"
            raise ProjectError(msg)
        write_nifti(layers[0], grid, path)
        return
    segments = []
    for label, place in zip(label_set.labels, label_set.places, strict=True):
        meaning = label.terminology or terminology_of(label.name)
        its_tags = {**({TERMINOLOGY_TAG: meaning} if meaning else {}), **(tags or {}).get(label.name, {})}
        segments.append(Segment(label.name, place.layer, place.value, label.colour, its_tags))
    write_segments(layers, segments, grid, path)


def _channel(path: Path, label_set: LabelSet, entry: Entry, names: Mapping[int, str] | None) -> int:
    name, _, value = entry
    if name is None:
        name = (names or {}).get(value)
    if name is None:
        msg = f"{path.name} holds the value {value} without a name; say which label it is"
        raise ProjectError(msg)
    try:
        return label_set.index(name)
    except ProjectError as error:
        msg = f"{path.name}: {error}"
        raise ProjectError(msg) from error


def _merge(
    target: NDArray[np.integer[Any]], new: NDArray[np.integer[Any]], label_set: LabelSet, layer: int, path: Path
) -> None:
    """Add the labels of one file layer to a layer of the result, in place; both hold labels that exclude each other."""
    if target.any():
        both = np.argwhere((target > 0) & (new > 0))
        if len(both):
            at = tuple(both[0])
            a, b = (label_set.names[label_set.places.index(Place(layer, int(v[at])))] for v in (target, new))
            msg = f"{path.name}: labels {a!r} and {b!r} overlap in {len(both)} voxels; allow it in the label set first"
            raise ProjectError(msg)
    np.maximum(target, new, out=target)


def _whole_numbers(voxels: NDArray[Any], name: str) -> NDArray[np.integer[Any]]:
    """A contiguous copy of label values in the smallest kind that holds them."""
    low, high = (voxels.min(), voxels.max()) if voxels.size else (0, 0)
    if not (low >= 0 and high <= LARGEST_VALUE):  # true for NaN as well
        msg = f"{name} holds values from {low:g} to {high:g}; labels are whole numbers from 0 to {LARGEST_VALUE}"
        raise ImageError(msg)
    labels: NDArray[np.integer[Any]] = voxels.astype(_kind(int(high)), order="C")
    if voxels.dtype.kind == "f" and not np.array_equal(labels, voxels):
        msg = f"{name} holds fractions; labels are whole numbers from 0 to {LARGEST_VALUE}"
        raise ImageError(msg)
    return labels


def _values(voxels: NDArray[np.integer[Any]]) -> list[int]:
    """The values other than 0 that occur, ascending; slice by slice, as sorting a whole volume takes seconds."""
    seen = np.zeros(np.iinfo(voxels.dtype).max + 1, bool)
    for plane in voxels:
        seen[plane] = True
    seen[0] = False
    return [int(v) for v in np.flatnonzero(seen)]


def _largest(label_set: LabelSet) -> int:
    return max((place.value for place in label_set.places), default=0)


def _kind(largest: int) -> type[np.unsignedinteger[Any]]:
    return np.uint8 if largest <= 255 else np.uint16
