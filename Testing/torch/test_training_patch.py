"""The patch covers as much of the volume as it may."""

from __future__ import annotations

import math

import numpy as np
import pytest

from SemiSupSegLib.engine.training_patch import covering_patch, halvings

pytestmark = pytest.mark.unit


def test_a_patch_covers_the_whole_volume_where_it_may() -> None:
    assert covering_patch(np.array([96, 72, 44]), (1.24,) * 3, (16, 16, 8), 10**6) == (96, 80, 48)


def test_what_lies_beyond_the_volume_is_given_up_before_any_of_it() -> None:
    """96 x 64 x 48 leaves an eighth of it; as many voxels cut from the longest axis would leave a third."""
    assert covering_patch(np.array([97, 72, 44]), (1.24,) * 3, (16, 16, 8), 300_000) == (96, 64, 48)


def test_of_a_large_volume_it_is_as_long_as_wide_in_mm() -> None:
    patch = covering_patch(np.array([400, 400, 100]), (1.0, 1.0, 4.0), (16, 16, 4), 40_000)
    assert max(np.array(patch) * (1, 1, 4)) <= 1.5 * min(np.array(patch) * (1, 1, 4))


@pytest.mark.parametrize("volume", [(1, 1, 1), (5, 300, 40), (31.5, 31.5, 200)])
@pytest.mark.parametrize("voxels", [1, 5_000, 10**7])
def test_it_keeps_its_bounds_and_can_be_halved(volume: tuple[float, ...], voxels: int) -> None:
    spacing = (1.0, 1.5, 3.0)
    strides = np.prod(halvings(spacing, np.array(volume)) or [(1, 1, 1)], axis=0)
    patch = covering_patch(np.array(volume), spacing, tuple(map(int, strides)), voxels)
    assert math.prod(patch) <= max(voxels, math.prod(strides))
    assert not (np.array(patch) % strides).any()
    assert (np.array(patch) - volume < strides).all()
