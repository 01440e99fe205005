"""CaseContent: what the files of a case hold, made ready for the scene. Reading it may be a thread's work: no MRML."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SemiSupSegLib.project.boxes import Box, bounding_box, within
from SemiSupSegLib.project.cases import Case
from SemiSupSegLib.project.geometry import Grid
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.session.left_out import LeftOut
from SemiSupSegLib.session.painting import held_channels

__all__ = ["CaseContent", "Parts", "partsOf", "readCase"]

CUT_OFF = 0.1
"""Percent of the voxels at either end that the first window makes black or white; Slicer's own."""
SAMPLE = 2e6

Parts = dict[int, tuple[Box, NDArray[np.integer[Any]]]]
"""By layer: the box (k, j, i) that holds all its labels, and the voxels in it; a layer without a voxel is not in it."""


@dataclass(frozen=True)
class CaseContent:
    """One case as it is on the disk."""

    case: Case
    labelSet: LabelSet
    grid: Grid
    layers: NDArray[np.integer[Any]]
    """(L, k, j, i)."""
    parts: Parts
    held: dict[int, bool]
    """Which labels the layers hold, by channel."""
    image: Any | None
    """The volume (SimpleITK), where it was asked for."""
    window: tuple[float, float]
    """Intensities that are black and white at first; Slicer itself would look at every voxel in the user's time."""
    leftOut: LeftOut | None
    """What is excluded from training; None for nothing."""

    @property
    def voxels(self) -> NDArray[Any]:
        """(k, j, i) of the image, a view of it."""
        return np.asarray(sitk.GetArrayViewFromImage(self.image))


def readCase(case: Case, labelSet: LabelSet, *, withImage: bool, layers: Any | None = None) -> CaseContent:
    """Read a case.

    Args:
        case: the case.
        labelSet: the project's labels.
        withImage: whether its volume is wanted as well.
        layers: (L, k, j, i), when they were read before.

    Raises:
        ImageError: a file of the case is damaged.
        ProjectError: the labels do not fit the label set.
    """
    found = case.labels(labelSet) if layers is None else layers
    parts, held, leftOut = partsOf(found, labelSet), held_channels(labelSet, found), LeftOut.of(case)
    if not withImage:
        return CaseContent(case, labelSet, case.grid(), found, parts, held, None, (0.0, 1.0), leftOut)
    image = case.image()
    window = _window(sitk.GetArrayViewFromImage(image))
    return CaseContent(case, labelSet, Grid.of(image), found, parts, held, image, window, leftOut)


def partsOf(layers: NDArray[np.integer[Any]], labelSet: LabelSet, only: Iterable[str] | None = None) -> Parts:
    """Cut layers to what they hold of labels.

    Args:
        layers: (L, k, j, i) in the order of ``labelSet.places``.
        labelSet: what the values mean.
        only: names of the labels that are wanted; None for all.
    """
    wanted = labelSet.names if only is None else [labelSet.names[labelSet.index(name)] for name in only]
    places = [place for name, place in zip(labelSet.names, labelSet.places, strict=True) if name in wanted]
    parts: Parts = {}
    for layer in {place.layer for place in places}:
        box = bounding_box(layers[layer] != 0)
        if box is None:
            continue
        values = [place.value for place in places if place.layer == layer]
        voxels = np.where(np.isin(layers[layer][box], values), layers[layer][box], 0)
        own = bounding_box(voxels != 0)
        if own is not None:
            parts[layer] = (within(box, own), np.ascontiguousarray(voxels[own]))
    return parts


def _window(voxels: NDArray[Any]) -> tuple[float, float]:
    step = max(1, round((voxels.size / SAMPLE) ** (1 / 3)))
    low, high = np.percentile(voxels[::step, ::step, ::step], (CUT_OFF, 100 - CUT_OFF))
    return float(low), float(max(high, low + 1e-6))
