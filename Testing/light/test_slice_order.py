"""The order in which the slices of a proposal are looked at."""

from __future__ import annotations

import numpy as np
import pytest

from SemiSupSegLib.project.annotation import Annotation, Region, RegionKind, State
from SemiSupSegLib.project.slice_order import finished_slices, next_slice, slice_order

pytestmark = pytest.mark.unit

NONE = np.zeros(6, bool)


def test_thick_slices_come_in_the_order_of_their_errors() -> None:
    assert slice_order(np.array([1.0, 5, 4, 0, 2, 3]), 10.0, NONE) == [1, 2, 5, 4, 0]


def test_a_slice_next_to_one_that_was_seen_waits_for_one_that_lies_apart() -> None:
    errors = np.array([1.0, 5, 4, 0, 2, 3])
    # of 4, 1 mm from the worst one, a tenth counts; of 3, 4 mm from it, four tenths
    assert slice_order(errors, 1.0, NONE)[:2] == [1, 5]
    assert sorted(slice_order(errors, 1.0, NONE)) == [0, 1, 2, 4, 5]


def test_what_is_finished_is_not_offered_and_what_lies_next_to_it_comes_later() -> None:
    finished = np.array([False, True, False, False, False, False])
    assert slice_order(np.array([1.0, 5, 4, 0, 2, 3]), 1.0, finished) == [5, 2, 4, 0]


def test_without_errors_or_with_every_slice_seen_there_is_no_next_one() -> None:
    assert next_slice(np.zeros(3), 1.0, ()) is None
    assert next_slice(np.ones(3), 1.0, {0, 1, 2}) is None
    assert slice_order(np.zeros(0), 1.0, np.zeros(0, bool)) == []


def test_the_errors_that_were_given_stay_as_they_are() -> None:
    errors = np.ones(3)
    next_slice(errors, 1.0, {1})
    assert errors.tolist() == [1, 1, 1]


def test_only_whole_slices_are_finished() -> None:
    said = Annotation(State.PARTIAL, (
        Region(RegionKind.SLICES, ((0, 1), (4, 4))), Region(RegionKind.BOX, ((2, 2), (0, 9), (0, 9))),
        Region(RegionKind.STROKES, file="strokes.nii.gz"),
    ))  # fmt: skip
    assert np.flatnonzero(finished_slices(said, 6)).tolist() == [0, 1, 4]
    assert not finished_slices(Annotation(), 6).any()
    for state in (State.COMPLETE, State.ABSENT):
        assert finished_slices(Annotation(state), 6).all()
