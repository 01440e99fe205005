"""Cutting volumes into windows and blending the pieces."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from SemiSupSegLib.engine.windows import Windows, plan_windows

pytestmark = pytest.mark.unit


def blended(windows: Windows, volume: torch.Tensor) -> torch.Tensor:
    """What comes out when every window returns what it was given."""
    total = torch.zeros_like(volume)
    for window in windows:
        total[(slice(None), *window.slices)] += window.weighted(volume[(slice(None), *window.slices)].clone())
    return total


def test_a_volume_in_one_piece_has_weight_one():
    windows = Windows((3, 4, 5), (3, 4, 5))
    (window,) = windows
    assert window.slices == (slice(0, 3), slice(0, 4), slice(0, 5))
    assert all(torch.equal(w, torch.ones_like(w)) for w in window.weights)


@pytest.mark.property
@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.integers(1, 24)] * 3), st.tuples(*[st.integers(1, 24)] * 3), st.integers(0, 9))
def test_blending_unchanged_pieces_gives_the_volume_back(size, window, seed):
    window = tuple(min(w, n) for w, n in zip(window, size, strict=True))
    volume = torch.rand(2, *size, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(blended(Windows(size, window), volume), volume, rtol=1e-4, atol=1e-4)


def test_neighbours_overlap_by_half_and_the_last_window_ends_with_the_volume():
    starts = Windows((100, 10, 10), (20, 10, 10)).starts[0]
    assert starts == [0, 10, 20, 30, 40, 50, 60, 70, 80]
    assert Windows((25, 10, 10), (20, 10, 10)).starts[0] == [0, 5]


def test_the_centre_of_a_window_counts_more_than_its_border():
    first, second, *_ = (w.weights[0] for w in Windows((40, 1, 1), (20, 1, 1)))
    assert first[15] < 0.4 < 0.6 < second[5]  # here the second window is nearer to its centre
    assert second[10] > 0.9
    assert first[0] == 1  # nobody else sees the volume's edge


def test_a_window_larger_than_the_volume_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        Windows((4, 4, 4), (8, 4, 4))


def test_planning_keeps_the_volume_whole_when_it_fits_and_cuts_its_longest_axis_first():
    assert len(plan_windows((64, 48, 32), largest_voxels=64 * 48 * 32, multiple=(16, 16, 16))) == 1
    cut = plan_windows((128, 48, 32), largest_voxels=64 * 48 * 32, multiple=(16, 16, 16))
    assert cut.window == (64, 48, 32)


def test_planning_never_goes_below_what_the_network_was_trained_on():
    cut = plan_windows((128, 128, 30), largest_voxels=1, multiple=(16, 16, 1), at_least=(40, 64, 48))
    assert cut.window == (48, 64, 30)


def test_planning_prefers_slabs_to_cubes():
    cut = plan_windows((256, 256, 200), largest_voxels=4_200_000, multiple=(16, 16, 16), at_least=(64, 64, 48))
    assert sum(n == w for n, w in zip(cut.size, cut.window, strict=True)) == 2
    work = len(cut) * cut.window[0] * cut.window[1] * cut.window[2] / (256 * 256 * 200)
    assert work < 2.1
