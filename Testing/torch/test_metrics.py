"""Dice, Jaccard, HD95 and ASSD against answers that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from SemiSupSegLib.engine.metrics import mean_and_deviation, score

pytestmark = pytest.mark.unit


def voxels(*where: tuple[int, int, int], shape: tuple[int, int, int] = (4, 5, 6)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for index in where:
        mask[index] = True
    return mask


def test_two_voxels_two_millimetres_apart():
    found = score(voxels((1, 1, 1)), voxels((1, 1, 3)), (1.0, 1.0, 1.0))
    assert (found.dice, found.jaccard, found.hd95_mm, found.assd_mm) == (0.0, 0.0, 2.0, 2.0)


def test_distances_are_in_millimetres_along_each_axis():
    spacing = (5.0, 2.0, 0.5)  # k, j, i
    for other, wanted in (((2, 1, 1), 5.0), ((1, 2, 1), 2.0), ((1, 1, 2), 0.5), ((2, 2, 1), math.hypot(5, 2))):
        found = score(voxels((1, 1, 1)), voxels(other), spacing)
        assert found.hd95_mm == pytest.approx(wanted)
        assert found.assd_mm == pytest.approx(wanted)


def test_the_same_mask_scores_one_and_zero_millimetres_even_at_the_edge_of_the_volume():
    mask = np.ones((3, 3, 3), bool)
    found = score(mask, mask, (1.0, 1.0, 1.0))
    assert (found.dice, found.jaccard, found.hd95_mm, found.assd_mm) == (1.0, 1.0, 0.0, 0.0)


def test_dice_and_jaccard_of_half_overlapping_masks():
    found = score(voxels((0, 0, 0), (0, 0, 1)), voxels((0, 0, 1), (0, 0, 2)), (1.0, 1.0, 1.0))
    assert found.dice == 0.5
    assert found.jaccard == pytest.approx(1 / 3)


def test_both_directions_count_by_definition():
    """A: voxels 0 and 4 on a line, B: voxel 0. d(A,B) = {0, 4}, d(B,A) = {0}."""
    found = score(voxels((0, 0, 0), (0, 0, 4)), voxels((0, 0, 0)), (1.0, 1.0, 1.0))
    assert found.assd_mm == pytest.approx((2 + 0) / 2)  # the mean of the two means, not of the three distances
    assert found.hd95_mm == pytest.approx(np.percentile([0, 4, 0], 95))  # of the pooled distances


def test_two_empty_masks_have_no_score():
    found = score(voxels(), voxels(), (1.0, 1.0, 1.0))
    assert all(math.isnan(v) for v in (found.dice, found.jaccard, found.hd95_mm, found.assd_mm))
    assert found.to_json() == {"dice": None, "jaccard": None, "hd95_mm": None, "assd_mm": None}


@pytest.mark.parametrize("swap", [False, True])
def test_one_empty_mask_scores_dice_zero_and_no_distance(swap):
    masks = [voxels(), voxels((1, 1, 1))]
    found = score(*(masks[::-1] if swap else masks), (1.0, 1.0, 1.0))
    assert (found.dice, found.jaccard) == (0.0, 0.0)
    assert math.isnan(found.hd95_mm)
    assert math.isnan(found.assd_mm)


def test_what_is_not_known_counts_neither_as_volume_nor_as_border():
    predicted, reference = voxels((1, 1, 1)), voxels((1, 1, 1))
    predicted[:, :, 4:] = True  # wrong or right: nobody knows
    known = np.ones(predicted.shape, bool)
    known[:, :, 4:] = False
    assert score(predicted, reference, (1.0, 1.0, 1.0), known=known).dice == 1.0
    solid, part = np.zeros((7, 7, 7), bool), np.zeros((7, 7, 7), bool)
    solid[1:6, 1:6, 1:6] = part[1:6, 1:6, 1:6] = True
    part[1, 1, 1] = False
    only_low = np.zeros((7, 7, 7), bool)
    only_low[:4] = True
    found = score(solid, part, (1.0, 1.0, 1.0), known=only_low)
    # The cut through the solid at k = 3 is no surface: 25 + 2 * 16 voxels of the shell are left.
    distances = [0.0] * 56 + [1.0]
    assert found.assd_mm == pytest.approx(np.mean(distances) / 2, abs=1e-6)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="shapes must agree"):
        score(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 3), bool), (1.0, 1.0, 1.0))


def test_a_value_that_does_not_exist_is_not_counted_as_zero():
    mean, deviation, count = mean_and_deviation([0.5, math.nan, 0.7])
    assert (mean, count) == (pytest.approx(0.6), 2)
    assert deviation == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert mean_and_deviation([math.nan])[2] == 0
    assert math.isnan(mean_and_deviation([])[0])
    assert math.isnan(mean_and_deviation([0.5])[1])
