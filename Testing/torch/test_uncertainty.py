"""Entropy, mutual information, and the passes that they come from."""

from __future__ import annotations

import math

import pytest
import torch

from SemiSupSegLib.config import NetworkConfig
from SemiSupSegLib.engine.uncertainty import binary_entropy, monte_carlo_statistics, mutual_information
from SemiSupSegLib.networks.segmentor import Segmentor

pytestmark = pytest.mark.unit


@pytest.fixture(params=["sigmoid", "softmax"])
def a_segmentor(request) -> Segmentor:
    torch.manual_seed(1)
    return Segmentor(NetworkConfig(backbone="vnet", filters=8, activation=request.param, dropout=0.5), labels=3).eval()


@pytest.fixture
def some_features() -> torch.Tensor:
    return 4 * torch.randn(1, 8, 5, 4, 3, generator=torch.Generator().manual_seed(2))


def test_entropy_by_hand():
    p = torch.tensor([0.0, 0.5, 1.0, 0.25])
    quarter = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    torch.testing.assert_close(binary_entropy(p), torch.tensor([0.0, 1.0, 0.0, quarter]))


def test_mutual_information_of_two_passes_that_contradict_each_other_is_one_bit():
    mean, entropy = torch.tensor([0.5]), torch.tensor([0.0])  # passes said 0 and 1, each without doubt
    assert mutual_information(mean, entropy).item() == 1.0


def test_mutual_information_of_passes_that_agree_is_zero_and_never_negative():
    p = torch.linspace(0, 1, 11)
    assert mutual_information(p, binary_entropy(p)).abs().max() == 0
    assert mutual_information(p, binary_entropy(p) + 0.01).min() == 0


def test_statistics_are_the_means_over_plain_passes(a_segmentor, some_features, monkeypatch):
    masks = a_segmentor.dropout_masks(6, torch.Generator().manual_seed(3))
    p = a_segmentor.probabilities(a_segmentor.monte_carlo(some_features, 6, masks=masks))[:, 0]
    monkeypatch.setattr("SemiSupSegLib.engine.uncertainty.SLAB", 100)  # several slabs, the last one smaller
    probability, entropy = monte_carlo_statistics(a_segmentor, some_features, masks)
    assert probability.shape == entropy.shape == (3, 5, 4, 3)
    torch.testing.assert_close(probability, p.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(entropy, binary_entropy(p).mean(0), rtol=1e-4, atol=1e-5)


def test_mutual_information_is_between_zero_and_the_entropy(a_segmentor, some_features):
    masks = a_segmentor.dropout_masks(8, torch.Generator().manual_seed(3))
    probability, entropy = monte_carlo_statistics(a_segmentor, some_features, masks)
    mutual = mutual_information(probability, entropy)
    assert mutual.min() >= 0
    assert (mutual <= binary_entropy(probability) + 1e-6).all()
    assert mutual.max() > 0.01  # the passes do differ


def test_extreme_logits_give_finite_entropy():
    segmentor = Segmentor(NetworkConfig(backbone="vnet", filters=8, dropout=0.5), labels=1).eval()
    masks = torch.ones(2, 8)
    probability, entropy = monte_carlo_statistics(segmentor, torch.full((1, 8, 1, 1, 2), 1e4), masks)
    assert torch.isfinite(probability).all()
    assert entropy.max() < 1e-3
