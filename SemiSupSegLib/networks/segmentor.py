"""Segmentor: a backbone that gives features at full resolution, and the heads that a method declares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import NetworkConfig
from .backbones import backbone, strides_of
from .dropout import ChannelDropoutHead

__all__ = ["Segmentor", "SegmentorOutput"]

_HEADS = ("logits", "sdm")
PRIOR = 0.05
"""Share of voxels that a label is expected to have before anything was learnt (Lin et al., ICCV 2017, 3.3), unless the
data say that it is smaller: see :meth:`Segmentor.expect`."""
LEAST_PRIOR = 0.001
"""Patches are centred on labels, so that they hold more of a small one than the volumes do."""


class SegmentorOutput(NamedTuple):
    """What one pass gives."""

    logits: Tensor
    """(B, K, *S) before the sigmoid, or (B, K + 1, *S) before the softmax, background first."""
    features: Tensor
    """(B, F, *S), what the heads see (without dropout)."""
    sdm: Tensor | None
    """(B, K, *S) in [-1, 1], the signed distance maps; None when no such head was declared."""


class Segmentor(nn.Module):
    """Backbone, channel dropout, and 1x1x1 heads. Only the heads that are asked for exist, so no parameter is unused.

    Args:
        config: Backbone, filters, norm, activation, dropout.
        labels: Number K of labels, without background.
        modalities: Number M of image channels.
        heads: ``logits``, and ``sdm`` for methods that learn signed distance maps.

    Raises:
        ValueError: an unknown head.
        ConfigError: a setting that the backbone does not have.
    """

    def __init__(
        self, config: NetworkConfig, *, labels: int, modalities: int = 1, heads: tuple[str, ...] = ("logits",)
    ) -> None:
        super().__init__()
        if not set(heads) <= set(_HEADS) or "logits" not in heads:
            msg = f"heads {heads}: expected 'logits' and perhaps 'sdm'"
            raise ValueError(msg)
        self.exclusive = config.activation == "softmax"
        self.multiple = tuple(math.prod(stride[axis] for stride in strides_of(config)) for axis in range(3))
        self.backbone, features = backbone(config, modalities)
        self.head = ChannelDropoutHead(features, labels + self.exclusive, config.dropout)
        if not self.exclusive:  # begin by expecting a label hardly anywhere: steps are not spent on learning that
            nn.init.constant_(self.head.bias, math.log(PRIOR / (1 - PRIOR)))
        self.sdm_head = ChannelDropoutHead(features, labels, config.dropout) if "sdm" in heads else None

    @torch.no_grad()
    def expect(self, shares: Sequence[float | None]) -> None:
        """Before anything was learnt: begin with what each label has of the voxels, 0.001 to 0.05.

        A label of a thousandth of the volume would otherwise first have to be unlearnt, which takes longer than the
        first results may take: Adam moves a bias by about its learning rate a step.

        Args:
            shares: of each label, [0, 1]; None where it is not known, which is taken for the largest.
        """
        known = torch.tensor([PRIOR if share is None else share for share in shares], dtype=self.head.bias.dtype)
        prior = known.clamp(LEAST_PRIOR, PRIOR).to(self.head.bias.device)
        if self.exclusive:
            rest = (1 - prior.sum()).clamp(min=PRIOR)
            self.head.bias.copy_(torch.cat((rest[None], prior)).log())
        else:
            self.head.bias.copy_(prior.logit())

    def forward(self, image: Tensor) -> SegmentorOutput:
        """All heads of an image (B, M, *S) of any size."""
        features = self.features(image)
        sdm = None if self.sdm_head is None else self.sdm_head(features).tanh()
        return SegmentorOutput(self.head(features), features, sdm)

    def features(self, image: Tensor) -> Tensor:
        """(B, F, *S), what the heads see, before dropout; sizes that strides do not divide are padded and cropped."""
        if torch.is_autocast_enabled(image.device.type):  # else MONAI's V-Net, which adds the image, stays in float32
            image = image.to(torch.get_autocast_dtype(image.device.type))
        size = image.shape[2:]
        missing = [-n % m for n, m in zip(size, self.multiple, strict=True)]
        if any(missing):
            image = F.pad(image, [end for m in reversed(missing) for end in (0, m)], mode="replicate")
        features: Tensor = self.backbone(image)
        return features[:, :, : size[0], : size[1], : size[2]] if any(missing) else features

    def dropout_masks(self, passes: int, generator: torch.Generator | None = None) -> Tensor:
        """(T, F) channel masks for :meth:`monte_carlo`; drawn once per volume, they make its windows agree."""
        return self.head.draw(passes, generator)

    def monte_carlo(
        self, features: Tensor, passes: int, generator: torch.Generator | None = None, *, masks: Tensor | None = None
    ) -> Tensor:
        """Logits of T dropout passes over features that were computed once.

        One mask per pass is shared by the whole batch: the windows of one volume belong to the same draw of the
        network, so that overlapping windows of one pass can be averaged. Windows of several calls agree when they get
        the same ``masks``.

        Args:
            features: (B, F, *S) from :meth:`features`.
            passes: T, at least 1.
            generator: Draws the masks; the default generator when None.
            masks: (T, F) from :meth:`dropout_masks`, instead of new ones.

        Returns:
            (T, B, C, *S), whether or not the module is in training.
        """
        return self.head.passes(features, self.dropout_masks(passes, generator) if masks is None else masks)

    def probabilities(self, logits: Tensor) -> Tensor:
        """(..., K or K + 1, *S) logits to (..., K, *S) float32 in [0, 1], without the background."""
        if not self.exclusive:
            return logits.float().sigmoid()
        return logits.float().softmax(dim=-4).narrow(-4, 1, logits.shape[-4] - 1)
