"""Consistency of a student with its teacher, and the threshold below which UA-MT believes a teacher."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from SemiSupSegLib.losses.consistency import activated, certain, masked_squared_difference
from SemiSupSegLib.losses.entropy import normalised_entropy

SIZE = (3, 2, 2)


def some_probabilities(channels: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """A student's and a teacher's (2, channels, *S), and a mask of the same shape."""
    draw = torch.Generator().manual_seed(3)
    student, teacher, chance = torch.rand(3, 2, channels, *SIZE, generator=draw, dtype=torch.float64)
    return student, teacher, chance < 0.4


def test_by_hand() -> None:
    student = torch.tensor([[[0.5, 0.9, 0.0]]])
    teacher = torch.tensor([[[1.0, 0.8, 1.0]]])
    mask = torch.tensor([[[True, True, False]]])
    expected = (0.25 + 0.01) / 2
    assert masked_squared_difference(student, teacher, mask).item() == pytest.approx(expected, rel=1e-5)


def test_of_two_softmax_channels_it_is_the_formula_of_ua_mt() -> None:
    logits, others = torch.randn(2, 2, 2, *SIZE, generator=torch.Generator().manual_seed(1))
    student, teacher = activated(logits, exclusive=True), activated(others, exclusive=True)
    mask = torch.rand(2, 1, *SIZE, generator=torch.Generator().manual_seed(2)) < 0.5
    published = (mask * (student - teacher) ** 2).sum() / (2 * mask.sum() + 1e-16)
    assert torch.allclose(masked_squared_difference(student, teacher, mask), published)


def test_agrees_with_a_slow_loop() -> None:
    student, teacher, mask = some_probabilities()
    total = count = 0.0
    for p, q, m in zip(student.flatten(), teacher.flatten(), mask.flatten(), strict=True):
        if m:
            total, count = total + (p.item() - q.item()) ** 2, count + 1
    assert masked_squared_difference(student, teacher, mask).item() == pytest.approx(total / count, rel=1e-12)


def test_gradient_is_the_derivative_and_goes_to_the_student_alone() -> None:
    student, teacher, mask = some_probabilities()
    student.requires_grad_()
    teacher.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: masked_squared_difference(x, teacher, mask), (student,))
    masked_squared_difference(student, teacher, mask).backward()
    assert student.grad.any()
    assert teacher.grad is None


def test_nothing_masked_in_gives_0_and_a_finite_zero_gradient() -> None:
    student, teacher, mask = some_probabilities()
    teacher[0, 0] = math.nan
    student.requires_grad_()
    value = masked_squared_difference(student, teacher, torch.zeros_like(mask))
    value.backward()
    assert value.item() == 0
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_what_is_masked_out_changes_nothing() -> None:
    student, teacher, mask = some_probabilities()
    other = torch.where(mask, teacher, 0.123)
    assert torch.equal(
        masked_squared_difference(student, teacher, mask), masked_squared_difference(student, other, mask)
    )


def test_shapes_that_do_not_fit_are_refused() -> None:
    student, teacher, mask = some_probabilities()
    with pytest.raises(ValueError, match="shapes must agree"):
        masked_squared_difference(student, teacher[:, :1], mask)
    with pytest.raises(ValueError, match="shapes must agree"):
        masked_squared_difference(student, teacher, mask[..., :1])


def test_bfloat16_is_computed_in_float32() -> None:
    student, teacher, mask = some_probabilities()
    value = masked_squared_difference(student.bfloat16(), teacher.bfloat16(), mask)
    assert value.dtype == torch.float32


def test_the_threshold_rises_from_three_quarters_of_the_largest_entropy_to_all_of_it() -> None:
    entropy = torch.tensor([0.74, 0.76, 0.99])
    assert certain(entropy, 0.0).tolist() == [True, False, False]
    assert certain(entropy, 1.0).tolist() == [True, True, True]


@pytest.mark.parametrize("progress", [0.0, 0.3, 0.99])
def test_the_mask_is_that_of_ua_mt_in_nats(progress: float) -> None:
    mean = torch.randn(2, 2, 9, 9, 9, generator=torch.Generator().manual_seed(5)).softmax(dim=1)
    entropy = -(mean * torch.log(mean + 1e-6)).sum(dim=1, keepdim=True)
    threshold = (0.75 + 0.25 * math.exp(-5 * (1 - progress) ** 2)) * math.log(2)
    ours = certain(normalised_entropy(mean, exclusive=True), progress)
    assert 0 < ours.float().mean() < 1
    assert (ours == (entropy < threshold)).float().mean() > 0.998  # the 1e-6 decides at the threshold itself
