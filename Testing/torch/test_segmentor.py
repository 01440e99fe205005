"""The segmentor: shapes, strides, Monte Carlo passes, and that the fast layers compute what the plain ones do."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from SemiSupSegLib.config import NetworkConfig
from SemiSupSegLib.errors import ConfigError
from SemiSupSegLib.networks.backbones import _kernels
from SemiSupSegLib.networks.convolution import Convolution
from SemiSupSegLib.networks.dropout import ChannelDropoutHead
from SemiSupSegLib.networks.norm import InstanceNormActivation, norm_activation
from SemiSupSegLib.networks.segmentor import Segmentor

LAST = torch.channels_last_3d
BACKBONES = ("vnet", "monai_vnet", "dynunet", "segresnet")


def a_segmentor(backbone: str = "vnet", **options: object) -> Segmentor:
    torch.manual_seed(0)
    heads = options.pop("heads", ("logits",))
    filters = 16 if backbone == "monai_vnet" else 8
    config = NetworkConfig(backbone=backbone, **{"filters": filters, **options})  # type: ignore[arg-type]
    return Segmentor(config, labels=3, heads=heads)  # type: ignore[arg-type]


def blobs(channels: int) -> Tensor:
    return F.interpolate(torch.randn(2, channels, 6, 6, 6), (32, 32, 32), mode="trilinear")


@pytest.mark.parametrize("backbone", BACKBONES)
def test_shapes_at_full_resolution_for_sizes_that_nothing_divides(backbone: str) -> None:
    segmentor = a_segmentor(backbone, heads=("logits", "sdm")).eval()
    with torch.no_grad():
        output = segmentor(torch.randn(1, 1, 20, 33, 17))
    assert output.logits.shape == (1, 3, 20, 33, 17)
    assert output.sdm is not None
    assert output.sdm.shape == (1, 3, 20, 33, 17)
    assert output.sdm.abs().max() <= 1
    assert output.features.shape[2:] == (20, 33, 17)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("heads", [("logits",), ("logits", "sdm")])
def test_no_parameter_is_unused(backbone: str, heads: tuple[str, ...]) -> None:
    segmentor = a_segmentor(backbone, heads=heads)
    output = segmentor(torch.randn(1, 1, 16, 16, 16))
    (output.logits.mean() + (0 if output.sdm is None else output.sdm.mean())).backward()
    assert [name for name, parameter in segmentor.named_parameters() if parameter.grad is None] == []
    assert (output.sdm is None) == (heads == ("logits",))


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_the_norm_is_the_one_that_was_asked_for(norm: str) -> None:
    for backbone in BACKBONES:
        kinds = {type(module).__name__ for module in a_segmentor(backbone, norm=norm).modules()}
        assert ("BatchNorm3d" in kinds) == (norm == "batch")
        assert ("InstanceNormActivation" in kinds) == (norm == "instance")


def test_softmax_has_a_background_channel_and_probabilities_without_it() -> None:
    segmentor = a_segmentor(activation="softmax")
    logits = segmentor(torch.randn(1, 1, 16, 16, 16)).logits
    assert logits.shape[1] == 4
    probability = segmentor.probabilities(logits)
    assert probability.shape[1] == 3
    assert torch.allclose(probability, logits.softmax(1)[:, 1:])
    assert segmentor.probabilities(logits[None]).shape == (1, 1, 3, 16, 16, 16)


def test_sigmoid_probabilities_are_float32() -> None:
    logits = torch.tensor([0.0]).bfloat16().view(1, 1, 1, 1, 1).expand(1, 3, 2, 2, 2)
    probability = a_segmentor().probabilities(logits)
    assert probability.dtype == torch.float32
    assert torch.equal(probability, torch.full((1, 3, 2, 2, 2), 0.5))


# strides ------------------------------------------------------------------------------------------------------------


def test_strides_of_coarse_slices() -> None:
    strides = ((2, 2, 1), (2, 2, 1), (2, 2, 2), (2, 2, 2))
    assert _kernels(strides) == [(3, 3, 1), (3, 3, 1), (3, 3, 3), (3, 3, 3), (3, 3, 3)]
    for backbone in ("vnet", "dynunet"):
        segmentor = a_segmentor(backbone, strides=strides).eval()
        assert segmentor.multiple == (16, 16, 4)
        with torch.no_grad():
            assert segmentor(torch.randn(1, 1, 32, 32, 8)).logits.shape == (1, 3, 32, 32, 8)


def test_dynunet_takes_any_number_of_levels() -> None:
    assert a_segmentor("dynunet", strides=((2, 2, 2),) * 2).multiple == (4, 4, 4)


@pytest.mark.parametrize(
    ("backbone", "options", "words"),
    [
        ("segresnet", {"strides": ((2, 2, 1),) * 3}, "halves every axis"),
        ("vnet", {"strides": ((2, 2, 2),) * 3}, "has 4 of them, found 3"),
        ("monai_vnet", {"filters": 8}, "16 filters"),
    ],
)
def test_what_a_backbone_does_not_have_is_refused(backbone: str, options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        a_segmentor(backbone, **options)


def test_strides_other_than_1_and_2_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"network\.strides"):
        NetworkConfig(strides=((3, 2, 2),))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dropout": 1.0}, r"network\.dropout: 1\.0"),
        ({"bottleneck_dropout": -0.1, "backbone": "vnet"}, "is not between 0 and 0.9"),
        ({"bottleneck_dropout": 0.5}, "backbone dynunet has none"),
    ],
)
def test_dropout_out_of_range_or_where_there_is_none_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        NetworkConfig(**options)


def test_an_unknown_head_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 'logits'"):
        a_segmentor(heads=("logits", "edges"))


# dropout and Monte Carlo --------------------------------------------------------------------------------------------


def test_monte_carlo_equals_separate_dropout_passes() -> None:
    segmentor = a_segmentor().eval()
    features = torch.randn(2, 8, 5, 4, 3)
    masks = segmentor.dropout_masks(6, torch.Generator().manual_seed(3))
    together = segmentor.monte_carlo(features, 6, masks=masks)
    assert together.shape == (6, 2, 3, 5, 4, 3)
    head = segmentor.head
    for mask, logits in zip(masks, together, strict=True):
        dropped = features * mask.view(1, -1, 1, 1, 1)  # what Dropout3d gives when it drops these channels
        expected = F.conv3d(dropped, head.weight[..., None, None, None], head.bias)
        assert torch.allclose(logits, expected, atol=1e-5)
    assert together.var(0).max() > 0


def test_masks_drop_channels_at_the_rate_and_keep_the_mean() -> None:
    masks = ChannelDropoutHead(64, 2, 0.25).draw(2000, torch.Generator().manual_seed(1))
    assert torch.unique(masks).tolist() == pytest.approx([0.0, 1 / 0.75])
    assert masks.mean().item() == pytest.approx(1, abs=0.02)


def test_the_same_generator_gives_the_same_passes_for_every_window() -> None:
    segmentor = a_segmentor().eval()
    a, b = (segmentor.monte_carlo(torch.ones(1, 8, 2, 2, 2), 4, torch.Generator().manual_seed(9)) for _ in range(2))
    assert torch.equal(a, b)


def test_dropout_works_in_training_only_and_per_patch() -> None:
    segmentor = a_segmentor()
    features = torch.rand(64, 8, 1, 1, 1) + torch.arange(8.0).view(1, 8, 1, 1, 1)
    features = features[:1].expand(64, -1, -1, -1, -1)
    segmentor.train()
    assert len(torch.unique(segmentor.head(features)[:, 0].flatten())) > 16
    segmentor.eval()
    assert len(torch.unique(segmentor.head(features)[:, 0].flatten())) == 1
    without = a_segmentor(dropout=0.0).train()
    assert len(torch.unique(without.head(features)[:, 0].flatten())) == 1


def test_dropout_of_the_coarsest_level_works_in_training_only() -> None:
    segmentor, image = a_segmentor("vnet", bottleneck_dropout=0.5), torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        assert not torch.equal(segmentor.train().features(image), segmentor.features(image))
        assert torch.equal(segmentor.eval().features(image), segmentor.features(image))
        plain = a_segmentor("vnet").eval()
        plain.load_state_dict(segmentor.state_dict())  # it has no weights of its own
        assert torch.equal(plain.train().features(image), plain.features(image))


def test_what_dropout_does_not_touch_is_computed_once_for_all_passes() -> None:
    """What it saves is printed by ``bench_mc.py``."""
    segmentor, calls = a_segmentor().eval(), []
    segmentor.backbone.register_forward_hook(lambda *_: calls.append(1))
    with torch.inference_mode():
        features = segmentor.features(torch.randn(1, 1, 32, 32, 32))
        logits = segmentor.monte_carlo(features, 8)
    assert len(logits) == 8
    assert len(calls) == 1


# fast layers against plain ones -------------------------------------------------------------------------------------


def plain(segmentor: nn.Module) -> nn.Module:
    """The same network, made of torch's own layers only."""
    for name, child in segmentor.named_children():
        if isinstance(child, InstanceNormActivation):
            norm = nn.InstanceNorm3d(len(child.weight), affine=True, eps=child.eps)
            norm.load_state_dict(child.state_dict())
            after = {0.0: nn.ReLU(), 1.0: nn.Identity()}.get(child.slope) or nn.LeakyReLU(child.slope)
            setattr(segmentor, name, nn.Sequential(norm, after))
        else:
            if isinstance(child, Convolution):
                child._applies = lambda _: False  # type: ignore[method-assign, assignment]
            plain(child)
    return segmentor


