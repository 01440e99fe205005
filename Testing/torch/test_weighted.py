"""What NonAdjLoss was published with: six kinds of tests each for the weighted cross-entropy and the batch Dice."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from SemiSupSegLib.losses.masked import marginal_cross_entropy
from SemiSupSegLib.losses.weighted import batch_dice, median_frequency, weighted_cross_entropy, with_background

K, SIZE = 3, (3, 2, 2)
FREQUENCY = torch.tensor([8.0, 1.0, 0.5, 2.0])


def some_patches() -> tuple[Tensor, Tensor, Tensor]:
    """Logits (2, K + 1, *S), exclusive targets (2, K, *S) and what is known of them."""
    draw = torch.Generator().manual_seed(7)
    logits = torch.randn(2, K + 1, *SIZE, generator=draw, dtype=torch.float64)
    label = torch.randint(0, K + 1, (2, *SIZE), generator=draw)
    target = torch.stack([label == k + 1 for k in range(K)], dim=1)
    return logits, target, torch.rand(2, K, *SIZE, generator=draw) < 0.6


def cross_entropy(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    return weighted_cross_entropy(logits, target, known, FREQUENCY)


def dice(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    return batch_dice(logits.softmax(1), *with_background(target, known))


@pytest.fixture(params=[cross_entropy, dice])
def a_loss(request: pytest.FixtureRequest):
    return request.param


# 1. by hand ---------------------------------------------------------------------------------------------------------


def test_a_class_weighs_the_median_frequency_over_its_own() -> None:
    assert median_frequency(torch.tensor([90.0, 6.0, 3.0])).tolist() == pytest.approx([15, 1, 0.5])
    assert (1 / median_frequency(torch.tensor([0.9, 0.06, 0.03]))).tolist() == pytest.approx([1 / 15, 1, 2])
    four = torch.tensor([90.0, 6.0, 3.0, 1.0])
    assert (1 / median_frequency(four)).tolist() == pytest.approx((np.median(four) / four.numpy()).tolist())


def test_a_class_that_is_absent_weighs_as_the_rarest_that_is_there() -> None:
    found = median_frequency(torch.tensor([90.0, 0.0, 6.0, 3.0]))
    assert found.tolist() == pytest.approx([15, 0.5, 1, 0.5])
    assert median_frequency(torch.zeros(3)).tolist() == [1, 1, 1]


def test_cross_entropy_by_hand() -> None:
    # p = 1/2, 1/4, 1/4; r = 4, 1, 1/2. Voxel 0: label 2 is there: w = 2, -ln 1/4. Voxel 1: background: w = 1/4, ln 2.
    # Voxel 2: only known that label 1 is absent: background or label 2, w = 1 / 4.5, -ln 3/4.
    logits = torch.log(torch.tensor([0.5, 0.25, 0.25])).view(1, 3, 1).expand(1, 3, 3)
    target = torch.tensor([[[False, False, False], [True, False, True]]])
    known = torch.tensor([[[True, True, True], [True, True, False]]])
    loss = weighted_cross_entropy(logits, target, known, torch.tensor([4.0, 1.0, 0.5]))
    weights = [2, 1 / 4, 1 / 4.5]
    terms = [math.log(4), math.log(2), math.log(4 / 3)]
    expected = sum(w * t for w, t in zip(weights, terms, strict=True)) / sum(weights)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_with_all_known_it_is_torchs_weighted_cross_entropy() -> None:
    logits, target, known = some_patches()
    label = (target * torch.arange(1, K + 1).view(1, K, 1, 1, 1)).sum(1)
    expected = torch.nn.functional.cross_entropy(logits, label, weight=1 / FREQUENCY.double())
    assert torch.allclose(cross_entropy(logits, target, torch.ones_like(known)), expected)


def test_with_equal_weights_and_all_known_it_is_the_marginal_one() -> None:
    logits, target, known = some_patches()
    known = torch.ones_like(known)
    equal = weighted_cross_entropy(logits, target, known, torch.ones(K + 1))
    assert torch.allclose(equal, marginal_cross_entropy(logits, target, known))


def test_dice_by_hand() -> None:
    # Two voxels: label, background, with p(label) = 3/4, 1/4. Label: 2 * .75 / (1 + 1) = .75; background alike.
    p = torch.tensor([[[0.25, 0.75], [0.75, 0.25]]])
    target = torch.tensor([[[True, False]]])
    truth, known = with_background(target, torch.ones_like(target))
    assert batch_dice(p, truth, known).item() == pytest.approx(0.25)


def test_a_label_that_the_batch_does_not_hold_counts_1_without_gradient_even_if_predicted_nowhere() -> None:
    target = torch.tensor([[[True, False], [False, False]]])
    truth, known = with_background(target, torch.ones_like(target))
    for third in (0.0, 0.25):
        p = torch.tensor([[[0.0, 1.0], [1.0, 0.0], [third, third]]], requires_grad=True)
        loss = batch_dice(p, truth, known)
        loss.backward()
        assert loss.item() == pytest.approx(1 / 3)
        assert torch.isfinite(p.grad).all()
        assert not p.grad[0, 2].any()


def test_the_background_is_known_where_a_label_is_or_all_are_known_to_be_absent() -> None:
    target = torch.tensor([[[True, False, False], [False, False, False]]])
    known = torch.tensor([[[True, True, True], [False, True, False]]])
    truth, seen = with_background(target, known)
    assert truth[0, 0].tolist() == [False, True, False]
    assert seen[0, 0].tolist() == [True, True, False]
    assert torch.equal(seen[:, 1:], known)


# 2. nothing known ---------------------------------------------------------------------------------------------------


def test_nothing_known_gives_0_and_a_finite_zero_gradient(a_loss) -> None:
    logits, target, known = some_patches()
    logits.requires_grad_()
    value = a_loss(logits, target, torch.zeros_like(known))
    value.backward()
    assert value.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_a_label_that_no_case_annotates_does_not_blow_up() -> None:
    logits, target, known = some_patches()
    target[:, 1] = False
    frequency = median_frequency(torch.tensor([10.0, 2.0, 0.0, 1.0]))
    assert torch.isfinite(weighted_cross_entropy(logits, target, known, frequency))
    known[:, 1] = False
    value = batch_dice(logits.softmax(1), *with_background(target, known))
    assert torch.isfinite(value)


# 3. logits outside known --------------------------------------------------------------------------------------------


def test_logits_outside_known_change_nothing(a_loss) -> None:
    logits, target, known = some_patches()
    unknown = (~known.any(1, keepdim=True)).expand_as(logits)
    assert unknown.any()
    assert torch.equal(a_loss(logits, target, known), a_loss(torch.where(unknown, 1e4, logits), target, known))


# 4. gradient --------------------------------------------------------------------------------------------------------


def test_gradient_is_the_derivative(a_loss) -> None:
    logits, target, known = some_patches()
    assert torch.autograd.gradcheck(lambda x: a_loss(x, target, known), (logits.requires_grad_(),))


# 5. wrong shape -----------------------------------------------------------------------------------------------------


def test_a_wrong_shape_is_refused_with_both_shapes() -> None:
    logits, target, known = some_patches()
    with pytest.raises(ValueError, match=r"shapes must agree: .*\(2, 3, 3, 2, 1\)"):
        cross_entropy(logits, target, known[..., :1])
    with pytest.raises(ValueError, match="shapes must agree"):
        cross_entropy(logits[:, :1], target, known)
    with pytest.raises(ValueError, match=r"shapes must agree: classes \(4,\), frequency \(3,\)"):
        weighted_cross_entropy(logits, target, known, torch.ones(3))
    with pytest.raises(ValueError, match="shapes must agree"):
        batch_dice(logits.softmax(1), target, known)


# 6. slow loops ------------------------------------------------------------------------------------------------------


def voxels(x: Tensor) -> list[tuple[int, ...]]:
    return list(product(range(x.shape[0]), *(range(n) for n in x.shape[2:])))


def slow_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> float:
    total = norm = 0.0
    for b, *s in voxels(logits):
        z = [math.exp(logits[(b, c, *s)].item()) for c in range(K + 1)]
        w = [float(weight[(b, k, *s)]) for k in range(K)]
        if max(w) == 0:
            continue
        here = [k + 1 for k in range(K) if w[k] and target[(b, k, *s)]]
        possible = here or [0, *(k + 1 for k in range(K) if not w[k])]
        rarity = max(w) / sum(FREQUENCY[c].item() for c in possible)
        total -= rarity * math.log(sum(z[c] for c in possible) / sum(z))
        norm += rarity
    return total / norm


def slow_dice(logits: Tensor, target: Tensor, known: Tensor) -> float:
    terms = []
    for c in range(K + 1):
        overlap = size = count = 0.0
        for b, *s in voxels(logits):
            z = [math.exp(logits[(b, d, *s)].item()) for d in range(K + 1)]
            there = [bool(target[(b, k, *s)] and known[(b, k, *s)]) for k in range(K)]
            settled = any(there) or all(known[(b, k, *s)] for k in range(K))
            if settled if c == 0 else known[(b, c - 1, *s)]:
                p, y = z[c] / sum(z), float(not any(there) if c == 0 else there[c - 1])
                overlap, size, count = overlap + p * y, size + p + y, count + 1
        if count:
            terms.append(1 - 2 * overlap / size)
    return sum(terms) / len(terms)


def test_cross_entropy_agrees_with_a_slow_loop() -> None:
    logits, target, known = some_patches()
    for weight in (known, known * 0.5 + known * torch.rand(known.shape, generator=torch.Generator().manual_seed(1))):
        assert cross_entropy(logits, target, weight).item() == pytest.approx(
            slow_cross_entropy(logits, target, weight), rel=1e-9
        )


def test_dice_agrees_with_a_slow_loop() -> None:
    logits, target, known = some_patches()
    assert dice(logits, target, known).item() == pytest.approx(slow_dice(logits, target, known), rel=1e-9)


# further ------------------------------------------------------------------------------------------------------------


def test_bfloat16_is_computed_in_float32() -> None:
    logits, target, known = some_patches()
    low = logits.bfloat16()
    value = cross_entropy(low, target, known)
    assert value.dtype == torch.float32
    assert value.item() == cross_entropy(low.float(), target, known).item()
    p, truth = low.softmax(1), with_background(target, known)
    assert batch_dice(p, *truth).item() == batch_dice(p.float(), *truth).item()
    assert batch_dice(p, *truth).dtype == torch.float32
