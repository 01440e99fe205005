"""Volumes: how large the labels are where people finished them, as a whole or in slices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .annotation import State
from .labels import LabelSet
from .paths import inside
from .slice_order import finished_slices

if TYPE_CHECKING:
    from .cases import Case

__all__ = ["complete_volumes", "sliced_volumes"]


def complete_volumes(cases: Sequence[Case], label_set: LabelSet, name: str) -> list[float]:
    """Volumes in ml of a label in all cases where it is complete, those without a voxel left out."""
    complete = [c for c in cases if c.annotation(name).state is State.COMPLETE and c.labels_file]
    volumes = [_volumes(inside(c.folder, str(c.labels_file)), label_set).get(name, 0.0) for c in complete]
    return [volume for volume in volumes if volume > 0]


def sliced_volumes(cases: Sequence[Case], label_set: LabelSet, name: str) -> list[float]:
    """About how large a label is, in ml, in all cases where it is finished in two slices or more, and seen in one.

    Between two finished slices its area goes evenly from that of the one to that of the other; beyond the outermost
    ones it ends within the distance to the next.
    """
    place = label_set.places[label_set.index(name)]
    found = []
    for case in cases:
        said = case.annotation(name)
        if said.state is not State.PARTIAL or not case.labels_file:
            continue
        k = np.flatnonzero(finished_slices(said, case.grid().shape[0]))
        if len(k) < 2:
            continue
        own = (case.labels(label_set)[place.layer][k] == place.value).sum(axis=(1, 2))
        areas = np.concatenate([[0], own, [0]])
        gaps = np.diff(np.concatenate([[2 * k[0] - k[1]], k, [2 * k[-1] - k[-2]]]))
        voxels = float((gaps * (areas[1:] + areas[:-1]) / 2).sum())
        found.append(voxels * case.grid().voxel_mm3 / 1000)
    return [volume for volume in found if volume > 0]


@lru_cache(maxsize=16_384)
def _volumes(labels_file: Path, label_set: LabelSet) -> dict[str, float]:
    """Volumes in ml of the labels in a file. Label files are never overwritten, so a path stands for its content."""
    from .labelmaps import load_labels

    layers, grid = load_labels(labels_file, label_set)
    counts = [np.bincount(layer.ravel(), minlength=len(label_set) + 1) for layer in layers]
    places = zip(label_set.names, label_set.places, strict=True)
    return {name: float(counts[place.layer][place.value]) * grid.voxel_mm3 / 1000 for name, place in places}
