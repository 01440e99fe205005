"""Metrics: how far a proposed label is from a reference, with every definition named where a value is shown.

Distances differ between libraries (the same masks gave 4.0 and 2.75 mm), so these are the definitions used here:

* *surface*: voxels of a mask of which at least one of the 6 face neighbours is not in the mask; outside of the image
is not.
* *directed distances* d(A, B): from each surface voxel of A the Euclidean distance in mm, between voxel centres and
with
  the spacing taken into account, to the nearest surface voxel of B.
* *HD95*: the 95th percentile of d(A, B) and d(B, A) pooled (as MedPy's ``hd95``).
* *ASSD*: the mean of the mean of d(A, B) and the mean of d(B, A) (as MedPy's ``assd``).

A value that does not exist is NaN and never 0 or 1: all four where both masks are empty, the distances where one is.

:func:`score_medpy` has the further definitions of the papers that are compared with, by MedPy's names.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..project.boxes import bounding_box, grown
from .surface import distance_mm, eroded

__all__ = ["DEFINITIONS", "MedPyScores", "Scores", "mean_and_deviation", "score", "score_medpy"]

Mask = NDArray[np.bool_]

DEFINITIONS = {
    "dice": "2 |A and B| / (|A| + |B|) over known voxels",
    "jaccard": "|A and B| / |A or B| over known voxels",
    "hd95_mm": "95th percentile of the surface distances of both directions pooled, mm",
    "assd_mm": "mean of the two directed mean surface distances, mm",
}


@dataclass(frozen=True)
class Scores:
    """One label of one case; NaN where a value does not exist."""

    dice: float
    jaccard: float
    hd95_mm: float
    assd_mm: float

    def to_json(self) -> dict[str, float | None]:
        """NaN becomes null: JSON has no NaN, and a program must not take it for 0."""
        return {name: None if math.isnan(value) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class MedPyScores:
    """One label of one case by the definitions of MedPy's ``metric.binary``, which UA-MT, SASSNet and NonAdjLoss use.

    Distances are in the unit of the spacing, voxels without one, and NaN where a mask is empty: MedPy raises an error
    there, and the papers' programs then write 0, which flatters whatever finds nothing.
    """

    dice: float
    jaccard: float
    hd95_medpy: float
    """``hd95``: 95th percentile of the directed distances of both directions pooled."""
    asd_medpy: float
    """``asd(predicted, reference)``: mean of d(predicted, reference) alone. What was missed does not count in it."""
    assd_medpy: float
    """``assd``: mean of ``asd`` of both directions; NonAdjLoss calls it MSD."""
    hd_medpy: float
    """``hd``: largest directed distance of either direction."""


def score_medpy(predicted: Mask, reference: Mask, spacing: tuple[float, ...] | None = None) -> MedPyScores:
    """Compare two masks of the same shape as MedPy does; surfaces are those of :func:`score`.

    Args:
        predicted: bool, any order of axes.
        reference: of the same shape and order.
        spacing: along the arrays' axes; None for distances in voxels, as in the papers.

    Raises:
        ValueError: the shapes differ.
    """
    if predicted.shape != reference.shape:
        msg = f"shapes must agree: {predicted.shape}, {reference.shape}"
        raise ValueError(msg)
    a, b = int(predicted.sum()), int(reference.sum())
    both = int((predicted & reference).sum())
    dice, jaccard = (2 * both / (a + b), both / (a + b - both)) if a or b else (math.nan, math.nan)
    if not a or not b:
        return MedPyScores(dice, jaccard, math.nan, math.nan, math.nan, math.nan)
    there, back = _directed_distances(predicted, reference, spacing or (1.0,) * predicted.ndim, None)
    hd95 = float(np.percentile(np.concatenate([there, back]), 95))
    asd, other = float(there.mean()), float(back.mean())
    return MedPyScores(dice, jaccard, hd95, asd, (asd + other) / 2, float(max(there.max(), back.max())))


def score(predicted: Mask, reference: Mask, spacing: tuple[float, ...], *, known: Mask | None = None) -> Scores:
    """Compare two masks.

    Args:
        predicted: (k, j, i) bool.
        reference: (k, j, i) bool.
        spacing: mm along the arrays' axes, so (k, j, i); Grid's is (i, j, k).
        known: (k, j, i) bool, voxels that count; None for all. The rim of what is known is no surface.

    Raises:
        ValueError: the shapes differ.
    """
    if predicted.shape != reference.shape or (known is not None and known.shape != reference.shape):
        msg = f"shapes must agree: {predicted.shape}, {reference.shape}, {None if known is None else known.shape}"
        raise ValueError(msg)
    if known is not None:
        predicted, reference = predicted & known, reference & known
    a, b = int(predicted.sum()), int(reference.sum())
    if not a and not b:
        return Scores(math.nan, math.nan, math.nan, math.nan)
    both = int((predicted & reference).sum())
    dice, jaccard = 2 * both / (a + b), both / (a + b - both)
    if not a or not b:
        return Scores(dice, jaccard, math.nan, math.nan)
    there, back = _directed_distances(predicted, reference, spacing, known)
    if not there.size or not back.size:  # a mask that fills all that is known has no surface there
        return Scores(dice, jaccard, math.nan, math.nan)
    hd95 = float(np.percentile(np.concatenate([there, back]), 95))
    return Scores(dice, jaccard, hd95, float(there.mean() + back.mean()) / 2)


def mean_and_deviation(values: list[float]) -> tuple[float, float, int]:
    """Mean, sample standard deviation and number of the values that exist; NaN where there are none (none or one)."""
    real = np.array([v for v in values if not math.isnan(v)])
    if not real.size:
        return math.nan, math.nan, 0
    return float(real.mean()), float(real.std(ddof=1)) if real.size > 1 else math.nan, int(real.size)


def _directed_distances(
    predicted: Mask, reference: Mask, spacing: tuple[float, ...], known: Mask | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    box = bounding_box(predicted | reference)
    assert box is not None
    wide = grown(box, 1, predicted.shape)
    a, b = (_surface(mask[wide], None if known is None else known[wide]) for mask in (predicted, reference))
    if not a.any() or not b.any():
        return np.zeros(0), np.zeros(0)
    # The edge of an array is no border for distances, but of a mask that reaches it it is a surface: one voxel more.
    inside = (slice(1, -1),) * a.ndim
    return distance_mm(np.pad(b, 1), spacing)[inside][a], distance_mm(np.pad(a, 1), spacing)[inside][b]


def _surface(mask: Mask, known: Mask | None) -> Mask:
    """Surface voxels of a mask. What is not known is taken as more of the same: the rim of the known is no surface."""
    solid = mask if known is None else mask | ~known
    return mask & ~eroded(solid, outside=False)
