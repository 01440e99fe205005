"""How large labels are in the cases that say so."""

from __future__ import annotations

import numpy as np
import pytest

from SemiSupSegLib.data.prepared import PreparedCase
from SemiSupSegLib.data.statistics import label_shares
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.labels import LabelSet

ORGANS = LabelSet.from_names(["liver", "spleen"])
COMPLETE, ABSENT, UNKNOWN = Annotation(State.COMPLETE), Annotation(State.ABSENT), Annotation()


def a_case(name: str, liver: int, spleen: int, *said: Annotation) -> PreparedCase:
    labels = np.zeros((1, 10, 2, 5), np.uint8)
    labels.ravel()[:liver] = 1
    labels.ravel()[50 : 50 + spleen] = 2
    return PreparedCase.of_arrays(name, np.zeros((1, 10, 2, 5), np.float16), labels, ORGANS, said)


def test_shares_are_of_the_cases_in_which_a_label_is_complete() -> None:
    cases = [a_case("one", 10, 4, COMPLETE, UNKNOWN), a_case("two", 20, 8, COMPLETE, COMPLETE)]
    assert label_shares(cases) == pytest.approx([0.15, 0.08])


def test_an_absent_label_has_no_voxel_there_and_counts() -> None:
    cases = [a_case("one", 0, 10, ABSENT, COMPLETE), a_case("two", 20, 10, COMPLETE, COMPLETE)]
    assert label_shares(cases) == pytest.approx([0.1, 0.1])


def test_nothing_is_said_of_a_label_that_is_complete_nowhere() -> None:
    assert label_shares([a_case("one", 10, 0, COMPLETE, UNKNOWN)]) == [pytest.approx(0.1), None]


def test_without_a_complete_label_there_is_nothing_to_say() -> None:
    assert label_shares([a_case("one", 10, 0, UNKNOWN, UNKNOWN)]) == [None, None]
    assert label_shares([]) == []


def test_of_many_cases_only_the_first_are_read() -> None:
    ten = [a_case(f"case {n}", 10, 4, COMPLETE, COMPLETE) for n in range(10)]
    assert label_shares([*ten, a_case("another", 50, 50, COMPLETE, COMPLETE)]) == pytest.approx([0.1, 0.04])
