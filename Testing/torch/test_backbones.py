"""The backbones of the papers' own settings, slice by slice, and that every backbone there is trains."""

from __future__ import annotations

import math
from typing import get_args, get_type_hints

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from SemiSupSegLib.config import Config, DataConfig, NetworkConfig, TrainConfig
from SemiSupSegLib.data.batch import Batch
from SemiSupSegLib.engine import plan as planning
from SemiSupSegLib.engine.probe import Probe, prepare_network
from SemiSupSegLib.engine.volume import KEPT_FEATURES, Inference
from SemiSupSegLib.engine.windows import Windows
from SemiSupSegLib.errors import ConfigError
from SemiSupSegLib.methods.base import METHODS
from SemiSupSegLib.networks.backbones import strides_of
from SemiSupSegLib.networks.modsegnet import ModSegNet
from SemiSupSegLib.networks.norm import InstanceNormActivation
from SemiSupSegLib.networks.segmentor import Segmentor
from SemiSupSegLib.networks.slices import Slicewise, _neighbours
from SemiSupSegLib.project.labels import LabelSet

LAST = torch.channels_last_3d
BACKBONES = get_args(get_type_hints(NetworkConfig)["backbone"])
SLICED = ("modsegnet", "resnet2d")
PAPERS_OWN = {"modsegnet": {"norm": "none", "filters": 32}, "resnet2d": {"norm": "batch", "filters": 16}}
BALLS = LabelSet.from_names(["one", "other"])


def a_network(backbone: str, **options: object) -> NetworkConfig:
    filters = 16 if backbone == "monai_vnet" else 8
    return NetworkConfig(backbone=backbone, **{"filters": filters, **options})  # type: ignore[arg-type]


def a_segmentor(backbone: str, labels: int = 2, **options: object) -> Segmentor:
    torch.manual_seed(0)
    modalities = options.pop("modalities", 1)
    return Segmentor(a_network(backbone, **options), labels=labels, modalities=modalities)  # type: ignore[arg-type]


# slices -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", SLICED)
@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_slices_of_odd_sizes_come_out_as_large_as_they_were(backbone: str, axis: str) -> None:
    segmentor = a_segmentor(backbone, slice_axis=axis, modalities=2).eval()
    with torch.no_grad():
        output = segmentor(torch.randn(2, 2, 21, 33, 5))
    assert output.logits.shape == (2, 2, 21, 33, 5)
    assert output.features.shape == (2, 8, 21, 33, 5)


def test_what_a_slice_axis_halves() -> None:
    assert a_segmentor("modsegnet").multiple == (16, 16, 1)
    assert a_segmentor("modsegnet", slice_axis="y").multiple == (16, 1, 16)
    assert a_segmentor("resnet2d", slice_axis="x").multiple == (1, 32, 32)


def changed_slices(segmentor: Segmentor, axis: int, touched: int, count: int) -> list[int]:
    """Slices whose features change with one slice of the image."""
    image = torch.randn([count if n == axis else 32 for n in range(3)])[None, None]
    other = image.clone()
    other.select(2 + axis, touched).add_(1.0)
    with torch.no_grad():
        difference = (segmentor.features(image) - segmentor.features(other)).abs()
    return difference.movedim(2 + axis, 0).flatten(1).amax(1).nonzero().flatten().tolist()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("norm", ["none", "instance"])
