"""V-Net with 3x3x3 convolutions, the backbone of UA-MT and SASSNet."""

from __future__ import annotations

from torch import Tensor, nn

from .norm import norm_activation

__all__ = ["VNet"]

_CONVOLUTIONS = (1, 2, 3, 3, 3)


class VNet(nn.Module):
    """V-Net of Milletari et al. (3DV 2016) in the form of UA-MT (Yu et al., MICCAI 2019).

    3x3x3 kernels, skips added, no residual inside a stage. Stages have 1, 2, 3, 3, 3 convolutions at 1, 2, 4, 8, 16
    times ``filters`` channels.

    Args:
        modalities: Channels of the image.
        filters: Channels F at full resolution.
        norm: ``instance`` or ``batch``.
        strides: Four times a stride per axis, first the one from full resolution.
        dropout: Probability that a channel of the coarsest level is left out in training, [0, 1).
    """

    def __init__(
        self,
        modalities: int,
        filters: int,
        norm: str,
        strides: tuple[tuple[int, int, int], ...],
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout3d(dropout)
        width = [filters * 2**level for level in range(5)]
        self.encoders, self.decoders, self.downs, self.ups = (nn.ModuleList() for _ in range(4))
        for level, count in enumerate(_CONVOLUTIONS):
            self.encoders.append(_stage(width[level] if level else modalities, width[level], count, norm))
        for level, stride in enumerate(strides):
            wide, fine = width[level + 1], width[level]
            self.downs.append(_normalised(nn.Conv3d(fine, wide, stride, stride, bias=False), wide, norm))
            self.ups.append(_normalised(nn.ConvTranspose3d(wide, fine, stride, stride, bias=False), fine, norm))
            self.decoders.append(_stage(fine, fine, _CONVOLUTIONS[level], norm))

    def forward(self, image: Tensor) -> Tensor:
        """(B, M, *S) to (B, F, *S)."""
        skips: list[Tensor] = []
        x: Tensor = self.encoders[0](image)
        for level, down in enumerate(self.downs):
            skips.append(x)
            x = self.encoders[level + 1](down(x))
        x = self.dropout(x)
        for level in reversed(range(4)):
            x = self.decoders[level](self.ups[level](x) + skips[level])
        return x


def _normalised(convolution: nn.Module, channels: int, norm: str) -> nn.Sequential:
    return nn.Sequential(convolution, norm_activation(norm, channels))


def _stage(incoming: int, channels: int, count: int, norm: str) -> nn.Sequential:
    return nn.Sequential(
        *(
            _normalised(nn.Conv3d(channels if n else incoming, channels, 3, padding=1, bias=False), channels, norm)
            for n in range(count)
        )
    )
