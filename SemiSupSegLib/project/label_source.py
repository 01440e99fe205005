# SimpleITK names the types of some of its methods only:
# mypy: allow-untyped-calls
"""LabelSource: one label file from outside. Its numbers end here; inside the project only names count."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ProjectError
from .geometry import Grid, check_same_grid, paste
from .images import file_reader
from .labelmaps import read_labels
from .labels import Label, LabelSet
from .segments import TERMINOLOGY_TAG, segments_of

__all__ = ["LabelSource"]


@dataclass(frozen=True)
class LabelSource:
    """Content of a label file."""

    file: str
    """Its name, for messages."""
    layers: NDArray[np.integer[Any]]
    """(L, k, j, i): the file's layers on the image's grid."""
    places: dict[str, tuple[int, int]]
    """Layer and value of each label, by the file's own names or those of ``dataset.json``."""
    styles: dict[str, Label]
    """Colour and terminology of the labels for which the file has them."""
    annotated: NDArray[np.bool_] | None
    """(k, j, i): where somebody made a statement, background strokes included; None: everywhere."""

    @classmethod
    def read(cls, path: Path, names: Mapping[int, str], grid: Grid, *, not_annotated: int | None = None) -> LabelSource:
        """Read a label file.

        Args:
            path: any label file; a ``.seg.nrrd`` brings its names, and may cover a part of the image only, as Slicer
                saves it.
            names: name of each value, for files without names.
            grid: of the image.
            not_annotated: value of voxels that nobody annotated; None for none.

        Raises:
            ImageError: the file cannot be read, or does not lie on the image.
            ProjectError: a value has no name, or a name appears twice.
        """
        layers, entries, found = read_labels(path)
        if path.name.casefold().endswith(".seg.nrrd"):
            layers = paste(layers, found, grid, what="the labels", where=path.name)
        else:
            check_same_grid(grid, found, what="the labels", where=path.name)
        places: dict[str, tuple[int, int]] = {}
        nameless: list[int] = []
        blank = np.zeros(grid.shape, bool)
        for name, layer, value in entries:
            name = name or names.get(value)
            if value == not_annotated:
                blank |= layers[layer] == value
            elif name is None:
                nameless.append(value)
            elif name.casefold() in (known.casefold() for known in places):
                msg = f"{path.name}: two segments are called {name!r}: names are the key, give them different ones"
                raise ProjectError(msg)
            else:
                places[name] = (layer, value)
        if nameless:
            msg = f"{path.name} has the values {_some(nameless)} without a name: {_who_names(names)}"
            raise ProjectError(msg)
        return cls(path.name, layers, places, _styles(path), ~blank if blank.any() else None)

    @property
    def annotated_slices(self) -> tuple[tuple[int, int], ...]:
        """First and last k of each run of slices that are :attr:`annotated`, where these are whole slices and nothing
        else; nothing otherwise."""
        if self.annotated is None:
            return ()
        done = self.annotated.all(axis=(1, 2))
        if not done.any() or self.annotated[~done].any():
            return ()
        edges = np.flatnonzero(np.diff(np.concatenate([[False], done, [False]])))
        return tuple((int(first), int(end) - 1) for first, end in edges.reshape(-1, 2))

    @cached_property
    def voxels(self) -> dict[str, int]:
        """Number of voxels of each label; 0 for a segment that is declared but empty."""
        largest = max((value for _, value in self.places.values()), default=0)
        counts = np.zeros((len(self.layers), largest + 1), np.int64)
        for layer, total in zip(self.layers, counts, strict=True):
            for plane in layer:  # plane by plane: bincount copies to 64 bits, which is much for a whole volume
                found = np.bincount(plane.ravel(), minlength=len(total))
                total += found[: len(total)]
        return {name: int(counts[place]) for name, place in self.places.items()}

    def overlaps(self) -> set[frozenset[str]]:
        """Pairs of labels that share a voxel; empty for a plain label map."""
        by_place = {place: name for name, place in self.places.items()}
        found: set[frozenset[str]] = set()
        for a in range(len(self.layers)):
            for b in range(a + 1, len(self.layers)):
                both = (self.layers[a] > 0) & (self.layers[b] > 0)
                pairs = np.unique(np.stack([self.layers[a][both], self.layers[b][both]]), axis=1).T
                named = ((by_place.get((a, int(x))), by_place.get((b, int(y)))) for x, y in pairs)
                found |= {frozenset((x, y)) for x, y in named if x is not None and y is not None}
        return found

    def arranged(self, label_set: LabelSet, keep: Collection[str]) -> NDArray[np.integer[Any]]:
        """The labels as the project stores them.

        Args:
            label_set: the project's labels.
            keep: names, as in the project, of the labels to take over; the voxels of all others are left out.

        Returns:
            (L, k, j, i) layers of ``label_set.places``.

        Raises:
            ProjectError: two labels share voxels that the project does not let overlap; nothing is flattened.
        """
        dtype = np.uint8 if len(label_set) < 256 else np.uint16
        arranged = np.zeros((label_set.n_layers, *self.layers.shape[1:]), dtype)
        clashes = 0
        for source, layer in enumerate(self.layers):
            for target, table in self._tables(source, label_set, keep).items():
                for plane, new_plane in zip(layer, arranged[target], strict=True):
                    new = table[plane]
                    clashes += int(np.count_nonzero((new > 0) & (new_plane > 0)))
                    new_plane += new
        if clashes:
            msg = f"{self.file}: {clashes} voxels belong to two labels that may not overlap in this project"
            raise ProjectError(msg)
        return arranged

    def _tables(self, source: int, label_set: LabelSet, keep: Collection[str]) -> dict[int, NDArray[Any]]:
        """By layer of the project: the value that each value of a layer of the file becomes there."""
        highest = int(self.layers[source].max(initial=0))
        tables: dict[int, NDArray[Any]] = {}
        for name, (layer, value) in self.places.items():
            channel = label_set.index(name)
            if layer != source or value > highest or label_set.names[channel] not in keep:
                continue
            place = label_set.places[channel]
            dtype = np.uint8 if len(label_set) < 256 else np.uint16
            tables.setdefault(place.layer, np.zeros(highest + 1, dtype))[value] = place.value
        return tables


def _styles(path: Path) -> dict[str, Label]:
    if not path.name.casefold().endswith(".seg.nrrd"):
        return {}
    reader = file_reader(path)
    header = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys() if key.startswith("Segment")}
    segments = segments_of(header, layers=int(reader.GetNumberOfComponents()))
    return {s.name: Label(s.name, s.colour, s.tags.get(TERMINOLOGY_TAG)) for s in segments}


def _some(values: list[int]) -> str:
    listed = ", ".join(map(str, sorted(values)[:8]))
    return f"{listed}, ..." if len(values) > 8 else listed


def _who_names(names: Mapping[int, str]) -> str:
    if names:
        return f"dataset.json names {', '.join(f'{v} {n}' for v, n in sorted(names.items())[:8])}"
    return 'write a dataset.json with {"labels": {"1": "liver", ...}}, or save a .seg.nrrd with named segments'
