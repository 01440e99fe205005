"""Normalisation layers by name, and how a MONAI network's own are replaced by them."""

from __future__ import annotations

from torch import nn

__all__ = ["norm_layer", "replace_norms"]

_KINDS: dict[str, type[nn.Module]] = {"instance": nn.InstanceNorm3d, "batch": nn.BatchNorm3d}


def norm_layer(kind: str, channels: int) -> nn.Module:
    """A normalisation layer with learned scale and shift; ``kind`` as in :attr:`NetworkConfig.norm`."""
    return _KINDS[kind](channels, affine=True)


def replace_norms(network: nn.Module, kind: str) -> None:
    """Replace every batch or instance normalisation inside a network, in place, by one of ``kind``."""
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm3d | nn.InstanceNorm3d):
            setattr(network, name, norm_layer(kind, child.num_features))
        else:
            replace_norms(child, kind)
