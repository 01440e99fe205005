"""Prediction: what the network says about one volume, on the volume's own grid.

The statistics stay on the training grid, where they are small; each map is brought to the volume's own grid when it
is asked for, one label at a time, so that K full-size arrays never exist together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..project.boxes import bounding_box, grown
from ..project.components import numbered_parts
from ..project.geometry import Grid, image_from_xyz, resample
from ..project.labels import LabelSet
from .decision import holds
from .parts import PART_ML, largest_parts
from .volume import Statistics

__all__ = ["LeftOut", "Prediction", "Proposed"]

NEGLIGIBLE = 1 / 512
"""Values below this become 0 in a file of 256 steps and are not brought to the volume's own grid."""


@dataclass(frozen=True)
class LeftOut:
    """What is not proposed of a label, because annotated cases have fewer parts of it."""

    parts: int
    """Connected pieces that are no speckle."""
    voxels: int
    """Of all pieces, speckle too."""


@dataclass(frozen=True)
class Proposed:
    """Labels on the volume's own grid."""

    labels: NDArray[np.integer[Any]]
    """(L, k, j, i) layers of ``label_set.places``, 0 where nothing is proposed."""
    best: NDArray[np.float32]
    """(L, k, j, i) probability of the proposed label; 0 where there is none."""
    left_out: dict[int, LeftOut] = field(default_factory=dict)
    """What was predicted of a channel beyond as many parts as its label has; only channels with any."""


