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

import numpy as np
import torch
from numpy.typing import NDArray

from ..project.annotation import State, label_mask
from ..project.cases import Case
from ..project.geometry import Grid, array_xyz, image_from_kji, image_from_xyz, resample, to_ras, training_grid
from ..project.grid import triple
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
    mask: NDArray[np.bool_]
    """(n, j, i) where the label is, in each of them."""
    counts: NDArray[np.bool_] | None = None
    """(n, j, i) voxels that were not said to be ignored; None for all of them."""


def finished_of(case: Case, label_set: LabelSet, names: Collection[str]) -> list[Finished]:
    """Of each of ``names`` that is finished in some slices of a case and not in all of it.

    Args:
        case: of a project with these labels.
        label_set: the project's.
        names: others are left out; one that the project does not have is, too.

    Raises:
        ImageError: a file of the case cannot be read.
    """
    wanted = [n for n in label_set.names if n in names and case.annotation(n).state is State.PARTIAL]
    depth = case.grid().shape[0] if wanted else 0
    slices = {name: np.flatnonzero(finished_slices(case.annotation(name), depth)) for name in wanted}
    slices = {name: some for name, some in slices.items() if len(some)}
    if not slices:
        return []
    labels, ignore, found = case.labels(label_set), case.ignore(), []
    for name, some in slices.items():
        mask = label_mask(labels[:, some], label_set, label_set.index(name))
        found.append(Finished(name, tuple(some.tolist()), mask, None if ignore is None else ~ignore[some]))
    return found


def propagate(
    statistics: Statistics, training: Grid, own: Grid, finished: Sequence[Finished], names: Sequence[str]
) -> None:
    """Move what a network says of a volume towards what people finished, in place and label by label.

    Args:
        statistics: of the network.
        training: their grid.
        own: the volume's, whose slices k were finished.
        finished: from :func:`finished_of`; with none nothing changes.
        names: of the labels, in channel order.
    """
    for each in finished:
        channel = names.index(each.name)
        probability = statistics.probability[channel].astype(np.float32)
        along, residual = _residuals(probability, training, own, each)
        weights = _weights(training, own, along, each.slices)
        share = weights.sum(axis=1)
        for at in np.flatnonzero(share > LEAST).tolist():
            here = tuple(at if axis == along else slice(None) for axis in range(3))
            moved = np.tensordot(weights[at], residual, 1) / share[at]
            said = np.clip(probability[here] + moved, 0, 1)
            heard = share[at] / (share[at] + OWN)
            statistics.probability[(channel, *here)] = probability[here] + heard * (said - probability[here])
            if statistics.entropy is not None:
                entropy = statistics.entropy[(channel, *here)].astype(np.float32)
                sure = binary_entropy(torch.from_numpy(said)).numpy()
                statistics.entropy[(channel, *here)] = entropy + heard * (sure - entropy)


def _weights(training: Grid, own: Grid, along: int, slices: Sequence[int]) -> Floats:
    """(N, n): how much each finished slice counts at each place of the training grid along its axis, up to 1."""
    normal = np.reshape(training.direction, (3, 3))[:, along]
    index = np.zeros((training.size[along], 3))
    index[:, along] = np.arange(training.size[along])
    there = own.point([[0, 0, k] for k in slices]) @ normal
    distance = (training.point(index) @ normal)[:, None] - there
    return np.asarray(np.exp(-((distance / reach_mm(own.spacing[2])) ** 2) / 2), np.float32)


def _residuals(probability: Floats, training: Grid, own: Grid, finished: Finished) -> tuple[int, Floats]:
    """The axis of the training grid along which the slices lie, and what people said less what the network said in
    each of them, (n, *the other two axes)."""
    first, last = finished.slices[0], finished.slices[-1]
    said = np.zeros((last - first + 1, *finished.mask.shape[1:]), np.float32)
    counts = np.zeros_like(said)
    place = np.asarray(finished.slices) - first
    counts[place] = 1 if finished.counts is None else finished.counts
    said[place] = finished.mask * counts[place]
    slab = Grid((*own.size[:2], len(said)), own.spacing, triple(own.point([0, 0, first])), own.direction)
    turned = Grid.of(to_ras(image_from_kji(said, slab)))
    normals = np.reshape(turned.direction, (3, 3)).T @ np.reshape(own.direction, (3, 3))[:, 2]
    along = int(np.abs(normals).argmax())
    spacing = [own.spacing[2] if axis == along else mm for axis, mm in enumerate(training.spacing)]
    between = training_grid(turned, (spacing[0], spacing[1], spacing[2]))
    network = array_xyz(resample(image_from_xyz(probability, training), between, linear=True, antialias=False))
    values, where = (array_xyz(resample(image_from_kji(a, slab), between, linear=True)) for a in (said, counts))
    at = place if normals[along] > 0 else len(said) - 1 - place
    return along, np.moveaxis(values - where * network, along, 0)[at]