def test_modsegnet_sees_a_slice_and_three_on_each_side_and_no_other(axis: int, norm: str) -> None:
    segmentor = a_segmentor("modsegnet", slice_axis="xyz"[axis], norm=norm).eval()
    assert changed_slices(segmentor, axis, touched=6, count=13) == [3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_resnet2d_sees_a_slice_alone(axis: int, norm: str) -> None:
    segmentor = a_segmentor("resnet2d", slice_axis="xyz"[axis], norm=norm).eval()
    assert changed_slices(segmentor, axis, touched=2, count=5) == [2]


def test_beyond_the_ends_slices_are_reflected() -> None:
    assert _neighbours(5, 3, torch.device("cpu")).tolist() == [
        [3, 2, 1, 0, 1, 2, 3],
        [2, 1, 0, 1, 2, 3, 4],
        [1, 0, 1, 2, 3, 4, 3],
        [0, 1, 2, 3, 4, 3, 2],
        [1, 2, 3, 4, 3, 2, 1],
    ]
    assert _neighbours(2, 3, torch.device("cpu"))[0].tolist() == [1, 0, 1, 0, 1, 0, 1]
    assert _neighbours(1, 3, torch.device("cpu")).tolist() == [[0] * 7]


def test_a_slice_is_what_the_2d_network_makes_of_its_seven() -> None:
    """The paper's way, one slice after the other: pad by reflection, cut seven out, put the channels in a row."""
    segmentor = a_segmentor("modsegnet", norm="none", slice_axis="y").eval()
    image = torch.randn(2, 1, 16, 6, 32)
    padded = F.pad(image, (0, 0, 3, 3, 0, 0), mode="reflect")
    assert isinstance(segmentor.backbone, Slicewise)
    with torch.no_grad():
        found = segmentor.features(image)
        for y in range(6):
            seven = padded[:, 0, :, y : y + 7].movedim(2, 1)
            assert torch.allclose(found[:, :, :, y], segmentor.backbone.network(seven), atol=1e-5)


def test_maxima_go_back_to_where_they_were() -> None:
    """Level 1 alone, by hand: what the decoder gets has each 2x2 block's maximum at its place and 0 elsewhere."""
    network = ModSegNet(1, 8, "none").eval()
    seen: list[Tensor] = []
    network.decoders[3].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    with torch.no_grad():
        network(torch.randn(1, 1, 16, 16))
    up, skip = seen[0].chunk(2, dim=1)
    assert up.shape == skip.shape == (1, 64, 2, 2)
    placed = skip.flatten(2).argmax(2)
    assert torch.equal(up.flatten(2).gather(2, placed[..., None])[..., 0], skip.flatten(2).amax(2))
    assert (up != 0).flatten(2).sum(2).max() <= 1


def test_modsegnet_has_the_papers_size() -> None:
    """Levels of 32, 64, 128, 256 channels; weights and biases of 16 convolutions, counted by hand."""
    pairs = [(7, 32), (32, 64), (64, 128), (128, 256), (512, 128), (256, 64), (128, 32), (64, 32)]
    by_hand = sum(9 * a * b + b + 9 * b * b + b for a, b in pairs)
    assert sum(p.numel() for p in ModSegNet(7, 32, "none").parameters()) == by_hand == 2_169_248


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_number_of_weights_is_reasonable(backbone: str) -> None:
    options = PAPERS_OWN.get(backbone, {"filters": 16})
    assert 5e5 < sum(p.numel() for p in a_segmentor(backbone, **options).parameters()) < 5e7


def test_xavier_weights_keep_the_variance() -> None:
    torch.manual_seed(0)
    weight = ModSegNet(7, 32, "none").encoders[3][2].weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (9 * (256 + 256))), rel=0.02)


# dropout inside -----------------------------------------------------------------------------------------------------


def test_modsegnets_own_dropout_is_off_in_eval_mode_and_not_repeated_by_monte_carlo_passes() -> None:
    segmentor = a_segmentor("modsegnet", norm="none", dropout=0.5).eval()
    image = torch.randn(1, 1, 32, 32, 4)
    with torch.no_grad():
        features = segmentor.features(image)
        assert torch.equal(features, segmentor.features(image))
        ones = torch.ones(3, 8)  # nothing dropped before the last convolution: all passes are the deterministic one
        for logits in segmentor.monte_carlo(features, 3, masks=ones):
            assert torch.allclose(logits, segmentor.head(features), atol=1e-6)
        segmentor.train()
        assert not torch.equal(segmentor.features(image), segmentor.features(image))


# what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backbone", "options", "words"),
    [
        ("dynunet", {"norm": "none"}, "does not train without one"),
        ("resnet2d", {"norm": "none"}, "does not train without one"),
        ("modsegnet", {"strides": ((2, 2, 2),) * 4}, r"slices across z has \(2, 2, 1\) 4 times"),
        ("resnet2d", {"strides": ((2, 2, 1),) * 4}, "5 times"),
    ],
)
def test_what_a_slicewise_backbone_does_not_have_is_refused(backbone: str, options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        a_segmentor(backbone, **options)


def test_its_own_strides_are_taken() -> None:
    assert strides_of(a_network("modsegnet", strides=((2, 2, 1),) * 4)) == ((2, 2, 1),) * 4


# memory formats, precision, steps -----------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", SLICED)
def test_2d_weights_are_laid_out_as_the_probe_wants_them(backbone: str) -> None:
    segmentor = a_segmentor(backbone)
    before = {name: value.clone() for name, value in segmentor.state_dict().items()}
    prepare_network(segmentor, Probe("cpu", "float32", True, torch.get_num_threads(), ""))
    planes = [p for p in segmentor.parameters() if p.ndim == 4]
    assert planes
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in planes)
    assert all(torch.equal(value, before[name]) for name, value in segmentor.state_dict().items())
    with torch.no_grad():
        assert segmentor.features(torch.randn(1, 1, 32, 32, 3)).is_contiguous(memory_format=LAST)
    segmentor.double()
    assert all(p.dtype == torch.float64 for p in segmentor.parameters())