def gradients(segmentor: nn.Module, image: Tensor, target: Tensor, reduced: bool) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
        logits = segmentor(image).logits
    loss = F.binary_cross_entropy_with_logits(logits.float(), target)
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(segmentor.parameters()))])


def distance(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_fast_network_has_the_gradients_of_a_plain_one(backbone: str) -> None:
    """In float32 the same but for rounding; in bfloat16 as near to float32 as torch's own autocast gets."""
    fast = a_segmentor(backbone, dropout=0.0, **({} if backbone == "monai_vnet" else {"filters": 16}))
    patches = 1 if backbone == "monai_vnet" else 2
    image, target = blobs(1)[:patches], (blobs(3) > 0.3)[:patches].float()
    slow = plain(copy.deepcopy(fast))
    fast.to(memory_format=LAST)  # type: ignore[call-overload]
    exact = gradients(slow, image, target, reduced=False)
    assert distance(gradients(fast, image, target, reduced=False), exact) < 0.05
    torchs = distance(gradients(slow, image, target, reduced=True), exact)
    assert distance(gradients(fast, image, target, reduced=True), exact) < 1.3 * torchs + 0.01


@pytest.mark.parametrize("shape", [(3, 8, 6, 5, 4), (2, 4, 16, 16, 9)], ids=["small", "large"])
@pytest.mark.parametrize("slope", [0.0, 0.01, 1.0])
def test_channels_last_norm_is_the_plain_one(shape: tuple[int, ...], slope: float) -> None:
    layer = norm_activation("instance", shape[1], slope).double()
    with torch.no_grad():
        layer.weight.uniform_(0.5, 2), layer.bias.normal_()
    x = torch.randn(shape, dtype=torch.float64) + 3
    weigh = torch.randn(shape, dtype=torch.float64)
    results = []
    for layout in (torch.contiguous_format, LAST):
        leaf = x.to(memory_format=layout).requires_grad_()
        y = layer(leaf)
        assert y.is_contiguous(memory_format=layout)
        results.append((y, *torch.autograd.grad((y * weigh).sum(), [leaf, layer.weight, layer.bias])))
    for ours, theirs in zip(*results, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-9)


def test_channels_last_norm_has_the_derivative_as_gradient() -> None:
    layer = norm_activation("instance", 3, 0.01).double()
    x = torch.randn(2, 3, 3, 2, 2, dtype=torch.float64).to(memory_format=LAST).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,))


