# SimpleITK names the types of some of its methods only:
# mypy: allow-untyped-calls
"""Propagation: what people finished in some slices of a case moves what is proposed in the slices beside them.

A network that draws an organ too large in one slice draws it too large in the next one. So the difference between what
people said in a slice and what the network says there is added to what it says nearby, the less the farther it is. With
one slice in ten corrected that is worth more than two minutes of training (``Testing/benchmarks/bench_rounds.py``).
A finished slice itself stays as people left it: no acceptance writes there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..project.annotation import State
from ..project.cases import Case
from ..project.geometry import Grid, array_xyz, image_from_kji, resample, to_ras, training_grid
from ..project.labels import LabelSet
from ..project.slice_order import finished_slices, reach_mm
from .uncertainty import binary_entropy
from .volume import Statistics

__all__ = ["Finished", "finished_of", "propagate"]

OWN = 0.2
"""What the network's own word counts where a finished slice, at its place, counts 1."""
LEAST = 0.01
"""What finished slices must count together for anything to change."""

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Finished:
    """The finished slices of one label of one case."""

    name: str
    slices: tuple[int, ...]
    """k, rising."""
    drawn: NDArray[Any]
    """(n, j, i) of a layer in each of them; labels that are finished in the same slices share it."""
    counts: NDArray[np.bool_] | None = None
    """(n, j, i) voxels that were not said to be ignored; None for all of them."""
    value: int = 1
    """Of the label in it."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(n, j, i) where the label is."""
        return np.asarray(self.drawn == self.value)


def finished_of(case: Case, label_set: LabelSet, names: Collection[str]) -> list[Finished]:
    """Of each of ``names`` that is finished in some slices of a case and not in all of it; none of a case that is held
    out, as what is proposed there is compared with what people said there.

    Args:
        case: of a project with these labels.
        label_set: the project's.
        names: others are left out; one that the project does not have is, too.

    Raises:
        ImageError: a file of the case cannot be read.
    """
    if case.split == "holdout":
        return []
    wanted = [n for n in label_set.names if n in names and case.annotation(n).state is State.PARTIAL]
    depth = case.grid().shape[0] if wanted else 0
    slices = {name: np.flatnonzero(finished_slices(case.annotation(name), depth)) for name in wanted}
    slices = {name: some for name, some in slices.items() if len(some)}
    if not slices:
        return []
    labels, ignore = case.labels(label_set), case.ignore()
    places = dict(zip(label_set.names, label_set.places, strict=True))
    shared: dict[tuple[int, ...], tuple[NDArray[Any], NDArray[np.bool_] | None]] = {}
    found = []
    for name, some in slices.items():
        key = tuple(some.tolist())
        if key not in shared:
            shared[key] = (labels[:, some], None if ignore is None else ~ignore[some])
        layers, counts = shared[key]
        found.append(Finished(name, key, layers[places[name].layer], counts, places[name].value))
    return found


def propagate(
    statistics: Statistics, training: Grid, own: Grid, finished: Sequence[Finished], names: Sequence[str]
) -> None:
    """Move what a network says of a volume towards what people finished, in place and label by label.

    At a place p the network says p, and the finished slices p + the mean of what they differ by, clipped to [0, 1]; the
    mean of both is taken, in which slices at distances d count exp(-(d / reach)² / 2) each, and the network 0.2.

    Args:
        statistics: of the network.
        training: their grid.
        own: the volume's, whose slices k were finished.
        finished: from :func:`finished_of`; with none nothing changes.
        names: of the labels, in channel order.
    """
    for each in finished:
        channel = names.index(each.name)
        along, people, counts = _people(each, training, own)
        places = _places(each.slices, training, own, along)
        values = np.moveaxis(statistics.probability[channel], along, 0)
        entropies = None if statistics.entropy is None else np.moveaxis(statistics.entropy[channel], along, 0)
        residuals = people - counts * _between(values, places)
        distances = (np.arange(len(values))[:, None] - places) * training.spacing[along]
        weights = np.exp(-((distances / reach_mm(own.spacing[2])) ** 2) / 2).astype(np.float32)
        for at in np.flatnonzero(weights.sum(axis=1) > LEAST).tolist():
            total = float(weights[at].sum())
            share = np.float32(total / (total + OWN))
            network = values[at].astype(np.float32)
            said = np.clip(network + np.tensordot(weights[at], residuals, 1) / total, 0, 1)
            values[at] = network + share * (said - network)
            if entropies is not None:
                entropy = entropies[at].astype(np.float32)
                entropies[at] = entropy + share * (binary_entropy(torch.from_numpy(said)).numpy() - entropy)


def _people(finished: Finished, training: Grid, own: Grid) -> tuple[int, Floats, Floats]:
    """The axis of the training grid along which the slices lie, and of each of its voxels in each of them, (n, *the
    other two axes), the share that is the label and the share that counts."""
    columns, rows, _ = own.size
    stack = Grid((columns, rows, len(finished.slices)), own.spacing, own.origin, own.direction)  # side by side
    turned = Grid.of(to_ras(image_from_kji(finished.mask.astype(np.float32), stack)))
    normals = np.reshape(turned.direction, (3, 3)).T @ np.reshape(own.direction, (3, 3))[:, 2]
    along = int(np.abs(normals).argmax())
    x, y, z = (own.spacing[2] if axis == along else mm for axis, mm in enumerate(training.spacing))
    within = training_grid(turned, (x, y, z))

    def coarse(mask: NDArray[np.bool_]) -> Floats:
        found = resample(image_from_kji(mask.astype(np.float32), stack), within, linear=True)
        return np.moveaxis(array_xyz(found), along, 0)[:: 1 if normals[along] > 0 else -1]

    if finished.counts is None:
        return along, coarse(finished.mask), np.ones((), np.float32)
    return along, coarse(finished.mask & finished.counts), coarse(finished.counts)


def _places(slices: Sequence[int], training: Grid, own: Grid, along: int) -> Floats:
    """(n,): where slices k of the volume lie along an axis of the training grid, in its voxels."""
    normal = np.reshape(training.direction, (3, 3))[:, along]
    away = (own.point([[0, 0, k] for k in slices]) - np.asarray(training.origin)) @ normal
    return np.asarray(away / training.spacing[along], np.float32)


def _between(values: Floats, places: Floats) -> Floats:
    """(n, ...): values (N, ...) at places along their first axis, interpolated linearly."""
    inside = np.clip(places, 0, len(values) - 1)
    low = np.floor(inside).astype(int)
    high = np.minimum(low + 1, len(values) - 1)
    share = (inside - low)[:, None, None].astype(np.float32)
    return np.asarray((1 - share) * values[low] + share * values[high], np.float32)
