"""Patch: one piece of a prepared case, cut out and deformed; and how patches become a Batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .augment import Deformation, source_voxels
from .batch import Batch
from .prepared import PreparedCase

__all__ = ["Patch", "collate", "cut", "whole"]


@dataclass(frozen=True)
class Patch:
    """What a :class:`Batch` holds of one patch; see there. *S is the patch's size."""

    case: PreparedCase
    image: Tensor
    """(M, *S) float32."""
    labels: Tensor
    """(L, *S) uint8 or int16."""
    region: Tensor | None
    """(R, *S) bool: finished part of the case's R partial labels."""
    valid: Tensor
    """(1, *S) bool."""
    pseudo: Tensor | None
    """(K, *S) bool."""
    sdm: Tensor | None = None
    """(K, *S) float32."""
    implied: Tensor | None = None
    """(K, *S) bool."""


def cut(case: PreparedCase, start: tuple[int, int, int], size: tuple[int, int, int], deformation: Deformation) -> Patch:
    """A patch of a case.

    Beyond the volume the image is ``case.padding``, labels are 0, distances are those of the nearest voxel, and nothing
    is valid. Image and distances are interpolated linearly, all else takes the nearest voxel; a crop takes voxels as
    they are. Distances stay those of the volume where a deformation stretches it.

    Args:
        case: where from.
        start: first voxel of the undeformed patch; it may lie outside the volume.
        size: voxels X, Y, Z of the finished patch; it is cut the other way round before an odd number of quarter turns.
        deformation: see :mod:`.augment`.
    """
    size = deformation.size_before_turns(size)
    if deformation.matrix is None:
        low, high = np.asarray(start, np.int64), np.asarray(start, np.int64) + size
    else:
        voxels = source_voxels(deformation, start, size, case.grid.spacing)
        flat = voxels.reshape(3, -1)
        # One voxel of padding is as good as many: what lies further out is clamped to it.
        low = np.clip(np.floor(flat.amin(1).numpy()).astype(np.int64), -1, case.shape)
        high = np.clip(np.floor(flat.amax(1).numpy()).astype(np.int64) + 2, low + 1, np.asarray(case.shape) + 1)
    patch = _crop(case, low, high)
    if deformation.matrix is not None:
        patch = _resampled(patch, voxels - torch.from_numpy(low.astype(np.float32))[:, None, None, None])
    return _mapped(patch, deformation.turned_and_flipped) if deformation.moves_voxels else patch


def whole(case: PreparedCase) -> Batch:
    """A whole case as a batch of one patch."""
    return collate([cut(case, (0, 0, 0), case.shape, Deformation(None, None, (False, False, False)))])


def collate(patches: Sequence[Patch]) -> Batch:
    """Patches of one size to a batch; ``region`` is None when no label of it is partial, ``pseudo`` when nothing was
    added, ``sdm`` and ``implied`` when no patch has one."""
    label_set = patches[0].case.label_set
    labels = [patch.labels for patch in patches]
    if any(one.dtype != labels[0].dtype for one in labels):
        labels = [one.to(torch.int16) for one in labels]
    every = (len(patches), len(label_set), *patches[0].image.shape[1:])
    region = sdm = None
    if any(patch.region is not None for patch in patches):
        region = torch.zeros(every, dtype=torch.bool)
        for row, patch in zip(region, patches, strict=True):
            if patch.region is not None:
                row[list(patch.case.region_channels)] = patch.region
    if any(patch.sdm is not None for patch in patches):
        sdm = torch.ones(every)
        for row, patch in zip(sdm, patches, strict=True):
            if patch.sdm is not None:
                row[:] = patch.sdm
    return Batch(
        image=torch.stack([patch.image for patch in patches]),
        labels=torch.stack(labels),
        annotated=torch.from_numpy(np.stack([patch.case.annotated for patch in patches])),
        everywhere=torch.from_numpy(np.stack([patch.case.everywhere for patch in patches])),
        region=region,
        valid=torch.stack([patch.valid for patch in patches]),
        pseudo=_stacked([patch.pseudo for patch in patches], every),
        label_set=label_set,
        case_ids=tuple(patch.case.case_id for patch in patches),
        sdm=sdm,
        implied=_stacked([patch.implied for patch in patches], every),
    )


