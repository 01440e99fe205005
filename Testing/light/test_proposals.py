"""Proposals: ranked with their reasons, accepted without touching what people did."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from SemiSupSegLib.errors import ImageError, ProjectError
from SemiSupSegLib.project.annotation import Annotation, Region, RegionKind, State, label_mask
from SemiSupSegLib.project.candidates import score_of, volume_z
from SemiSupSegLib.project.geometry import Grid
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.proposals import accept, candidates, flag, reject
from SemiSupSegLib.project.transactions import commit, undo

COMPLETE = Annotation(State.COMPLETE)
PAINTED = Region(RegionKind.PAINTED)


def slices(*ranges: tuple[int, int]) -> Annotation:
    return Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ranges),))


def mask_of(project: Project, name: str, case_id: str = "c1") -> np.ndarray:
    labels = project.case(case_id).labels(project.label_set)
    return label_mask(labels, project.label_set, project.label_set.index(name))


# -------------------------------------------------------------------------------------------------------------- accept


def test_accepting_the_whole_writes_only_where_the_label_is_not_known(a_project, predict, box):
    predict(a_project, "c1", {"spleen": box(slice(1, 5))})
    case = accept(a_project, "c1", "spleen", who="ann")
    np.testing.assert_array_equal(mask_of(a_project, "spleen"), box(slice(2, 5)))
    np.testing.assert_array_equal(mask_of(a_project, "liver"), box(slice(0, 2)))
    assert case.annotation("spleen").state is State.COMPLETE
    assert case.known(a_project.label_set)[1].all()
    assert case.annotation("liver") == COMPLETE


def test_an_acceptance_says_which_model_who_what_and_how_much(a_project, predict, box):
    predict(a_project, "c1", {"spleen": box(slice(1, 5))}, model="0007")
    (source,) = accept(a_project, "c1", "spleen", who="ann").annotation("spleen").accepted
    assert (source.run, source.checkpoint, source.who, source.what) == ("run of 0007", "last", "ann", "whole")
    assert source.voxels == 60
    assert source.date.endswith("+00:00")
    entry = a_project.journal.last()
    assert (entry.action, entry.label) == ("accept", "spleen")
    assert entry.detail == {"what": "whole", "voxels": 60, "model": "0007", "run": "run of 0007"}


def test_accepting_the_confident_part_makes_exactly_these_voxels_known(a_project, predict, box):
    uncertainty = np.full((6, 5, 4), 0.5)
    uncertainty[2:4] = 0.2
    predict(a_project, "c1", {"spleen": box(slice(1, 5))}, uncertainty=uncertainty)
    case = accept(a_project, "c1", "spleen", confident=0.2, who="ann")
    np.testing.assert_array_equal(mask_of(a_project, "spleen"), box(slice(2, 4)))
    said = case.annotation("spleen")
    assert said.state is State.PARTIAL
    np.testing.assert_array_equal(case.strokes()[said.regions[0].file], box(slice(2, 4)))
    known = case.known(a_project.label_set)[1]
    np.testing.assert_array_equal(known, box(slice(0, 4)), "the liver's slices 0 and 1, and the accepted 2 and 3")
    assert said.accepted[0].what == "confident 0.2"


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.2, 0.3, 0.6, 0.9, 1.0])
def test_a_threshold_includes_the_uncertainty_that_equals_it(a_project, predict, box, threshold):
    predict(a_project, "c1", {"spleen": box(3)}, uncertainty=np.full((6, 5, 4), round(threshold * 255) / 255))
    if round(threshold * 255) / 255 <= threshold + 1e-6:
        accept(a_project, "c1", "spleen", confident=threshold, who="ann")
        np.testing.assert_array_equal(mask_of(a_project, "spleen"), box(3))
    else:
        with pytest.raises(ProjectError, match="change nothing"):
            accept(a_project, "c1", "spleen", confident=threshold, who="ann")


def test_accepting_slices_makes_them_done_inside_and_out(a_project, predict, box):
    predict(a_project, "c1", {"spleen": box(slice(1, 6), 2)})
    case = accept(a_project, "c1", "spleen", slices=(3, 4), who="ann")
    np.testing.assert_array_equal(mask_of(a_project, "spleen"), box(slice(3, 5), 2))
    np.testing.assert_array_equal(case.known(a_project.label_set)[1], box(slice(0, 2)) | box(slice(3, 5)))
    assert case.annotation("spleen").regions == (Region(RegionKind.SLICES, ((3, 4),)),)


def test_slices_without_a_proposed_voxel_can_be_accepted_as_empty(a_project, predict, box):
    predict(a_project, "c1", {"spleen": box(3)})
    case = accept(a_project, "c1", "spleen", slices=(5, 5), who="ann")
    assert not mask_of(a_project, "spleen").any()
    np.testing.assert_array_equal(case.known(a_project.label_set)[1], box(slice(0, 2)) | box(5))


def test_parts_accepted_one_after_the_other_add_up(a_project, predict, box):
    predict(a_project, "c1", {"spleen": box(slice(2, 6))})
    accept(a_project, "c1", "spleen", slices=(2, 2), who="ann")
    accept(a_project, "c1", "spleen", slices=(4, 4), who="ann")
    np.testing.assert_array_equal(mask_of(a_project, "spleen"), box(2) | box(4))
    case = accept(a_project, "c1", "spleen", who="ann")
    np.testing.assert_array_equal(mask_of(a_project, "spleen"), box(slice(2, 6)))
    assert [a.what for a in case.annotation("spleen").accepted] == ["slices 2:2", "slices 4:4", "whole"]
    assert case.annotation("spleen").by_people_only() == Annotation()


def test_g29_a_partial_label_keeps_the_persons_voxels_when_the_whole_is_accepted(
    an_empty_project, add_case, predict, box
):
    add_case(an_empty_project, "c1", masks={"spleen": box(slice(0, 4), 0)}, said={"spleen": slices((0, 2))})
    predict(an_empty_project, "c1", {"spleen": box(slice(0, 6), 1)})
    accept(an_empty_project, "c1", "spleen", who="ann")
    expected = box(slice(0, 4), 0) | box(slice(3, 6), 1)
    np.testing.assert_array_equal(mask_of(an_empty_project, "spleen"), expected)


def test_g29_a_voxel_that_was_painted_without_a_statement_is_not_overwritten(an_empty_project, add_case, predict, box):
    add_case(an_empty_project, "c1", masks={"liver": box(slice(0, 2))}, said={})
    predict(an_empty_project, "c1", {"spleen": box(slice(1, 4))})
    accept(an_empty_project, "c1", "spleen", who="ann")
    np.testing.assert_array_equal(mask_of(an_empty_project, "liver"), box(slice(0, 2)))
    np.testing.assert_array_equal(mask_of(an_empty_project, "spleen"), box(slice(2, 4)))


def test_a_label_that_may_overlap_another_is_accepted_on_top_of_it(a_project, predict, box):
    predict(a_project, "c1", {"tumour": box(slice(1, 3))})
    accept(a_project, "c1", "tumour", who="ann")
    np.testing.assert_array_equal(mask_of(a_project, "tumour"), box(slice(1, 3)))
    np.testing.assert_array_equal(mask_of(a_project, "liver"), box(slice(0, 2)))


def test_g29_a_label_in_another_layer_that_excludes_is_respected(an_empty_project, add_case, predict, box):
    add_case(an_empty_project, "c1", masks={"tumour": box(2)}, said={})
    predict(an_empty_project, "c1", {"spleen": box(slice(1, 4))})
    accept(an_empty_project, "c1", "spleen", who="ann")
    np.testing.assert_array_equal(mask_of(an_empty_project, "spleen"), box(1) | box(3))


def test_nothing_is_accepted_where_the_user_painted_ignore(a_project, predict, box):
    commit(a_project, "c1", action="annotate", who="ann", ignore=box(4))
    predict(a_project, "c1", {"spleen": box(slice(3, 6))})
    case = accept(a_project, "c1", "spleen", who="ann")
    np.testing.assert_array_equal(mask_of(a_project, "spleen"), box(3) | box(5))
    assert not case.known(a_project.label_set)[:, 4].any()


PERSONS = st.sampled_from(
    [Annotation(), COMPLETE, slices((0, 1)), slices((2, 2), (4, 5)), Annotation(State.PARTIAL, (PAINTED,))]
)
PARTS = st.sampled_from([{}, {"confident": 0.3}, {"confident": 1.0}, {"slices": (1, 4)}, {"slices": (0, 5)}])


@pytest.mark.property
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.data(),
    hnp.arrays(np.uint8, (6, 5, 4), elements=st.integers(0, 2)),
    hnp.arrays(bool, (6, 5, 4)),
    st.lists(PARTS, min_size=1, max_size=3),
)
def test_g29_g30_no_acceptance_ever_changes_a_persons_voxel_or_what_people_know(
    a_project, add_case, predict, data, by_people, proposed, parts
):
    case_id = f"p{len(a_project.cases)}"
    said = {"liver": data.draw(PERSONS), "spleen": data.draw(PERSONS.filter(lambda a: not a.everywhere))}
    masks = {"liver": by_people == 1, "spleen": by_people == 2}
    before = add_case(a_project, case_id, masks=masks, said=said, split="holdout")
    label_set = a_project.label_set
    known, human = before.known(label_set), before.labels(label_set)
    people = before.known(label_set, people_only=True)
    uncertainty = data.draw(hnp.arrays(float, (6, 5, 4), elements=st.sampled_from([0.0, 0.2, 0.6])))
    predict(a_project, case_id, {"spleen": proposed}, uncertainty=uncertainty)
    for part in parts:
        try:
            accept(a_project, case_id, "spleen", who="ann", **part)
        except ProjectError:
            continue
    after = a_project.case(case_id)
    labels = after.labels(label_set)
    np.testing.assert_array_equal(labels[human > 0], human[human > 0], "a painted voxel changed")
    changed = label_mask(labels, label_set, 1) & ~label_mask(human, label_set, 1)
    assert not (changed & known[1]).any(), "a voxel changed where it was known"
    assert not (changed & ~proposed).any(), "a voxel changed that was not proposed"
    assert (after.known(label_set) >= known).all(), "something known was forgotten"
    people_after = after.known(label_set, people_only=True)
    assert (people_after <= people).all(), "the hold-out would be scored on a machine's voxels"
    np.testing.assert_array_equal(people_after[1], people[1])
    kept = after.labels(label_set, people_only=True)
    assert (label_mask(kept, label_set, 1) <= label_mask(human, label_set, 1)).all()


def test_g30_an_accepted_label_of_a_holdout_case_never_counts_in_its_score(an_empty_project, add_case, predict, box):
    add_case(an_empty_project, "c1", masks={"liver": box(0)}, said={"liver": COMPLETE}, split="holdout")
    label_set = an_empty_project.label_set
    before = an_empty_project.case("c1").known(label_set, people_only=True)
    predict(an_empty_project, "c1", {"spleen": box(slice(1, 5)), "tumour": box(5)})
    accept(an_empty_project, "c1", "spleen", who="ann")
    case = accept(an_empty_project, "c1", "tumour", slices=(4, 5), who="ann")
    np.testing.assert_array_equal(case.known(label_set, people_only=True), before)
    assert case.known(label_set).sum() > before.sum()


def test_g30_a_painted_region_does_not_grow_by_what_is_accepted(an_empty_project, add_case, predict, box):
    said = {"spleen": Annotation(State.PARTIAL, (PAINTED,))}
    add_case(an_empty_project, "c1", masks={"spleen": box(1)}, said=said, split="holdout")
    predict(an_empty_project, "c1", {"spleen": box(slice(1, 4))})
    case = accept(an_empty_project, "c1", "spleen", slices=(3, 3), who="ann")
    people = case.known(an_empty_project.label_set, people_only=True)
    np.testing.assert_array_equal(people[1], box(1))
    np.testing.assert_array_equal(case.known(an_empty_project.label_set)[1], box(1) | box(3))


@pytest.mark.robustness
@pytest.mark.parametrize(
    ("label", "part", "sentence"),
    [
        ("heart", {}, "no label 'heart'"),
        ("tumour", {}, "case c1 has no proposal for tumour: predict it first"),
        ("liver", {}, "liver is complete in case c1 already"),
        ("spleen", {"confident": 0.1}, "accepting confident 0.1 of spleen in case c1 would change nothing"),
        ("spleen", {"confident": 1.5}, "from 0 to 1, found 1.5"),
        ("spleen", {"slices": (3, 6)}, "expected slices within 0:5, found 3:6"),
        ("spleen", {"slices": (4, 3)}, "expected slices within 0:5, found 4:3"),
        ("spleen", {"slices": (0, 1)}, "accepting slices 0:1 of spleen in case c1 would change nothing"),
        ("spleen", {"slices": (3, 4), "confident": 0.5}, "not both"),
    ],
)
def test_what_cannot_be_accepted_is_refused_and_changes_nothing(a_project, predict, box, label, part, sentence):
    predict(a_project, "c1", {"spleen": box(slice(1, 5)), "liver": box(0)}, uncertainty=np.full((6, 5, 4), 0.5))
    before = (a_project.case("c1").folder / "case.json").read_bytes()
    with pytest.raises(ProjectError, match=sentence):
        accept(a_project, "c1", label, who="ann", **part)
    assert (a_project.case("c1").folder / "case.json").read_bytes() == before
    assert len(a_project.journal.entries()) == 1


def test_g15_an_empty_proposal_is_not_accepted_as_complete(a_project, predict):
    predict(a_project, "c1", {"spleen": np.zeros((6, 5, 4), bool)})
    with pytest.raises(ProjectError, match="is empty: if the case has none, mark it absent with annotate"):
        accept(a_project, "c1", "spleen", who="ann")


def test_g15_a_proposal_that_lies_in_another_organ_only_is_not_accepted_as_complete(a_project, predict, box):
    predict(a_project, "c1", {"spleen": box(slice(0, 2))})
    with pytest.raises(ProjectError, match="would change nothing"):
        accept(a_project, "c1", "spleen", who="ann")


@pytest.mark.robustness
@pytest.mark.parametrize(
    "other", [Grid((4, 5, 5), (1.0, 2.0, 2.5), (10.0, -20.0, 30.0)), Grid((4, 5, 6), (1.0, 2.0, 2.5))]
)
def test_g11_a_prediction_on_another_grid_is_refused(a_project, predict, box, other):
    predict(a_project, "c1", {"spleen": box(3)}, grid=other)
    with pytest.raises(ImageError, match="proposed labels of case c1 do not lie on the image"):
        accept(a_project, "c1", "spleen", who="ann")


@pytest.mark.robustness
@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 9}'])
def test_a_damaged_prediction_is_refused_in_one_sentence(a_project, predict, box, content):
    (predict(a_project, "c1", {"spleen": box(3)}) / "prediction.json").write_text(content)
    for action in (lambda: candidates(a_project), lambda: accept(a_project, "c1", "spleen", who="ann")):
        with pytest.raises(ProjectError, match="the prediction of case c1"):
            action()


@pytest.mark.security
def test_g25_a_prediction_cannot_name_a_file_outside_its_folder(a_project, predict, box):
    predict(a_project, "c1", {"spleen": box(3)}, spleen={"uncertainty": "../../secret.nii.gz"})
    with pytest.raises(ProjectError, match="outside"):
        accept(a_project, "c1", "spleen", confident=0.5, who="ann")


def test_a_label_added_after_the_prediction_has_no_proposal(a_project, predict, box):
    from SemiSupSegLib.project.labels import Label

    predict(a_project, "c1", {"spleen": box(3)})
    a_project.add_labels([Label("aorta")])
    assert [c.label for c in candidates(a_project)] == ["spleen"]
    with pytest.raises(ProjectError, match="no proposal for aorta"):
        accept(a_project, "c1", "aorta", who="ann")
    accept(a_project, "c1", "spleen", who="ann")
    np.testing.assert_array_equal(mask_of(a_project, "spleen"), box(3))


# --------------------------------------------------------------------------------------------------- candidates, decide


def test_nothing_predicted_gives_no_candidates(a_project):
    assert candidates(a_project) == []


def test_only_labels_that_are_not_settled_are_candidates(a_project, predict, box):
    predict(a_project, "c1", {"liver": box(0), "spleen": box(3), "tumour": box(1)})
    assert {c.label for c in candidates(a_project)} == {"spleen", "tumour"}
    commit(a_project, "c1", action="annotate", who="ann", annotations={"tumour": Annotation(State.ABSENT)})
    assert {c.label for c in candidates(a_project)} == {"spleen"}


def test_a_candidate_carries_what_was_measured(a_project, predict, box):
    predict(a_project, "c1", {"spleen": box(3)}, spleen={"uncertainty_boundary": 0.41, "parts": 3, "worst_slice": 57})
    (candidate,) = candidates(a_project)
    assert (candidate.case, candidate.label, candidate.model) == ("c1", "spleen", "0001")
    assert (candidate.voxels, candidate.volume_ml, candidate.parts) == (20, pytest.approx(0.1), 3)
    assert (candidate.confidence, candidate.mutual_information, candidate.worst_slice) == (0.9, 0.05, 57)
    assert candidate.volume_z is None
    assert candidate.reason == "unsure at the border (0.41); 3 parts; worst slice 57"
    assert candidate.score == pytest.approx(0.61)


def test_errors_in_finished_slices_no_longer_rank_a_proposal(a_project, predict, box):
    said = {"expected_dice": 0.6, "errors_ml": [0.0, 6.0, 1.0, 0.0, 3.0, 0.0], "worst_slice": 1}
    predict(a_project, "c1", {"spleen": box(slice(1, 5))}, spleen=said)
    assert [(c.worst_slice, c.expected_dice) for c in candidates(a_project)] == [(1, 0.6)]
    done = Region(RegionKind.SLICES, ((1, 1),))
    commit(a_project, "c1", action="annotate", who="ann", annotations={"spleen": Annotation(State.PARTIAL, (done,))})
    (candidate,) = candidates(a_project)
    assert (candidate.worst_slice, candidate.expected_dice) == (4, pytest.approx(0.84))  # 4 of 10 are left to be wrong
    assert "expected Dice 0.84" in candidate.reason
    assert candidate.reason.endswith("worst slice 4")
    done = Region(RegionKind.SLICES, ((0, 5),))
    commit(a_project, "c1", action="annotate", who="ann", annotations={"spleen": Annotation(State.PARTIAL, (done,))})
    assert [c.expected_dice for c in candidates(a_project)] == [1]


def test_candidates_are_ranked_worst_first(an_empty_project, add_case, predict, box):
    for case_id, uncertainty in (("a", 0.1), ("b", 0.5), ("c", 0.3)):
        add_case(an_empty_project, case_id)
        predict(an_empty_project, case_id, {"spleen": box(3)}, spleen={"uncertainty_boundary": uncertainty})
    assert [c.case for c in candidates(an_empty_project)] == ["b", "c", "a"]


def test_the_dice_that_the_model_expects_ranks_before_the_uncertainty_of_the_border(
    an_empty_project, add_case, predict, box
):
    for case_id, uncertainty, expected in (("a", 0.5, 0.95), ("b", 0.1, 0.4), ("c", 0.3, None)):
        add_case(an_empty_project, case_id)
        said = {"uncertainty_boundary": uncertainty, "expected_dice": expected}
        predict(an_empty_project, case_id, {"spleen": box(3)}, spleen=said)
    found = candidates(an_empty_project)
    assert [(c.case, round(c.score, 6), c.expected_dice) for c in found] == [
        ("b", 0.6, 0.4), ("c", 0.3, None), ("a", 0.05, 0.95),
    ]  # fmt: skip
    assert found[0].reason == "expected Dice 0.40; sure at the border (0.10); worst slice 3"


def test_an_odd_volume_is_named_with_its_direction(an_empty_project, add_case, predict, box):
    for n in range(3):
        add_case(an_empty_project, f"done{n}", masks={"spleen": box(slice(0, 2))}, said={"spleen": COMPLETE})
    for case_id, mask in (("big", box()), ("small", box(0, 0, 0)), ("usual", box(slice(2, 4)))):
        add_case(an_empty_project, case_id)
        predict(an_empty_project, case_id, {"spleen": mask})
    found = {c.case: c for c in candidates(an_empty_project)}
    assert "deviations above the accepted ones" in found["big"].reason
    assert "deviations below the accepted ones" in found["small"].reason
    assert found["usual"].volume_z == pytest.approx(0)
    assert "deviations" not in found["usual"].reason
    assert found["big"].score > found["usual"].score


def test_volumes_accepted_in_this_very_session_count(an_empty_project, add_case, predict, box):
    for case_id in "abc":
        add_case(an_empty_project, case_id)
        predict(an_empty_project, case_id, {"spleen": box(slice(2, 4))})
    assert {c.volume_z for c in candidates(an_empty_project)} == {None}
    accept(an_empty_project, "a", "spleen", who="ann")
    accept(an_empty_project, "b", "spleen", who="ann")
    assert [c.volume_z for c in candidates(an_empty_project)] == [pytest.approx(0)]
    undo(an_empty_project, who="ann")
    assert {c.volume_z for c in candidates(an_empty_project)} == {None}


@pytest.mark.parametrize(
    ("volume", "others", "expected"),
    [
        (5.0, [], None),
        (5.0, [5.0], None),
        (15.0, [8.0, 12.0], 2.0),
        (13.0, [9.0, 10.0, 11.0], 3.0),
        (11.0, [10.0, 10.0, 10.0], 2.0),
    ],
)
def test_deviations_of_a_volume_by_hand(volume, others, expected):
    assert volume_z(volume, others) == (None if expected is None else pytest.approx(expected))


def test_the_score_by_hand():
    assert score_of(doubt=0.3, volume_z=None, parts=1, empty=False) == pytest.approx(0.3)
    assert score_of(doubt=0.3, volume_z=-4.0, parts=3, empty=False) == pytest.approx(0.3 + 0.5 + 0.2)
    assert score_of(doubt=0.0, volume_z=99.0, parts=99, empty=True) == pytest.approx(1.0 + 0.5 + 1.0)


def test_an_empty_proposal_says_so_and_ranks_high(a_project, predict, box):
    predict(a_project, "c1", {"spleen": np.zeros((6, 5, 4), bool), "tumour": box(1)},
            spleen={"uncertainty_boundary": None, "confidence": None, "mutual_information_boundary": float("nan"),
                    "worst_slice": None, "parts": 0})  # fmt: skip
    first = candidates(a_project)[0]
    assert (first.label, first.reason, first.uncertainty) == ("spleen", "nothing found", 0.0)


def test_pieces_that_were_left_out_are_said_and_do_not_rank(a_project, predict, box):
    left_out = {"parts": 2, "volume_ml": 3.14, "kept": 1}
    predict(a_project, "c1", {"spleen": box(3), "tumour": box(1)}, spleen={"left_out": left_out})
    first, second = candidates(a_project)
    assert "; 2 more pieces (3.1 ml) left out, as every annotated case has 1; " in first.reason
    assert (first.left_out_ml, second.left_out_ml) == (3.14, 0.0)
    assert first.score == pytest.approx(second.score)
    assert "left out" not in second.reason


def test_decisions_are_kept_and_what_is_decided_ranks_last(an_empty_project, add_case, predict, box):
    for case_id, uncertainty in (("a", 0.9), ("b", 0.5), ("c", 0.1)):
        add_case(an_empty_project, case_id)
        predict(an_empty_project, case_id, {"spleen": box(3)}, spleen={"uncertainty_boundary": uncertainty})
    reject(an_empty_project, "a", "spleen", who="ann")
    flag(an_empty_project, "c", "spleen", who="ann")
    opened = Project.open(an_empty_project.root)
    assert [(c.case, c.decision) for c in candidates(opened)] == [("b", None), ("c", "flagged"), ("a", "rejected")]
    assert opened.case("a").reviewed == {"spleen": {"decision": "rejected", "model": "0001"}}
    assert not opened.case("a").annotated, "a rejection says nothing about the voxels"


def test_a_rejection_ends_with_the_next_model_and_a_flag_does_not(a_project, predict, box):
    predict(a_project, "c1", {"spleen": box(3), "tumour": box(1)})
    reject(a_project, "c1", "spleen", who="ann")
    flag(a_project, "c1", "tumour", who="ann")
    predict(a_project, "c1", {"spleen": box(3), "tumour": box(1)}, model="0002")
    assert {c.label: c.decision for c in candidates(a_project)} == {"spleen": None, "tumour": "flagged"}


def test_accepting_takes_the_earlier_decision_back(a_project, predict, box):
    predict(a_project, "c1", {"spleen": box(slice(2, 5))})
    flag(a_project, "c1", "spleen", who="ann")
    case = accept(a_project, "c1", "spleen", slices=(2, 2), who="ann")
    assert case.reviewed == {}
    assert [c.decision for c in candidates(a_project)] == ["accepted"]
    undo(a_project, who="ann")
    assert [c.decision for c in candidates(a_project)] == ["flagged"]


@pytest.mark.robustness
def test_only_an_open_proposal_can_be_rejected_or_flagged(a_project, predict, box):
    predict(a_project, "c1", {"liver": box(0)})
    for decide in (reject, flag):
        with pytest.raises(ProjectError, match="liver is complete"):
            decide(a_project, "c1", "liver", who="ann")
        with pytest.raises(ProjectError, match="has no proposal for spleen"):
            decide(a_project, "c1", "spleen", who="ann")


def test_two_reviewers_of_one_project_do_not_lose_each_others_work(a_project, predict, box):
    predict(a_project, "c1", {"spleen": box(3), "tumour": box(1)})
    other = Project.open(a_project.root)
    accept(a_project, "c1", "spleen", who="ann")
    case = accept(other, "c1", "tumour", who="bob")
    assert {name: a.state for name, a in case.annotations.items()} == dict.fromkeys(other.label_set.names, "complete")
    np.testing.assert_array_equal(mask_of(other, "spleen"), box(3))
    assert [e.who for e in other.journal.entries()] == ["ann", "ann", "bob"]


def test_a_measurement_that_is_missing_is_said_with_case_and_label(a_project, predict, box):
    folder = predict(a_project, "c1", {"spleen": box(3)})
    data = json.loads((folder / "prediction.json").read_text())
    del data["labels"]["spleen"]["parts"]
    (folder / "prediction.json").write_text(json.dumps(data))
    with pytest.raises(ProjectError, match=r"the prediction of spleen in case c1 cannot be read .*'parts'"):
        candidates(a_project)


def previewed(folder, run: str = "r1") -> None:
    data = json.loads((folder / "prediction.json").read_text())
    said = {**data, "model": f"preview of run {run} at step 40", "run": run, "checkpoint": "step 40", "preview": True}
    (folder / "prediction.json").write_text(json.dumps(said))


def test_a_preview_is_ranked_and_named_and_nobody_can_decide_on_it(a_project, predict, box):
    previewed(predict(a_project, "c1", {"spleen": box(3)}))
    before = a_project.case("c1")
    (found,) = candidates(a_project)
    assert found.reason.startswith("preview of run r1 at step 40, not the model in use; ")
    assert (found.preview, found.waits, found.decision) == (True, False, None)
    sentence = "spleen in case c1 is a preview of run r1 at step 40, not of the model in use: predict the case again"
    for action in (accept, reject, flag):
        with pytest.raises(ProjectError, match=sentence):
            action(a_project, "c1", "spleen", who="ann")
    assert a_project.refresh("c1") == before
    predict(a_project, "c1", {"spleen": box(3)})
    assert candidates(a_project)[0].waits
    accept(a_project, "c1", "spleen", who="ann")


def test_a_proposal_that_follows_finished_slices_says_so(a_project, predict, box):
    predict(a_project, "c1", {"spleen": box(3), "tumour": box(1)}, spleen={"finished_slices": 3})
    said = {candidate.label: candidate.reason for candidate in candidates(a_project)}
    assert "; follows 3 finished slices; " in said["spleen"]
    assert "follows" not in said["tumour"]
