"""Signed distance maps: how far each voxel is from a label's surface, negative inside.

Two scales. :func:`distance_maps` is ours: millimetres on the whole volume, made once a case, so that a voxel has the
same target in every crop. :func:`crop_distance` is the paper's: per crop, in voxels, inside and outside scaled apart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..project.annotation import label_mask
from ..project.boxes import bounding_box, grown
from ..project.geometry import Grid, array_xyz, image_from_xyz
from ..project.labels import LabelSet
from .cache import Cache, Made, StoredArray
from .prepared import PreparedCase

__all__ = [
    "crop_distance",
    "crop_distances",
    "distance_maps",
    "distance_to",
    "inner_boundary",
    "signed_distance",
    "with_distance",
]

VERSION = 1


def with_distance(case: PreparedCase, tau: float, cache: Cache | None = None) -> PreparedCase:
    """The case with its :func:`distance_maps`, to be cut into patches with the rest; unchanged when no label of it is
    annotated."""
    if not case.annotated.any():
        return case
    return replace(case, arrays={**case.arrays, "distance": distance_maps(case, tau, cache)})


def distance_maps(case: PreparedCase, tau: float, cache: Cache | None = None) -> StoredArray | NDArray[np.float16]:
    """Signed distance of every label of a case, (K, X, Y, Z) float16 in [-1, 1]; see :func:`signed_distance`.

    Args:
        case: a label that is not annotated there has +1 everywhere, which means nothing: weigh it with 0.
        tau: millimetres at which the distance is clipped, above 0.
        cache: keeps the result on disk; without it, or for a case in memory, it is computed at each call.
    """

    def make() -> Made:
        """All labels' maps, for the cache."""
        labels = np.asarray(case.labels)
        masks = (label_mask(labels, case.label_set, k) for k in range(len(case.label_set)))
        maps = np.empty((len(case.label_set), *case.shape), np.float16)
        for k, mask in enumerate(masks):
            maps[k] = signed_distance(mask, case.grid.spacing, tau)
        return {"distance": maps}, {}

    if cache is None or not case.key:
        return make()[0]["distance"]
    stored = cache.entry("distance", {"version": VERSION, "labels": case.key, "tau": tau}, make).array("distance")
    assert stored is not None
    return stored


def signed_distance(mask: NDArray[np.bool_], spacing: tuple[float, float, float], tau: float) -> NDArray[np.float32]:
    """Distance in mm to the nearest voxel of the mask's border, negative inside, clipped at tau and divided by it.

    Border voxels, which are 0, are those of the mask with one of their 26 neighbours outside it (SimpleITK's
    SignedMaurerDistanceMap); the volume's edge is no border.

    Args:
        mask: (X, Y, Z).
        spacing: millimetres along X, Y, Z.
        tau: millimetres, above 0.

    Returns:
        (X, Y, Z) in [-1, 1]; +1 everywhere for an empty mask, -1 everywhere for a full one.
    """
    if not mask.any():
        return np.ones(mask.shape, np.float32)
    if mask.all():
        return np.full(mask.shape, -1, np.float32)
    box = bounding_box(mask)
    assert box is not None
    near = grown(box, [int(tau / mm) + 1 for mm in spacing], mask.shape)  # further out it is clipped
    result = np.ones(mask.shape, np.float32)
    result[near] = np.clip(_maurer(mask[near], spacing) / tau, -1, 1)
    return result


def distance_to(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> NDArray[np.float32]:
    """Distance in mm from each voxel to the nearest one of a mask, 0 in it.

    Args:
        mask: (X, Y, Z), not empty.
        spacing: millimetres along X, Y, Z.
    """
    if mask.all():
        return np.zeros(mask.shape, np.float32)
    return np.maximum(_maurer(mask, spacing), 0)


def crop_distances(
    labels: NDArray[np.integer], label_set: LabelSet, annotated: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """:func:`crop_distance` of every label of a crop.

    Args:
        labels: (L, X, Y, Z) layers of :attr:`LabelSet.places`.
        label_set: the project's labels.
        annotated: (K,) bool; a label that is not has +1 everywhere, which means nothing: weigh it with 0.

    Returns:
        (K, X, Y, Z) in [-1, 1].
    """
    maps = np.ones((len(label_set), *labels.shape[1:]), np.float32)
    for k in np.flatnonzero(annotated):
        maps[k] = crop_distance(label_mask(labels, label_set, int(k)))
    return maps


def crop_distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The distance target of one crop as SASSNet published it (Li, Zhang, He, MICCAI 2020; the authors' code).

    Z = d_out / max(d_out) - d_in / max(d_in), d_out and d_in the Euclidean distances in voxels from the mask and from
    its complement; 0 on the mask's inner boundary. The target of a voxel depends on the crop.

    Args:
        mask: (X, Y, Z).

    Returns:
        (X, Y, Z) in [-1, 1]; 0 everywhere for an empty mask, as published. For a full mask, where the published code
        divides 0 by 0, it is -1 everywhere.
    """
    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    if mask.all():
        return np.full(mask.shape, -1, np.float32)
    voxels = (1.0, 1.0, 1.0)
    outside = np.maximum(_maurer(mask, voxels), 0)
    inside = np.maximum(_maurer(~mask, voxels), 0)  # to the nearest voxel of the complement, not to the mask's border
    scaled = outside / outside.max() - inside / inside.max()
    scaled[inner_boundary(mask)] = 0
    return np.asarray(scaled, np.float32)


def inner_boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels of the mask with a face neighbour that is not in it; the volume's edge is no neighbour.

    What ``skimage.segmentation.find_boundaries(mask, mode="inner")`` gives.
    """
    core = mask.copy()
    for axis in range(mask.ndim):
        ahead = [slice(None)] * mask.ndim
        behind = list(ahead)
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        core[tuple(ahead)] &= mask[tuple(behind)]
        core[tuple(behind)] &= mask[tuple(ahead)]
    return mask & ~core


def _maurer(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> NDArray[np.float32]:
    """Signed distance (X, Y, Z) float32 of a mask that is neither empty nor full."""
    import SimpleITK as sitk  # noqa: N813  everybody's name for it

    image = image_from_xyz(mask, Grid(mask.shape, spacing))
    distance = sitk.SignedMaurerDistanceMap(  # type: ignore[no-untyped-call]
        image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    return array_xyz(distance)
