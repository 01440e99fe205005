"""Files are read and written beside the panel: it waits for nothing, says what is being done, and loses no stroke."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.project.annotation import State
from SemiSupSegLib.project.cases import Case
from SemiSupSegLib.project.project import Project

FIRST_TWO = (slice(0, 2), slice(0, 18), slice(0, 20))


class Gate:
    """Holds a function up until it is let through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self._open, self.reached = threading.Event(), threading.Event()
        held = getattr(owner, name)

        def wait(*said: Any, **also: Any) -> Any:
            self.reached.set()
            assert self._open.wait(100)
            return held(*said, **also)

        monkeypatch.setattr(owner, name, wait)

    def open(self, *_said: Any) -> None:
        """Let everything through from now on."""
        self._open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Gate]]:
    """``gate(module, "function")`` holds a function up; every gate is opened at the end."""
    made: list[Gate] = []

    def make(owner: Any, name: str) -> Gate:
        made.append(Gate(monkeypatch, owner, name))
        return made[-1]

    yield make
    for each in made:
        each.open()


@pytest.fixture
def reading(gate) -> Gate:
    """Holds the reading of cases up."""
    return gate(import_module("SemiSupSegScene.CaseView"), "readCase")


@pytest.fixture
def accepting(gate) -> Gate:
    """Holds acceptances up."""
    from SemiSupSegLib.project import proposals

    return gate(proposals, "accept")


@pytest.fixture
def screen(proposed, program, open_panel) -> Any:
    """The panel with a session that waits for nothing; no case is open."""
    from SemiSupSegLib.session import Session

    session = Session(who="ann", threads=False, background=True, program=program)
    session.open(proposed.root)
    return open_panel(session)


@pytest.fixture
def a_review(screen, until) -> Any:
    """The liver of patient 3 is looked at."""
    screen.panel.session.select("patient_3", "liver")
    until(screen, lambda: screen.panel.session.busy is None)
    screen.look()
    return screen


def volumes(screen) -> list[str]:
    scene = screen.panel.scene
    kind = "vtkMRMLScalarVolumeNode"
    names = [scene.GetNthNodeByClass(n, kind).GetName() for n in range(scene.GetNumberOfNodesByClass(kind))]
    return [name for name in names if name.startswith("patient")]


def doing(screen) -> str:
    return str(screen.widget("nextStepLabel").text)


def drawn(screen, label: str) -> int:
    from SemiSupSegScene.SegmentVoxels import segmentMask

    view = screen.panel.view
    return int(segmentMask(view.segmentationNode, view.segmentOf(label), grid_of(screen)).sum())


def grid_of(screen) -> Any:
    return screen.panel.session.current_case.grid()


def paint(screen, label: str, box: tuple[slice, ...]) -> None:
    from SemiSupSegScene.SegmentVoxels import changeSegment

    view, grid = screen.panel.view, grid_of(screen)
    mask = np.zeros(grid.shape, bool)
    mask[box] = True
    changeSegment(view.segmentationNode, view.segmentOf(label), grid, added=mask, removed=np.zeros_like(mask))


def noted(read: Callable[..., Any], readers: list[threading.Thread]) -> Callable[..., Any]:
    """Notes which thread reads."""

    def look(*said: Any, **also: Any) -> Any:
        readers.append(threading.current_thread())
        return read(*said, **also)

    return look


def is_quiet(screen) -> Callable[[], bool]:
    return lambda: screen.panel.session.busy is None


# ------------------------------------------------------------------------------------------------------------- reading


def test_a_case_is_opened_beside_the_panel_which_says_so_and_shows_it_later(screen, reading, until) -> None:
    screen.panel.session.show_case("patient_3")  # returns, though the reading is held up
    screen.look()
    assert reading.reached.wait(100)
    assert doing(screen) == "Case patient_3 is being opened …"
    assert volumes(screen) == []
    assert not screen.widget("segmentEditor").isVisible()
    assert screen.widget("sliceDoneButton").toolTip == "This slice is done: case patient_3 is being opened"
    reading.open()
    until(screen, is_quiet(screen))
    screen.look()
    assert volumes(screen) == ["patient_3"]
    assert screen.widget("segmentEditor").isVisible()
    assert screen.widget("sliceDoneButton").isEnabled()
    assert doing(screen).startswith("Next: ")


