"""Whether what is annotated looks the same in a mirror: names alone do not tell.

A heart has a left and a right ventricle, an abdomen two kidneys, and neither is symmetric: trained on their mirror
images, a network learns bodies that nobody has. So labels are mirrored, sides exchanged, and laid over themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.mirror import Mirror, value_tables
from ..project.cases import Case
from ..project.geometry import array_xyz, image_from_kji, to_ras
from ..project.labels import LabelSet

__all__ = ["agreement", "is_symmetric"]

ENOUGH = 0.5
"""Share of the labelled voxels that agree with their mirror image, from which on a body is symmetric: brains have 0.57,
pelves 0.6 to 0.8, hearts 0.36, abdomens 0.25 (``Testing/benchmarks/bench_symmetry.py``)."""
LOOKED_AT = 4
"""Cases that are measured at most."""
COARSE = 64
"""Voxels along the longest axis that are looked at."""
PLANE = 0.1
"""Share of the volume's width by which the plane of symmetry may lie beside the middle of the labels."""


def is_symmetric(cases: Sequence[Case], label_set: LabelSet) -> bool:
    """Whether cases may be mirrored for training, left and right labels exchanged.

    Args:
        cases: of the project; only those in which some label is complete say anything.
        label_set: the project's labels.

    Returns:
        False, too, where no case says anything.
    """
    found = [
        share for case in cases[:: -(-len(cases) // LOOKED_AT) or 1] if (share := _of_case(case, label_set)) is not None
    ]
    return bool(found) and float(np.mean(found)) >= ENOUGH


def _of_case(case: Case, label_set: LabelSet) -> float | None:
    if case.labels_file is None:
        return None
    whole = [case.annotation(name).everywhere for name in label_set.names]
    grid = case.grid()
    layers = np.stack([array_xyz(to_ras(image_from_kji(a, grid))) for a in case.labels(label_set)])
    return agreement(layers, label_set, whole)


def agreement(layers: NDArray[np.integer[Any]], label_set: LabelSet, whole: Sequence[bool]) -> float | None:
    """How much of the labels is where their mirrored counterparts are, at the plane where most is.

    Args:
        layers: (L, X, Y, Z), X from left to right or right to left.
        label_set: what they mean.
        whole: for each label, whether it is known everywhere.

    Returns:
        0 to 1; None without a voxel of a label that is known everywhere together with its counterpart.
    """
    step = max(max(layers.shape[1:]) // COARSE, 1)
    layers, mirror = layers[:, ::step, ::step, ::step], Mirror(label_set)
    counted = [o is not None and whole[c] and whole[o] for c, o in enumerate(mirror.others)]
    others = [o if use else None for o, use in zip(mirror.others, counted, strict=True)]
    swapped = np.stack([t[a] for t, a in zip(value_tables(label_set, others), layers, strict=True)])
    there = swapped > 0
    columns = np.flatnonzero(there.any(axis=(0, 2, 3)))
    if not len(columns):
        return None
    own = np.where(there, layers, 0)
    middle, room = int(columns[0] + columns[-1]), max(round(2 * PLANE * layers.shape[1]), 1)
    return max(_agreeing(own, swapped, plane) for plane in range(middle - room, middle + room + 1)) / int(there.sum())


def _agreeing(own: NDArray[np.integer[Any]], swapped: NDArray[np.integer[Any]], plane: int) -> int:
    """Labelled voxels x that have the label which the exchanged ones have at plane - x."""
    width = own.shape[1]
    low, high = max(plane - width + 1, 0), min(plane, width - 1)
    here, there = own[:, low : high + 1], swapped[:, low : high + 1][:, ::-1]
    return int(((here == there) & (here > 0)).sum())
