"""What looks otherwise than the strokes of a label."""

from __future__ import annotations

import numpy as np
import pytest

from SemiSupSegLib.data.intensity_range import LEAST, looks_otherwise

pytestmark = pytest.mark.unit


def test_a_voxel_far_outside_of_the_stroked_intensities_looks_otherwise() -> None:
    image = np.zeros((1, 5, 21, 1))
    image[0] = np.arange(-10, 95)[:, np.newaxis].reshape(5, 21, 1)
    stroked = (image[0] >= 0) & (image[0] <= 60)
    # 1 % and 99 % of 0, 1, ..., 60 are 0.6 and 59.4; a quarter of their distance is 14.7: from -14.1 to 74.1
    found = looks_otherwise(image, stroked)
    assert image[0][found].min() == 75
    assert not found[image[0] < 75].any()


def test_one_voxel_of_a_stroke_that_slipped_over_the_border_changes_little() -> None:
    image = np.zeros((1, 200, 2, 1))
    image[0, :, 0] = np.linspace(40, 60, 200)[:, np.newaxis]
    stroked = np.zeros((200, 2, 1), bool)
    stroked[:, 0] = True
    image[0, 0, 0] = 1000  # bone
    image[0, :, 1] = 70
    assert looks_otherwise(image, stroked)[:, 1].all()


def test_one_channel_is_enough() -> None:
    image = np.zeros((2, 100, 2, 1))
    image[1, :, 1] = 5
    stroked = np.zeros((100, 2, 1), bool)
    stroked[:, 0] = True
    assert np.array_equal(looks_otherwise(image, stroked), ~stroked)


def test_few_strokes_do_not_show_how_a_label_looks() -> None:
    image = np.zeros((1, 100, 2, 1))
    image[0, :, 1] = 5
    for count, shows in ((LEAST, True), (LEAST - 1, False), (0, False)):
        stroked = np.zeros((100, 2, 1), bool)
        stroked[:count, 0] = True
        assert looks_otherwise(image, stroked).any() == shows