def _stacked(masks: Sequence[Tensor | None], shape: tuple[int, ...]) -> Tensor | None:
    """(B, K, *S) bool, False where a patch has none; None when none has one."""
    if all(mask is None for mask in masks):
        return None
    result = torch.zeros(shape, dtype=torch.bool)
    for row, mask in zip(result, masks, strict=True):
        if mask is not None:
            row[:] = mask
    return result


def _crop(case: PreparedCase, low: NDArray[np.int64], high: NDArray[np.int64]) -> Patch:
    """Voxels from ``low`` to before ``high``, padded where they lie outside the volume."""
    first, last = np.clip(low, 0, case.shape), np.clip(high, 0, case.shape)
    x, y, z = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    size = tuple(int(n) for n in high - low)
    into = (slice(None), *(slice(int(a), int(b)) for a, b in zip(first - low, last - low, strict=True)))

    def padded(array: NDArray[Any], value: float, kind: Any = None) -> Tensor:
        """The crop, with a value where it lies outside the volume."""
        result = np.full((len(array), *size), value, kind or array.dtype)
        if array.size:
            result[into] = array
        return torch.from_numpy(result)

    def extended(array: NDArray[Any]) -> Tensor:
        """The crop, with the nearest voxel's value where it lies outside."""
        widths = [(0, 0), *((s.start, n - s.stop) for s, n in zip(into[1:], size, strict=True))]
        if not array.size:
            return torch.ones((len(array), *size))
        return torch.from_numpy(np.pad(array.astype(np.float32), widths, mode="edge"))

    pseudo, implied, distance = case.pseudo((x, y, z)), case.implied((x, y, z)), case.distance
    return Patch(
        case,
        padded(case.image[:, x, y, z], case.padding, np.float32),
        padded(case.labels[:, x, y, z], 0),
        padded(case.region((x, y, z)), 0) if case.has_region else None,
        padded(case.valid((x, y, z)), 0),
        None if pseudo is None else padded(pseudo, 0),
        None if distance is None else extended(distance[:, x, y, z]),
        None if implied is None else padded(implied, 0),
    )


def _resampled(patch: Patch, voxels: Tensor) -> Patch:
    """The patch at other places, (3, *S) voxels of the patch; the tensor is overwritten."""
    size = patch.image.shape[1:]
    places = torch.empty((1, *voxels.shape[1:], 3))
    for axis, length in enumerate(size):  # grid_sample counts from -1 to 1 and names the last axis first
        torch.add(voxels[axis] * (2 / max(length - 1, 1)), -1, out=places[0, ..., 2 - axis])

    def interpolated(values: Tensor) -> Tensor:
        return F.grid_sample(values[None], places, mode="bilinear", padding_mode="border", align_corners=True)[0]

    nearest = [voxels[axis].round_().clamp_(0, length - 1).long() for axis, length in enumerate(size)]
    where = ((nearest[0] * size[1] + nearest[1]) * size[2] + nearest[2]).numpy()

    def taken(values: Tensor) -> Tensor:
        flat: NDArray[Any] = values.numpy().reshape(len(values), -1)
        return torch.from_numpy(flat.take(where, axis=1))

    return _mapped(patch, taken, interpolated)


def _mapped(
    patch: Patch, change: Callable[[Tensor], Tensor], change_smooth: Callable[[Tensor], Tensor] | None = None
) -> Patch:
    """The patch with each of its tensors changed; image and distances, which are smooth, in a way of their own when it
    is given."""
    smooth = change_smooth or change
    return Patch(
        patch.case,
        smooth(patch.image),
        change(patch.labels),
        None if patch.region is None else change(patch.region),
        change(patch.valid),
        None if patch.pseudo is None else change(patch.pseudo),
        None if patch.sdm is None else smooth(patch.sdm),
        None if patch.implied is None else change(patch.implied),
    )
