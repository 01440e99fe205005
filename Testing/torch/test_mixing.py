"""Copy and paste between patches, and pseudo-labels: pure functions against values by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from SemiSupSegLib.losses.masked import marginal_cross_entropy, masked_bce, masked_dice, segmentation_terms
from SemiSupSegLib.losses.mixing import Mixture, pairs, random_box, swap_box
from SemiSupSegLib.losses.pseudo_label import largest_parts, pseudo_labels


@pytest.mark.parametrize("size", [(12, 9, 6), (112, 112, 80), (3, 3, 3), (2, 1, 1)])
def test_the_box_has_two_thirds_of_each_edge_and_is_a_cuboid(size: tuple[int, ...]) -> None:
    box = random_box(size, generator=torch.Generator().manual_seed(1))
    edges = [2 * n // 3 for n in size]
    assert box.shape == size
    assert int(box.sum()) == math.prod(edges)
    if box.any():
        found = [int(box.any(dim=tuple(a for a in range(3) if a != axis)).sum()) for axis in range(3)]
        assert found == edges


def test_the_box_moves_over_all_places_at_which_it_fits() -> None:
    draw = torch.Generator().manual_seed(2)
    starts = {int(random_box((6, 3, 3), generator=draw)[:, 1, 1].nonzero()[0, 0]) for _ in range(60)}
    assert starts == {0, 1, 2}


def test_pairs_join_the_best_with_the_least_known() -> None:
    assert pairs(torch.tensor([5, 0, 9, 1])).tolist() == [3, 2, 1, 0]
    assert pairs(torch.tensor([0, 7, 3])).tolist() == [1, 0, 2]
    assert pairs(torch.tensor([4])).tolist() == [0]


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7])
def test_every_pair_is_mutual(rows: int) -> None:
    partner = pairs(torch.randint(0, 5, (rows,), generator=torch.Generator().manual_seed(rows)))
    assert partner[partner].tolist() == list(range(rows))


def test_swap_by_hand() -> None:
    values = torch.tensor([[[1, 2, 3, 4]], [[5, 6, 7, 8]], [[9, 10, 11, 12]]])
    box = torch.tensor([False, True, True, False])
    mixed = swap_box(values, torch.tensor([1, 0, 2]), box)
    assert mixed[:, 0].tolist() == [[1, 6, 7, 4], [5, 2, 3, 8], [9, 10, 11, 12]]


def test_swapping_twice_gives_back_what_was() -> None:
    values = torch.randn(4, 2, 6, 6, 6)
    mixture = Mixture(pairs(torch.tensor([3, 0, 2, 1])), random_box((6, 6, 6)))
    assert not torch.equal(mixture(values), values)
    assert torch.equal(mixture(mixture(values)), values)


def test_a_mixture_among_some_rows_is_the_same_there() -> None:
    values = torch.randn(5, 2, 6, 6, 6)
    mixture = Mixture(torch.tensor([3, 1, 4, 0, 2]), random_box((6, 6, 6)))
    rows = torch.tensor([True, False, True, True, True])
    assert torch.equal(mixture.among(rows)(values[rows]), mixture(values)[rows])
    nobody = torch.zeros(5, dtype=torch.bool)
    assert mixture.among(nobody)(values[nobody]).shape == (0, 2, 6, 6, 6)


def test_a_mixture_without_partners_changes_nothing() -> None:
    values = torch.randn(2, 1, 4, 4, 4)
    assert Mixture(None, random_box((4, 4, 4)))(values) is values


def test_a_mixture_keeps_the_rows_it_is_told_to() -> None:
    values = torch.tensor([[[1, 2]], [[3, 4]]])
    mixture = Mixture(torch.tensor([1, 0]), torch.tensor([False, True]), torch.tensor([1]))
    assert mixture(values).tolist() == [[[3, 2]]]


# pseudo-labels ------------------------------------------------------------------------------------------------------


def test_binary_pseudo_labels_by_hand() -> None:
    probability = torch.tensor([[[0.9, 0.6, 0.4, 0.05]]])
    target, counts = pseudo_labels(probability, exclusive=False, confidence=0.8)
    assert target.tolist() == [[[True, True, False, False]]]
    assert counts.tolist() == [[[True, False, False, True]]]
    assert pseudo_labels(probability, exclusive=False)[1].all()


def test_softmax_pseudo_labels_are_the_likeliest_channel() -> None:
    probability = torch.tensor([[[0.4, 0.3, 0.9], [0.3, 0.36, 0.05], [0.3, 0.34, 0.05]]])
    target, counts = pseudo_labels(probability, exclusive=True)
    assert target.tolist() == [[[False, True, False], [False, False, False]]]
    assert counts.all()
    _, counts = pseudo_labels(probability, exclusive=True, confidence=0.8)
    assert counts.tolist() == [[[False, False, True], [False, False, True]]]


def test_only_the_largest_part_of_each_label_is_kept() -> None:
    target = torch.zeros(2, 2, 5, 4, 4, dtype=torch.bool)
    target[0, 0, 0, 0, 0] = True
    target[0, 0, 2:4, 1:3, 1:3] = True
    target[1, 1, 4, 3, 3] = True
    kept = largest_parts(target)
    expected = target.clone()
    expected[0, 0, 0, 0, 0] = False
    assert torch.equal(kept, expected)


# terms --------------------------------------------------------------------------------------------------------------


def some_marks(channels: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits, target, weight and what counts for Dice."""
    draw = torch.Generator().manual_seed(4)
    logits = torch.randn(2, channels, 3, 2, 2, generator=draw, dtype=torch.float64)
    label = torch.randint(0, 3, (2, 3, 2, 2), generator=draw)
    target = torch.stack([label == 1, label == 2], dim=1)
    weight = (torch.rand(target.shape, generator=draw) < 0.6).double()
    return logits, target, weight, (weight > 0) & (torch.rand(target.shape, generator=draw) < 0.8)


def test_binary_terms_are_those_of_the_masked_losses() -> None:
    logits, target, weight, scored = some_marks(2)
    cross_entropy, dice = segmentation_terms(logits, target, weight, scored, exclusive=False)
    assert torch.allclose(cross_entropy, masked_bce(logits, target, weight))
    assert torch.allclose(dice, masked_dice(logits.sigmoid(), target, scored))


def test_softmax_terms_are_the_marginal_ones() -> None:
    logits, target, weight, scored = some_marks(3)
    cross_entropy, dice = segmentation_terms(logits, target, weight, scored, exclusive=True)
    assert torch.allclose(cross_entropy, marginal_cross_entropy(logits, target, weight))
    assert torch.allclose(dice, masked_dice(logits.softmax(dim=1)[:, 1:], target, scored))


@pytest.mark.parametrize("exclusive", [False, True])
def test_gradient_is_the_derivative(exclusive: bool) -> None:
    logits, target, weight, scored = some_marks(2 + exclusive)
    assert torch.autograd.gradcheck(
        lambda x: segmentation_terms(x, target, weight, scored, exclusive=exclusive), (logits.requires_grad_(),)
    )


@pytest.mark.parametrize("exclusive", [False, True])
def test_nothing_said_gives_0_and_a_finite_zero_gradient(exclusive: bool) -> None:
    logits, target, weight, scored = some_marks(2 + exclusive)
    logits.requires_grad_()
    total = sum(segmentation_terms(logits, target, 0 * weight, scored & False, exclusive=exclusive))
    total.backward()
    assert total.item() == 0
    assert not logits.grad.any()