def test_the_panel_itself_reads_no_label_and_no_exclusion_of_a_case(screen, until, monkeypatch) -> None:
    """Each takes seconds at 512 x 512 x 300 voxels."""
    session, readers = screen.panel.session, []
    for name in ("labels", "ignore"):
        monkeypatch.setattr(Case, name, noted(getattr(Case, name), readers))
    session.show_case("patient_3")
    until(screen, is_quiet(screen))
    left_out = np.zeros(grid_of(screen).shape, bool)
    left_out[FIRST_TWO] = True
    session.set_ignore(left_out)
    until(screen, is_quiet(screen))
    session.add_organ("gland")
    session.show_case("patient_2")
    until(screen, is_quiet(screen))
    session.show_case("patient_3")
    until(screen, is_quiet(screen))
    screen.look()
    assert np.array_equal(session.ignore(), left_out)
    assert screen.widget("ignoreLabel").text == f"{left_out.sum()} voxels are left out"
    paint(screen, "gland", FIRST_TWO)
    session.save_painting()
    until(screen, is_quiet(screen))
    session.undo()
    until(screen, is_quiet(screen))
    assert drawn(screen, "gland") == 0
    session.undo()
    until(screen, is_quiet(screen))
    assert session.ignore() is None
    assert readers
    assert threading.main_thread() not in readers


def test_of_two_cases_that_are_chosen_one_after_the_other_only_the_last_is_shown(screen, reading, until) -> None:
    session = screen.panel.session
    session.show_case("patient_2")
    assert reading.reached.wait(100)
    session.show_case("patient_3")
    screen.look()
    assert doing(screen) == "Case patient_3 is being opened …"
    reading.open()
    until(screen, is_quiet(screen))
    assert volumes(screen) == ["patient_3"]
    assert screen.panel.view.segmentationNode.GetName() == "patient_3 labels"


def test_a_proposal_can_be_decided_on_only_when_it_is_on_the_screen(screen, reading, until) -> None:
    screen.panel.session.select("patient_3", "liver")
    screen.look()
    assert screen.widget("acceptButton").toolTip == "Accept: case patient_3 is being opened"
    reading.open()
    until(screen, is_quiet(screen))
    screen.look()
    assert screen.panel.view.overlay.volumeNode is not None
    assert screen.widget("acceptButton").isEnabled()


def test_a_case_that_cannot_be_read_says_why_and_another_one_opens(screen, proposed, until) -> None:
    (proposed.case("patient_3").folder / "image.nii.gz").write_bytes(b"")
    screen.panel.session.show_case("patient_3")
    until(screen, is_quiet(screen))
    assert screen.message == "✖ Case patient_3: image.nii.gz is damaged or incomplete: it is empty"
    screen.panel.session.show_case("patient_2")
    until(screen, is_quiet(screen))
    assert volumes(screen) == ["patient_2"]


# ------------------------------------------------------------------------------------------------------------- writing


def test_a_second_decision_waits_until_the_first_is_stored(a_review, accepting, until, proposed) -> None:
    session = a_review.panel.session
    session.accept()
    assert accepting.reached.wait(100)
    a_review.look()
    words = "liver in case patient_3 is being accepted"
    assert doing(a_review) == f"{words[0].upper()}{words[1:]} …"
    for button, name in (("acceptButton", "Accept"), ("rejectButton", "Reject"), ("undoButton", "Undo")):
        assert a_review.widget(button).toolTip == f"{name}: {words}"
    with pytest.raises(ProjectError, match=words):
        session.accept()
    accepting.open()
    until(a_review, is_quiet(a_review))
    a_review.look()
    assert session.current_case.annotation("liver").state is State.COMPLETE
    assert drawn(a_review, "liver") == 8 * 9 * 8
    entries = Project.open(proposed.root).journal.entries()
    assert [entry.action for entry in entries].count("accept") == 1


