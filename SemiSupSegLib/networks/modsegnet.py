"""ModSegNet, the 2D network of NonAdjLoss; :class:`~.slices.Slicewise` gives it seven slices of a volume."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .norm import norm_activation

__all__ = ["ModSegNet"]

LEVELS = 4
DROPOUT = 0.5


class ModSegNet(nn.Module):
    """SegNet (Badrinarayanan et al., TPAMI 2017) with skips, as used by Ganaye et al., "Removing segmentation
    inconsistencies with semi-supervised non-adjacency constraint", MedIA 2019.

    Four levels of two 3x3 convolutions at 1, 2, 4, 8 times ``filters`` channels (32 in the paper). Max pooling keeps
    where each maximum was; on the way up values go back there, and the level's own features are put beside them.
    Dropout of single activations (0.5) after the fourth level works in training only: Monte Carlo passes repeat the
    dropout before the last convolution, not this one.

    Args:
        channels: of the image: modalities times slices seen.
        filters: Channels F at full resolution.
        norm: ``none`` as published, ``instance`` or ``batch``.
    """

    def __init__(self, channels: int, filters: int, norm: str) -> None:
        super().__init__()
        width = [filters * 2**level for level in range(LEVELS)]
        self.encoders = nn.ModuleList(
            _two(fine, wide, norm) for fine, wide in zip([channels, *width], width, strict=False)
        )
        self.decoders = nn.ModuleList(
            _two(2 * wide, fine, norm) for fine, wide in zip([filters, *width], width, strict=False)
        )
        self.dropout = nn.Dropout(DROPOUT)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight)

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, U, V) to (N, F, U, V); U and V multiples of 16."""
        x, skips, places = image, [], []
        for level, encoder in enumerate(self.encoders):
            x = encoder(x)
            if level == LEVELS - 1:
                x = self.dropout(x)
            skips.append(x)
            x, place = F.max_pool2d(x, 2, return_indices=True)
            places.append(place)
        for level in reversed(range(LEVELS)):
            x = F.max_unpool2d(x, places[level], [2, 2])
            x = self.decoders[level](torch.cat([x, skips[level]], dim=1))
        return x


def _two(incoming: int, channels: int, norm: str) -> nn.Sequential:
    layers = []
    for count in (incoming, channels):
        layers += [
            nn.Conv2d(count, channels, 3, padding=1, bias=norm == "none"),
            norm_activation(norm, channels, axes=2),
        ]
    return nn.Sequential(*layers)
