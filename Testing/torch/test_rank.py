"""The numbers by which proposals are ranked."""

from __future__ import annotations

import numpy as np
import pytest

from SemiSupSegLib.engine.rank import boundary_band, numbers
from SemiSupSegLib.project.geometry import Grid

pytestmark = pytest.mark.unit
ISOTROPIC = Grid((12, 12, 12), (1.0, 1.0, 1.0))


def a_block(*, size: int = 12) -> np.ndarray:
    mask = np.zeros((size, size, size), bool)
    mask[4:8, 4:8, 4:8] = True
    return mask


def constant(value: float) -> np.ndarray:
    return np.full((12, 12, 12), value, np.float32)


def test_volume_and_confidence_of_a_block():
    grid = Grid((12, 12, 12), (2.0, 2.0, 5.0))
    probability = np.where(a_block(), 0.8, 0.1).astype(np.float32)
    found = numbers(a_block(), probability, constant(0.3), constant(0.1), grid)
    assert found.voxels == 64
    assert found.volume_ml == pytest.approx(64 * 20 / 1000)
    assert found.confidence == pytest.approx(0.8)
    assert found.uncertainty_boundary == pytest.approx(0.3)
    assert found.mutual_information_boundary == pytest.approx(0.1)
    assert not found.empty


def test_the_band_reaches_three_millimetres_to_both_sides():
    band = boundary_band(np.pad(np.ones((14, 14, 14), bool), 6), Grid((26, 26, 26), (1.0, 1.0, 1.0)))
    line = band[13, 13]
    assert line.tolist() == [False] * 3 + [True] * 7 + [False] * 6 + [True] * 7 + [False] * 3


def test_the_band_holds_both_sides_of_the_border_in_thick_slices():
    line = boundary_band(a_block(), Grid((12, 12, 12), (1.0, 1.0, 8.0)))[:, 6, 6]
    assert line.tolist() == [False] * 3 + [True] * 6 + [False] * 3


def test_uncertainty_far_from_the_border_does_not_count():
    uncertainty = constant(0)
    uncertainty[0, 0, 0] = 1.0
    assert numbers(a_block(), constant(1), uncertainty, constant(0), ISOTROPIC).uncertainty_boundary == 0


def test_each_slice_has_the_mean_uncertainty_of_its_border():
    uncertainty = constant(0.1)
    uncertainty[6] = 0.9
    found = numbers(a_block(), constant(1), uncertainty, constant(0), ISOTROPIC)
    assert len(found.slices) == 12
    assert found.slices[6] == pytest.approx(0.9)
    assert found.slices[5] == pytest.approx(0.1)


def test_what_is_expected_to_be_wrong_is_what_the_probabilities_say():
    """Slow loop over the voxels; the worst slice is where most is expected to be wrong, in both directions."""
    random = np.random.default_rng(0)
    probability = np.where(a_block(), 0.9, 0.0).astype(np.float32)
    probability[6] = np.where(a_block()[6], 0.6, 0.0)
    probability[9, 2:9, 2:9] = random.uniform(0.2, 0.4, (7, 7))  # found nearly, and not proposed
    probability[3, 4:8, 4:8] = 0.005  # too little to count
    probability[0] = 0.7  # more than 10 mm from the proposal
    grid = Grid((12, 12, 12), (2.0, 2.0, 4.0))
    found = numbers(a_block(), probability, constant(0), constant(0), grid)
    expected = [0.0] * 12
    for k, j, i in np.ndindex(12, 12, 12):
        p = float(probability[k, j, i])
        expected[k] += 1 - p if a_block()[k, j, i] else (p if p >= 0.01 and k > 0 else 0)
    assert found.errors_ml == pytest.approx([16 / 1000 * e for e in expected])
    assert found.worst_slice == 9
    inside = float(probability[a_block()].sum())
    mass = float(probability[1:][probability[1:] >= 0.01].sum())
    assert found.expected_dice == pytest.approx(2 * inside / (64 + mass))


