"""Batch: what a method sees of the data.

Letters of shapes, here and everywhere: B batch, M modalities, K labels (no background), L layers of labels, F features,
T passes, *S = X Y Z on the training grid, RAS+.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from torch import Tensor

from ..project.labels import LabelSet

__all__ = ["Batch", "known_voxels", "one_hot"]


@dataclass(frozen=True)
class Batch:
    """B patches. Labels stay compact until a loss asks for one channel per label."""

    image: Tensor
    """(B, M, *S) float32, normalised."""
    labels: Tensor
    """(B, L, *S) uint8 or int16: the layers of :attr:`LabelSet.places`; people's and accepted voxels only."""
    annotated: Tensor
    """(B, K) bool: the label's state is not *unknown* in the case."""
    everywhere: Tensor
    """(B, K) bool: the label is complete or absent in the case."""
    region: Tensor | None
    """(B, K, *S) bool: the finished part of partial labels; None when no label of the batch is partial."""
    valid: Tensor
    """(B, 1, *S) bool: False outside the image and where the user painted *ignore*."""
    pseudo: Tensor | None
    """(B, K, *S) bool: voxels that a relabelling round added as positives; None when there are none. Never known."""
    label_set: LabelSet
    """The project's labels."""
    case_ids: tuple[str, ...]
    """Case of each patch."""
    sdm: Tensor | None = None
    """(B, K, *S) float32 in [-1, 1]: signed distance to each label's surface, negative inside, +1 where the label is
    absent; see :mod:`.distance`. It means something for labels that are known everywhere, and nothing for others. None
    unless ``data.distance`` asks for it, and when no patch is of an annotated case."""
    implied: Tensor | None = None
    """(B, K, *S) bool: where strokes or finished slices imply that the label is not, see :mod:`.implied`; None without.
    Never known."""

    @cached_property
    def target(self) -> Tensor:
        """(B, K, *S) bool: where each label is, one channel a label."""
        return one_hot(self.labels, self.label_set)

    @cached_property
    def known(self) -> Tensor:
        """(B, K, *S) bool: where it is known whether the label is there; the same rule as ``project.annotation``."""
        return known_voxels(self)

    @cached_property
    def ruled_out(self) -> Tensor | None:
        """(B, K, *S) bool: :attr:`implied` where nothing else is said; None without it."""
        if self.implied is None:
            return None
        return self.implied & ~self.known & ~self.target & self.valid

    def to(self, device: torch.device | str) -> Batch:
        """The batch on another device."""
        moved = {
            f.name: v.to(device, non_blocking=True)
            for f in fields(self)
            if isinstance(v := getattr(self, f.name), Tensor)
        }
        return replace(self, **moved)  # type: ignore[arg-type]

    def select(self, rows: Tensor) -> Batch:
        """Some of the patches; rows: (B,) bool or int64 indices."""
        indices = rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows
        taken = {f.name: v[indices] for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor)}
        case_ids = tuple(self.case_ids[i] for i in indices.tolist())
        return replace(self, **taken, case_ids=case_ids)  # type: ignore[arg-type]


def one_hot(labels: Tensor, label_set: LabelSet) -> Tensor:
    """(B, L, *S) layers to (B, K, *S) bool, one channel a label."""
    return torch.stack([labels[:, place.layer] == place.value for place in label_set.places], dim=1)


def known_voxels(batch: Batch) -> Tensor:
    """(B, K, *S) bool, the rule of :mod:`SemiSupSegLib.project.annotation` on tensors."""
    label_set, target = batch.label_set, batch.target
    axes = (..., *(None,) * (target.ndim - 2))
    if _all_or_nothing(batch):
        return batch.everywhere[axes] & batch.valid
    known = batch.everywhere[axes].expand_as(target).clone()
    if batch.region is not None:
        known |= batch.region
    annotated_voxels = target & batch.annotated[axes]
    if not label_set.overlaps:  # one layer: a voxel of any other annotated label settles it
        known |= annotated_voxels.any(dim=1, keepdim=True) & ~annotated_voxels
    else:
        for a, b in label_set.exclusive_pairs():
            known[:, a] |= annotated_voxels[:, b]
            known[:, b] |= annotated_voxels[:, a]
    return known & batch.valid


def _all_or_nothing(batch: Batch) -> bool:
    """Whether each patch has either all labels, everywhere, or none: then no voxel has to be looked at. On a CPU; a GPU
    is not waited for to save it work."""
    if batch.region is not None or batch.everywhere.device.type != "cpu":
        return False
    whole = batch.everywhere.all(dim=1)
    return bool((whole | ~batch.annotated.any(dim=1)).all())
