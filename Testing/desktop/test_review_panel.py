"""The review by keys and clicks."""

from __future__ import annotations

import numpy as np
import pytest
from screen import PICTURES

from SemiSupSegLib.project.annotation import State
from SemiSupSegLib.project.slice_order import slice_order


@pytest.fixture
def a_review(proposed, a_session, open_panel):
    """The screen with the liver of patient 3 selected."""
    a_session.open(proposed.root)
    screen = open_panel(a_session)
    a_session.select("patient_3", "liver")
    screen.look()
    return screen


def key(letter: str):
    from PySide6 import QtCore

    return getattr(QtCore.Qt, f"Key_{letter}")


def state(screen, label: str) -> State:
    return screen.panel.session.project.case("patient_3").annotation(label).state


def test_the_queue_says_why_a_proposal_needs_a_look(a_review) -> None:
    assert a_review.cells("queueTable", 2)[0] == "left kidney"  # nothing found: the worst
    assert "nothing found" in a_review.cells("queueTable", 5)[0]
    assert a_review.widget("waitingLabel").text == "4 of 4 proposals wait for you"
    assert "model 0001" in a_review.widget("reasonLabel").text
    a_review.photograph(PICTURES / "10_review.png")


def test_a_accepts_and_undo_takes_it_back_also_on_the_screen(a_review) -> None:
    from SemiSupSegScene.SegmentVoxels import segmentMask

    def drawn() -> int:
        view = a_review.panel.view
        grid = a_review.panel.session.current_case.grid()
        return int(segmentMask(view.segmentationNode, view.segmentOf("liver"), grid).sum())

    assert drawn() == 0
    a_review.press(key("A"))
    assert state(a_review, "liver") is State.COMPLETE
    assert drawn() == 8 * 9 * 8
    a_review.click("undoButton")
    assert state(a_review, "liver") is State.UNKNOWN
    assert drawn() == 0


def test_shift_a_accepts_what_is_surer_than_the_threshold(a_review) -> None:
    a_review.panel.session.threshold = 0.3
    a_review.press(key("A"), shift=True)
    assert state(a_review, "liver") is State.PARTIAL


def test_x_rejects_and_f_flags_and_the_next_one_is_selected(a_review) -> None:
    session = a_review.panel.session
    a_review.press(key("X"))
    assert [row.decision for row in session.queue() if (row.case, row.label) == ("patient_3", "liver")] == ["rejected"]
    assert session.selected is not None
    assert session.selected.label != "liver" or session.selected.case != "patient_3"
    flagged = session.selected
    a_review.press(key("F"))
    assert [r.decision for r in session.queue() if (r.case, r.label) == (flagged.case, flagged.label)] == ["flagged"]


def test_j_goes_to_the_worst_slice_and_shift_j_back(a_review) -> None:
    profile = a_review.panel.session.profile()
    mm = a_review.panel.session.project.case("patient_3").grid().spacing[2]
    order = list(slice_order(a_review.panel.session.expected_errors(), np.zeros(len(profile), bool), mm))
    a_review.press(key("J"))
    assert a_review.panel.view.slice() == order[0]
    a_review.press(key("J"))
    assert a_review.panel.view.slice() == order[1]
    assert f"slice {order[1]}/15, U {profile[order[1]]:.2f}" == a_review.widget("sliceLabel").text
    a_review.press(key("J"), shift=True)
    assert a_review.panel.view.slice() == order[0]


def test_u_shows_and_hides_the_map_and_e_takes_the_brush_and_puts_it_away(a_review) -> None:
    assert a_review.panel.view.overlay.visible
    a_review.press(key("U"))
    assert not a_review.panel.view.overlay.visible
    editor = a_review.widget("segmentEditor")
    a_review.press(key("E"))
    assert editor.effect == "Paint"
    assert editor.currentSegmentID() == a_review.panel.view.segmentOf("liver")
    a_review.press(key("E"))
    assert editor.effect == ""


def test_no_key_acts_while_a_name_is_typed_or_another_module_is_shown(a_review) -> None:
    a_review.widget("nameEdit").setFocus()
    a_review.press(key("A"))
    assert a_review.widget("nameEdit").text.lower() == "a"
    assert state(a_review, "liver") is State.UNKNOWN
    a_review.widget("queueTable").setFocus()
    a_review.panel.exit()
    a_review.press(key("A"))
    assert state(a_review, "liver") is State.UNKNOWN
    a_review.panel.enter()
    a_review.press(key("A"))
    assert state(a_review, "liver") is State.COMPLETE


def test_the_slider_moves_the_threshold_of_session_and_map(a_review) -> None:
    a_review.widget("thresholdSlider").setValue(0.45)
    a_review.look()
    assert a_review.panel.session.threshold == 0.45
    assert a_review.panel.view.overlay.threshold == 0.45
    assert a_review.panel.view.parameters.get("threshold") == "0.45"


def test_a_click_on_the_strip_goes_to_the_slice(a_review) -> None:
    from PySide6 import QtCore, QtTest

    strip = a_review.panel.review.strip
    wide = strip.width
    QtTest.QTest.mouseClick(strip, QtCore.Qt.LeftButton, pos=QtCore.QPoint(int(wide * 8.5 / 16), 10))
    assert a_review.panel.view.slice() == 8


def test_an_empty_proposal_is_answered_with_absent(a_review) -> None:
    session = a_review.panel.session
    session.select("patient_3", "left kidney")
    a_review.look()
    assert "nothing was found" in a_review.widget("acceptButton").toolTip
    a_review.click("absentButton")
    assert state(a_review, "left kidney") is State.ABSENT


def test_the_second_map_shows_the_doubt_that_more_labels_can_remove(a_review) -> None:
    from SemiSupSegScene.UncertaintyOverlay import MUTUAL_INFORMATION

    def largest() -> float:
        return float(a_review.panel.view.overlay.volumeNode.GetImageData().GetScalarRange()[1])

    before = largest()
    box = a_review.widget("mapBox")
    box.setCurrentIndex(box.findData(MUTUAL_INFORMATION))
    a_review.look()
    overlay = a_review.panel.view.overlay
    assert overlay.volumeNode.GetName() == "Mutual information"
    assert overlay.visible
    assert abs(largest() - before / 4) < 0.02
    assert a_review.panel.view.parameters.get("map") == MUTUAL_INFORMATION  # comes back with the scene


def test_a_prediction_without_a_second_map_keeps_the_first_and_says_so(a_review, proposed) -> None:
    import json

    file = proposed.predictions_folder / "patient_3" / "prediction.json"
    said = json.loads(file.read_text())
    for label in said["labels"].values():
        label["mutual_information"] = None
    file.write_text(json.dumps(said))
    a_review.panel.redraw()
    assert not a_review.widget("mapBox").isEnabled()
    assert "has no such map: predict it again" in a_review.widget("mapBox").toolTip
    a_review.panel.view.setMap("mutual_information")
    assert a_review.panel.view.overlay.volumeNode.GetName() == "Uncertainty"
