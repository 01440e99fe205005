"""Convolutions in bfloat16 on a CPU: what the plain one computes, and never a number that is none."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from SemiSupSegLib.networks.convolution import Convolution, SliceConvolution

LAST = torch.channels_last_3d


def distance(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


SHAPES = {
    "plain": (3, 1, 1),
    "halving": (3, 2, 1),
    "discriminator": (4, 2, 1),
    "V-Net's": (2, 2, 0),
    "slices": ((3, 3, 1), (2, 2, 1), (1, 1, 0)),
}


@pytest.mark.parametrize("size", [(4, 4, 3), (9, 8, 8), (2, 2, 2)], ids=["smallest", "small", "one voxel"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_convolution_as_matrix_product_has_the_plain_result_and_gradients(
    size: tuple[int, ...], shape: tuple[int, int, int]
) -> None:
    fast = Convolution(64, 128, *shape).to(memory_format=LAST)  # type: ignore[call-overload]
    slow = nn.Conv3d(64, 128, *shape)
    slow.load_state_dict(fast.state_dict())
    x = torch.randn(2, 64, *size).to(memory_format=LAST)
    weigh = torch.randn_like(slow(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert fast._applies(x)
    results = []
    for layer, reduced in ((fast, True), (slow, False)):
        leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            y = layer(leaf)
        results.append((y.float(), *torch.autograd.grad((y.float() * weigh).sum(), [leaf, layer.weight, layer.bias])))
    for ours, exact in zip(*results, strict=True):
        assert distance(ours, exact) < 0.01  # bfloat16 keeps 8 binary digits


def test_a_convolution_that_is_not_trained_gives_the_image_its_gradient() -> None:
    layer = Convolution(64, 64, 4, 2, 1).requires_grad_(requires_grad=False).bfloat16().to(memory_format=LAST)
    image = torch.randn(1, 64, 8, 8, 8).bfloat16().to(memory_format=LAST).requires_grad_()
    layer(image).sum().backward()
    exact = F.conv_transpose3d(torch.ones(1, 64, 4, 4, 4), layer.weight.float(), stride=2, padding=1)
    assert image.grad is not None
    assert distance(image.grad.float(), exact) < 0.01


def test_the_matrix_product_is_for_small_volumes_in_bfloat16_only() -> None:
    layer = Convolution(64, 64, 3, padding=1).bfloat16().to(memory_format=LAST)  # type: ignore[call-overload]
    x = torch.randn(1, 64, 8, 8, 8).to(memory_format=LAST)
    assert not layer._applies(x)
    assert layer._applies(x.bfloat16())
    assert not layer._applies(x.bfloat16().expand(8, -1, -1, -1, -1))
    for options in ({"dilation": 2}, {"groups": 2}, {"padding": "same"}, {"padding": 1, "padding_mode": "reflect"}):
        assert not Convolution(128, 128, 3, **options)._applies(x.bfloat16().repeat(1, 2, 1, 1, 1))
    assert not Convolution(64, 64, 3)._applies(x.bfloat16()[:, :, :2].contiguous(memory_format=LAST))


KERNEL_EXCEEDS = {
    "two voxels": (3, 1, (4, 4, 2)),
    "one voxel halved": (3, 2, (8, 8, 1)),
    "flat": (3, 1, (2, 2, 2)),
    "wide kernel": (5, 1, (4, 4, 4)),
    "slices": (3, 1, (1, 1)),
    "slices halved": (3, 2, (16, 1)),
}


@pytest.mark.parametrize("layout", ["last", "plain"])
@pytest.mark.parametrize("case", KERNEL_EXCEEDS.values(), ids=KERNEL_EXCEEDS)
def test_the_weights_gradient_is_that_of_float32_where_the_kernel_is_larger_than_the_volume(
    case: tuple[int, int, tuple[int, ...]], layout: str
) -> None:
    """Beyond float32 only the incoming gradient is rounded, which here is 1 everywhere; bfloat16 is off by 0.002."""
    kernel, stride, size = case
    kind = Convolution if len(size) == 3 else SliceConvolution
    layer = kind(16, 32, kernel, stride, kernel // 2)
    x = torch.randn(2, 16, *size)
    if layout == "last":
        x = x.contiguous(memory_format=LAST if len(size) == 3 else torch.channels_last)
    (exact,) = torch.autograd.grad(layer(x).sum(), [layer.weight])
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    (ours,) = torch.autograd.grad(y.sum(), [layer.weight])
    assert distance(ours, exact) < 1e-5


def test_memory_that_nobody_wrote_gets_into_no_gradient() -> None:
    """oneDNN 3.12 multiplies what its work space held by zero: mostly 0, but not where it held no number."""
    for channels, size in product((8, 16, 32), ((2, 2, 2), (2, 4, 4), (1, 1, 1))):
        layer = Convolution(channels, 32, 3, 2 if max(size) == 1 else 1, 1).to(memory_format=LAST)  # type: ignore[call-overload]
        for _ in range(3):
            with torch.autocast("cpu", torch.bfloat16):
                y = layer(torch.randn(2, channels, *size).to(memory_format=LAST))
            for power in range(8, 20):
                freed = [torch.full((2**power,), torch.nan) for _ in range(6)]
                del freed
            (gradient,) = torch.autograd.grad(y.float().sum(), [layer.weight])
            assert gradient.isfinite().all()


def test_what_is_only_predicted_stays_in_bfloat16() -> None:
    layer = Convolution(16, 32, 3, padding=1)
    x = torch.randn(1, 16, 2, 2, 2)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), F.conv3d(x, layer.weight, layer.bias, padding=1))
