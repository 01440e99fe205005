"""A case in the scene: shown, drawn in, accepted into, undone; the user's own work is never lost (R5, G29)."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import slicer.util
from SemiSupSegScene.CaseScene import CaseScene
from SemiSupSegScene.SegmentMatches import matchedSegments
from SemiSupSegScene.SegmentTags import provenanceOf, stateOf
from SemiSupSegScene.Volumes import addVolume

from SemiSupSegLib.errors import ImageError, ProjectError
from SemiSupSegLib.project.annotation import State
from SemiSupSegLib.project.geometry import Grid
from SemiSupSegLib.project.images import write_unit_interval
from SemiSupSegLib.project.labelmaps import write_labels
from SemiSupSegLib.project.proposals import accept
from SemiSupSegLib.project.transactions import commit, undo
from SemiSupSegLib.session.painting import painted


def predict(project, name: str, mask: np.ndarray, grid: Grid) -> None:
    """Writes a proposal for one label of case c1, as the engine does."""
    folder = project.predictions_folder / "c1"
    folder.mkdir(parents=True, exist_ok=True)
    layers = np.zeros((project.label_set.n_layers, *grid.shape), np.uint8)
    place = project.label_set.places[project.label_set.index(name)]
    layers[place.layer][mask] = place.value
    write_labels(folder / "labels.seg.nrrd", layers, project.label_set, grid)
    write_unit_interval(np.zeros(grid.shape), grid, folder / "uncertainty.nii.gz")
    said = {
        "format": 1, "model": "0001", "run": "run 1", "checkpoint": "best", "date": "2026-11-22", "passes": 8,
        "threshold": 0.5, "labels": {name: {"uncertainty": "uncertainty.nii.gz"}},
    }  # fmt: skip
    (folder / "prediction.json").write_text(json.dumps(said))


def draw(case_scene: CaseScene, name: str, mask: np.ndarray) -> None:
    """The user paints: a segment becomes exactly this mask."""
    node = case_scene.segmentationNode
    segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(name)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), node, segment_id, case_scene.volumeNode)


def painted_in(case_scene: CaseScene, project):
    """What the session would write to the project now; None for nothing."""
    case = project.case("c1")
    return painted(case, project.label_set, case.labels(project.label_set), case_scene.masks())


@pytest.fixture
def an_open_case(a_scene, a_project):
    """Case c1 in the scene."""
    case_scene = CaseScene(a_scene)
    case_scene.open(a_project.case("c1"), a_project.label_set)
    yield case_scene
    case_scene.close()


def test_opening_a_case_shows_its_volume_and_all_its_labels_with_their_states(an_open_case, a_project, box):
    assert an_open_case.volumeNode.GetName() == "c1"
    masks = an_open_case.masks()
    assert list(masks) == ["liver", "spleen", "tumour"]
    np.testing.assert_array_equal(masks["liver"], box(slice(0, 2)))
    assert not masks["spleen"].any()
    segmentation = an_open_case.segmentationNode.GetSegmentation()
    states = [stateOf(segmentation.GetNthSegment(n)) for n in range(3)]
    assert states == [State.COMPLETE, State.UNKNOWN, State.UNKNOWN]
    assert not an_open_case.edited
    assert painted_in(an_open_case, a_project) is None


def test_opening_and_closing_leave_every_other_node_in_the_scene(
    a_scene, a_project, a_volume_node, a_segmentation_node
):
    case_scene = CaseScene(a_scene)
    case_scene.open(a_project.case("c1"), a_project.label_set)
    names = {a_scene.GetNthNode(n).GetID() for n in range(a_scene.GetNumberOfNodes())}
    case_scene.close()
    assert {a_scene.GetNthNode(n).GetID() for n in range(a_scene.GetNumberOfNodes())} == names
    assert {a_volume_node.GetID(), a_segmentation_node.GetID()} <= names
    assert a_segmentation_node.GetSegmentation().GetNumberOfSegments() == 0


def test_accepting_brings_the_voxels_their_state_and_provenance_and_undo_takes_them_away(
    an_open_case, a_project, a_grid, box
):
    before = an_open_case.masks()
    predict(a_project, "spleen", box(slice(1, 4)), a_grid)
    assert an_open_case.update(accept(a_project, "c1", "spleen", who="ann")) == ["spleen"]
    masks = an_open_case.masks()
    np.testing.assert_array_equal(masks["spleen"], box(slice(2, 4)))
    np.testing.assert_array_equal(masks["liver"], before["liver"])
    node = an_open_case.segmentationNode
    spleen = node.GetSegmentation().GetSegment(matchedSegments(node, a_project.label_set)["spleen"])
    assert stateOf(spleen) is State.COMPLETE
    assert [(entry.run, entry.who) for entry in provenanceOf(spleen)] == [("run 1", "ann")]
    assert not an_open_case.edited
    undo(a_project, who="ann")
    an_open_case.update(a_project.case("c1"))
    for name, mask in an_open_case.masks().items():
        np.testing.assert_array_equal(mask, before[name])
    assert stateOf(spleen) is State.UNKNOWN
    assert provenanceOf(spleen) == ()


def test_strokes_that_the_project_has_not_seen_survive_accept_and_undo(an_open_case, a_project, a_grid, box):
    drawn = box(0, 0) | box(4)
    draw(an_open_case, "liver", drawn)
    predict(a_project, "spleen", box(slice(1, 5)), a_grid)
    an_open_case.update(accept(a_project, "c1", "spleen", who="ann"))
    np.testing.assert_array_equal(an_open_case.masks()["liver"], drawn)
    np.testing.assert_array_equal(an_open_case.masks()["spleen"], box(slice(2, 4)))
    undo(a_project, who="ann")
    an_open_case.update(a_project.case("c1"))
    np.testing.assert_array_equal(an_open_case.masks()["liver"], drawn)
    assert not an_open_case.masks()["spleen"].any()


def test_g29_an_overlapping_label_keeps_its_voxels_when_another_is_accepted_over_it(
    an_open_case, a_project, a_grid, box
):
    predict(a_project, "tumour", box(slice(1, 3)), a_grid)
    an_open_case.update(accept(a_project, "c1", "tumour", who="ann"))
    np.testing.assert_array_equal(an_open_case.masks()["tumour"], box(slice(1, 3)))
    np.testing.assert_array_equal(an_open_case.masks()["liver"], box(slice(0, 2)))


def test_a_segment_that_the_user_deleted_is_no_statement_and_comes_back_with_an_acceptance(
    an_open_case, a_project, a_grid, box
):
    segmentation = an_open_case.segmentationNode.GetSegmentation()
    for name in ("liver", "spleen"):
        segmentation.RemoveSegment(segmentation.GetSegmentIdBySegmentName(name))
    assert list(an_open_case.masks()) == ["tumour"]
    assert painted_in(an_open_case, a_project) is None
    predict(a_project, "spleen", box(3), a_grid)
    an_open_case.update(accept(a_project, "c1", "spleen", who="ann"))
    np.testing.assert_array_equal(an_open_case.masks()["spleen"], box(3))


def test_g14_segments_that_overlap_and_must_not_are_refused_never_flattened(an_open_case, a_project, box):
    draw(an_open_case, "spleen", box(slice(1, 3)))
    with pytest.raises(ProjectError, match="spleen and liver share 12 voxels in case c1"):
        painted_in(an_open_case, a_project)


def test_strokes_are_no_edits_any_more_once_the_project_has_them(an_open_case, a_project, box):
    draw(an_open_case, "spleen", box(3))
    layers = painted_in(an_open_case, a_project).layers
    an_open_case.update(commit(a_project, "c1", action="annotate", who="ann", label="spleen", labels=layers))
    assert not an_open_case.edited
    np.testing.assert_array_equal(an_open_case.masks()["spleen"], box(3))


def test_drawing_is_noticed_and_nothing_is_heard_after_closing(a_scene, a_project, box):
    heard = []
    case_scene = CaseScene(a_scene, onEdit=lambda: heard.append("edit"))
    case_scene.open(a_project.case("c1"), a_project.label_set)
    assert heard == []
    draw(case_scene, "spleen", box(3))
    assert case_scene.edited
    count = len(heard)
    assert count > 0
    node, volume = case_scene.segmentationNode, case_scene.volumeNode
    case_scene.close()
    segment_id = node.GetSegmentation().GetSegmentIdBySegmentName("spleen")
    slicer.util.updateSegmentBinaryLabelmapFromArray(box(4).astype(np.uint8), node, segment_id, volume)
    assert len(heard) == count
    assert not node.GetSegmentation().HasObserver("AnyEvent")


def test_a_case_that_is_opened_again_is_not_loaded_twice_and_keeps_the_strokes(an_open_case, a_project, box):
    node, volume = an_open_case.segmentationNode, an_open_case.volumeNode
    draw(an_open_case, "spleen", box(3))
    an_open_case.close()
    an_open_case.open(a_project.case("c1"), a_project.label_set)
    assert an_open_case.segmentationNode is node
    assert an_open_case.volumeNode is volume
    assert an_open_case.edited
    np.testing.assert_array_equal(an_open_case.masks()["spleen"], box(3))


def test_a_segmentation_older_than_the_project_is_kept_aside(an_open_case, a_project, a_grid, box):
    old = an_open_case.segmentationNode
    draw(an_open_case, "tumour", box(4))
    an_open_case.close()
    predict(a_project, "spleen", box(3), a_grid)
    accept(a_project, "c1", "spleen", who="ann")
    an_open_case.open(a_project.case("c1"), a_project.label_set)
    assert an_open_case.segmentationNode is not old
    assert old.GetName() == "c1 labels (earlier)"
    assert not old.GetDisplayVisibility()
    np.testing.assert_array_equal(an_open_case.masks()["spleen"], box(3))


def test_a_case_is_found_again_in_a_saved_scene(host, an_open_case, a_project, box, tmp_path):
    draw(an_open_case, "spleen", box(3))
    an_open_case.close()
    host.save_scene(tmp_path / "work.mrb")
    host.load_scene(tmp_path / "work.mrb")
    an_open_case.open(a_project.case("c1"), a_project.label_set)
    assert host.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
    assert host.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1
    np.testing.assert_array_equal(an_open_case.masks()["spleen"], box(3))
    np.testing.assert_array_equal(an_open_case.masks()["liver"], box(slice(0, 2)))


def test_nodes_that_the_user_drew_in_before_become_the_case_as_they_are(a_scene, a_project, a_volume_node):
    node = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    node.GetSegmentation().AddEmptySegment("x", "Spleen")
    case_scene = CaseScene(a_scene)
    case_scene.adopt(a_volume_node, node, a_project.case("c1"), a_project.label_set)
    assert case_scene.segmentationNode is node
    assert case_scene.volumeNode is a_volume_node
    assert list(case_scene.masks()) == ["spleen"]
    assert node.GetSegmentation().GetSegment("x").GetName() == "Spleen"


def test_a_volume_of_another_place_cannot_become_the_case(a_scene, a_project, a_grid, voxels):
    elsewhere = Grid(a_grid.size, a_grid.spacing, (0.0, 0.0, 0.0), a_grid.direction)
    node = addVolume(a_scene, voxels(elsewhere), elsewhere, "elsewhere")
    with pytest.raises(ImageError, match="the volume of case c1 do not lie on the image"):
        CaseScene(a_scene).adopt(node, None, a_project.case("c1"), a_project.label_set)


def test_deleted_nodes_and_closed_cases_are_said_in_words(an_open_case, a_scene, a_project):
    a_scene.RemoveNode(an_open_case.segmentationNode)
    with pytest.raises(ProjectError, match="the segmentation of case c1 was deleted from the scene"):
        an_open_case.masks()
    an_open_case.close()
    with pytest.raises(ProjectError, match="no case is open"):
        an_open_case.masks()
    with pytest.raises(ProjectError, match="case c1 is not open"):
        an_open_case.update(a_project.case("c1"))


@pytest.mark.usefixtures("an_open_case")
def test_g24_nothing_in_the_scene_says_where_the_project_lies(host, a_project, tmp_path):
    host.save_scene(tmp_path / "sent.mrb")
    with zipfile.ZipFile(tmp_path / "sent.mrb") as bundle:
        text = b"".join(bundle.read(name) for name in bundle.namelist() if name.endswith(".mrml"))
    assert b"SemiSupSeg.Case" in text
    assert str(a_project.root).encode() not in text
