"""Sums over processes, in one process; what two processes add is in Testing/ddp."""

from __future__ import annotations

import pytest
import torch

from SemiSupSegLib.losses.reduce import check_same_shape, mean_over_processes, sum_over_processes


def test_shapes_that_agree_pass() -> None:
    check_same_shape(a=torch.zeros(2, 3), b=torch.ones(2, 3, dtype=torch.bool))


def test_shapes_that_differ_are_named() -> None:
    with pytest.raises(ValueError, match=r"shapes must agree: logits \(2, 3\), known \(2, 1\)"):
        check_same_shape(logits=torch.zeros(2, 3), known=torch.zeros(2, 1))


def test_one_process_counts_for_itself() -> None:
    count = torch.tensor([3, 0], dtype=torch.int64)
    assert torch.equal(mean_over_processes(count), torch.tensor([3.0, 0.0]))
    assert mean_over_processes(count.double()).dtype == torch.float64


def test_a_count_has_no_gradient_and_a_sum_has() -> None:
    value = torch.ones(2, requires_grad=True)
    assert not mean_over_processes(value).requires_grad
    sum_over_processes(value * 3).sum().backward()
    assert torch.equal(value.grad, torch.full((2,), 3.0))
