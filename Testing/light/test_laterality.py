"""Laterality: which label is whose counterpart on the other side."""

from __future__ import annotations

import pytest

from SemiSupSegLib.project.laterality import counterparts


@pytest.mark.parametrize(
    "names",
    [
        ("Left Hippocampus", "Brain Stem", "Right Hippocampus"),
        ("kidney_left", "bladder", "kidney_right"),
        ("ctx-lh-insula", "WM", "ctx-rh-insula"),
        ("lung L", "heart", "lung R"),
        ("Right PCu   precuneus", "CSF", "left PCu precuneus"),
    ],
)
def test_a_side_is_a_word_of_its_own_however_it_is_written(names) -> None:
    assert counterparts(names) == (2, 1, 0)


def test_a_side_without_its_other_side_has_no_counterpart() -> None:
    assert counterparts(["left atrium", "myocardium", "Right Insula", "Left Putamen"]) == (None, 1, None, None)


def test_letters_that_may_be_a_side_are_one_only_where_the_other_is_there() -> None:
    assert counterparts(["vertebra L 5", "lobule R"]) == (0, 1)


def test_words_that_only_contain_a_side_are_none() -> None:
    assert counterparts(["bright spot", "cleft"]) == (0, 1)


def test_who_is_whose_counterpart_is_mutual() -> None:
    found = counterparts(["Left l", "Right l", "Left r", "Right r", "left x"])
    assert all(other is None or found[other] == own for own, other in enumerate(found))
    assert counterparts([]) == ()
