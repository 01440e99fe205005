"""The grid that cases are resampled to for training: as coarse as the labels allow, which is what time buys most with.

A network that sees most of the body in every patch learns where organs lie; on a fine grid a patch of the same cost
sees a corner of it. So a typical volume gets ``Preset.voxels``, and more, up to ``Preset.most_voxels``, where the
smallest label would otherwise have too few to have a shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..config import Preset
from ..project.cases import Case
from ..project.geometry import ras_extent
from ..project.labels import LabelSet
from ..project.volumes import complete_volumes, sliced_volumes

__all__ = ["median_extent", "training_spacing"]

VOXELS_OF_A_LABEL = 1000
"""That the smallest label should have: about 12 across."""
LOOKED_AT = 16
"""Cases whose labels are measured at most, spread over all of them."""


def median_extent(cases: Sequence[Case]) -> np.ndarray[Any, Any]:
    """(3,) median size in mm along X, Y, Z (RAS)."""
    return np.asarray(np.median([ras_extent(case.grid())[0] for case in cases], axis=0))


def training_spacing(cases: Sequence[Case], label_set: LabelSet, preset: Preset) -> tuple[float, float, float]:
    """mm along X, Y, Z: the cases' median, made coarser, finest axes first, until a typical volume has no more voxels
    than wanted.

    Args:
        cases: with any annotation, at least one.
        label_set: the project's.
        preset: how many voxels a typical volume should and may have.
    """
    extent = median_extent(cases)
    finest = np.median([ras_extent(case.grid())[1] for case in cases], axis=0)
    wanted = _wanted_voxels(float(np.prod(extent)), cases, label_set, preset)

    def voxels(floor: float) -> float:
        return float(np.prod(extent / np.maximum(finest, floor)))

    low, high = float(finest.min()), float(extent.max())
    if voxels(low) <= wanted:
        high = low
    for _ in range(40):  # bisection on the smallest spacing that any axis may have
        middle = (low + high) / 2
        low, high = (middle, high) if voxels(middle) > wanted else (low, middle)
    x, y, z = (round(float(v), 3) for v in np.maximum(finest, high))
    return x, y, z


def _wanted_voxels(volume_mm3: float, cases: Sequence[Case], label_set: LabelSet, preset: Preset) -> float:
    """Voxels of a typical volume at which the smallest label has enough of them, within the preset's bounds; the
    most where nobody finished any label, nor two slices of one (strokes do not tell how large an organ is)."""
    measured = cases[:: -(-len(cases) // LOOKED_AT)]
    sizes = [
        complete_volumes(measured, label_set, name) or sliced_volumes(measured, label_set, name)
        for name in label_set.names
    ]
    medians = [float(np.median(found)) for found in sizes if found]
    if not medians:
        return preset.most_voxels
    enough = volume_mm3 / (1000 * min(medians)) * VOXELS_OF_A_LABEL
    return min(max(enough, preset.voxels), preset.most_voxels)
