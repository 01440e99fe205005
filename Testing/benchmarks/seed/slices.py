"""Slices side by side: an image with the outlines of labels, as each of several label folders has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from SemiSupSegLib.engine.reference import LabelFolder
from SemiSupSegLib.project.images import read_volume

from .plots import plt, save

GREY = (1, 99)
"""Percentiles of the slice that are black and white."""


@dataclass(frozen=True)
class Panel:
    """One picture."""

    title: str
    grey: NDArray[np.floating]
    """(rows, columns), the head of the patient or the front above."""
    labels: list[NDArray[np.bool_]]
    """One mask of the same shape a label, in the order of the data set."""


def slice_of(
    image: Path, folder: Path, case: str, k: int | None
) -> tuple[int, NDArray[np.floating], list[NDArray[np.bool_]]]:
    """A slice along the coarsest axis of the image: its number, grey values, and the labels of a folder.

    Args:
        image: of the case.
        folder: with label files.
        case: name of the file there.
        k: which slice; None: the one that shows most of the labels.
    """
    volume = sitk.DICOMOrient(read_volume(image), "LPS")  # k to the head, j to the back
    across = int(np.argmax(volume.GetSpacing()))
    axis = 2 - across
    names = LabelFolder(folder).read(case).names or ()
    masks = [_turned(LabelFolder(folder).read(case).mask(name), read_volume(image)) for name in names]
    if k is None:
        rest = tuple(a for a in range(3) if a != axis)
        k = int(np.sum([mask.sum(axis=rest) for mask in masks], axis=0).argmax())
    grey = _upright(np.take(sitk.GetArrayFromImage(volume), k, axis), axis)
    return k, grey, [_upright(np.take(mask, k, axis), axis) for mask in masks]


def _turned(mask: NDArray[np.bool_], image: sitk.Image) -> NDArray[np.bool_]:
    """A mask on the image's own grid, turned as the image is."""
    found = sitk.GetImageFromArray(mask.astype(np.uint8))
    found.CopyInformation(image)
    return sitk.GetArrayFromImage(sitk.DICOMOrient(found, "LPS")) > 0


def _upright(values: NDArray, axis: int) -> NDArray:
    """Rows of a coronal or sagittal slice begin at the head."""
    return values if axis == 0 else values[::-1]


def panels(shown: list[Panel], path: Path, caption: str) -> None:
    """Draw them in a row, each label in a colour of its own."""
    tallest = max(rows / columns for rows, columns in (panel.grey.shape for panel in shown))
    size = (3.0 * len(shown), 3.0 * tallest + 0.8)  # no rim: above are two lines of title, below is the caption
    figure, axes = plt.subplots(1, len(shown), figsize=size, squeeze=False)
    for axis, panel in zip(axes[0], shown, strict=True):
        low, high = np.percentile(panel.grey, GREY)
        axis.imshow(panel.grey, cmap="gray", vmin=low, vmax=high)
        for number, mask in enumerate(panel.labels):
            if mask.any():
                axis.contour(mask, levels=[0.5], colors=[f"C{number % 10}"], linewidths=1.2)
        axis.set_title(panel.title, fontsize=7)
        axis.set_xticks([])
        axis.set_yticks([])
    save(figure, path, caption)
