"""Backbones: image to features at full resolution. MONAI's networks lose their own last layer here."""

from __future__ import annotations

from collections.abc import Callable

from monai.networks.blocks.dynunet_block import UnetBasicBlock
from monai.networks.blocks.segresnet_block import ResBlock
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.flexible_unet import FlexibleUNet
from monai.networks.nets.segresnet import SegResNet
from monai.networks.nets.vnet import VNet as VNet5
from torch import nn

from ..config import NetworkConfig
from ..errors import ConfigError
from .convolution import use_fast_convolutions
from .modsegnet import ModSegNet
from .norm import replace_norms
from .slices import Slicewise
from .vnet import VNet

__all__ = ["Strides", "backbone", "strides_of"]

Strides = tuple[tuple[int, int, int], ...]
_HALVE = (2, 2, 2)
_LEVELS = {"vnet": 4, "monai_vnet": 4, "dynunet": 4, "segresnet": 3, "modsegnet": 4, "resnet2d": 5}
_REACH = 3
"""Neighbours on each side that a slice of ModSegNet sees: seven slices in, the middle one out."""


def strides_of(config: NetworkConfig) -> Strides:
    """The strides between the levels of the backbone, 2 everywhere unless the configuration says otherwise.

    Raises:
        ConfigError: the backbone does not take such strides.
    """
    levels = _LEVELS[config.backbone]
    if config.sliced:
        return _strides_in_plane(config, levels)
    if config.strides is None:
        return (_HALVE,) * levels
    fixed = config.backbone in ("monai_vnet", "segresnet")
    if fixed and any(stride != _HALVE for stride in config.strides):
        msg = f"network.strides: backbone {config.backbone} halves every axis at every level, found {config.strides}"
        raise ConfigError(msg)
    if (fixed or config.backbone == "vnet") and len(config.strides) != levels:
        msg = f"network.strides: backbone {config.backbone} has {levels} of them, found {len(config.strides)}"
        raise ConfigError(msg)
    return config.strides


def _strides_in_plane(config: NetworkConfig, levels: int) -> Strides:
    axis = "xyz".index(config.slice_axis)
    x, y, z = (1 if n == axis else 2 for n in range(3))
    strides = ((x, y, z),) * levels
    if config.strides not in (None, strides):
        msg = f"network.strides: backbone {config.backbone} with slices across {config.slice_axis} has {strides[0]} "
        msg += f"{levels} times, found {config.strides}"
        raise ConfigError(msg)
    return strides


def backbone(config: NetworkConfig, modalities: int) -> tuple[nn.Module, int]:
    """The backbone, (B, M, *S) to (B, F, *S) for sizes that its strides divide, and its number F of features.

    Raises:
        ConfigError: a setting that the backbone does not have.
    """
    if config.norm == "none" and config.backbone != "modsegnet":
        msg = f"network.norm: backbone {config.backbone} does not train without one, found 'none'"
        raise ConfigError(msg)
    network, features = _BUILDERS[config.backbone](config, modalities, strides_of(config))
    use_fast_convolutions(network)
    return network, features


def _vnet(config: NetworkConfig, modalities: int, strides: Strides) -> tuple[nn.Module, int]:
    return VNet(modalities, config.filters, config.norm, strides, config.bottleneck_dropout), config.filters


def _monai_vnet(config: NetworkConfig, modalities: int, strides: Strides) -> tuple[nn.Module, int]:  # noqa: ARG001
    if config.filters != 16 or 16 % modalities:
        found = f"{config.filters} and {modalities}"
        msg = f"network: monai_vnet has 16 filters and 1, 2, 4, 8 or 16 modalities, found {found}"
        raise ConfigError(msg)
    network = VNet5(3, modalities, 1, dropout_prob_down=None, dropout_prob_up=(0.0, 0.0))
    network.out_tr = nn.Identity()  # type: ignore[assignment]
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout3d):  # dropout before the heads is the only one: see dropout.py
                setattr(module, name, nn.Identity())
    replace_norms(network, config.norm)
    return network, 32


def _dynunet(config: NetworkConfig, modalities: int, strides: Strides) -> tuple[nn.Module, int]:
    filters = [min(config.filters * 2**level, 320) for level in range(len(strides) + 1)]
    network = DynUNet(
        3,
        modalities,
        1,
        kernel_size=_kernels(strides),
        strides=((1, 1, 1), *strides),
        upsample_kernel_size=strides,
        filters=filters,
        norm_name="batch",  # replaced below
    )
    network.output_block = nn.Identity()
    for block in network.modules():
        if isinstance(block, UnetBasicBlock):
            block.lrelu = nn.Identity()
            replace_norms(block, config.norm, slope=0.01)
    return network, filters[0]


def _kernels(strides: Strides) -> list[tuple[int, ...]]:
    """1 along an axis as long as nothing was halved along it (nnU-Net): a slice far away is no neighbour."""
    upto = [(*strides, _HALVE)[: level + 1] for level in range(len(strides) + 1)]
    return [tuple(1 if all(s[axis] == 1 for s in passed) else 3 for axis in range(3)) for passed in upto]


def _segresnet(config: NetworkConfig, modalities: int, strides: Strides) -> tuple[nn.Module, int]:  # noqa: ARG001
    network = SegResNet(3, config.filters, modalities, 1, norm="batch")  # replaced below
    network.conv_final = nn.Sequential(*list(network.conv_final)[:-1])
    for block in network.modules():
        if isinstance(block, ResBlock):
            block.act = nn.Identity()
            replace_norms(block, config.norm, slope=0.0)
    replace_norms(network.conv_final, config.norm)
    return network, config.filters


def _modsegnet(config: NetworkConfig, modalities: int, strides: Strides) -> tuple[nn.Module, int]:  # noqa: ARG001
    network = ModSegNet((2 * _REACH + 1) * modalities, config.filters, config.norm)
    return Slicewise(network, "xyz".index(config.slice_axis), _REACH), config.filters


def _resnet2d(config: NetworkConfig, modalities: int, strides: Strides) -> tuple[nn.Module, int]:
    """ResNet-18 with random weights and a U-Net's way back up; ``filters`` are the latter's, the former has its own."""
    widths = tuple(config.filters * 2**level for level in reversed(range(len(strides))))
    network = FlexibleUNet(modalities, 1, "resnet18", pretrained=False, decoder_channels=widths, spatial_dims=2)
    network.segmentation_head = nn.Identity()  # type: ignore[assignment]
    replace_norms(network, config.norm)
    return Slicewise(network, "xyz".index(config.slice_axis)), config.filters


_BUILDERS: dict[str, Callable[[NetworkConfig, int, Strides], tuple[nn.Module, int]]] = {
    "vnet": _vnet,
    "monai_vnet": _monai_vnet,
    "dynunet": _dynunet,
    "segresnet": _segresnet,
    "modsegnet": _modsegnet,
    "resnet2d": _resnet2d,
}
