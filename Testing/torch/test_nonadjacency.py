"""Soft adjacency and the constraint on it: METHODS' values, a slow loop, gradients, memory, what it must not do."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from SemiSupSegLib.losses import nonadjacency
from SemiSupSegLib.losses.distribution import exclusive_distribution, independent_distribution
from SemiSupSegLib.losses.nonadjacency import (
    contacts,
    non_adjacency,
    relative_non_adjacency,
    soft_adjacency,
)

FORMS = [(None, False), (None, True), (0, False), (1, False), (2, True)]


def one_hot(label: Tensor, classes: int) -> Tensor:
    """(X, Y, Z) to (1, C, X, Y, Z) float64."""
    return F.one_hot(label.long(), classes).movedim(-1, 0)[None].double()


def some_patches(channels: int = 3, size: tuple[int, int, int] = (4, 3, 5)) -> tuple[Tensor, Tensor]:
    """Probabilities (2, C, *S) in float64, and which voxels are in the image."""
    draw = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(2, channels, *size, generator=draw, dtype=torch.float64)
    return logits.softmax(1), torch.rand(2, 1, *size, generator=draw) < 0.7


def graph(label: Tensor, classes: int) -> Tensor:
    """Forbidden pairs by the definition of the prior graph: no two voxels in reach of each other have those labels."""
    allowed = torch.eye(classes, dtype=torch.bool)
    for here in product(*(range(n) for n in label.shape)):
        for step in product((-1, 0, 1), repeat=3):
            there = tuple(a + b for a, b in zip(here, step, strict=True))
            if all(0 <= a < n for a, n in zip(there, label.shape, strict=True)):
                allowed[label[here], label[there]] = True
    return ~allowed


# 1. by hand ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_two_half_planes_in_a_slice(axis: int) -> None:
    h, w = 10, 12
    label = torch.zeros(h, w)
    label[:, w // 2 :] = 1
    a = soft_adjacency(one_hot(label.unsqueeze(axis), 2), slice_axis=axis)
    assert a[0, 1].item() == pytest.approx((3 * h - 2) / (9 * h * w), rel=1e-12)
    assert a[0, 1].item() == pytest.approx(0.0259259, abs=1e-7)
    assert a.sum().item() == pytest.approx((3 * h - 2) * (3 * w - 2) / (9 * h * w), rel=1e-12)


def test_a_plane_border_in_a_volume() -> None:
    d, h, w = 7, 10, 12
    label = torch.zeros(d, h, w)
    label[:, :, w // 2 :] = 1
    a = soft_adjacency(one_hot(label, 2))
    assert a[0, 1].item() == pytest.approx((3 * d - 2) * (3 * h - 2) / (27 * d * h * w), rel=1e-12)
    assert a[0, 1].item() == pytest.approx(0.0234568, abs=1e-7)


def test_uniform_probabilities_touch_alike() -> None:
    h, w, k = 6, 9, 4
    a = soft_adjacency(torch.full((2, k, h, w, 1), 1 / k, dtype=torch.float64), slice_axis=2)
    expected = (3 * h - 2) * (3 * w - 2) / (9 * h * w * k**2)
    assert torch.allclose(a, torch.full((k, k), expected, dtype=torch.float64), rtol=1e-12)


@pytest.mark.parametrize(("exclude", "expected"), [(False, 0.5 * 8 + 0.25), (True, 0.5 * 8)])
def test_one_voxel_split_between_two_labels(exclude: bool, expected: float) -> None:
    p = one_hot(torch.zeros(5, 5, 1), 2)
    p[0, :, 2, 2, 0] = 0.5
    a = contacts(p, slice_axis=2, exclude_center=exclude)
    box = 8 if exclude else 9
    assert box * a[0, 1].item() == pytest.approx(expected, rel=1e-12)  # its own 0.25 is what the centre adds


def test_the_published_loss_is_a_mean_over_ordered_pairs_and_ours_a_share() -> None:
    a = torch.tensor([[0.4, 0.1, 0.02], [0.1, 0.2, 0.03], [0.02, 0.03, 0.1]])
    forbidden = torch.zeros(3, 3, dtype=torch.bool)
    forbidden[0, 2] = forbidden[2, 0] = forbidden[1, 2] = forbidden[2, 1] = True
    assert non_adjacency(a, forbidden).item() == pytest.approx(0.1 / 4)
    assert relative_non_adjacency(a, forbidden).item() == pytest.approx(0.1 / 1.0)


# 2. slow loop -------------------------------------------------------------------------------------------------------


def slow_adjacency(p: Tensor, valid: Tensor, slice_axis: int | None, exclude_center: bool) -> Tensor:
    batch, channels, *size = p.shape
    reach = [(0,) if axis == slice_axis else (-1, 0, 1) for axis in range(3)]
    steps = [s for s in product(*reach) if any(s) or not exclude_center]
    total, voxels = torch.zeros(channels, channels, dtype=p.dtype), 0
    for b, *here in product(range(batch), *(range(n) for n in size)):
        if not valid[(b, 0, *here)]:
            continue
        voxels += 1
        for step in steps:
            there = [x + d for x, d in zip(here, step, strict=True)]
            inside = all(0 <= x < n for x, n in zip(there, size, strict=True))
            if inside and valid[(b, 0, *there)]:
                total += torch.outer(p[(b, slice(None), *here)], p[(b, slice(None), *there)]) / len(steps)
    return total / voxels


@pytest.mark.parametrize(("slice_axis", "exclude_center"), FORMS)
@pytest.mark.parametrize("chunk", [1, 2**24])
def test_agrees_with_a_slow_loop(
    monkeypatch: pytest.MonkeyPatch, chunk: int, slice_axis: int | None, exclude_center: bool
) -> None:
    monkeypatch.setattr(nonadjacency, "CHUNK", chunk)
    p, valid = some_patches()
    for mask in (valid, torch.ones_like(valid)):
        a = soft_adjacency(p, mask, slice_axis=slice_axis, exclude_center=exclude_center)
        assert torch.allclose(a, slow_adjacency(p, mask, slice_axis, exclude_center), rtol=1e-10)
        assert torch.allclose(a, a.T, rtol=1e-12)
    assert torch.allclose(soft_adjacency(p), soft_adjacency(p, torch.ones_like(valid)), rtol=1e-12)


def test_the_box_is_the_average_pool_of_the_paper() -> None:
    p, _ = some_patches(5, (6, 3, 7))
    q = F.avg_pool3d(p, 3, stride=1, padding=1, count_include_pad=True)
    expected = torch.einsum("bixyz,bjxyz->ij", p, q)
    assert torch.allclose(contacts(p), expected, rtol=1e-12)


# 3. gradient --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slice_axis", "exclude_center"), FORMS)
@pytest.mark.parametrize("chunk", [1, 2**24])
def test_gradient_is_the_derivative(
    monkeypatch: pytest.MonkeyPatch, chunk: int, slice_axis: int | None, exclude_center: bool
) -> None:
    monkeypatch.setattr(nonadjacency, "CHUNK", chunk)
    p, valid = some_patches(3, (3, 2, 3))
    draw = torch.Generator().manual_seed(1)
    lopsided = torch.randn(3, 3, generator=draw, dtype=torch.float64)  # any function of A, not only symmetric ones

    def of(p: Tensor) -> Tensor:
        return (lopsided * soft_adjacency(p, valid, slice_axis=slice_axis, exclude_center=exclude_center)).sum()

    assert torch.autograd.gradcheck(of, (p.requires_grad_(),))


@pytest.mark.parametrize("loss", [non_adjacency, relative_non_adjacency])
@pytest.mark.parametrize("form", [exclusive_distribution, independent_distribution])
def test_gradient_of_the_loss_by_the_logits_is_the_derivative(loss, form) -> None:
    draw = torch.Generator().manual_seed(4)
    logits = torch.randn(2, 2, 3, 3, 2, generator=draw, dtype=torch.float64).requires_grad_()
    forbidden = torch.zeros(3, 3, dtype=torch.bool)
    forbidden[1, 2] = forbidden[2, 1] = True
    assert torch.autograd.gradcheck(lambda z: loss(soft_adjacency(form(z)), forbidden), (logits,))


def test_a_step_down_the_gradient_lowers_a_forbidden_contact() -> None:
    label = torch.zeros(4, 4, 4)
    label[:2], label[2:, :2] = 1, 2  # 1 and 2 touch, and must not
    forbidden = torch.zeros(3, 3, dtype=torch.bool)
    forbidden[1, 2] = forbidden[2, 1] = True
    logits = (4 * one_hot(label, 3)).requires_grad_()
    before = non_adjacency(soft_adjacency(logits.softmax(1)), forbidden)
    before.backward()
    with torch.no_grad():
        for size in (0.1, 1.0, 10.0):
            after = non_adjacency(soft_adjacency((logits - size * logits.grad).softmax(1)), forbidden)
            assert after < before


# 4. nothing to do ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("slice_axis", "exclude_center"), FORMS)
def test_a_training_map_against_its_own_graph_is_exactly_0(
    dtype: torch.dtype, slice_axis: int | None, exclude_center: bool
) -> None:
    draw = torch.Generator().manual_seed(8)
    coarse = torch.randint(0, 7, (3, 3, 3), generator=draw)
    label = coarse.repeat_interleave(2, 0).repeat_interleave(2, 1).repeat_interleave(2, 2)
    forbidden = graph(label, 8)  # label 7 is nowhere
    assert 2 < forbidden.sum() < 56
    p = one_hot(label, 8).to(dtype)
    a = soft_adjacency(p, slice_axis=slice_axis, exclude_center=exclude_center)
    assert non_adjacency(a, forbidden).item() == 0
    assert relative_non_adjacency(a, forbidden).item() == 0


@pytest.mark.parametrize("loss", [non_adjacency, relative_non_adjacency])
def test_nothing_forbidden_or_no_valid_voxel_gives_0_and_gradient_0(loss) -> None:
    p, valid = some_patches()
    p.requires_grad_()
    forbidden = ~torch.eye(3, dtype=torch.bool)
    for mask, pairs in ((valid, torch.zeros_like(forbidden)), (torch.zeros_like(valid), forbidden)):
        p.grad = None
        value = loss(soft_adjacency(p, mask), pairs)
        value.backward()
        assert value.item() == 0
        assert torch.equal(p.grad, torch.zeros_like(p))


def test_voxels_outside_the_image_change_nothing() -> None:
    p, valid = some_patches()
    p.requires_grad_()
    a = soft_adjacency(p, valid)
    assert torch.equal(a, soft_adjacency(torch.where(valid, p, 0.9), valid))
    a[0, 1].backward()
    assert not p.grad[~valid.expand_as(p)].any()


# 5. wrong shape -----------------------------------------------------------------------------------------------------


def test_a_wrong_shape_is_refused() -> None:
    p, valid = some_patches()
    with pytest.raises(ValueError, match=r"expected \(B, C, X, Y, Z\) .*\(2, 3, 4, 3\), None"):
        soft_adjacency(p[..., 0])
    with pytest.raises(ValueError, match=r"slice axis 0, 1, 2 or None: .* 3"):
        soft_adjacency(p, slice_axis=3)
    with pytest.raises(ValueError, match=r"shapes must agree: probability .* valid"):
        soft_adjacency(p, valid[..., 1:])
    for loss in (non_adjacency, relative_non_adjacency):
        with pytest.raises(ValueError, match=r"shapes must agree: adjacency .* forbidden"):
            loss(soft_adjacency(p), torch.zeros(2, 2, dtype=torch.bool))


# 6. numbers and memory ----------------------------------------------------------------------------------------------


def test_under_bfloat16_autocast_it_is_computed_in_float32_forward_and_backward() -> None:
    """140 labels: the published value is about 1e-8, and its gradients are smaller than float16 can hold."""
    draw = torch.Generator().manual_seed(2)
    logits = torch.randn(1, 140, 6, 6, 6, generator=draw).requires_grad_()
    forbidden = torch.rand(141, 141, generator=draw) < 0.9
    forbidden = forbidden & forbidden.T & ~torch.eye(141, dtype=torch.bool)
    results = []
    for enabled in (False, True):
        logits.grad = None
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            value = non_adjacency(soft_adjacency(exclusive_distribution(logits)), forbidden)
            value.backward()
        assert value.dtype == torch.float32
        results.append((value.item(), logits.grad.clone()))
    assert 0 < results[0][0] < 1e-4
    assert results[0][0] == results[1][0]
    assert torch.equal(results[0][1], results[1][1])
    assert results[0][1].abs().max() > 0


def test_bfloat16_probabilities_are_summed_in_float32() -> None:
    p = some_patches()[0].bfloat16()
    assert soft_adjacency(p).dtype == torch.float32
    assert torch.equal(soft_adjacency(p), soft_adjacency(p.float()))


class Tensors(TorchDispatchMode):
    """Sizes of all tensors that are made."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        new = [t for t in tree_leaves(made) if isinstance(t, Tensor) and t.untyped_storage().data_ptr() not in given]
        self.sizes += [t.numel() for t in new]
        return made


def test_many_labels_need_one_more_copy_of_the_probabilities_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory grows with labels x voxels, never with labels x labels x voxels: 140 labels at 96^3 would be 70 GB."""
    labels, voxels = 40, 6**3
    monkeypatch.setattr(nonadjacency, "CHUNK", 3 * voxels)
    p = torch.rand(1, labels, 6, 6, 6).softmax(1).requires_grad_()
    with Tensors() as seen:
        soft_adjacency(p)[0, 1].backward()
    assert sum(size == p.numel() for size in seen.sizes) == 1  # the gradient
    assert max(size for size in seen.sizes if size != p.numel()) <= max(3 * voxels, labels**2)
