"""Organs and annotating: states by clicks, finished slices, what is ignored."""

from __future__ import annotations

import numpy as np
import pytest

from SemiSupSegLib.project.annotation import State


@pytest.fixture
def a_case(a_project, a_session, open_panel):
    """The screen with patient 3, of whom nothing is known."""
    a_session.open(a_project.root)
    a_session.show_case("patient_3")
    return open_panel(a_session)


def said(screen, label: str):
    return screen.panel.session.current_case.annotation(label)


def paint(screen, label: str, box: tuple[slice, ...]) -> None:
    from SemiSupSegScene.SegmentVoxels import changeSegment

    view, grid = screen.panel.view, screen.panel.session.current_case.grid()
    mask = np.zeros(grid.shape, bool)
    mask[box] = True
    changeSegment(view.segmentationNode, view.segmentOf(label), grid, added=mask, removed=~mask & False)


def test_a_click_on_a_state_changes_it_and_undo_takes_it_back(a_case) -> None:
    a_case.click_cell("organsTable", 1, 1)
    assert said(a_case, "spleen").state is State.ABSENT
    assert a_case.cells("organsTable", 1)[1] == "absent"
    a_case.click("undoButton")
    assert said(a_case, "spleen").state is State.UNKNOWN


def test_what_is_painted_and_called_done_is_stored_in_that_slice(a_case) -> None:
    paint(a_case, "spleen", (slice(6, 8), slice(2, 9), slice(3, 9)))
    a_case.panel.view.goToSlice(7)
    box = a_case.widget("organBox")
    box.setCurrentIndex(box.findData("spleen"))
    a_case.click("sliceDoneButton")
    assert said(a_case, "spleen").state is State.PARTIAL
    assert said(a_case, "liver").state is State.UNKNOWN
    assert a_case.cells("organsTable", 2)[1] == "slice 7"
    assert a_case.panel.session.label_voxels()["spleen"].sum() == 2 * 7 * 6


def test_the_menu_of_an_organ_offers_every_state_and_all_cases(a_case) -> None:
    menu = a_case.panel.organs.choices("liver")
    words = [action.text() for action in menu.actions()]
    assert words == ["Apply to all cases", "?  not annotated", "✓  complete", "∅  absent"]
    assert not menu.actions()[2].isEnabled()
    assert "nothing is painted" in menu.actions()[2].toolTip()
    menu.actions()[3].trigger()
    assert said(a_case, "liver").state is State.ABSENT


def test_the_ignore_brush_leaves_the_users_segmentation_alone(a_case) -> None:
    from SemiSupSegScene.SegmentVoxels import changeSegment

    editor = a_case.widget("segmentEditor")
    mine = editor.node
    a_case.click("ignoreButton")
    assert editor.effect == "Paint"
    assert editor.node is not mine
    grid = a_case.panel.session.current_case.grid()
    mask = np.zeros(grid.shape, bool)
    mask[2:4] = True
    changeSegment(editor.node, editor.currentSegmentID(), grid, added=mask, removed=~mask & False)
    a_case.click("ignoreButton")
    assert editor.node is mine
    assert np.array_equal(a_case.panel.session.ignore(), mask)
    assert a_case.widget("ignoreLabel").text == f"{mask.sum()} voxels are left out"
    a_case.click("ignoreNothingButton")
    assert a_case.panel.session.ignore() is None or not a_case.panel.session.ignore().any()


def test_an_organ_is_added_by_its_name_and_can_be_painted(a_case) -> None:
    assert a_case.widget("addOrganButton").toolTip == "Add organ: type its name"
    a_case.widget("nameEdit").setText("pancreas")
    a_case.look()
    a_case.click("addOrganButton")
    assert "pancreas" in a_case.cells("organsTable", 0)
    assert a_case.panel.view.segmentOf("pancreas") is not None


def test_nothing_of_the_scene_goes_when_another_case_is_opened(a_case, a_scene) -> None:
    other = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "mine")
    paint(a_case, "spleen", (slice(6, 8), slice(2, 9), slice(3, 9)))
    a_case.panel.session.show_case("patient_1")
    a_case.look()
    names = [node.GetName() for node in a_scene.GetNodesByClass("vtkMRMLSegmentationNode")]
    assert {"patient_3 labels", "patient_1 labels"} <= set(names)
    assert a_scene.GetNodeByID(other.GetID()) is other
    assert a_case.panel.session.label_voxels("patient_3")["spleen"].any()
