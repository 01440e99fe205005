# SimpleITK names the types of some of its methods only:
# mypy: allow-untyped-calls
"""Atlas: an annotated case that is laid over a volume, and says what is where.

Where many small regions lie in much the same place in every body, as in brains, a registered case knows more of them
than a network that has had a few minutes (``Testing/benchmarks/bench_atlas.py``). Several atlases vote, and each counts
by how alike the images are around a voxel (locally weighted voting: Artaechevarria et al., IEEE TMI 2009).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.registration import matched, on_registration_grid, register
from ..project.cases import Case
from ..project.geometry import Grid, array_xyz, image_from_kji, resample, to_ras
from ..project.grid import triple
from ..project.labels import LabelSet
from .uncertainty import binary_entropy
from .volume import Statistics

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813  everybody's name for it

__all__ = ["Atlas", "Votes", "mix", "vote"]

NEAR = 2.0
"""Deviation of the Gaussian over which images are compared, in voxels of the registration's grid."""
ANYHOW = 0.1
"""Share of the usual difference that is added to each: where an atlas happens to be the same it must not decide
alone."""
FINER = 2
"""Labels are laid over a volume with so many times its grid's voxels along each axis, and counted."""


@dataclass(frozen=True)
class Atlas:
    """An annotated case, ready to be laid over volumes."""

    case_id: str
    image: sitk.Image
    """On its registration grid."""
    layers: tuple[sitk.Image, ...]
    """(L) of its project's labels, with the case's own voxels."""
    values: dict[str, tuple[int, int]]
    """Layer and value of each label that is known everywhere in the case."""

    @classmethod
    def of(cls, case: Case, label_set: LabelSet, names: Collection[str]) -> Atlas | None:
        """Of a case of a project with these labels, those of ``names`` alone; None where none of them is known
        everywhere.

        Raises:
            ImageError: a file of the case cannot be read.
        """
        pairs = zip(label_set.names, label_set.places, strict=True)
        values = {n: (p.layer, p.value) for n, p in pairs if n in names and case.annotation(n).everywhere}
        if not values:
            return None
        grid = case.grid()
        layers = tuple(to_ras(image_from_kji(layer, grid)) for layer in case.labels(label_set))
        return cls(case.id, on_registration_grid(case.image()), layers, values)


@dataclass(frozen=True)
class Votes:
    """What atlases say of one volume, on its training grid."""

    atlases: tuple[Atlas, ...]
    weights: NDArray[np.float32]
    """(A, X, Y, Z) from 0, outside an atlas, to 1."""
    laid: tuple[tuple[NDArray[np.integer[Any]], ...], ...]
    """(A, L) of (2X, 2Y, 2Z) values."""

    def of(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Of a label (X, Y, Z) twice: the share of the votes that it has, [0, 1], and where there is any vote."""
        found = np.zeros(self.weights.shape[1:], np.float32)
        total = np.zeros_like(found)
        for atlas, weight, layers in zip(self.atlases, self.weights, self.laid, strict=True):
            if name in atlas.values:
                layer, value = atlas.values[name]
                found += weight * _coarse(layers[layer] == value)
                total += weight
        heard = total > 0
        np.divide(found, total, out=found, where=heard)
        return found, heard


def vote(
    image: sitk.Image,
    grid: Grid,
    atlases: Sequence[Atlas],
    *,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Votes:
    """Lay atlases over a volume.

    Args:
        image: any 3D scalar volume, in any orientation.
        grid: where votes are wanted.
        atlases: one at least.
        on_progress: told the share that is done.
    """
    fixed, fine = on_registration_grid(image), _finer(grid)
    differences = np.zeros((len(atlases), *grid.size), np.float32)
    laid = []
    for number, atlas in enumerate(atlases):
        transform = register(fixed, atlas.image)
        differences[number] = _difference(fixed, atlas.image, transform, grid)
        laid.append(tuple(_laid(layer, fine, transform) for layer in atlas.layers))
        on_progress((number + 1) / len(atlases))
    return Votes(tuple(atlases), _weights(differences), tuple(laid))


def mix(statistics: Statistics, votes: Votes, names: Sequence[str], share: float) -> None:
    """Turn what a network says of a volume into the mean of it and the votes, in place and label by label.

    The votes count as one more way to look at the volume, so that mutual information is also where network and atlases
    disagree: H(mean) minus the mean of both entropies.

    Args:
        statistics: of the network.
        votes: on the same grid.
        names: of the labels, in channel order; one that no atlas knows stays as it is.
        share: of the votes in the mean, [0, 1].
    """
    for channel, name in enumerate(names):
        said, heard = votes.of(name)
        weight = share * heard
        both = [(statistics.probability, said)]
        if statistics.entropy is not None:
            both.append((statistics.entropy, binary_entropy(torch.from_numpy(said)).numpy()))
        for values, other in both:
            own = values[channel].astype(np.float32)
            values[channel] = own + weight * (other - own)


def _laid(layer: sitk.Image, grid: Grid, transform: sitk.Transform) -> NDArray[np.integer[Any]]:
    import SimpleITK as sitk  # noqa: N813

    nearest = sitk.sitkNearestNeighbor
    laid = sitk.Resample(layer, grid.size, transform, nearest, grid.origin, grid.spacing, grid.direction, 0)
    return array_xyz(laid)


def _finer(grid: Grid) -> Grid:
    """The grid whose voxels are the eighths of those of ``grid``."""
    corner = (1 / FINER - 1) / 2
    x, y, z = (FINER * n for n in grid.size)
    return Grid((x, y, z), triple(np.asarray(grid.spacing) / FINER), triple(grid.point([corner] * 3)), grid.direction)


def _coarse(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The share of each voxel's eighths, (2X, 2Y, 2Z) to (X, Y, Z)."""
    count = np.zeros([n // FINER for n in mask.shape], np.uint8)
    for x, y, z in np.ndindex(FINER, FINER, FINER):
        count += mask[x::FINER, y::FINER, z::FINER]
    return np.asarray(count / np.float32(FINER**3))


def _difference(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform, grid: Grid) -> NDArray[np.float32]:
    """(X, Y, Z) mean squared difference of the images around each voxel; infinite outside ``moving``."""
    import SimpleITK as sitk  # noqa: N813

    there = sitk.Image(moving.GetSize(), sitk.sitkUInt8) + 1
    there.CopyInformation(moving)
    inside = sitk.Resample(there, fixed, transform, sitk.sitkNearestNeighbor, 0)
    laid = matched(sitk.Resample(moving, fixed, transform, sitk.sitkLinear, 0.0), fixed)
    variance = [(NEAR * mm) ** 2 for mm in fixed.GetSpacing()]
    squared = sitk.DiscreteGaussian(sitk.Square(laid - fixed), variance, 32, 0.01, True)  # of any size, one slice too
    found = np.maximum(array_xyz(resample(squared, grid, linear=True, antialias=False)), 0)
    found[array_xyz(resample(inside, grid, linear=False)) == 0] = np.inf
    return np.asarray(found, np.float32)


def _weights(differences: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 where the images are the same, less the more they differ, 0 outside an atlas; in the shape of what is given."""
    finite = differences[np.isfinite(differences)]
    usual = ANYHOW * float(np.median(finite)) if finite.size else 0.0
    usual = max(usual, float(np.finfo(np.float32).tiny))
    return np.asarray(usual / (differences + usual), np.float32)
