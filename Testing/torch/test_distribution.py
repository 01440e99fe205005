"""Probabilities of the background and all labels, from sigmoids and from a softmax."""

from __future__ import annotations

import math

import pytest
import torch

from SemiSupSegLib.losses import reduce
from SemiSupSegLib.losses.distribution import exclusive_distribution, independent_distribution


@pytest.mark.parametrize("background", [False, True])
def test_in_pieces_a_softmax_and_its_gradient_are_what_they_are_at_once(
    background: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reduce, "VOXELS", 7)  # of 60 a patch
    logits = torch.randn(2, 3, 5, 4, 3, dtype=torch.float64).requires_grad_()
    whole = logits if background else torch.cat((torch.zeros_like(logits[:, :1]), logits), dim=1)
    expected = whole.softmax(dim=1)
    found = exclusive_distribution(logits, background=background)
    weigh = torch.randn_like(expected)
    assert torch.allclose(found, expected)
    (ours,) = torch.autograd.grad((found * weigh).sum(), [logits])
    (plain,) = torch.autograd.grad((expected * weigh).sum(), [logits])
    assert torch.allclose(ours, plain)


def test_sigmoids_of_exclusive_labels_become_what_they_say_given_that_at_most_one_is_there() -> None:
    s = torch.tensor([0.7, 0.2], dtype=torch.float64)
    only = torch.tensor([0.3 * 0.8, 0.7 * 0.8, 0.2 * 0.3], dtype=torch.float64)
    found = exclusive_distribution(s.logit().view(1, 2, 1, 1, 1)).flatten()
    assert torch.allclose(found, only / only.sum())
    alone = exclusive_distribution(s[:1].logit().view(1, 1, 1, 1, 1)).flatten()
    assert torch.allclose(alone, torch.tensor([0.3, 0.7], dtype=torch.float64))


def test_the_likeliest_class_is_the_label_that_prediction_takes() -> None:
    logits = torch.randn(1, 3, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    best, label = logits.sigmoid().max(1)
    predicted = torch.where(best > 0.5, label + 1, 0)
    assert torch.equal(exclusive_distribution(logits).argmax(1), predicted)


def test_sigmoids_of_labels_that_may_overlap_stay_as_they_are() -> None:
    s = torch.tensor([0.7, 0.9, 0.2], dtype=torch.float64)
    found = independent_distribution(s.logit().view(1, 3, 1, 1, 1)).flatten()
    assert found.tolist() == pytest.approx([0.3 * 0.1 * 0.8, 0.7, 0.9, 0.2])


@pytest.mark.parametrize("form", [exclusive_distribution, independent_distribution])
def test_extreme_logits_stay_finite(form) -> None:
    logits = torch.tensor([1e4, -1e4, 0.0]).view(1, 3, 1, 1, 1).requires_grad_()
    value = form(logits)
    value[0, 1].sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(logits.grad).all()
    assert math.isclose(float(value.detach()[0, 1]), 1.0)