def test_undo_takes_an_acceptance_back_from_the_screen(a_review, until) -> None:
    session = a_review.panel.session
    session.accept()
    until(a_review, is_quiet(a_review))
    assert drawn(a_review, "liver") > 0
    session.undo()
    until(a_review, is_quiet(a_review))
    assert session.current_case.annotation("liver").state is State.UNKNOWN
    assert drawn(a_review, "liver") == 0


def test_an_acceptance_that_fails_says_why_and_leaves_the_buttons(a_review, until, proposed) -> None:
    (proposed.predictions_folder / "patient_3" / "labels.seg.nrrd").write_bytes(b"")
    a_review.panel.session.accept()
    until(a_review, is_quiet(a_review))
    a_review.look()
    assert a_review.message.startswith("✖ ")
    assert "labels.seg.nrrd" in a_review.message.lower()
    assert a_review.widget("acceptButton").isEnabled()
    assert a_review.panel.session.current_case.annotation("liver").state is State.UNKNOWN


def test_what_is_painted_while_an_acceptance_is_stored_is_stored_after_it(a_review, accepting, until) -> None:
    session = a_review.panel.session
    session.accept()
    assert accepting.reached.wait(100)
    paint(a_review, "left kidney", FIRST_TWO)
    accepting.open()
    until(a_review, is_quiet(a_review))
    assert drawn(a_review, "left kidney") == 2 * 18 * 20
    assert drawn(a_review, "liver") == 8 * 9 * 8
    session.show_case("patient_2")
    until(a_review, is_quiet(a_review))
    stored = session.label_voxels("patient_3")
    assert (stored["left kidney"].sum(), stored["liver"].sum()) == (2 * 18 * 20, 8 * 9 * 8)


def test_what_was_painted_is_stored_before_another_case_comes_and_undo_takes_it_back(a_review, until) -> None:
    session = a_review.panel.session
    paint(a_review, "left kidney", FIRST_TWO)
    session.show_case("patient_2")
    until(a_review, is_quiet(a_review))
    assert session.current_case.id == "patient_2"
    assert session.label_voxels("patient_3")["left kidney"].sum() == 2 * 18 * 20
    assert session.undo_words == "annotate of left kidney in case patient_3"


def test_undo_takes_back_what_was_painted_and_not_stored_yet(a_review, until) -> None:
    session = a_review.panel.session
    paint(a_review, "left kidney", FIRST_TWO)
    session.undo()
    until(a_review, is_quiet(a_review))
    assert drawn(a_review, "left kidney") == 0
    assert not session.label_voxels()["left kidney"].any()


def test_what_cannot_be_stored_keeps_its_case_on_the_screen(a_review, until) -> None:
    session = a_review.panel.session
    paint(a_review, "left kidney", FIRST_TWO)
    paint(a_review, "spleen", FIRST_TWO)
    session.show_case("patient_2")
    until(a_review, is_quiet(a_review))
    assert "share 720 voxels in case patient_3" in a_review.message
    assert session.current_case.id == "patient_3"
    assert drawn(a_review, "spleen") == drawn(a_review, "left kidney") == 2 * 18 * 20
    view = a_review.panel.view
    view.segmentationNode.GetSegmentation().RemoveSegment(view.segmentOf("spleen"))


def test_closing_while_an_organ_is_accepted_waits_and_leaves_the_project_whole(
    a_review, accepting, monkeypatch, proposed
) -> None:
    session = a_review.panel.session
    finish = session._worker.finish
    session.accept()
    assert accepting.reached.wait(100)
    monkeypatch.setattr(session._worker, "finish", lambda: (accepting.open(), finish()))
    a_review.panel.cleanup()
    session.close()
    later = Project.open(proposed.root)
    assert later.verify_journal() is None
    assert later.case("patient_3").annotation("liver").state is State.COMPLETE
    assert int((later.case("patient_3").labels(later.label_set)[0] == 1).sum()) == 8 * 9 * 8
    assert later.journal.last().action == "accept"
