"""UA-MT: a mean teacher that is believed where it is sure.

Yu, Wang, Li, Fu, Heng, "Uncertainty-aware self-ensembling model for semi-supervised 3D left atrium segmentation",
MICCAI 2019. T stochastic passes of the teacher give a mean probability; voxels whose entropy is below a threshold that
rises to its maximum count in the consistency. Ours: the passes repeat only the head with its channel dropout, over
features that are computed once, and the target is the head without dropout over the same features; for labels that may
overlap the entropy is that of each label by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..losses.consistency import activated, certain
from ..losses.entropy import normalised_entropy
from ..networks.segmentor import Segmentor
from .mean_teacher import MeanTeacher, MeanTeacherConfig

__all__ = ["UncertaintyAwareMeanTeacher"]

AT_ONCE = 32
"""Channels of logits that are held at a time: passes times labels."""


@dataclass(frozen=True, kw_only=True)
class UAMTConfig(MeanTeacherConfig):
    """Options of UA-MT. ``paper`` also makes each pass a whole one, with noise of its own, and the target another."""

    passes: int = 8
    """Number T of stochastic passes of the teacher, at least 1."""


class UncertaintyAwareMeanTeacher(MeanTeacher):
    """Consistency where the entropy of the mean of several passes is low."""

    name = "uamt"
    summary = "Mean teacher that is believed only where repeated passes with dropout leave little doubt (UA-MT)."
    Config = UAMTConfig
    config: UAMTConfig

    def teach(self, teacher: Segmentor, image: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """The teacher's probabilities, and where it is certain."""
        if self.config.paper:
            mean = torch.stack([self.whole_pass(teacher, image) for _ in range(self.config.passes)]).mean(dim=0)
            target = self.whole_pass(teacher, image)
        else:
            features = teacher.features(self.noisy(image))
            target = activated(teacher.head(features), exclusive=self.exclusive)
            mean = self.mean_of_passes(teacher, features, channels=target.shape[1])
        return target, certain(normalised_entropy(mean, exclusive=self.exclusive), progress)

    def whole_pass(self, teacher: Segmentor, image: Tensor) -> Tensor:
        """One stochastic pass with noise of its own."""
        return activated(teacher(self.noisy(image)).logits, exclusive=self.exclusive)

    def mean_of_passes(self, teacher: Segmentor, features: Tensor, *, channels: int) -> Tensor:
        """Mean probability (B, C, *S) of T passes of the head."""
        total = None
        for masks in torch.split(teacher.dropout_masks(self.config.passes), max(AT_ONCE // channels, 1)):
            logits = teacher.monte_carlo(features, len(masks), masks=masks)
            some = activated(logits.flatten(0, 1), exclusive=self.exclusive).view(logits.shape).sum(dim=0)
            total = some if total is None else total + some
        assert total is not None
        return total / self.config.passes
