"""The simulated person: what is corrected first, and what the Dice then is."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from rounds.cohort import Cohort, Proposal, dice
from rounds.orders import AT_A_TIME, best, random, tool

pytestmark = pytest.mark.unit

ONE, OTHER = ("case_1", "liver"), ("case_2", "liver")


def a_proposal(wrong: list[int], expected: list[float]) -> Proposal:
    """Slices of 10 voxels, all of which are the organ; so many are missed in each."""
    truth = np.ones((len(wrong), 1, 10), bool)
    proposed = truth.copy()
    for k, count in enumerate(wrong):
        proposed[k, 0, :count] = False
    return Proposal(proposed, truth, np.array(expected), np.zeros(len(wrong), bool), slice_mm=0)


@pytest.fixture
def a_cohort() -> Cohort:
    """The review offers case_1 first."""
    return Cohort({ONE: a_proposal([0, 5, 2], [0.0, 0.1, 0.3]), OTHER: a_proposal([9, 0, 0], [0.2, 0.0, 0.1])})


def test_the_tool_opens_the_proposal_on_top_and_its_worst_slices(a_cohort: Cohort) -> None:
    assert tool(a_cohort, 1) == [(ONE, 2), (ONE, 1), (OTHER, 0), (OTHER, 2)]


def test_after_a_few_slices_the_next_proposal_is_opened() -> None:
    many = Cohort({key: a_proposal([1] * 8, [0.1] * 8) for key in (ONE, OTHER)})
    cases = [key[0] for key, _ in tool(many, 1)]
    assert cases == ["case_1"] * AT_A_TIME + ["case_2"] * AT_A_TIME + ["case_1"] * 3 + ["case_2"] * 3


def test_what_was_corrected_does_not_come_again() -> None:
    done = replace(a_proposal([1] * 4, [0.1, 0.4, 0.3, 0.2]), finished=np.array([False, True, False, False]))
    assert [k for _, k in tool(Cohort({ONE: done}), 1)] == [2, 3, 0]


def test_the_best_order_has_the_most_wrong_voxels_first_and_no_right_slice(a_cohort: Cohort) -> None:
    assert best(a_cohort, 1) == [(OTHER, 0), (ONE, 1), (ONE, 2)]


def test_any_order_has_every_slice_once_and_is_drawn_anew_for_another_seed(a_cohort: Cohort) -> None:
    every = {(key, k) for key in (ONE, OTHER) for k in range(3)}
    assert len(random(a_cohort, 1)) == len(every)
    assert set(random(a_cohort, 1)) == every
    assert any(random(a_cohort, 1) != random(a_cohort, seed) for seed in range(2, 6))


def test_a_corrected_slice_is_right(a_cohort: Cohort) -> None:
    before = (2 * 23 / 53 + 2 * 21 / 51) / 2
    after = (2 * 23 / 53 + 1) / 2
    assert a_cohort.dice([]) == pytest.approx(before)
    assert a_cohort.dice([(OTHER, 0)]) == pytest.approx(after)
    assert a_cohort.dice(best(a_cohort, 1)) == 1


def test_two_empty_masks_agree() -> None:
    assert dice(np.zeros((1, 2, 2), bool), np.zeros((1, 2, 2), bool)) == 1
