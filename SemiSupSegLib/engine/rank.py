"""The numbers by which proposals are ranked: how large, how sure, in how many parts, and where to look first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..project.boxes import bounding_box, grown
from ..project.components import numbered_parts
from ..project.geometry import Grid
from .parts import PART_ML
from .surface import distance_mm, eroded

__all__ = ["Numbers", "boundary_band", "numbers"]

BAND_MM = 3.0
"""Half the width of the band round the proposed border in which a person would look for errors."""
PART_SHARE = 0.01
"""A connected piece counts as a part from this share of the proposal, or from the volume :data:`.parts.PART_ML`."""
NEAR_MM = 10.0
"""How far round a proposal more of the organ is expected. After a short training small probabilities lie all over the
volume, and larger ones at what was not kept for being a part too many: summed up they are more than the organ, and
where they lie nothing is wrong (``Testing/benchmarks/bench_calibration.py``, ``bench_rounds.py``)."""
LEAST = 0.01
"""Probabilities below it count as 0 where errors are expected."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Numbers:
    """One label of one prediction. Uncertainties are normalised, [0, 1]."""

    voxels: int
    volume_ml: float
    confidence: float
    """Mean probability over the proposed voxels, [0, 1]; 0 for an empty proposal."""
    uncertainty_boundary: float
    """Mean predictive entropy in the boundary band; for an empty proposal, where it came nearest to proposing
    something.
    """
    mutual_information_boundary: float
    """The same of the mutual information."""
    parts: int
    """Connected pieces (26 neighbours) that count."""
    largest_part: float
    """Share of the proposal that is in its largest piece, [0, 1]; 0 for an empty one."""
    expected_dice: float
    """Dice with the truth that the probabilities lead one to expect, [0, 1]; 0 for an empty proposal."""
    worst_slice: int
    """k on the image's own grid: where most voxels are expected to be wrong."""
    errors_ml: tuple[float, ...]
    """What is expected to be wrong in each slice k: proposed and not the organ, or the other way round."""
    slice_mm: float
    """From one slice k to the next."""
    slices: tuple[float, ...]
    """Mean predictive entropy of the band in each slice k; 0 where the band does not reach."""
    empty: bool

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        errors = [round(e, 5) for e in self.errors_ml]
        return {**asdict(self), "slices": [round(s, 4) for s in self.slices], "errors_ml": errors}


def numbers(
    proposed: NDArray[np.bool_], probability: Floats, uncertainty: Floats, mutual: Floats, grid: Grid
) -> Numbers:
    """Measure a proposal.

    A voxel with probability p is expected to be wrong 1 - p times where it is proposed, and p times where it is not,
    within 10 mm of the proposal. Summed over a slice that finds errors better than the mean uncertainty of its border,
    and over the volume it tells poor proposals from good ones (``Testing/benchmarks/bench_calibration.py``). Where
    nothing is proposed, all of the volume is near.

    Args:
        proposed: (k, j, i) bool on the image's own grid.
        probability: (k, j, i) of this label, [0, 1].
        uncertainty: (k, j, i) predictive entropy, [0, 1].
        mutual: (k, j, i) mutual information, [0, 1].
        grid: the image's.
    """
    box = bounding_box(proposed)
    if box is None:
        where = tuple(slice(0, n) for n in proposed.shape)
        band, near = _nearest_to_a_proposal(uncertainty), np.ones(proposed.shape, bool)
    else:
        where = grown(box, 1 + NEAR_MM / np.array(grid.spacing[::-1]), proposed.shape)
        band, near = _round(proposed[where], grid)
    inside, missed = _expected(proposed[where], probability[where], near)
    counts, errors = proposed[where].sum(axis=(1, 2)), np.zeros(len(proposed))
    errors[where[0]] = counts - inside + missed
    u, m = uncertainty[where][band], mutual[where][band]
    voxels = int(counts.sum())
    parts, largest = (0, 0.0) if box is None else _parts(proposed[box], grid)
    return Numbers(
        voxels=voxels,
        volume_ml=voxels * grid.voxel_mm3 / 1000,
        confidence=float(inside.sum()) / max(voxels, 1),
        uncertainty_boundary=float(u.mean(dtype=float)) if u.size else 0.0,
        mutual_information_boundary=float(m.mean(dtype=float)) if m.size else 0.0,
        parts=parts,
        largest_part=largest,
        expected_dice=float(2 * inside.sum() / max(voxels + inside.sum() + missed.sum(), 1e-9)),
        worst_slice=int(errors.argmax()),
        errors_ml=tuple((errors * grid.voxel_mm3 / 1000).tolist()),
        slice_mm=grid.spacing[2],
        slices=_profile(uncertainty[where], band, where[0].start, proposed.shape[0]),
        empty=box is None,
    )


def _expected(proposed: NDArray[np.bool_], probability: Floats, near: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Per slice, the voxels that are expected to be the organ: of what is proposed, and of what is near and is not."""
    inside = np.where(proposed, probability, 0).sum(axis=(1, 2), dtype=float)
    counts = near & ~proposed & (probability >= LEAST)
    return inside, np.where(counts, probability, 0).sum(axis=(1, 2), dtype=float)


def _round(proposed: NDArray[np.bool_], grid: Grid) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """:func:`boundary_band`, and what is near: within 10 mm of the proposal or next to it, and the proposal itself."""
    distance = distance_mm(proposed, grid.spacing[::-1])
    outer = _outer_rim(proposed)
    return _band(proposed, distance, outer), proposed | (distance <= NEAR_MM) | outer


def boundary_band(proposed: NDArray[np.bool_], grid: Grid) -> NDArray[np.bool_]:
    """Voxels within 3 mm of the border of a mask, and those on both sides of it however thick the slices are.

    Args:
        proposed: (k, j, i) bool, not empty; may be a piece of the volume. Where it ends, the organ does not.
        grid: the image's; only its spacing counts.
    """
    return _band(proposed, distance_mm(proposed, grid.spacing[::-1]), _outer_rim(proposed))


def _band(proposed: NDArray[np.bool_], distance: Floats, outer_rim: NDArray[np.bool_]) -> NDArray[np.bool_]:
    inner_rim = proposed & ~eroded(proposed, outside=True)
    return np.asarray((distance <= BAND_MM) | inner_rim | outer_rim)


def _outer_rim(proposed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(~proposed & ~eroded(~proposed, outside=True))


def _nearest_to_a_proposal(uncertainty: Floats) -> NDArray[np.bool_]:
    """Voxels at least half as uncertain as the most uncertain one; none where nothing is uncertain."""
    highest = float(uncertainty.max(initial=0))
    return np.asarray(uncertainty >= highest / 2) if highest > 0 else np.zeros(uncertainty.shape, bool)


def _profile(uncertainty: Floats, band: NDArray[np.bool_], first: int, depth: int) -> tuple[float, ...]:
    """Mean uncertainty of the band per slice of the whole volume."""
    counts = band.sum(axis=(1, 2))
    sums = np.where(band, uncertainty, 0).sum(axis=(1, 2), dtype=float)
    means = np.divide(sums, counts, out=np.zeros(len(counts)), where=counts > 0)
    profile = np.zeros(depth)
    profile[first : first + len(means)] = means
    return tuple(profile.tolist())


def _parts(proposed: NDArray[np.bool_], grid: Grid) -> tuple[int, float]:
    sizes = np.bincount(numbered_parts(proposed).ravel())[1:]
    counts = (sizes * grid.voxel_mm3 / 1000 >= PART_ML) | (sizes >= PART_SHARE * sizes.sum())
    return int(counts.sum()), float(sizes.max() / sizes.sum())
