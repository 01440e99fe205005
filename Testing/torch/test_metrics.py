"""Dice, Jaccard, HD95 and ASSD against answers that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from SemiSupSegLib.engine.metrics import mean_and_deviation, score, score_medpy

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


def test_asd_medpy_looks_from_the_prediction_alone():
    """A: voxels 0 and 4 on a line, B: voxel 0. d(A,B) = {0, 4}, d(B,A) = {0}."""
    a, b = voxels((0, 0, 0), (0, 0, 4)), voxels((0, 0, 0))
    found, swapped = score_medpy(a, b), score_medpy(b, a)
    assert (found.asd_medpy, swapped.asd_medpy) == (2.0, 0.0)  # what was missed does not count
    for either in (found, swapped):
        assert (either.assd_medpy, either.hd_medpy) == (1.0, 4.0)
        assert either.hd95_medpy == pytest.approx(np.percentile([0, 0, 4], 95))
        assert (either.dice, either.jaccard) == (pytest.approx(2 / 3), 0.5)


def test_medpy_distances_are_in_voxels_without_a_spacing_and_in_its_unit_with_one():
    a, b = voxels((1, 1, 1)), voxels((2, 1, 3))
    assert score_medpy(a, b).hd_medpy == pytest.approx(math.hypot(1, 2))
    found = score_medpy(a, b, (5.0, 2.0, 0.5))
    for value in (found.hd_medpy, found.hd95_medpy, found.asd_medpy, found.assd_medpy):
        assert value == pytest.approx(math.hypot(5.0, 1.0))


def test_medpy_scores_agree_with_a_loop_over_all_pairs_of_surface_voxels():
    draw = np.random.default_rng(4)
    a, b = (draw.random((5, 6, 4)) < 0.4 for _ in range(2))

    def surface(mask: np.ndarray) -> list[tuple[int, ...]]:
        faces = [s * np.eye(3, dtype=int)[axis] for axis in range(3) for s in (-1, 1)]
        padded = np.pad(mask, 1)
        return [tuple(x) for x in np.argwhere(mask) if not all(padded[tuple(x + 1 + d)] for d in faces)]

    there = [min(math.dist(x, y) for y in surface(b)) for x in surface(a)]
    back = [min(math.dist(x, y) for y in surface(a)) for x in surface(b)]
    found = score_medpy(a, b)
    assert found.asd_medpy == pytest.approx(np.mean(there), abs=1e-6)
    assert found.assd_medpy == pytest.approx((np.mean(there) + np.mean(back)) / 2, abs=1e-6)
    assert found.hd_medpy == pytest.approx(max(there + back), abs=1e-6)
    assert found.hd95_medpy == pytest.approx(np.percentile(there + back, 95), abs=1e-6)
    ours = score(a, b, (1.0, 1.0, 1.0))
    assert (found.hd95_medpy, found.assd_medpy) == pytest.approx((ours.hd95_mm, ours.assd_mm))


def test_an_empty_prediction_has_no_medpy_distance_and_two_empty_masks_no_medpy_score_at_all():
    found = score_medpy(voxels(), voxels((1, 1, 1)))
    assert (found.dice, found.jaccard) == (0.0, 0.0)
    assert all(math.isnan(v) for v in (found.hd95_medpy, found.asd_medpy, found.assd_medpy, found.hd_medpy))
    assert math.isnan(score_medpy(voxels(), voxels()).dice)


def test_medpy_scores_refuse_shapes_that_differ():
    with pytest.raises(ValueError, match="shapes must agree"):
        score_medpy(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 3), bool))
