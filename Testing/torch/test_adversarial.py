"""The two players' cross-entropies, for any numbers of labelled and unlabelled images."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from SemiSupSegLib.losses.adversarial import (
    LABELLED,
    UNLABELLED,
    discriminator_cross_entropy,
    generator_cross_entropy,
)


def scores_of(*labelled: float) -> Tensor:
    """Scores (B, 2) of a discriminator that gives images these probabilities of being labelled."""
    scores = torch.zeros(len(labelled), 2)
    for row, probability in enumerate(labelled):
        scores[row, LABELLED], scores[row, UNLABELLED] = math.log(probability), math.log(1 - probability)
    return scores


def which(*rows: int) -> Tensor:
    return torch.tensor(rows, dtype=torch.bool)


def test_the_generator_by_hand() -> None:
    found = generator_cross_entropy(scores_of(0.5, 0.25)).item()
    assert found == pytest.approx((math.log(2) + math.log(4)) / 2, rel=1e-6)


def test_the_generator_wants_unlabelled_images_to_pass_for_labelled() -> None:
    scores = scores_of(0.3).requires_grad_()
    generator_cross_entropy(scores).backward()
    assert scores.grad[0, LABELLED] < 0 < scores.grad[0, UNLABELLED]


def test_the_discriminator_by_hand() -> None:
    # Labelled: -ln 3/4; unlabelled: -ln(1 - 1/2) and -ln(1 - 3/4); the third image is neither.
    scores = scores_of(0.75, 0.5, 0.9, 0.75)
    found = discriminator_cross_entropy(scores, which(1, 0, 0, 0), which(0, 1, 0, 1)).item()
    assert found == pytest.approx(0.5 * (math.log(4 / 3) + (math.log(2) + math.log(4)) / 2), rel=1e-6)


def test_two_and_two_give_the_published_mean_over_four() -> None:
    scores = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    published = F.cross_entropy(scores, torch.tensor([1, 1, 0, 0]))
    assert torch.allclose(discriminator_cross_entropy(scores, which(1, 1, 0, 0), which(0, 0, 1, 1)), published)


def test_the_order_of_the_images_does_not_matter() -> None:
    scores = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    labelled, order = which(1, 1, 0, 0), torch.tensor([2, 0, 3, 1])
    one = discriminator_cross_entropy(scores, labelled, ~labelled)
    assert torch.allclose(discriminator_cross_entropy(scores[order], labelled[order], ~labelled[order]), one)


def test_a_kind_without_an_image_adds_nothing() -> None:
    scores = scores_of(0.75, 0.5)
    only_labelled = discriminator_cross_entropy(scores, which(1, 1), which(0, 0)).item()
    assert only_labelled == pytest.approx(0.25 * (math.log(4 / 3) + math.log(2)), rel=1e-6)
    only_unlabelled = discriminator_cross_entropy(scores, which(0, 0), which(1, 1)).item()
    assert only_unlabelled == pytest.approx(0.25 * (math.log(4) + math.log(2)), rel=1e-6)


def test_no_image_at_all_gives_0_and_a_zero_gradient() -> None:
    scores = torch.full((2, 2), 1e4).requires_grad_()
    value = discriminator_cross_entropy(scores, which(0, 0), which(0, 0))
    value.backward()
    assert value.item() == 0
    assert torch.equal(scores.grad, torch.zeros(2, 2))
    none = torch.zeros(0, 2, requires_grad=True)
    value = generator_cross_entropy(none)
    value.backward()
    assert value.item() == 0
    assert none.grad.shape == (0, 2)


def test_images_that_do_not_count_change_nothing() -> None:
    scores, labelled, unlabelled = scores_of(0.75, 0.5, 0.9), which(1, 0, 0), which(0, 1, 0)
    changed = scores.clone()
    changed[2] = torch.tensor([1e30, -1e30])
    one = discriminator_cross_entropy(scores, labelled, unlabelled)
    assert torch.equal(one, discriminator_cross_entropy(changed, labelled, unlabelled))


def test_gradient_is_the_derivative() -> None:
    scores = torch.randn(4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(generator_cross_entropy, (scores,))
    both = which(1, 0, 1, 0), which(0, 1, 0, 0)
    assert torch.autograd.gradcheck(lambda s: discriminator_cross_entropy(s, *both), (scores,))


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"found \(3, 1\) and \(3,\)"):
        generator_cross_entropy(torch.zeros(3, 1))
    with pytest.raises(ValueError, match=r"found \(3, 2\) and \(2,\)"):
        discriminator_cross_entropy(torch.zeros(3, 2), which(1, 0), which(0, 1))
