"""The squared error of signed distances, and Dice with squares: by hand, by slow loops, and where nothing is known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from SemiSupSegLib.losses.sdm import masked_sdm_mse
from SemiSupSegLib.losses.squared_dice import SMOOTHING, squared_dice

K, SIZE = 3, (3, 2, 2)


def dice_of(values: Tensor, reference: Tensor, known: Tensor) -> Tensor:
    return squared_dice((values + 1) / 2, reference > 0, known)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"sdm": masked_sdm_mse, "dice": dice_of}


@pytest.fixture(params=LOSSES)
def a_loss(request: pytest.FixtureRequest) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    return LOSSES[request.param]


def some_maps() -> tuple[Tensor, Tensor, Tensor]:
    """Predicted and true distances (2, K, *S) in [-1, 1], and where they are known."""
    draw = torch.Generator().manual_seed(5)
    sdm, distance = 2 * torch.rand(2, 2, K, *SIZE, generator=draw, dtype=torch.float64) - 1
    return sdm, distance, torch.rand(2, K, *SIZE, generator=draw) < 0.6


def test_by_hand() -> None:
    # Label 0: errors 1 and 1/2, a third voxel is not known: 5/8. Label 1: error 2 at one voxel: 4. Label 2: not known.
    sdm = torch.tensor([[[0.0, 0.5, 1.0], [1.0, 0.0, 0.0], [0.3, 0.3, 0.3]]])
    distance = torch.tensor([[[1.0, 1.0, -1.0], [-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]])
    known = torch.tensor([[[True, True, False], [True, False, False], [False] * 3]])
    assert masked_sdm_mse(sdm, distance, known).item() == pytest.approx((0.625 + 4) / 2, rel=1e-6)


def test_with_one_label_known_everywhere_it_is_the_papers_mean_over_voxels() -> None:
    sdm, distance, _ = (x[:, :1] for x in some_maps())
    found = masked_sdm_mse(sdm, distance, torch.ones_like(sdm, dtype=torch.bool))
    assert torch.allclose(found, torch.nn.functional.mse_loss(sdm, distance))


def test_a_label_in_few_voxels_counts_as_much_as_one_in_many() -> None:
    known = torch.zeros(1, 2, 100, dtype=torch.bool)
    known[0, 0], known[0, 1, 0] = True, True
    sdm, distance = torch.zeros(1, 2, 100), torch.zeros(1, 2, 100)
    distance[0, 1] = 1
    assert masked_sdm_mse(sdm, distance, known).item() == pytest.approx(0.5)


def test_squared_dice_by_hand() -> None:
    # Label 0: known p = 1, 1/2, targets 1, 0: 2 * 1 / (1.25 + 1). Label 1 is known to be nowhere, p = 1/2 at one voxel.
    probability = torch.tensor([[[1.0, 0.5, 1.0], [0.5, 0.0, 0.0]]])
    target = torch.tensor([[[True, False, False], [False, False, False]]])
    known = torch.tensor([[[True, True, False], [True, True, True]]])
    nowhere = 1 - SMOOTHING / (0.25 + SMOOTHING)
    found = squared_dice(probability, target, known).item()
    assert found == pytest.approx((1 - 2 / 2.25 + nowhere) / 2, rel=1e-4)


def test_nothing_known_gives_0_and_a_finite_zero_gradient(a_loss: Callable[..., Tensor]) -> None:
    sdm, distance, known = some_maps()
    sdm[0, 0, 0, 0, 0] = 1e300
    distance[0, 1] = torch.inf
    sdm.requires_grad_()
    value = a_loss(sdm, distance, torch.zeros_like(known))
    value.backward()
    assert value.item() == 0
    assert torch.equal(sdm.grad, torch.zeros_like(sdm))


def test_what_is_not_known_changes_nothing(a_loss: Callable[..., Tensor]) -> None:
    sdm, distance, known = some_maps()
    changed = a_loss(torch.where(known, sdm, 7.0), torch.where(known, distance, torch.nan), known)
    assert torch.equal(a_loss(sdm, distance, known), changed)


def test_gradient_is_the_derivative(a_loss: Callable[..., Tensor]) -> None:
    sdm, distance, known = some_maps()
    assert torch.autograd.gradcheck(lambda x: a_loss(x, distance, known), (sdm.requires_grad_(),))


def test_a_wrong_shape_is_refused_with_both_shapes(a_loss: Callable[..., Tensor]) -> None:
    sdm, distance, known = some_maps()
    with pytest.raises(ValueError, match=r"shapes must agree: .*\(2, 3, 3, 2, 1\)"):
        a_loss(sdm, distance, known[..., :1])


def slow_mse(sdm: Tensor, distance: Tensor, known: Tensor) -> float:
    terms = []
    for k in range(K):
        errors = [
            float(sdm[(b, k, *s)] - distance[(b, k, *s)]) ** 2
            for b, *s in product(range(2), *(range(n) for n in SIZE))
            if known[(b, k, *s)]
        ]
        if errors:
            terms.append(sum(errors) / len(errors))
    return sum(terms) / len(terms)


def slow_dice(values: Tensor, reference: Tensor, known: Tensor) -> float:
    terms = []
    for k in range(K):
        overlap = total = 0.0
        for b, *s in product(range(2), *(range(n) for n in SIZE)):
            if known[(b, k, *s)]:
                p, y = (float(values[(b, k, *s)]) + 1) / 2, float(reference[(b, k, *s)] > 0)
                overlap, total = overlap + p * y, total + p * p + y * y
        if known[:, k].any():
            terms.append(1 - (2 * overlap + SMOOTHING) / (total + SMOOTHING))
    return sum(terms) / len(terms)


@pytest.mark.parametrize(("loss", "slow"), [(masked_sdm_mse, slow_mse), (dice_of, slow_dice)])
def test_agrees_with_a_slow_loop(loss: Callable[..., Tensor], slow: Callable[..., float]) -> None:
    sdm, distance, known = some_maps()
    known[:, 1] = False
    assert loss(sdm, distance, known).item() == pytest.approx(slow(sdm, distance, known), rel=1e-9)


def test_low_precision_is_summed_in_float32(a_loss: Callable[..., Tensor]) -> None:
    sdm, distance, known = some_maps()
    assert a_loss(sdm.bfloat16(), distance.float(), known).dtype == torch.float32
    assert a_loss(sdm, distance, known).dtype == torch.float64
