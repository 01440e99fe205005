"""The review: what is looked at, what is decided, what is taken back, and where the model is least sure."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.project.annotation import State
from SemiSupSegLib.project.cases import Case
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.session import Session


@pytest.fixture
def a_session(a_project: Project, add_case, predict, box) -> Session:
    """Spleen and tumour are proposed in c1, the spleen in c2, where nothing was found of the tumour."""
    add_case(a_project, "c2")
    slices = [0.1, 0.0, 0.4, 0.0, 0.3, 0.0]
    predict(
        a_project, "c1", {"spleen": box(slice(4, 6)), "tumour": box(0, 0)}, spleen={"slices": slices},
        tumour={"uncertainty_boundary": 0.6},
    )  # fmt: skip
    predict(a_project, "c2", {"spleen": box(5), "tumour": np.zeros((6, 5, 4), bool)}, spleen={"parts": 3})
    session = Session(who="ann", threads=False)
    session.open(a_project.root)
    return session


def names(session: Session) -> list[str]:
    return [f"{row.case} {row.label}" for row in session.queue()]


def test_what_needs_a_look_most_comes_first_with_its_reason(a_session: Session) -> None:
    assert names(a_session) == ["c2 tumour", "c1 tumour", "c2 spleen", "c1 spleen"]
    assert a_session.queue()[0].reason == "nothing found"
    assert [row.rank for row in a_session.queue("c2")] == [1, 3]
    assert a_session.next_step.startswith("Review 4 proposals")


def test_the_case_table_tells_what_waits(a_session: Session) -> None:
    first = a_session.case_rows()[0]
    assert (first.id, first.status, first.round) == ("c1", "needs review", "0001")
    assert [(cell.label, cell.symbol, cell.proposed) for cell in first.cells] == [
        ("liver", "✓", False), ("spleen", "?", True), ("tumour", "?", True),
    ]  # fmt: skip
    assert a_session.reviewed == (0, 2)
    a_session.select("c1", "spleen")
    a_session.flag()
    assert [row.id for row in a_session.case_rows("flagged")] == ["c1"]
    with pytest.raises(ProjectError, match="no status 'odd'"):
        a_session.case_rows("odd")


def test_looking_at_a_proposal_shows_its_case(a_session: Session) -> None:
    seen = []
    a_session.signals.candidate_changed.connect(seen.append)
    a_session.select("c2", "spleen")
    assert a_session.current_case.id == "c2"
    assert seen[-1].label == "spleen"
    assert seen[-1].selected
    a_session.select_next()
    assert (a_session.selected.case, a_session.selected.label) == ("c1", "spleen")
    a_session.select_next()  # after the last comes the first
    assert a_session.selected.rank == 1
    a_session.select_previous()
    assert a_session.selected.rank == 4
    with pytest.raises(ProjectError, match="nothing is proposed for liver in case c1"):
        a_session.select("c1", "liver")


def test_without_a_selection_every_decision_says_so(a_session: Session) -> None:
    for rule in ("may_accept", "may_accept_confident", "may_accept_slice", "may_reject", "may_flag", "may_worst_slice"):
        assert getattr(a_session, rule).endswith("select a proposal first"), rule
    with pytest.raises(ProjectError, match="Accept: select a proposal first"):
        a_session.accept()


def test_accepting_makes_the_label_complete_and_goes_on_in_the_case(a_session: Session) -> None:
    written = []
    a_session.signals.labels_written.connect(lambda *said: written.append(said))
    a_session.select("c1", "tumour")
    a_session.accept()
    assert a_session.project.cases["c1"].annotation("tumour").state is State.COMPLETE
    assert written == [("c1", ("tumour",))]
    assert names(a_session) == ["c2 tumour", "c2 spleen", "c1 spleen"]
    assert (a_session.selected.case, a_session.selected.label) == ("c1", "spleen")
    a_session.accept()
    assert a_session.selected is None  # no jump to another case: Next does that
    a_session.select_next()
    assert a_session.selected.case == "c2"


def test_undo_takes_the_acceptance_back_and_looks_at_it_again(a_session: Session) -> None:
    a_session.select("c1", "spleen")
    a_session.accept()
    assert a_session.undo_words == "accept of spleen in case c1"
    assert a_session.may_undo is None
    written = []
    a_session.signals.labels_written.connect(lambda case, labels: written.append((case, "spleen" in labels)))
    a_session.undo()
    assert written == [("c1", True)]
    assert a_session.selected.label == "spleen"
    assert not a_session.label_voxels("c1")["spleen"].any()
    assert a_session.may_undo == "Undo: nothing is left to take back"


def test_only_the_sure_part_up_to_the_threshold(a_session: Session, a_project, predict, box) -> None:
    unsure = np.zeros((6, 5, 4))
    unsure[5] = 0.5
    predict(a_project, "c1", {"spleen": box(slice(4, 6))}, uncertainty=unsure)
    a_session.refresh_queue()
    heard = []
    a_session.signals.threshold_changed.connect(heard.append)
    a_session.threshold = 0.3
    a_session.select("c1", "spleen")
    a_session.accept_confident()
    assert heard == [0.3]
    assert a_session.label_voxels("c1")["spleen"].sum() == 20
    row = a_session.organ_rows()[1]
    assert row.state is State.PARTIAL
    assert row.accepted.startswith("accepted: confident 0.3 of run")
    assert a_session.selected is None or a_session.selected.decision == "accepted"
    with pytest.raises(ProjectError, match="expected 0 to 1"):
        a_session.threshold = 2


def test_only_one_slice(a_session: Session) -> None:
    a_session.select("c1", "spleen")
    a_session.accept_slices(4)
    assert a_session.label_voxels("c1")["spleen"].sum() == 20
    assert a_session.organ_rows()[1].finished == "slice 4"


def test_what_the_person_painted_meanwhile_is_not_overwritten(a_session: Session, box) -> None:
    a_session.painting = lambda _case: {"liver": box(slice(0, 2)) | box(5)}
    a_session.select("c1", "spleen")
    a_session.accept()
    assert a_session.label_voxels("c1")["spleen"].sum() == 20  # slice 5 is the liver by now
    assert a_session.label_voxels("c1")["liver"].sum() == 60


def test_a_screen_that_missed_an_acceptance_does_not_erase_it(a_session: Session, box) -> None:
    a_session.show_case("c1")
    screen = {"spleen": np.zeros((6, 5, 4), bool)}
    a_session.painting = lambda _case: screen
    said = []
    a_session.signals.message.connect(lambda *what: said.append(what))
    a_session.select("c1", "spleen")
    a_session.accept()
    assert said[0] == ("the screen does not show spleen of case c1 as it is stored: show the case again", "error")
    a_session.save_painting()
    assert a_session.label_voxels("c1")["spleen"].sum() == 40
    screen["spleen"] = box(slice(4, 6))  # it has caught up
    a_session.save_painting()
    screen["spleen"] = box(4)  # and the person erases a slice
    assert a_session.save_painting() == ("spleen",)
    assert a_session.label_voxels("c1")["spleen"].sum() == 20


def test_rejected_goes_to_the_end_and_flagged_stays(a_session: Session) -> None:
    a_session.select("c2", "spleen")
    a_session.reject()
    assert names(a_session)[-1] == "c2 spleen"
    a_session.select("c2", "spleen")
    assert a_session.may_reject == "Reject: it is rejected already"
    a_session.select("c1", "spleen")
    a_session.flag()
    assert a_session.selected.decision == "flagged"
    assert a_session.may_flag == "Flag: it is flagged already"
    assert a_session.may_accept is None


def test_where_nothing_was_found_there_is_nothing_to_accept(a_session: Session) -> None:
    a_session.select("c2", "tumour")
    assert a_session.may_accept == "Accept: nothing was found; if case c2 has no tumour, mark it as absent"
    assert a_session.may_reject is None
    a_session.mark_absent()
    assert a_session.project.cases["c2"].annotation("tumour").state is State.ABSENT
    assert "c2 tumour" not in names(a_session)


def test_absence_is_said_of_a_case_on_show_and_no_other_case_is_read_for_it(
    a_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_session.select("c2", "tumour")
    a_session.show_case("c1")
    monkeypatch.setattr(Case, "labels", lambda *_: pytest.fail("a case that is not shown was read"))
    assert a_session.may_mark_absent == "Absent: show case c2 first"
    with pytest.raises(ProjectError, match="Absent: "):
        a_session.mark_absent()


def test_the_worst_slices_are_those_where_most_is_expected_to_be_wrong(a_project, a_session, predict, box) -> None:
    said = {"slices": [0.1, 0.0, 0.4, 0.0, 0.3, 0.0], "errors_ml": [3.0, 0.0, 1.0, 0.0, 2.0, 0.0]}
    predict(a_project, "c1", {"spleen": box(slice(4, 6))}, spleen=said)
    a_session.poll()
    a_session.select("c1", "spleen")
    assert [a_session.worst_slice() for _ in range(4)] == [0, 4, 2, 2]
    assert a_session.profile().tolist() == said["slices"]
    assert a_session.expected_errors() == pytest.approx([0.4, 0, 0.4 / 3, 0, 0.8 / 3, 0])


def test_the_bars_of_the_slices_read_a_prediction_once_until_there_is_another(
    a_project, a_session, predict, box, monkeypatch
) -> None:
    from SemiSupSegLib.session import looking

    a_session.select("c1", "spleen")
    read, original = [], looking.read_prediction
    monkeypatch.setattr(looking, "read_prediction", lambda *said: read.append(1) or original(*said))
    for _look in range(3):  # a timer does
        a_session.profile()
        a_session.expected_errors()
    assert len(read) <= 1
    path = predict(a_project, "c1", {"spleen": box(3)}, spleen={"slices": [0.0, 0.7, 0, 0, 0, 0]}) / "prediction.json"
    os.utime(path, ns=(1, 1))  # another moment, however fast the disk is
    assert a_session.profile()[1] == 0.7


def test_the_worst_slices_come_one_after_the_other(a_session: Session) -> None:
    wanted = []
    a_session.signals.slice_wanted.connect(lambda *said: wanted.append(said))
    a_session.select("c1", "spleen")
    assert a_session.profile().tolist() == [0.1, 0.0, 0.4, 0.0, 0.3, 0.0]
    assert [a_session.worst_slice() for _ in range(4)] == [2, 4, 0, 0]
    assert a_session.worst_slice(-1) == 4
    assert wanted[0] == ("c1", 2, "spleen")


def test_the_way_back_through_the_slices_leads_forward_again(a_project, a_session, predict, box) -> None:
    said = {"slices": [0.2] * 6, "errors_ml": [1.0, 5.0, 4.0, 0.0, 2.0, 3.0]}
    predict(a_project, "c1", {"spleen": box(slice(4, 6))}, spleen=said)
    a_session.poll()
    a_session.select("c1", "spleen")
    assert [a_session.worst_slice() for _ in range(3)] == [1, 5, 2]  # what lies beside slice 1 would follow it
    assert [a_session.worst_slice(-1) for _ in range(3)] == [5, 1, 1]
    assert [a_session.worst_slice() for _ in range(3)] == [5, 2, 4]


def test_what_another_model_proposes_is_looked_through_from_its_worst(a_project, a_session, predict, box) -> None:
    a_session.select("c1", "spleen")
    assert [a_session.worst_slice() for _ in range(2)] == [2, 4]
    said = {"slices": [0.2] * 6, "errors_ml": [1.0, 0.0, 4.0, 0.0, 2.0, 3.0]}
    path = predict(a_project, "c1", {"spleen": box(slice(4, 6))}, spleen=said) / "prediction.json"
    os.utime(path, ns=(1, 1))  # another moment, however fast the disk is
    a_session.poll()
    assert [a_session.worst_slice() for _ in range(4)] == [2, 5, 0, 4]


def test_a_finished_slice_is_not_offered_and_shows_no_bar(a_project, a_session, predict, box) -> None:
    said = {"slices": [0.2] * 6, "errors_ml": [0.0, 0.0, 5.0, 1.0, 2.0, 2.0], "expected_dice": 0.6}
    predict(a_project, "c1", {"spleen": box(slice(2, 6))}, spleen=said)
    a_session.poll()
    a_session.show_case("c1")
    a_session.select("c1", "spleen")
    assert a_session.worst_slice() == 2
    a_session.accept_slices(2)
    a_session.accept_slices(4)
    assert np.flatnonzero(a_session.expected_errors()).tolist() == [3, 5]
    a_session.select("c1", "spleen")
    assert [a_session.worst_slice() for _ in range(3)] == [5, 3, 3]
    a_session.accept_slices(3)
    a_session.accept_slices(5)
    a_session.select("c1", "spleen")
    assert a_session.may_worst_slice == "Worst slice: what the model was unsure of is finished"


def test_the_overlay_is_on_the_grid_of_the_case(a_session: Session, a_project) -> None:
    a_session.select("c1", "spleen")
    assert a_session.proposal().sum() == 40
    assert a_session.uncertainty().shape == (6, 5, 4)
    (a_project.predictions_folder / "c1" / "prediction.json").unlink()
    with pytest.raises(ProjectError, match="predict it again"):
        a_session.proposal()


def test_without_proposals_the_review_says_what_to_do(a_project: Project) -> None:
    session = Session(who="ann", threads=False)
    session.open(a_project.root)
    assert session.may_review == "Review: nothing is proposed yet: train a model first"
    assert session.may_next == session.may_review


def test_a_thread_ranks_and_a_look_brings_the_rows(a_session: Session) -> None:
    session = Session(who="ann")
    root = a_session.project.root
    a_session.close()
    session.open(root)
    deadline = time.monotonic() + 100
    while not session.queue() and time.monotonic() < deadline:
        session.poll()
        time.sleep(0.01)
    assert len(session.queue()) == 4
    session.select("c1", "spleen")
    session.accept()
    assert len(session.queue()) == 3  # at once, before the thread has ranked again
    session.close()


def test_a_damaged_prediction_is_told(a_session: Session) -> None:
    (a_session.project.predictions_folder / "c1" / "prediction.json").write_text("{")
    said = []
    a_session.signals.message.connect(lambda *what: said.append(what))
    root = a_session.project.root
    a_session.close()
    a_session.open(root)
    assert "predict it again" in said[0][0]
    assert (said[0][1], a_session.project.name) == ("error", root.name)


def test_after_a_finished_slice_of_a_proposal_it_is_said_how_the_others_follow(a_session: Session) -> None:
    said: list[str] = []
    a_session.signals.message.connect(lambda *what: said.append(str(what[0])))
    a_session.select("c1", "spleen")
    a_session.finish_slice(4, label="spleen")
    assert said[-1].endswith("; Propose labels again, and what is proposed beside finished slices follows them")
    a_session.finish_slice(2, axis=2, label="spleen")
    assert said[-1].endswith("is done for spleen")
