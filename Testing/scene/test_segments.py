"""Segments between the scene and the project: voxels, names, meanings, tags."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import slicer.util
import vtk
from SemiSupSegScene.CaseSegments import fillSegmentation, labelMasks
from SemiSupSegScene.SegmentMatches import addSegment, matchedSegments, unmatchedLabels
from SemiSupSegScene.SegmentTags import provenanceOf, stateOf, tagSegment
from SemiSupSegScene.SegmentVoxels import changeSegment, segmentMask
from SemiSupSegScene.Volumes import addVolume
from test_volumes import LINEAR, under

from SemiSupSegLib.errors import ImageError, ProjectError
from SemiSupSegLib.project.annotation import Acceptance, Annotation, State, label_mask
from SemiSupSegLib.project.geometry import Grid
from SemiSupSegLib.project.labelmaps import load_labels
from SemiSupSegLib.project.labels import Label, LabelSet

KIDNEY = "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure"
LEFT_KIDNEY = KIDNEY + "~SCT^64033007^Kidney~SCT^7771000^Left~Anatomic codes - DICOM master list~^^~^^"
ACCEPTED = Acceptance("2026-11-22_1|smile", "best", "2026-11-22T09:00:00+00:00", "ann", "confident 0.2", 17)


def random_layers(label_set: LabelSet, grid: Grid) -> np.ndarray:
    """Layers in which every label has voxels, and the tumour shares some with the liver."""
    draw = np.random.default_rng(7).integers
    layers = np.zeros((label_set.n_layers, *grid.shape), np.uint8)
    for layer in range(label_set.n_layers):
        largest = max(place.value for place in label_set.places if place.layer == layer)
        layers[layer] = draw(0, largest + 1, grid.shape)
    return layers


def masks_of(layers: np.ndarray, label_set: LabelSet) -> dict[str, np.ndarray]:
    return {name: label_mask(layers, label_set, channel) for channel, name in enumerate(label_set.names)}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, mask in expected.items():
        np.testing.assert_array_equal(found[name], mask, err_msg=name)


def segment_named(node, name: str):
    return node.GetSegmentation().GetSegment(node.GetSegmentation().GetSegmentIdBySegmentName(name))


# --------------------------------------------------------------------------------------------------------------- voxels


def test_g12_segments_of_any_axis_order_come_back_overlaps_and_all(a_scene, every_grid, a_label_set, voxels):
    for grid in every_grid:
        layers = random_layers(a_label_set, grid)
        volume = addVolume(a_scene, voxels(grid), grid, "small")
        node = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "labels")
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        fillSegmentation(node, layers, a_label_set, grid)
        expected = masks_of(layers, a_label_set)
        assert_same(labelMasks(node, a_label_set, grid), expected)
        for name, mask in expected.items():  # and as Slicer itself sees them on the volume
            segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(name)
            np.testing.assert_array_equal(
                slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume).astype(bool), mask
            )
        a_scene.RemoveNode(node)
        a_scene.RemoveNode(volume)


def test_what_slicer_saves_is_what_the_project_reads(host, a_segmentation_node, a_grid, tmp_path):
    label_set = LabelSet.from_names(["Ösophagus", "肝臓 (liver)", "left kidney"], [("Ösophagus", "肝臓 (liver)")])
    layers = random_layers(label_set, a_grid)
    fillSegmentation(a_segmentation_node, layers, label_set, a_grid)
    host.save_segmentation(a_segmentation_node, tmp_path / "drawn.seg.nrrd")
    found, _ = load_labels(tmp_path / "drawn.seg.nrrd", label_set, grid=a_grid)
    np.testing.assert_array_equal(found, layers)
    again = host.load_segmentation(tmp_path / "drawn.seg.nrrd")
    assert_same(labelMasks(again, label_set, a_grid), masks_of(layers, label_set))


def test_values_with_gaps_and_another_order_do_not_matter(a_segmentation_node, a_grid, a_label_set, box):
    volume = a_segmentation_node.GetScene().GetFirstNode("small")
    for name, mask in (("tumour", box(1)), ("something else", box(4)), ("spleen", box(3))):
        segment_id = a_segmentation_node.GetSegmentation().AddEmptySegment("", name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), a_segmentation_node, segment_id, volume)
    a_segmentation_node.GetSegmentation().RemoveSegment(
        a_segmentation_node.GetSegmentation().GetSegmentIdBySegmentName("something else")
    )
    assert_same(labelMasks(a_segmentation_node, a_label_set, a_grid), {"spleen": box(3), "tumour": box(1)})


def test_a_segmentation_under_a_transform_is_read_and_written_where_it_is_seen(
    a_segmentation_node, a_grid, a_label_set, box
):
    under(a_segmentation_node, LINEAR)
    fillSegmentation(a_segmentation_node, random_layers(a_label_set, a_grid), a_label_set, a_grid)
    before = labelMasks(a_segmentation_node, a_label_set, a_grid)
    assert_same(before, masks_of(random_layers(a_label_set, a_grid), a_label_set))
    spleen = matchedSegments(a_segmentation_node, a_label_set)["spleen"]
    changeSegment(a_segmentation_node, spleen, a_grid, added=box(4), removed=box(0))
    np.testing.assert_array_equal(
        segmentMask(a_segmentation_node, spleen, a_grid), (before["spleen"] | box(4)) & ~box(0)
    )


def test_changing_a_segment_leaves_those_it_overlaps_alone(a_segmentation_node, a_grid, a_label_set, box):
    layers = np.zeros((2, *a_grid.shape), np.uint8)
    layers[0][box(slice(0, 3))] = 1
    fillSegmentation(a_segmentation_node, layers, a_label_set, a_grid)
    ids = matchedSegments(a_segmentation_node, a_label_set)
    none = np.zeros(a_grid.shape, bool)
    changeSegment(a_segmentation_node, ids["spleen"], a_grid, added=box(slice(1, 5)), removed=none)
    changeSegment(a_segmentation_node, ids["tumour"], a_grid, added=box(2, 1), removed=none)
    expected = {"liver": box(slice(0, 3)), "spleen": box(slice(1, 5)), "tumour": box(2, 1)}
    assert_same(labelMasks(a_segmentation_node, a_label_set, a_grid), expected)
    changeSegment(a_segmentation_node, ids["spleen"], a_grid, added=none, removed=box(slice(1, 5)))
    assert_same(labelMasks(a_segmentation_node, a_label_set, a_grid), {**expected, "spleen": none})


def test_a_segment_on_another_grid_is_refused_or_taken_by_its_nearest_voxels(
    a_grid, a_label_set, a_segmentation_node
):
    fine = Grid((6, 8, 10), (0.5, 0.75, 1.0), tuple(a_grid.point((-0.25, -0.25, -0.25))), a_grid.direction)
    layers = np.zeros((2, *fine.shape), np.uint8)
    layers[0, 2:6] = 1
    fillSegmentation(a_segmentation_node, layers, a_label_set, fine)
    with pytest.raises(ImageError, match="the segment liver of drawn do not lie on the image: spacing"):
        labelMasks(a_segmentation_node, a_label_set, a_grid)
    found = labelMasks(a_segmentation_node, a_label_set, a_grid, nearest=True)["liver"]
    np.testing.assert_array_equal(found.any(axis=(1, 2)), [False, True, True, False, False])
    assert found[1:3].all()


def test_a_segment_beyond_the_image_is_refused(a_grid, a_label_set, a_segmentation_node):
    large = Grid((5, 4, 5), a_grid.spacing, tuple(a_grid.point((-1, 0, 0))), a_grid.direction)
    layers = np.zeros((2, *large.shape), np.uint8)
    layers[0, 2, 2, 0:3] = 1
    fillSegmentation(a_segmentation_node, layers, a_label_set, large)
    with pytest.raises(ImageError, match="reach beyond the image"):
        labelMasks(a_segmentation_node, a_label_set, a_grid)


def test_a_segment_that_is_a_surface_only_is_refused(a_grid, a_segmentation_node):
    sphere = vtk.vtkSphereSource()
    sphere.Update()
    segmentation = a_segmentation_node.GetSegmentation()
    segmentation.SetSourceRepresentationName("Closed surface")
    a_segmentation_node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "liver", [1.0, 0.0, 0.0])
    with pytest.raises(ImageError, match="has a surface only"):
        segmentMask(a_segmentation_node, segmentation.GetNthSegmentID(0), a_grid)


# ---------------------------------------------------------------------------------------------------------------- names


def test_a_label_without_a_segment_is_unknown_not_absent(a_segmentation_node, a_grid, a_label_set):
    fillSegmentation(a_segmentation_node, np.zeros((2, *a_grid.shape), np.uint8), a_label_set, a_grid, only=["liver"])
    masks = labelMasks(a_segmentation_node, a_label_set, a_grid)
    assert list(masks) == ["liver"]
    assert stateOf(segment_named(a_segmentation_node, "liver")) is State.UNKNOWN


def test_segments_are_found_by_name_in_any_spelling_and_by_terminology_never_by_order(a_segmentation_node):
    label_set = LabelSet.from_names(["liver", "left kidney", "right kidney"])
    segmentation = a_segmentation_node.GetSegmentation()
    right = segmentation.AddEmptySegment("a", "RIGHT_Kidney")
    niere = segmentation.AddEmptySegment("b", "Linke Niere")
    segmentation.AddEmptySegment("c", "mass")
    segmentation.GetSegment(niere).SetTag("TerminologyEntry", LEFT_KIDNEY)
    assert matchedSegments(a_segmentation_node, label_set) == {"left kidney": niere, "right kidney": right}
    assert [label.name for label in unmatchedLabels(a_segmentation_node, label_set)] == ["mass"]


def test_two_segments_for_one_label_are_refused(a_segmentation_node):
    for name in ("liver", "Liver"):
        a_segmentation_node.GetSegmentation().AddEmptySegment("", name)
    with pytest.raises(ProjectError, match="2 segments of drawn are liver"):
        matchedSegments(a_segmentation_node, LabelSet.from_names(["liver"]))


def test_a_name_that_contradicts_its_terminology_is_refused(a_segmentation_node):
    segment_id = a_segmentation_node.GetSegmentation().AddEmptySegment("", "right kidney")
    a_segmentation_node.GetSegmentation().GetSegment(segment_id).SetTag("TerminologyEntry", LEFT_KIDNEY)
    with pytest.raises(ProjectError, match="is called right kidney and its terminology says left kidney"):
        matchedSegments(a_segmentation_node, LabelSet.from_names(["left kidney", "right kidney"]))


def test_a_new_segment_has_the_colour_and_terminology_of_its_label(a_segmentation_node):
    addSegment(a_segmentation_node, Label("left kidney", (51, 102, 153)))
    segment = segment_named(a_segmentation_node, "left kidney")
    np.testing.assert_allclose(segment.GetColor(), [0.2, 0.4, 0.6])
    assert segment.GetTerminology() == LEFT_KIDNEY


# ----------------------------------------------------------------------------------------------------------------- tags


def tagged(node) -> None:
    segmentation = node.GetSegmentation()
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    liver = segmentation.GetSegment(segmentation.AddEmptySegment("", "liver"))
    tagSegment(liver, Annotation(State.COMPLETE, accepted=(ACCEPTED,), human=Annotation()))
    spleen = segmentation.GetSegment(segmentation.AddEmptySegment("", "spleen"))
    tagSegment(spleen, Annotation(State.ABSENT), decision="flagged")
    assert logic.GetSegmentStatus(liver) == logic.Completed
    assert logic.GetSegmentStatus(spleen) == logic.Flagged


def assert_tagged(node) -> None:
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    liver, spleen = (segment_named(node, name) for name in ("liver", "spleen"))
    assert (stateOf(liver), stateOf(spleen)) == (State.COMPLETE, State.ABSENT)
    assert provenanceOf(liver) == (ACCEPTED,)
    assert provenanceOf(spleen) == ()
    assert logic.GetSegmentStatus(spleen) == logic.Flagged


def test_state_provenance_and_status_go_through_a_seg_nrrd_file(host, a_segmentation_node, tmp_path):
    tagged(a_segmentation_node)
    host.save_segmentation(a_segmentation_node, tmp_path / "tags.seg.nrrd")
    assert_tagged(host.load_segmentation(tmp_path / "tags.seg.nrrd"))


def test_state_provenance_and_status_go_through_a_scene_bundle(host, a_segmentation_node, tmp_path):
    tagged(a_segmentation_node)
    host.save_scene(tmp_path / "tags.mrb")
    host.load_scene(tmp_path / "tags.mrb")
    assert_tagged(host.scene.GetFirstNodeByClass("vtkMRMLSegmentationNode"))


def test_provenance_goes_when_the_acceptance_is_undone(a_segmentation_node):
    tagged(a_segmentation_node)
    liver = segment_named(a_segmentation_node, "liver")
    tagSegment(liver, Annotation())
    assert provenanceOf(liver) == ()
    assert stateOf(liver) is State.UNKNOWN


def test_a_tag_that_nobody_here_wrote_is_refused_in_words(a_segmentation_node):
    tagged(a_segmentation_node)
    liver = segment_named(a_segmentation_node, "liver")
    liver.SetTag("SemiSupSeg.State", "maybe")
    with pytest.raises(ProjectError, match="the segment liver says 'maybe'"):
        stateOf(liver)
    liver.SetTag("SemiSupSeg.Provenance", "[{]")
    with pytest.raises(ProjectError, match="provenance of the segment liver cannot be read"):
        provenanceOf(liver)
