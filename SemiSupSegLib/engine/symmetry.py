"""Whether what is annotated looks the same in a mirror: names alone do not tell, and nor do labels.

A heart has a left and a right ventricle, an abdomen two kidneys, and a liver alone is nearly as wide on one side of its
own middle as on the other: none of these bodies is symmetric, and trained on their mirror images a network learns
bodies that nobody has. So labels are mirrored, sides exchanged, and laid over themselves; and the image has to look the
same there, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.mirror import Mirror, value_tables
from ..project.boxes import bounding_box, grown
from ..project.cases import Case
from ..project.geometry import Grid, array_xyz, image_from_kji, resample, to_ras, training_grid
from ..project.labels import LabelSet

__all__ = ["Symmetry", "is_symmetric", "symmetry", "symmetry_of"]

ENOUGH = 0.5
"""Share of the labelled voxels that must agree with their mirror image, as a mean over cases."""
ALIKE = 0.85
"""Correlation that the image must have with its mirror image. Brains have 0.95 and more, pelves 0.75, abdomens, hearts
and atria 0.3 to 0.6, whatever is annotated of them (``Testing/benchmarks/bench_symmetry.py``)."""
LOOKED_AT = 4
"""Cases that are measured at most."""
COARSE = 64
"""Voxels along the longest axis that are looked at."""
PLANE = 0.1
"""Share of the volume's width by which the plane of symmetry may lie beside the middle of the labels."""
AROUND = 4
"""Voxels around the labels, on the coarse grid, in which images are compared."""


@dataclass(frozen=True)
class Symmetry:
    """How alike a case is to its mirror image, at the plane where most labels agree."""

    labels: float
    """Share of the labelled voxels whose mirrored counterparts lie there, 0 to 1."""
    image: float
    """Correlation of the image with its mirror image in the labels' box, -1 to 1; 0 for an image without contrast."""


def is_symmetric(cases: Sequence[Case], label_set: LabelSet) -> bool:
    """Whether cases may be mirrored for training, left and right labels exchanged.

    Args:
        cases: of the project; only those in which some label is complete say anything.
        label_set: the project's labels.

    Returns:
        False, too, where no case says anything.
    """
    if not any(other is not None for other in Mirror(label_set).others):
        return False
    measured = (_of_case(case, label_set) for case in cases[:: -(-len(cases) // LOOKED_AT) or 1])
    found = [each for each in measured if each is not None]
    labels, images = ([each.labels for each in found], [each.image for each in found])
    return bool(found) and float(np.mean(labels)) >= ENOUGH and float(np.mean(images)) >= ALIKE


def _of_case(case: Case, label_set: LabelSet) -> Symmetry | None:
    whole = [case.annotation(name).everywhere for name in label_set.names]
    if case.labels_file is None or not any(whole):
        return None
    return symmetry_of(case.image(), case.labels(label_set), label_set, whole)


def symmetry_of(
    image: Any, labels: NDArray[np.integer[Any]], label_set: LabelSet, whole: Sequence[bool]
) -> Symmetry | None:
    """:func:`symmetry` of an image (SimpleITK, any orientation) and its labels (L, k, j, i)."""
    own, image = Grid.of(image), to_ras(image)
    edge = max(size * mm for size, mm in zip(own.size, own.spacing, strict=True)) / COARSE
    grid = training_grid(Grid.of(image), (edge, edge, edge))
    layers = [array_xyz(resample(to_ras(image_from_kji(layer, own)), grid, linear=False)) for layer in labels]
    return symmetry(array_xyz(resample(image, grid, linear=True)), np.stack(layers), label_set, whole)


def symmetry(
    image: NDArray[np.floating[Any]], layers: NDArray[np.integer[Any]], label_set: LabelSet, whole: Sequence[bool]
) -> Symmetry | None:
    """How alike a volume is to its mirror image.

    Args:
        image: (X, Y, Z), X from left to right or right to left.
        layers: (L, X, Y, Z).
        label_set: what they mean.
        whole: for each label, whether it is known everywhere.

    Returns:
        None without a voxel of a label that is known everywhere together with its counterpart.
    """
    mirror = Mirror(label_set)
    counted = [o is not None and whole[c] and whole[o] for c, o in enumerate(mirror.others)]
    others = [o if use else None for o, use in zip(mirror.others, counted, strict=True)]
    swapped = np.stack([t[a] for t, a in zip(value_tables(label_set, others), layers, strict=True)])
    there = np.asarray(swapped > 0)
    box = bounding_box(np.asarray(there.any(axis=0)))
    if box is None:
        return None
    own, width = np.where(there, layers, 0), layers.shape[1]
    middle, room = box[0].start + box[0].stop - 1, max(round(2 * PLANE * width), 1)
    agreeing = {plane: _agreeing(own, swapped, plane) for plane in range(middle - room, middle + room + 1)}
    plane = max(agreeing, key=lambda each: agreeing[each])
    _, y, z = grown(box, AROUND, image.shape)
    half = max(plane - 2 * (box[0].start - AROUND), 2 * (box[0].stop - 1 + AROUND) - plane)  # of twice the distance
    low, high = _columns(plane, width)
    low, high = max(low, (plane - half) // 2), min(high, (plane + half) // 2)
    return Symmetry(agreeing[plane] / int(there.sum()), _likeness(image[low : high + 1, y, z]))


def _agreeing(own: NDArray[np.integer[Any]], swapped: NDArray[np.integer[Any]], plane: int) -> int:
    """Labelled voxels x that have the label which the exchanged ones have at plane - x."""
    low, high = _columns(plane, own.shape[1])
    here, there = own[:, low : high + 1], swapped[:, low : high + 1][:, ::-1]
    return int(((here == there) & (here > 0)).sum())


def _columns(plane: int, width: int) -> tuple[int, int]:
    """First and last x for which plane - x is in the volume, too."""
    return max(plane - width + 1, 0), min(plane, width - 1)


def _likeness(image: NDArray[np.floating[Any]]) -> float:
    """Correlation with the image turned round along X."""
    here, there = image.ravel().astype(float), image[::-1].ravel().astype(float)
    return float(np.corrcoef(here, there)[0, 1]) if here.size > 1 and here.std() > 0 else 0.0