@pytest.mark.parametrize("backbone", SLICED)
def test_the_memory_format_changes_nothing_but_rounding(backbone: str) -> None:
    segmentor = a_segmentor(backbone).double().eval()
    image = torch.randn(1, 1, 32, 32, 3, dtype=torch.float64)
    plain = segmentor.features(image)
    segmentor.to(memory_format=LAST)  # type: ignore[call-overload]
    assert torch.allclose(segmentor.features(image), plain, atol=1e-9)


@pytest.fixture(scope="module")
def two_balls() -> Batch:
    """Two cases with a bright and a brighter ball; in the second only one of them is annotated."""
    x, y, z = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in (16, 16, 8)), indexing="ij")
    one, other = ((x + side) ** 2 + y**2 + z**2 < 0.2 for side in (0.5, -0.5))
    labels = (one.byte() + 2 * other.byte()).expand(2, 1, -1, -1, -1).clone()
    image = labels.float() + 0.3 * torch.randn(labels.shape, generator=torch.Generator().manual_seed(1))
    labels[1][labels[1] == 2] = 0
    annotated = torch.tensor([[True, True], [True, False]])
    return Batch(
        image=image, labels=labels, annotated=annotated, everywhere=annotated, region=None,
        valid=torch.ones_like(labels, dtype=torch.bool), pseudo=None, label_set=BALLS, case_ids=("a", "b"),
    )  # fmt: skip


class AStep:
    """As much of the loop as a plain method needs."""

    def __init__(self, segmentor: Segmentor, rate: float) -> None:
        self.networks = {"segmentor": segmentor}
        self.optimizer = torch.optim.AdamW(segmentor.parameters(), lr=rate)

    def optimize(self, network: str, loss: Tensor) -> None:  # noqa: ARG002
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