def test_one_voxel_is_normalised_to_the_shift() -> None:
    layer = norm_activation("instance", 4)
    with torch.no_grad():
        layer.bias.fill_(0.5)
    x = torch.randn(2, 4, 1, 1, 1, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert torch.equal(y, torch.full_like(y, 0.5))
    assert not x.grad.any()


def test_bfloat16_learns_as_float32_does() -> None:
    """30 steps on a sphere: the loss stays within 15 % of float32's, and ends within 0.05 of it."""
    z = torch.linspace(-1, 1, 32)
    sphere = ((z[:, None, None] ** 2 + z[:, None] ** 2 + z**2) < 0.4)[None, None].float()
    torch.manual_seed(4)
    image = sphere + 0.5 * torch.randn(1, 1, 32, 32, 32)

    def curve(reduced: bool) -> Tensor:
        torch.manual_seed(0)
        segmentor = Segmentor(NetworkConfig(backbone="vnet", filters=8, dropout=0.0), labels=1)
        segmentor.to(memory_format=LAST)  # type: ignore[call-overload]
        optimizer = torch.optim.SGD(segmentor.parameters(), lr=0.05, momentum=0.9)
        losses = []
        for _ in range(30):
            with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
                logits = segmentor(image).logits
            loss = F.binary_cross_entropy_with_logits(logits.float(), sphere)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses)

    exact, reduced = curve(False), curve(True)
    assert exact[-1] < 0.5 * exact[0]
    assert ((reduced - exact).abs() <= 0.15 * exact + 0.02).all()
    assert abs(reduced[-1] - exact[-1]) < 0.05


def test_a_small_label_is_expected_in_few_voxels_from_the_start() -> None:
    segmentor = a_segmentor()
    segmentor.expect([0.3, 0.004, None])
    assert segmentor.head.bias.sigmoid().tolist() == pytest.approx([0.05, 0.004, 0.05], rel=1e-5)
    segmentor.expect([0.3, 0.0, 0.0])
    assert segmentor.head.bias.sigmoid()[1].item() == pytest.approx(0.001, rel=1e-5)


def test_so_it_is_in_a_softmax_whose_background_has_the_rest() -> None:
    segmentor = a_segmentor(activation="softmax")
    segmentor.expect([0.05, 0.01, 0.002])
    assert segmentor.head.bias.softmax(0).tolist() == pytest.approx([0.938, 0.05, 0.01, 0.002], rel=1e-5)
