"""PatchSource: patch number i of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import Dataset

from ..config import DataConfig
from ..project.labels import LabelSet
from .appearance import draw_appearance
from .augment import draw_deformation
from .distance import crop_distances
from .mirror import Mirror
from .patch import Patch, cut
from .prepared import PreparedCase
from .sampler import Sampler, generator

__all__ = ["PatchSource"]


class PatchSource(Dataset[Patch]):
    """Patches by number, iteration x batch size + slot: drawn from (seed, number) and nothing else.

    Args:
        cases: all training cases; those without any annotation too.
        label_set: the project's labels.
        config: patch size, streams and augmentation.
        seed: of the run.
        batch_size: patches per step over all processes.

    Raises:
        ValueError: no case has a known positive voxel.
    """

    def __init__(
        self, cases: Sequence[PreparedCase], label_set: LabelSet, config: DataConfig, *, seed: int, batch_size: int
    ) -> None:
        self.cases, self.label_set, self.config = list(cases), label_set, config
        self.seed, self.batch_size = seed, batch_size
        self.sampler = Sampler(self.cases, config, batch_size=batch_size, seed=seed)
        self._first = replace(config, patch_size=config.first_patch_size or config.patch_size)
        self._mirror = Mirror(label_set)
        self._masks = [name for name in ("pseudo", "implied") if any(name in case.arrays for case in self.cases)]

    def __getitem__(self, index: int) -> Patch:
        return self.patch(index)

    def patch(self, index: int, *, mixed: bool = True, grown: bool = True) -> Patch:
        """Patch number ``index``; mixed: False for a batch of annotated cases alone, whatever ``config.unlabelled``;
        grown: False for one of ``config.first_patch_size``."""
        config = self.config if grown else self._first
        deformation = draw_deformation(generator(self.seed, index, 1), config)
        place = self.sampler.draw(index, deformation.size_before_turns(config.patch_size), mixed=mixed)
        case = self.cases[place.case]
        patch = cut(case, place.start, config.patch_size, deformation)
        if config.mirrored and generator(self.seed, index, 4).random() < 0.5:
            patch = self._mirror.apply(patch)
        appearance = draw_appearance(generator(self.seed, index, 2), config)
        patch = replace(patch, image=appearance.apply(patch.image, padding=case.padding))
        # Every batch of a run has the same tensors: a loss that one process leaves out would let the others wait.
        nothing = torch.zeros((len(self.label_set), *config.patch_size), dtype=torch.bool)
        missing: dict[str, Any] = {name: nothing.clone() for name in self._masks if getattr(patch, name) is None}
        patch = replace(patch, **missing)
        if config.distance == "crop" and case.annotated.any():
            sdm = crop_distances(patch.labels.numpy(), self.label_set, patch.case.annotated)
            patch = replace(patch, sdm=torch.from_numpy(sdm))
        return patch
