"""Candidates that touch what they never do: ranked higher, and said with number and slice."""

from __future__ import annotations

import pytest

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.project.adjacency_rules import change_rules
from SemiSupSegLib.project.candidates import score_of
from SemiSupSegLib.project.proposals import candidates


def contact(label: str, *, contacts: int = 37, relation: str = "never") -> dict:
    return {"label": label, "contacts": contacts, "slice": 41, "voxel": [41, 3, 2], "relation": relation}


@pytest.fixture
def touching(a_project, predict, box):
    """The spleen of `c1` touches the liver in 37 places; its tumour touches nothing, and is as sure."""
    predict(
        a_project, "c1", {"spleen": box(3), "tumour": box(1)},
        spleen={"contacts": [contact("liver")]}, tumour={"contacts": []},
    )  # fmt: skip
    return a_project


def test_a_contact_that_the_annotated_cases_never_show_is_the_reason_and_ranks_higher(touching):
    first, second = candidates(touching)
    assert (first.label, second.label) == ("spleen", "tumour")
    expected = "touches liver, which it never does in the annotated cases (37 contacts, slice 41)"
    assert first.reason == f"sure at the border (0.10); {expected}; worst slice 3"
    assert first.score == pytest.approx(second.score + 0.5)
    assert first.contacts == (contact("liver"),)
    assert second.contacts == ()
    assert "touches" not in second.reason


def test_a_pair_that_was_allowed_since_is_no_reason_any_more(touching):
    change_rules(touching, allow=[("liver", "spleen")], who="ann")
    assert [c.contacts for c in candidates(touching)] == [(), ()]
    change_rules(touching, forbid=[("liver", "spleen")], who="ann")
    assert candidates(touching)[0].contacts


def test_what_the_user_forbade_is_said_so_until_the_rule_is_gone(a_project, predict, box):
    change_rules(a_project, forbid=[("liver", "spleen")], who="ann")
    found = [contact("liver", contacts=1, relation="forbidden")]
    predict(a_project, "c1", {"spleen": box(3)}, spleen={"contacts": found})
    (candidate,) = candidates(a_project)
    assert "touches liver, which it must not by the project's rules (1 contact, slice 41)" in candidate.reason
    change_rules(a_project, reset=True, who="ann")
    assert candidates(a_project)[0].contacts == ()


def test_of_many_contacts_the_first_two_are_named(a_project, predict, box):
    found = [contact(name) for name in ("liver", "left lung", "heart", "aorta")]
    predict(a_project, "c1", {"spleen": box(3)}, spleen={"contacts": found})
    (candidate,) = candidates(a_project)
    assert "left lung" in candidate.reason
    assert "heart" not in candidate.reason
    assert "and touches 2 more that it should not" in candidate.reason
    assert len(candidate.contacts) == 4


def test_an_earlier_prediction_without_contacts_is_reviewed_as_before(a_project, predict, box):
    predict(a_project, "c1", {"spleen": box(3)})
    (candidate,) = candidates(a_project)
    assert (candidate.contacts, candidate.reason) == ((), "sure at the border (0.10); worst slice 3")


@pytest.mark.parametrize(("number", "expected"), [(0, 0.0), (1, 0.5), (2, 0.75), (3, 1.0), (50, 1.0)])
def test_the_share_of_contacts_in_the_score_by_hand(number, expected):
    assert score_of(doubt=0, volume_z=None, parts=1, empty=False, forbidden=number) == pytest.approx(expected)


@pytest.mark.robustness
@pytest.mark.parametrize("damaged", [["liver"], [{"label": "liver"}], 3, [contact("liver") | {"contacts": "many"}]])
def test_damaged_contacts_are_said_with_case_and_label(a_project, predict, box, damaged):
    predict(a_project, "c1", {"spleen": box(3)}, spleen={"contacts": damaged})
    with pytest.raises(ProjectError, match="the prediction of spleen in case c1 cannot be read"):
        candidates(a_project)