@dataclass(frozen=True)
class Prediction:
    """One volume."""

    statistics: Statistics
    training_grid: Grid
    """Where the statistics lie; RAS+."""
    grid: Grid
    """The volume's own."""
    label_set: LabelSet
    """Channels of the statistics; the model's."""
    passes: int
    """Dropout passes; 0 for one deterministic pass."""
    parts: tuple[int | None, ...] = ()
    """Per channel: only as many of its largest connected parts are proposed; None or nothing given: all."""
    likeliest: bool = True
    """How labels that exclude each other are settled, see :mod:`.decision`."""
    atlases: tuple[str, ...] = ()
    """Cases that were laid over the volume, and whose votes are in the statistics."""
    finished: dict[str, int] = field(default_factory=dict)
    """By label: of how many finished slices the statistics beside them know."""

    def probability(self, channel: int) -> NDArray[np.float32]:
        """(k, j, i) mean probability of a label, [0, 1], interpolated linearly."""
        return self._on_own_grid(self.statistics.probability[channel].astype(np.float32))

    def uncertainty(self, channel: int) -> NDArray[np.float32]:
        """(k, j, i) predictive entropy of a label, [0, 1].

        The entropy is interpolated, not computed from interpolated probabilities: halfway between a sure 0 and a sure
        1 lies a border, not a doubt.
        """
        return self._on_own_grid(self.statistics.uncertainty(channel))

    def mutual_information(self, channel: int) -> NDArray[np.float32]:
        """(k, j, i) epistemic part of it, [0, 1]; 0 everywhere after a deterministic pass."""
        if self.statistics.entropy is None:
            return np.zeros(self.grid.shape, np.float32)
        return self._on_own_grid(self.statistics.mutual_information(channel))

    @property
    def labels(self) -> NDArray[np.integer[Any]]:
        """(L, k, j, i) layers of the proposal."""
        return self._proposed.labels

    @cached_property
    def _proposed(self) -> Proposed:
        return self.propose()

    def propose(self, on_probability: Callable[[int, NDArray[np.float32]], None] | None = None) -> Proposed:
        """Labels from probabilities: the likeliest of all, background included (:mod:`.decision`).

        Labels that may overlap are in different layers and do not compete; two that exclude each other in different
        layers are settled by their probabilities. Of a label that has one part in the annotated cases one is proposed:
        the one with most probability in it; its maps stay whole.

        Args:
            on_probability: told each channel with its map (k, j, i), which is not kept.
        """
        places = self.label_set.places
        kind = np.uint8 if max((p.value for p in places), default=0) < 256 else np.uint16
        shape = (self.label_set.n_layers, *self.grid.shape)
        labels, best, total = np.zeros(shape, kind), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for channel, place in enumerate(places):
            probability = self.probability(channel)
            better = probability > best[place.layer]
            labels[place.layer][better] = place.value
            np.copyto(best[place.layer], probability, where=better)
            total[place.layer] += probability
            if on_probability is not None:
                on_probability(channel, probability)
        for k in range(shape[1]):  # slice by slice: of a large volume each copy is a third of a gigabyte
            nothing = ~holds(best[:, k], total[:, k], likeliest=self.likeliest)
            labels[:, k][nothing], best[:, k][nothing] = 0, 0
        del total
        self._settle(labels, best)
        return Proposed(labels, best, self._keep_parts(labels, best))

    def _keep_parts(
        self, labels: NDArray[np.integer[Any]], best: NDArray[np.float32]
    ) -> dict[int, LeftOut]:
        """Take back what lies beyond as many parts as each label has."""
        left_out = {}
        for channel, count in enumerate(self.parts):
            place = self.label_set.places[channel]
            proposed = labels[place.layer] == place.value
            box = bounding_box(proposed)
            if count is None or box is None:
                continue
            beyond = proposed[box] & ~largest_parts(proposed[box], count, best[place.layer][box])
            if beyond.any():
                labels[place.layer][box][beyond], best[place.layer][box][beyond] = 0, 0
                sizes = np.bincount(numbered_parts(beyond).ravel())[1:] * self.grid.voxel_mm3 / 1000
                left_out[channel] = LeftOut(int((sizes >= PART_ML).sum()), int(beyond.sum()))
        return left_out

    def _settle(self, labels: NDArray[np.integer[Any]], best: NDArray[np.float32]) -> None:
        """Where two labels that exclude each other hold at once (in different layers), the less probable one yields."""
        places = self.label_set.places
        for a, b in self.label_set.exclusive_pairs():
            one, two = places[a], places[b]
            if one.layer == two.layer:
                continue
            both = (labels[one.layer] == one.value) & (labels[two.layer] == two.value)
            if not both.any():
                continue
            first = best[one.layer] >= best[two.layer]
            for place, yields in ((one, both & ~first), (two, both & first)):
                labels[place.layer][yields] = 0
                best[place.layer][yields] = 0

    def _on_own_grid(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(X, Y, Z) on the training grid to (k, j, i) on the volume's own; only the part that is not zero is
        interpolated.
        """
        result = np.zeros(self.grid.shape, np.float32)
        box = bounding_box(values >= NEGLIGIBLE)
        if box is None:
            return result
        box = grown(box, 1, values.shape)
        source = _part(self.training_grid, box)
        target = _covering(self.grid, source)
        if target is not None:
            image = resample(
                image_from_xyz(values[box], source), _part(self.grid, target), linear=True, antialias=False
            )
            import SimpleITK as sitk  # noqa: N813

            result[target[::-1]] = sitk.GetArrayViewFromImage(image)
        return np.clip(result, 0, 1, out=result)


def _part(grid: Grid, box: tuple[slice, ...]) -> Grid:
    """The grid of a box (i, j, k) of a grid."""
    x, y, z = grid.point([s.start for s in box]).tolist()
    i, j, k = (s.stop - s.start for s in box)
    return Grid((i, j, k), grid.spacing, (x, y, z), grid.direction)


def _covering(grid: Grid, part: Grid) -> tuple[slice, ...] | None:
    """The box (i, j, k) of ``grid`` whose voxel centres lie in ``part``, outer faces included; None when there is
    none.
    """
    faces = [
        [-0.5 if corner == 0 else n - 0.5 for corner, n in zip(c, part.size, strict=True)] for c in np.ndindex(2, 2, 2)
    ]
    index = (part.point(faces) - np.asarray(grid.origin)) @ np.linalg.inv(grid.matrix).T
    low = np.maximum(np.floor(index.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(index.max(axis=0)) + 1, grid.size).astype(int)
    if (high <= low).any():
        return None
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