@pytest.mark.slow
@pytest.mark.parametrize("reduced", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_trains(backbone: str, reduced: bool, two_balls: Batch) -> None:
    """A few steps of SMILE: a finite gradient for each weight, and less loss than at the start."""
    torch.manual_seed(0)
    options = {"norm": "none"} if backbone == "modsegnet" else {}
    method = METHODS["smile"]({}, BALLS, a_network(backbone, dropout=0.0, **options))
    segmentor = method.networks()["segmentor"]
    assert isinstance(segmentor, Segmentor)
    if reduced:
        segmentor.to(memory_format=LAST)  # type: ignore[call-overload]
    step, curve = AStep(segmentor, 3e-3), []
    for _ in range(2 if reduced or backbone == "monai_vnet" else 8):  # its 5x5x5 kernels take their time
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            terms = method.training_step(two_balls, step)  # type: ignore[arg-type]
        curve.append(sum(float(term.detach()) for term in terms.values()))
    assert [name for name, p in segmentor.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    assert curve[-1] < (1.0 if reduced else 0.99) * curve[0]


@pytest.mark.parametrize("backbone", SLICED)
def test_batch_statistics_are_those_of_all_slices_of_a_batch(backbone: str) -> None:
    segmentor = a_segmentor(backbone, norm="batch").train()
    norms = [m for m in segmentor.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    inputs: list[Tensor] = []
    norms[0].register_forward_hook(lambda _, given, __: inputs.append(given[0].detach()))
    segmentor(torch.randn(2, 1, 32, 32, 4))
    assert inputs[0].shape[0] == 8
    assert torch.allclose(norms[0].running_mean, 0.1 * inputs[0].mean((0, 2, 3)), atol=1e-5)
    assert all(norm.num_batches_tracked == 1 for norm in norms)


# the channels-last norm in float32 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [0.0, 20.0])
def test_float32_statistics_of_many_voxels_are_as_exact_channels_last_as_contiguous(mean: float) -> None:
    """torch's own channels-last kernels are off by 4e-5 here, which changes gradients by 2e-3: rectifiers switch."""
    torch.manual_seed(0)
    x = torch.randn(1, 8, 64, 64, 40) + mean
    exact = InstanceNormActivation(8, 1.0).double()(x.double())
    for layout in (torch.contiguous_format, LAST):
        y = InstanceNormActivation(8, 1.0)(x.to(memory_format=layout))
        assert (y - exact).norm() / exact.norm() < (5e-7 if mean == 0 else 3e-6)


def test_float32_gradients_of_a_rectified_norm_are_within_5e_4_of_float64s() -> None:
    torch.manual_seed(0)
    x, weigh = torch.randn(1, 8, 64, 64, 40) + 3, torch.randn(1, 8, 64, 64, 40)
    results = []
    for kind, layout in ((torch.float64, torch.contiguous_format), (torch.float32, LAST)):
        leaf = x.to(kind).to(memory_format=layout).requires_grad_()
        layer = InstanceNormActivation(8, 0.0).to(kind)
        loss = (layer(leaf) * weigh.to(kind)).sum()
        results.append([g.double() for g in torch.autograd.grad(loss, [leaf, layer.weight, layer.bias])])
    for exact, found in zip(*results, strict=True):
        assert (found - exact).norm() / exact.norm() < 5e-4


def test_slices_are_normalised_as_flat_volumes_are() -> None:
    layer = InstanceNormActivation(4, 0.0).double()
    x = torch.randn(3, 4, 9, 7, dtype=torch.float64)
    expected = F.instance_norm(x).relu()
    for layout in (torch.contiguous_format, torch.channels_last):
        assert torch.allclose(layer(x.to(memory_format=layout)), expected, atol=1e-4)


# planning, prediction -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [((1.0, 1.0, 1.0), "z"), ((1.0, 1.0, 5.0), "z"), ((0.9, 3.0, 0.9), "y"), ((2.0, 1.0, 1.0), "x")],
)
def test_slices_are_planned_across_the_coarsest_axis(spacing: tuple[float, float, float], axis: str) -> None:
    for backbone in SLICED:
        network = planning._network(backbone, planning.PRESETS["balanced"], spacing, ())
        assert network.slice_axis == axis
        assert strides_of(network)[0]["xyz".index(axis)] == 1


def test_modsegnet_is_planned_as_published() -> None:
    network = planning._network("modsegnet", planning.PRESETS["quick"], (1.0, 1.0, 1.0), ())
    assert (network.filters, network.norm) == (32, "none")


def test_every_backbone_has_its_memory_measured() -> None:
    assert set(BACKBONES) == set(planning.KEPT_ACTIVATIONS) == set(KEPT_FEATURES) == set(get_args(planning.Backbone))


def test_windows_across_slices_agree_with_the_whole_volume() -> None:
    """Windows end like volumes, in reflected slices; those have next to no weight beside the overlapping window's."""
    segmentor = a_segmentor("modsegnet", labels=1, norm="none", dropout=0.0)
    with torch.no_grad():
        for parameter in segmentor.backbone.parameters():
            parameter.mul_(1.5)  # so that probabilities differ from voxel to voxel
    network = a_network("modsegnet", norm="none", dropout=0.0)
    config = Config(
        network=network, data=DataConfig(patch_size=(32, 32, 16)), train=TrainConfig(iterations=1, precision="float32")
    )
    inference = Inference(segmentor, config, device="cpu")
    image = torch.randn(1, 32, 32, 40, generator=torch.Generator().manual_seed(2)).numpy()
    whole = inference.run(image, 1)
    assert len(inference.windows((32, 32, 40), 1)) == 1  # no statistics of instances: in one piece where memory allows
    pieces = inference.run(image, 1, windows=Windows((32, 32, 40), (32, 32, 16)))
    difference = abs(whole.probability.astype(float) - pieces.probability.astype(float))
    spread = float(whole.probability.max() - whole.probability.min())
    assert spread > 0.05
    assert difference.mean() < 0.002 * spread
    assert difference.max() < 0.05 * spread
    assert difference[..., [0, -1]].max() < 0.01 * spread  # the volume's own ends are the same in both


# the baseline of SMILE's paper --------------------------------------------------------------------------------------


def test_naive_with_softmax_is_full_supervision_with_what_is_missing_as_background(two_balls: Batch) -> None:
    """The K + 1 softmax FCN of SMILE's paper: plain cross-entropy with a label map in which the organ is erased."""
    network = a_network("resnet2d", activation="softmax", dropout=0.0)
    method = METHODS["naive"]({"dice_weight": 0.0}, BALLS, network)
    logits = torch.randn(2, 3, 16, 16, 8, generator=torch.Generator().manual_seed(3))
    found = method.supervised(logits, two_balls)
    assert set(found) == {"cross_entropy"}
    erased = two_balls.labels[:, 0].long()
    assert (erased[1] != 2).all()
    assert float(found["cross_entropy"]) == pytest.approx(float(F.cross_entropy(logits, erased)), rel=1e-5)
    smile = METHODS["smile"]({"dice_weight": 0.0}, BALLS, network).supervised(logits, two_balls)
    assert float(smile["cross_entropy"]) != pytest.approx(float(found["cross_entropy"]), rel=1e-3)
