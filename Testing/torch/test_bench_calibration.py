"""The numbers that say whether uncertainty means something, against values by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import bench_calibration as calibration

from SemiSupSegLib.project.geometry import Grid

pytestmark = pytest.mark.unit


@pytest.fixture
def a_label() -> calibration.Found:
    """Of 8 voxels: half of those with probability 0.75 are the organ, a quarter of those with 0.25. Ten slices, of
    which the most uncertain one holds 6 of 12 wrong voxels."""
    return calibration.Found(
        probability=np.array([0.75] * 4 + [0.25] * 4, np.float32),
        uncertainty=np.zeros(8, np.float32),
        right=np.ones(8, bool),
        is_organ=np.array([1, 1, 0, 0, 1, 0, 0, 0], bool),
        slice_uncertainty=np.array([0.1, 0.9, 0.2, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
        slice_expected=np.zeros(10),
        slice_everywhere=np.zeros(10),
        slice_errors=np.array([0, 6, 2, 4, 0, 0, 0, 0, 0, 0]),
        expected=0.5,
        everywhere=0.5,
        border=0.5,
        dice=0.5,
    )


def test_a_probability_is_compared_with_the_share_that_is_the_organ(a_label: calibration.Found) -> None:
    bins = calibration.reliability([a_label, a_label])
    assert bins == [(0.25, 0.25, 8), (0.75, 0.5, 8)]
    assert calibration.calibration_error(bins) == pytest.approx(0.125)


def test_the_first_tenth_of_the_slices_holds_its_share_of_the_errors(a_label: calibration.Found) -> None:
    assert calibration.in_first_tenth(a_label, a_label.slice_uncertainty) == pytest.approx(0.5)
    assert calibration.in_first_tenth(a_label, -a_label.slice_uncertainty) == 0
    assert calibration.errors_in(a_label, a_label.slice_errors)[:3] == pytest.approx([0.5, 10 / 12, 1])


def test_ranks_are_correlated_and_equal_values_share_one() -> None:
    assert calibration.spearman(np.array([1.0, 2, 3, 4]), np.array([1.0, 8, 9, 100])) == pytest.approx(1)
    assert calibration.spearman(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)
    assert calibration._ranks(np.array([5.0, 1, 5, 0])).tolist() == [3.5, 2, 3.5, 1]
    assert np.isnan(calibration.spearman(np.ones(4), np.arange(4.0)))


def test_a_label_is_measured_near_it_alone_and_in_all_slices() -> None:
    truth, proposed = np.zeros((6, 40, 40), bool), np.zeros((6, 40, 40), bool)
    truth[2:4, 4:10, 4:10] = True
    proposed[2:5, 4:10, 4:10] = True
    probability, uncertainty = proposed.astype(np.float32), np.zeros(proposed.shape, np.float32)
    uncertainty[4, 4:10, 4:10] = 0.8
    probability[4, 4:10, 4:10] = 0.6
    found = calibration.of_label(proposed, truth, probability, uncertainty, Grid((40, 40, 6), (1.0, 1.0, 3.0)))
    assert found.slice_errors.tolist() == [0, 0, 0, 0, 36, 0]
    assert found.slice_uncertainty.argmax() == 4
    assert found.slice_expected == pytest.approx([0, 0, 0, 0, 36 * 0.4 * 3 / 1000, 0])
    assert found.slice_everywhere.tolist() == pytest.approx([0, 0, 0, 0, 36 * 0.4, 0], abs=1e-4)
    assert found.everywhere == pytest.approx(found.expected)
    assert (~found.right).sum() == 36
    assert len(found.right) < proposed.size / 2  # what lies far away would flatter
    assert found.dice == pytest.approx(2 * 72 / (72 + 108))
