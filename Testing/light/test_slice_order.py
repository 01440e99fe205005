"""The order in which the slices of a proposal are looked at."""

from __future__ import annotations

import numpy as np
import pytest

from SemiSupSegLib.project.annotation import Annotation, Region, RegionKind, State
from SemiSupSegLib.project.slice_order import finished_slices, slice_order

pytestmark = pytest.mark.unit

NONE = np.zeros(6, bool)


def test_slices_come_in_the_order_of_their_errors() -> None:
    assert list(slice_order(np.array([1.0, 5, 4, 0, 2, 4]), NONE, 0)) == [1, 2, 5, 4, 0]


def test_what_is_finished_is_not_offered() -> None:
    finished = np.array([False, True, False, False, False, False])
    assert list(slice_order(np.array([1.0, 5, 4, 0, 2, 3]), finished, 0)) == [2, 5, 4, 0]


def test_slices_beside_one_that_is_corrected_come_later_as_they_follow_it() -> None:
    errors = np.array([3.0, 6, 5, 4, 3.5, 4.5])
    assert list(slice_order(errors, NONE, 1.0))[:3] == [1, 5, 3]
    assert next(slice_order(errors, np.array([False, True, False, False, False, False]), 1.0)) == 5
    assert sorted(slice_order(errors, NONE, 1.0)) == list(range(6))  # late, and not left out


def test_of_thick_slices_the_next_ones_alone_follow() -> None:
    """As a Gaussian of one slice's thickness says: 0.61 of the errors beside it, 0.14 of those two slices away."""
    assert list(slice_order(np.array([6.0, 10, 9, 0, 0, 3]), NONE, 8.0)) == [1, 2, 5, 0]


def test_without_errors_there_is_nothing_to_look_at() -> None:
    assert list(slice_order(np.zeros(6), NONE, 1.0)) == []
    assert list(slice_order(np.ones(6), ~NONE, 1.0)) == []
    assert list(slice_order(np.zeros(0), np.zeros(0, bool), 1.0)) == []


def test_only_whole_slices_are_finished() -> None:
    said = Annotation(State.PARTIAL, (
        Region(RegionKind.SLICES, ((0, 1), (4, 4))), Region(RegionKind.BOX, ((2, 2), (0, 9), (0, 9))),
        Region(RegionKind.STROKES, file="strokes.nii.gz"),
    ))  # fmt: skip
    assert np.flatnonzero(finished_slices(said, 6)).tolist() == [0, 1, 4]
    assert not finished_slices(Annotation(), 6).any()
    for state in (State.COMPLETE, State.ABSENT):
        assert finished_slices(Annotation(state), 6).all()
