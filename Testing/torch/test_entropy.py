"""Entropy of predictions: by hand, against a slow loop, and what a mask leaves out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from SemiSupSegLib.losses.entropy import mean_entropy, normalised_entropy

SIZE = (3, 2, 2)


def some_logits(channels: int = 3) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(5)
    logits = torch.randn(2, channels, *SIZE, generator=draw, dtype=torch.float64)
    return logits, torch.rand(2, channels, *SIZE, generator=draw) < 0.6


def mask_of(mask: Tensor, exclusive: bool) -> Tensor:
    return mask[:, :1] if exclusive else mask


def binary_entropy(p: float) -> float:
    return -(p * math.log(p) + (1 - p) * math.log(1 - p)) / math.log(2)


def test_sigmoids_by_hand() -> None:
    # p = 1/2: one bit. p = 1/4: 2 - 3/4 log2(3) bits. The third voxel is masked out.
    logits = torch.tensor([[[0.0, -math.log(3), 7.0]]])
    mask = torch.tensor([[[True, True, False]]])
    expected = (1 + 2 - 0.75 * math.log2(3)) / 2
    assert mean_entropy(logits, mask, exclusive=False).item() == pytest.approx(expected, rel=1e-6)


def test_a_softmax_by_hand() -> None:
    # p = 1/2, 1/4, 1/4: 1.5 bits of log2(3).
    logits = torch.log(torch.tensor([0.5, 0.25, 0.25])).view(1, 3, 1)
    value = mean_entropy(logits, torch.ones(1, 1, 1, dtype=torch.bool), exclusive=True)
    assert value.item() == pytest.approx(1.5 / math.log2(3), rel=1e-6)


@pytest.mark.parametrize("exclusive", [False, True])
def test_even_odds_are_1_and_certainty_is_0(exclusive: bool) -> None:
    mask = torch.ones(1, 1 if exclusive else 2, 4, dtype=torch.bool)
    even = torch.zeros(1, 2, 4)
    sure = torch.tensor([200.0, -200.0]).view(1, 2, 1).expand(1, 2, 4)
    assert mean_entropy(even, mask, exclusive=exclusive).item() == pytest.approx(1, rel=1e-6)
    assert mean_entropy(sure, mask, exclusive=exclusive).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("exclusive", [False, True])
def test_it_is_what_a_slow_loop_gives(exclusive: bool) -> None:
    logits, mask = some_logits()
    mask = mask_of(mask, exclusive)
    terms = []
    for b, k, *s in mask.nonzero().tolist():
        if exclusive:
            p = logits[(b, slice(None), *s)].softmax(0).tolist()
            terms.append(-sum(q * math.log(q) for q in p) / math.log(3))
        else:
            terms.append(binary_entropy(1 / (1 + math.exp(-logits[(b, k, *s)].item()))))
    assert mean_entropy(logits, mask, exclusive=exclusive).item() == pytest.approx(sum(terms) / len(terms), rel=1e-9)


@pytest.mark.parametrize("exclusive", [False, True])
def test_gradient_is_the_derivative(exclusive: bool) -> None:
    logits, mask = some_logits()
    mask = mask_of(mask, exclusive)
    assert torch.autograd.gradcheck(lambda x: mean_entropy(x, mask, exclusive=exclusive), (logits.requires_grad_(),))


def test_a_step_down_makes_a_decision_firmer() -> None:
    logits = torch.tensor([[[0.5, -0.5]]], requires_grad=True)
    mean_entropy(logits, torch.ones(1, 1, 2, dtype=torch.bool), exclusive=False).backward()
    assert logits.grad[0, 0, 0] < 0 < logits.grad[0, 0, 1]


@pytest.mark.parametrize("exclusive", [False, True])
def test_an_empty_mask_gives_0_and_a_finite_zero_gradient(exclusive: bool) -> None:
    logits, mask = some_logits()
    logits[0, 0, 0, 0, 0] = torch.inf
    logits.requires_grad_()
    value = mean_entropy(logits, torch.zeros_like(mask_of(mask, exclusive)), exclusive=exclusive)
    value.backward()
    assert value.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("exclusive", [False, True])
def test_logits_outside_the_mask_change_nothing(exclusive: bool) -> None:
    logits, mask = some_logits()
    mask = mask_of(mask, exclusive)
    other = torch.where(mask, logits, torch.nan)
    assert torch.equal(mean_entropy(logits, mask, exclusive=exclusive), mean_entropy(other, mask, exclusive=exclusive))


def test_bfloat16_logits_give_float32() -> None:
    logits, mask = some_logits()
    value = mean_entropy(logits.bfloat16(), mask, exclusive=False)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(mean_entropy(logits, mask, exclusive=False).item(), rel=1e-2)


def test_a_wrong_shape_is_refused_with_both_shapes() -> None:
    logits, mask = some_logits()
    with pytest.raises(ValueError, match=r"shapes must agree: logits \(2, 3, 3, 2, 2\), mask \(2, 1, 3, 2, 2\)"):
        mean_entropy(logits, mask[:, :1], exclusive=False)


def test_probabilities_have_the_entropy_of_their_logits() -> None:
    logits, mask = some_logits()
    everywhere = torch.ones_like(mask)
    sigmoids = normalised_entropy(logits.sigmoid(), exclusive=False)
    softmax = normalised_entropy(logits.softmax(1), exclusive=True)
    assert sigmoids.shape == logits.shape
    assert softmax.shape == logits[:, :1].shape
    assert torch.allclose(sigmoids.mean(), mean_entropy(logits, everywhere, exclusive=False))
    assert torch.allclose(softmax.mean(), mean_entropy(logits, everywhere[:, :1], exclusive=True))


def test_0_and_1_have_no_entropy() -> None:
    assert not normalised_entropy(torch.tensor([[0.0, 1.0]]), exclusive=False).any()
    assert not normalised_entropy(torch.tensor([[0.0, 1.0]]), exclusive=True).any()
