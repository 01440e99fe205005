"""Slabs: a map of labels, a few slices at a time, and which of its neighbouring voxels have different labels.

A map is read only round its labels, and compared only where something changes, so that time depends on the surfaces and
memory on a slab, and neither on the square of the number of labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .labels import LabelSet

__all__ = ["Slab", "slabs"]

SLICES = 8
"""Slices that are looked at together: they fit into a processor's cache."""

Labels = NDArray[np.integer[Any]]
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Slab:
    """Some slices of a map, a rim of ``reach`` voxels round them."""

    codes: list[Labels]
    """One array a layer: nodes, then ``nothing`` where another layer has the voxel, then ``nothing + 1`` outside."""
    nothing: int
    reach: int
    inside: tuple[slice, ...]
    """The part, rim included, that lies in the image."""
    corner: tuple[int, int, int]
    """(k, j, i) of the first voxel, rim included, in the map."""

    def core(self, values: NDArray[Any]) -> NDArray[Any]:
        """The part without the rim."""
        return values[(slice(self.reach, -self.reach),) * 3]

    def contour_voxels(self) -> int:
        """How many voxels of the core have a neighbour with other labels, in any layer."""
        masks = [self.core(self._contour(codes)) for codes in self.codes]
        return int(np.count_nonzero(np.logical_or.reduce(masks)))

    def touching(self) -> Iterator[tuple[Labels, Labels, Indices, int]]:
        """Per neighbour: nodes of the voxels of the core that touch another label, that label's node, where (flat index
        of the first), and how far away the second is. Two voxels of one layer come once, those of two layers too.
        """
        for one, two in combinations_with_replacement(range(len(self.codes)), 2):
            first_codes, second_codes = self.codes[one].ravel(), self.codes[two].ravel()
            near = self._contour(self.codes[one]) if one == two else self._near(self.codes[two])
            at = np.flatnonzero(_only(self.core, near & (self.codes[one] < self.nothing)))
            for offset in self._offsets(both_ways=one != two):
                first, second = first_codes[at], second_codes[at + offset]
                touch = np.flatnonzero((first != second) & (second < self.nothing))
                yield first[touch], second[touch], at[touch], offset

    def place(self, flat: Indices) -> tuple[Indices, ...]:
        """(k, j, i) in the map."""
        index = np.unravel_index(flat, self.codes[0].shape)
        return tuple(x + c for x, c in zip(index, self.corner, strict=True))

    def _offsets(self, *, both_ways: bool) -> list[int]:
        _, height, width = self.codes[0].shape
        steps = range(-self.reach, self.reach + 1)
        offsets = [(k * height + j) * width + i for k, j, i in product(steps, repeat=3) if (k, j, i) != (0, 0, 0)]
        return offsets if both_ways else offsets[len(offsets) // 2 :]

    def _contour(self, codes: Labels) -> NDArray[np.bool_]:
        mask = np.zeros(codes.shape, bool)
        part = codes[self.inside]
        mask[self.inside] = _spread(part, self.reach, np.maximum) != _spread(part, self.reach, np.minimum)
        return mask

    def _near(self, codes: Labels) -> NDArray[np.bool_]:
        return np.asarray(_spread(codes, self.reach, np.minimum) < self.nothing)


def slabs(layers: Labels, label_set: LabelSet, reach: int) -> Iterator[Slab]:
    """The part of a map in which there are labels, ``SLICES`` slices at a time."""
    box = _box(layers, reach)
    if box is None:
        return
    nothing = len(label_set) + 1
    kind = np.uint8 if nothing + 1 < 256 else np.uint16
    tables = _tables(layers, label_set, kind)
    shape = layers.shape[1:]
    for first in range(box[0].start, box[0].stop, SLICES):
        wanted = (slice(first, min(first + SLICES, box[0].stop)), *box[1:])
        grown = [(s.start - reach, s.stop + reach) for s in wanted]
        valid = tuple(slice(max(0, a), min(n, b)) for (a, b), n in zip(grown, shape, strict=True))
        inside = tuple(slice(v.start - a, v.stop - a) for v, (a, _) in zip(valid, grown, strict=True))
        parts = [table[layer[valid]] for table, layer in zip(tables, layers, strict=True)]
        if len(parts) > 1:
            parts[0][(parts[0] == 0) & np.any([part < nothing for part in parts[1:]], axis=0)] = nothing
        codes: list[Labels] = []
        for part in parts:
            padded: Labels = np.full([b - a for a, b in grown], nothing + 1, kind)
            padded[inside] = part
            codes.append(padded)
        yield Slab(codes, nothing, reach, inside, (grown[0][0], grown[1][0], grown[2][0]))


def _tables(layers: Labels, label_set: LabelSet, kind: type[Any]) -> list[Labels]:
    """Per layer: node of each value. 0 means background in the first layer, and nothing in the others."""
    tables = [np.zeros(max(int(layer.max()), len(label_set)) + 1, kind) for layer in layers]
    for table in tables[1:]:
        table[0] = len(label_set) + 1
    for channel, place in enumerate(label_set.places):
        tables[place.layer][place.value] = channel + 1
    return tables


def _box(layers: Labels, margin: int) -> tuple[slice, ...] | None:
    """Of all labels, grown by a margin within the image; None where there is no label."""
    slices = np.array([layers[:, k].any() for k in range(layers.shape[1])], bool)
    plane = np.zeros(layers.shape[2:], bool)
    for k in np.flatnonzero(slices):
        plane |= layers[:, k].any(axis=0)
    ranges = []
    for line in (slices, np.asarray(plane.any(axis=1)), np.asarray(plane.any(axis=0))):
        found = np.flatnonzero(line)
        if not len(found):
            return None
        ranges.append(slice(max(0, int(found[0]) - margin), min(len(line), int(found[-1]) + 1 + margin)))
    return tuple(ranges)


def _spread(values: Labels, reach: int, pick: np.ufunc) -> Labels:
    """Largest (or smallest) value in the box round each voxel, one axis after the other."""
    for axis in range(values.ndim):
        lines, result = np.moveaxis(values, axis, 0), values.copy()
        out = np.moveaxis(result, axis, 0)
        for step in range(1, min(reach, len(lines) - 1) + 1):
            pick(out[step:], lines[:-step], out=out[step:])
            pick(out[:-step], lines[step:], out=out[:-step])
        values = result
    return values


def _only(core: Callable[[NDArray[Any]], NDArray[Any]], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask, False in the rim."""
    kept = np.zeros_like(mask)
    core(kept)[...] = core(mask)
    return kept
