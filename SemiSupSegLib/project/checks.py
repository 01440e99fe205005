"""What is refused before a case changes, in one sentence each: arrays and statements that do not fit the image."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, ProjectError
from .annotation import Annotation, Region, RegionKind, State
from .geometry import Grid
from .labels import LabelSet

__all__ = ["check_annotations", "check_layers", "check_mask"]


def check_layers(labels: NDArray[np.integer[Any]], label_set: LabelSet, grid: Grid, *, where: str) -> None:
    """Refuse layers that do not fit the image or hold a value that is no label.

    Raises:
        ImageError: another shape than (L, k, j, i) of the grid.
        ProjectError: a value without a label.
    """
    wanted = (label_set.n_layers, *grid.shape)
    if labels.shape != wanted or labels.dtype.kind not in "ui":
        msg = f"{where}: expected whole-number layers of shape {wanted}, found {labels.dtype} {labels.shape}"
        raise ImageError(msg)
    for layer in range(label_set.n_layers):
        highest = sum(place.layer == layer for place in label_set.places)
        low, high = int(labels[layer].min(initial=0)), int(labels[layer].max(initial=0))
        if low < 0 or high > highest:
            msg = f"{where}: layer {layer} may hold 0 to {highest}, found {low} to {high}: a value without a label"
            raise ProjectError(msg)


def check_mask(mask: NDArray[np.bool_], grid: Grid, *, where: str) -> None:
    """Refuse a region or ignore mask that is not boolean or not on the image's grid.

    Raises:
        ImageError: one sentence with both shapes.
    """
    if mask.shape != grid.shape or mask.dtype != bool:
        msg = f"{where}: expected a boolean volume of shape {grid.shape}, found {mask.dtype} {mask.shape}"
        raise ImageError(msg)


def check_annotations(
    said: Mapping[str, Annotation],
    label_set: LabelSet,
    grid: Grid,
    *,
    painted: Callable[[str], int],
    files: Collection[str],
    where: str,
) -> None:
    """Refuse statements that name no label, reach outside the volume, or contradict the painted voxels.

    Args:
        said: by label name.
        label_set: the project's labels.
        grid: the image's grid.
        painted: number of voxels that carry a label.
        files: the stroke files there are.
        where: for messages.

    Raises:
        ProjectError: one sentence.
    """
    for name, annotation in said.items():
        if (ours := label_set.names[label_set.index(name)]) != name:
            msg = f"{where}: write the label as the project does, {ours!r}, not {name!r}"
            raise ProjectError(msg)
        for region in annotation.regions:
            _check_region(region, grid, files, where=f"{where}, {name}")
        if annotation.state is State.ABSENT and (voxels := painted(name)):
            msg = f"{where}: {name} cannot be absent while {voxels} voxels carry it"
            raise ProjectError(msg)


def _check_region(region: Region, grid: Grid, files: Collection[str], *, where: str) -> None:
    if region.kind is RegionKind.STROKES and region.file not in files:
        msg = f"{where}: its stroke file {region.file!r} is not in the case"
        raise ProjectError(msg)
    if region.kind is RegionKind.BOX and len(region.ranges) != 3:
        msg = f"{where}: a box needs 3 ranges (k, j, i), found {len(region.ranges)}"
        raise ProjectError(msg)
    if region.kind is RegionKind.SLICES and not region.ranges:
        msg = f"{where}: a region of slices needs at least one range first:last"
        raise ProjectError(msg)
    sizes = grid.shape if region.kind is RegionKind.BOX else (grid.shape[0],) * len(region.ranges)
    for (first, last), size in zip(region.ranges, sizes, strict=True):
        if not 0 <= first <= last < size:
            msg = f"{where}: expected a range within 0:{size - 1}, found {first}:{last}"
            raise ProjectError(msg)