def test_what_lies_far_from_a_proposal_is_not_expected_to_be_missing():
    """After few steps small probabilities lie all over the volume; and a part too many that was not kept is sure."""
    proposed, probability = a_block(size=40), np.where(a_block(size=40), 0.9, 0.0).astype(np.float32)
    hazy = np.maximum(probability, 0.04)
    hazy[30:36] = 0.9
    none = np.zeros((40, 40, 40), np.float32)
    one, other = (numbers(proposed, p, none, none, Grid((40,) * 3, (2.0,) * 3)) for p in (probability, hazy))
    assert other.worst_slice in range(4, 8)
    assert other.errors_ml[30] == 0
    assert one.expected_dice > other.expected_dice > 0.5


def test_in_thick_slices_the_next_one_is_near():
    probability = np.where(a_block(), 0.9, 0.3).astype(np.float32)
    found = numbers(a_block(), probability, constant(0), constant(0), Grid((12, 12, 12), (1.0, 1.0, 15.0)))
    assert found.errors_ml[3] > 0
    assert found.errors_ml[2] == 0


def test_where_nothing_is_proposed_all_is_near():
    probability = constant(0)
    probability[2, 4:8, 4:8] = 0.4
    found = numbers(np.zeros((12, 12, 12), bool), probability, constant(0), constant(0), ISOTROPIC)
    assert found.worst_slice == 2
    assert found.errors_ml[2] == pytest.approx(16 * 0.4 / 1000)


def test_what_a_proposal_is_expected_to_lack_is_what_it_lacks_on_average():
    """The truth drawn from the probabilities, again and again."""
    random = np.random.default_rng(1)
    probability = random.uniform(0.02, 0.98, (12, 12, 12)).astype(np.float32)
    proposed = probability > 0.5
    dice = []
    for _ in range(200):
        truth = random.random(probability.shape) < probability
        dice.append(2 * (proposed & truth).sum() / (proposed.sum() + truth.sum()))
    found = numbers(proposed, probability, constant(0), constant(0), ISOTROPIC)
    assert found.expected_dice == pytest.approx(np.mean(dice), abs=0.002)


def test_parts_are_pieces_that_are_large_enough():
    mask = a_block()
    mask[0, 0, 0] = mask[11, 11, 11] = True
    found = numbers(mask, constant(1), constant(0), constant(0), ISOTROPIC)
    assert found.parts == 3  # 1 of 66 voxels is more than 1 %
    assert found.largest_part == pytest.approx(64 / 66)
    mask[1, 1, 1] = True  # touches the first corner: still the same piece
    assert numbers(mask, constant(1), constant(0), constant(0), ISOTROPIC).parts == 3
    large = np.zeros((12, 12, 12), bool)
    large[:8] = True
    large[11, 11, 11] = True
    assert numbers(large, constant(1), constant(0), constant(0), ISOTROPIC).parts == 1


def test_an_empty_proposal_is_measured_where_it_came_nearest():
    uncertainty = constant(0)
    uncertainty[3, 4, 5], uncertainty[2, 4, 5], uncertainty[9, 9, 9] = 0.8, 0.6, 0.1
    probability = uncertainty / 2
    found = numbers(np.zeros((12, 12, 12), bool), probability, uncertainty, constant(0), ISOTROPIC)
    assert found.empty
    assert (found.voxels, found.volume_ml, found.confidence, found.parts, found.largest_part) == (0, 0, 0, 0, 0)
    assert found.uncertainty_boundary == pytest.approx(0.7)
    assert (found.worst_slice, found.expected_dice) == (3, 0)


def test_an_empty_proposal_without_any_doubt_has_none():
    found = numbers(np.zeros((12, 12, 12), bool), constant(0), constant(0), constant(0), ISOTROPIC)
    assert (found.uncertainty_boundary, found.worst_slice) == (0, 0)


def test_the_numbers_are_plain_json():
    import json

    data = numbers(a_block(), constant(1), constant(0.5), constant(0), ISOTROPIC).to_json()
    assert json.loads(json.dumps(data))["slices"][6] == 0.5
