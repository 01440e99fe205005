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
FEW = 0.25
"""A slice whose piece of the band has less than this share of the median slice's voxels is not called the worst one:
the tip of an organ is always uncertain."""

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
    worst_slice: int
    """k on the image's own grid."""
    slices: tuple[float, ...]
    """Mean predictive entropy of the band in each slice k; 0 where the band does not reach."""
    empty: bool

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**asdict(self), "slices": [round(s, 4) for s in self.slices]}


def numbers(
    proposed: NDArray[np.bool_], probability: Floats, uncertainty: Floats, mutual: Floats, grid: Grid
) -> Numbers:
    """Measure a proposal.

    Args:
        proposed: (k, j, i) bool on the image's own grid.
        probability: (k, j, i) of this label; only the proposed voxels are looked at.
        uncertainty: (k, j, i) predictive entropy, [0, 1].
        mutual: (k, j, i) mutual information, [0, 1].
        grid: the image's.
    """
    box = bounding_box(proposed)
    if box is None:
        band, where = _nearest_to_a_proposal(uncertainty), tuple(slice(0, n) for n in proposed.shape)
    else:
        where = grown(box, 1 + BAND_MM / np.array(grid.spacing[::-1]), proposed.shape)
        band = boundary_band(proposed[where], grid)
    u, m = uncertainty[where][band], mutual[where][band]
    slices, worst = _profile(uncertainty[where], band, where[0].start, proposed.shape[0])
    voxels = int(proposed.sum())
    parts, largest = (0, 0.0) if box is None else _parts(proposed[box], grid)
    return Numbers(
        voxels=voxels,
        volume_ml=voxels * grid.voxel_mm3 / 1000,
        confidence=0.0 if box is None else float(probability[box][proposed[box]].mean(dtype=float)),
        uncertainty_boundary=float(u.mean(dtype=float)) if u.size else 0.0,
        mutual_information_boundary=float(m.mean(dtype=float)) if m.size else 0.0,
        parts=parts,
        largest_part=largest,
        worst_slice=worst,
        slices=slices,
        empty=box is None,
    )


def boundary_band(proposed: NDArray[np.bool_], grid: Grid) -> NDArray[np.bool_]:
    """Voxels within 3 mm of the border of a mask, and those on both sides of it however thick the slices are.

    Args:
        proposed: (k, j, i) bool, not empty; may be a piece of the volume. Where it ends, the organ does not.
        grid: the image's; only its spacing counts.
    """
    near = distance_mm(proposed, grid.spacing[::-1]) <= BAND_MM
    inner_rim = proposed & ~eroded(proposed, outside=True)
    outer_rim = ~proposed & ~eroded(~proposed, outside=True)
    return np.asarray(near | inner_rim | outer_rim)


def _nearest_to_a_proposal(uncertainty: Floats) -> NDArray[np.bool_]:
    """Voxels at least half as uncertain as the most uncertain one; none where nothing is uncertain."""
    highest = float(uncertainty.max(initial=0))
    return np.asarray(uncertainty >= highest / 2) if highest > 0 else np.zeros(uncertainty.shape, bool)


def _profile(uncertainty: Floats, band: NDArray[np.bool_], first: int, depth: int) -> tuple[tuple[float, ...], int]:
    """Mean uncertainty of the band per slice of the whole volume, and the worst slice."""
    counts = band.sum(axis=(1, 2))
    sums = np.where(band, uncertainty, 0).sum(axis=(1, 2), dtype=float)
    means = np.divide(sums, counts, out=np.zeros(len(counts)), where=counts > 0)
    profile = np.zeros(depth)
    profile[first : first + len(means)] = means
    if not counts.any():
        return tuple(profile.tolist()), 0
    enough = counts >= FEW * np.median(counts[counts > 0])
    return tuple(profile.tolist()), first + int(np.where(enough, means, -1.0).argmax())


def _parts(proposed: NDArray[np.bool_], grid: Grid) -> tuple[int, float]:
    sizes = np.bincount(numbered_parts(proposed).ravel())[1:]
    counts = (sizes * grid.voxel_mm3 / 1000 >= PART_ML) | (sizes >= PART_SHARE * sizes.sum())
    return int(counts.sum()), float(sizes.max() / sizes.sum())
