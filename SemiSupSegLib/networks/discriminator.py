"""Discriminator: tells from an image and its signed distance maps whether the image was a labelled one (SASSNet)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .convolution import use_fast_convolutions

__all__ = ["Discriminator"]

_SLOPE = 0.2
"""Of the rectifiers below 0."""


class Discriminator(nn.Module):
    """The discriminator of Li, Zhang, He (MICCAI 2020), in the form of the authors' code, for patches of any size.

    Four convolutions 4x4x4 with stride 2, at 1, 2, 4, 8 times ``filters`` channels; the first exists twice, for the
    maps and for the image, and the two are added. Leaky rectifiers, dropout of whole channels after the first three.
    The authors pool with a window that is the whole of their 112 x 112 x 80 patch; here whatever is left is averaged,
    which is the same there and works elsewhere.

    Args:
        labels: Number K of distance maps.
        modalities: Number M of image channels.
        filters: Channels of the first convolution; 64 as published.
        dropout: Probability that a channel is left out, [0, 1); 0.5 as published.
    """

    def __init__(self, labels: int, modalities: int = 1, *, filters: int = 64, dropout: float = 0.5) -> None:
        super().__init__()
        self.from_sdm = _halving(labels, filters)
        self.from_image = _halving(modalities, filters)
        self.deeper = nn.ModuleList(_halving(filters * 2**level, filters * 2 ** (level + 1)) for level in range(3))
        self.dropout = nn.Dropout3d(dropout)
        self.scores = nn.Linear(filters * 8, 2)
        use_fast_convolutions(self)

    def forward(self, sdm: Tensor, image: Tensor) -> Tensor:
        """Scores before the softmax, (B, 2): unlabelled, labelled.

        Args:
            sdm: (B, K, *S) in [-1, 1].
            image: (B, M, *S).
        """
        x = self._first(_no_single_voxels(torch.cat((sdm, image.to(sdm.dtype)), dim=1)))
        for convolution in self.deeper:
            x = convolution(_no_single_voxels(self.dropout(F.leaky_relu(x, _SLOPE))))
        scores: Tensor = self.scores(F.leaky_relu(x, _SLOPE).mean(dim=(2, 3, 4)))
        return scores

    def _first(self, maps_and_image: Tensor) -> Tensor:
        """The two first convolutions and their sum, as the one convolution that this is: half of the work."""
        weight = torch.cat((self.from_sdm.weight, self.from_image.weight), dim=1)
        assert self.from_sdm.bias is not None
        assert self.from_image.bias is not None
        return F.conv3d(maps_and_image, weight, self.from_sdm.bias + self.from_image.bias, stride=2, padding=1)


def _halving(incoming: int, channels: int) -> nn.Conv3d:
    return nn.Conv3d(incoming, channels, 4, stride=2, padding=1)


def _no_single_voxels(x: Tensor) -> Tensor:
    """Axes of one voxel doubled: they are what cannot be halved."""
    ends = [end for size in reversed(x.shape[2:]) for end in (0, int(size == 1))]
    return F.pad(x, ends, mode="replicate") if any(ends) else x
