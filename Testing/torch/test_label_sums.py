"""Cross-entropy and Dice in pieces: the same numbers and gradients as of the losses written in one go."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from SemiSupSegLib.losses import reduce
from SemiSupSegLib.losses.masked import marginal_cross_entropy, masked_bce, masked_dice, segmentation_terms

K, SIZE = 4, (5, 4, 3)
EXCLUSIVE = pytest.mark.parametrize("exclusive", [False, True])
Marks = tuple[Tensor, Tensor, Tensor, Tensor]


def marks(*, exclusive: bool, everything_known: bool = False) -> Marks:
    """Logits, exclusive targets, weights of some voxels, and which of them count for Dice."""
    draw = torch.Generator().manual_seed(3)
    logits = torch.randn(2, K + exclusive, *SIZE, generator=draw, dtype=torch.float64)
    label = torch.randint(0, K + 1, (2, *SIZE), generator=draw)
    target = torch.stack([label == k + 1 for k in range(K)], dim=1)
    known = torch.ones_like(target) if everything_known else torch.rand(target.shape, generator=draw) < 0.6
    return logits.requires_grad_(), target, known, known & (torch.rand(target.shape, generator=draw) < 0.8)


def plainly(logits: Tensor, target: Tensor, weight: Tensor, scored: Tensor, *, exclusive: bool) -> tuple[Tensor, ...]:
    if exclusive:
        dice = masked_dice(logits.softmax(dim=1)[:, 1:], target, scored)
        return marginal_cross_entropy(logits, target, weight), dice
    return masked_bce(logits, target, weight), masked_dice(logits.sigmoid(), target, scored)


@EXCLUSIVE
@pytest.mark.parametrize("everything_known", [False, True])
@pytest.mark.parametrize("voxels", [7, 4096])
def test_values_and_gradients_are_those_of_the_plain_losses(
    exclusive: bool, everything_known: bool, voxels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reduce, "VOXELS", voxels)  # 60 voxels a row: several pieces, the last one smaller
    logits, target, known, scored = marks(exclusive=exclusive, everything_known=everything_known)
    found = segmentation_terms(logits, target, known, scored, exclusive=exclusive)
    wanted = plainly(logits, target, known, scored, exclusive=exclusive)
    for ours, plain in zip(found, wanted, strict=True):
        assert ours.item() == pytest.approx(plain.item(), rel=1e-12)
        (slope,) = torch.autograd.grad(ours, logits, retain_graph=True)
        (plain_slope,) = torch.autograd.grad(plain, logits, retain_graph=True)
        assert torch.allclose(slope, plain_slope, rtol=1e-9, atol=1e-15)


@EXCLUSIVE
def test_weights_need_not_be_booleans(exclusive: bool) -> None:
    logits, target, known, scored = marks(exclusive=exclusive)
    weight = known * torch.linspace(0.5, 2, known.numel(), dtype=torch.float64).view(known.shape)
    found = segmentation_terms(logits, target, weight, scored, exclusive=exclusive)
    wanted = plainly(logits, target, weight, scored, exclusive=exclusive)
    assert torch.allclose(torch.stack(found), torch.stack(wanted), rtol=1e-12)


@EXCLUSIVE
def test_gradient_is_the_derivative(exclusive: bool) -> None:
    logits, target, known, scored = marks(exclusive=exclusive)
    assert torch.autograd.gradcheck(
        lambda z: segmentation_terms(z, target, known, scored, exclusive=exclusive), (logits,)
    )


@EXCLUSIVE
def test_what_is_not_known_changes_nothing(exclusive: bool) -> None:
    logits, target, _, _ = marks(exclusive=exclusive)
    known = torch.zeros_like(target)
    known[:, :, 0] = True
    changed = logits.detach().clone()
    changed[:, :, 1:] = 1e6
    before, after = (
        torch.stack(segmentation_terms(z, target, known, known, exclusive=exclusive)) for z in (logits, changed)
    )
    assert torch.equal(before, after)


@EXCLUSIVE
def test_nothing_known_costs_nothing_and_teaches_nothing(exclusive: bool) -> None:
    logits, target, known, _ = marks(exclusive=exclusive)
    total = sum(segmentation_terms(logits, target, known & False, known & False, exclusive=exclusive))
    (slope,) = torch.autograd.grad(total, logits)
    assert total.item() == 0
    assert not slope.any()


@EXCLUSIVE
def test_half_precision_and_channels_last_logits_keep_their_kind_of_gradient(exclusive: bool) -> None:
    logits, target, known, scored = marks(exclusive=exclusive)
    half = logits.detach().to(torch.bfloat16).to(memory_format=torch.channels_last_3d).requires_grad_()
    found = segmentation_terms(half, target, known, scored, exclusive=exclusive)
    wanted = plainly(half.float(), target, known, scored, exclusive=exclusive)
    assert torch.allclose(torch.stack(found), torch.stack(wanted), rtol=1e-5)
    assert torch.autograd.grad(sum(found), half)[0].dtype == torch.bfloat16


def test_logits_so_large_that_exponentials_overflow_are_finite() -> None:
    logits, target, known, scored = marks(exclusive=True, everything_known=True)
    terms = segmentation_terms(1e4 * logits, target, known, scored, exclusive=True)
    assert all(torch.isfinite(term) for term in terms)
    assert torch.isfinite(torch.autograd.grad(sum(terms), logits)[0]).all()


@EXCLUSIVE
def test_shapes_that_do_not_fit_are_refused(exclusive: bool) -> None:
    logits, target, known, scored = marks(exclusive=exclusive)
    with pytest.raises(ValueError, match="shapes must agree"):
        segmentation_terms(logits[:, :-1], target, known, scored, exclusive=exclusive)


@EXCLUSIVE
def test_weights_of_a_single_patch_are_left_as_they_are(exclusive: bool) -> None:
    logits, target, known, scored = (part[:1].detach() for part in marks(exclusive=exclusive))
    weight = known.to(logits.dtype)
    logits = logits.requires_grad_()
    sum(segmentation_terms(logits, target, weight, scored, exclusive=exclusive)).backward()
    assert torch.equal(weight, known.to(logits.dtype))


@EXCLUSIVE
def test_an_infinite_logit_where_nothing_is_known_changes_nothing(exclusive: bool) -> None:
    logits, target, known, scored = marks(exclusive=exclusive)
    nowhere = ~known.any(dim=1, keepdim=True)
    endless = torch.where(nowhere, torch.inf, logits.detach())
    if exclusive:  # a softmax of several infinite logits is no number
        endless = torch.where(nowhere, 1e30, logits.detach())
    before, after = (torch.stack(segmentation_terms(z, target, known, scored, exclusive=exclusive))
                     for z in (logits.detach(), endless))  # fmt: skip
    assert torch.allclose(before, after)


def test_two_labels_at_one_voxel_are_both_possible_in_a_softmax() -> None:
    logits, target, known, scored = marks(exclusive=True, everything_known=True)
    target = target | target.roll(1, dims=1)
    found = segmentation_terms(logits, target, known, scored, exclusive=True)
    wanted = plainly(logits, target, known, scored, exclusive=True)
    assert torch.allclose(torch.stack(found), torch.stack(wanted), rtol=1e-12)
