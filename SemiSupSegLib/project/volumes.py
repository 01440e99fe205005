"""Volumes: how large the labels are where people finished them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .annotation import State
from .labels import LabelSet
from .paths import inside

if TYPE_CHECKING:
    from .cases import Case

__all__ = ["complete_volumes"]


def complete_volumes(cases: Sequence[Case], label_set: LabelSet, name: str) -> list[float]:
    """Volumes in ml of a label in all cases where it is complete, those without a voxel left out."""
    complete = [c for c in cases if c.annotation(name).state is State.COMPLETE and c.labels_file]
    volumes = [_volumes(inside(c.folder, str(c.labels_file)), label_set).get(name, 0.0) for c in complete]
    return [volume for volume in volumes if volume > 0]


@lru_cache(maxsize=16_384)
def _volumes(labels_file: Path, label_set: LabelSet) -> dict[str, float]:
    """Volumes in ml of the labels in a file. Label files are never overwritten, so a path stands for its content."""
    from .labelmaps import load_labels

    layers, grid = load_labels(labels_file, label_set)
    counts = [np.bincount(layer.ravel(), minlength=len(label_set) + 1) for layer in layers]
    places = zip(label_set.names, label_set.places, strict=True)
    return {name: float(counts[place.layer][place.value]) * grid.voxel_mm3 / 1000 for name, place in places}
