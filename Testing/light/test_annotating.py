"""What a person says about one label of one case, from files and numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from SemiSupSegLib.errors import ImageError, ProjectError
from SemiSupSegLib.project import annotating
from SemiSupSegLib.project.annotating import Statement, annotate
from SemiSupSegLib.project.annotation import Acceptance, Annotation, Region, RegionKind, State, label_mask
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.images import write_volume
from SemiSupSegLib.project.proposals import accept
from SemiSupSegLib.project.transactions import undo


@pytest.fixture
def a_file(tmp_path, grid):
    """Writes whole numbers (k, j, i) as a volume on the cases' grid, or another."""

    def make(values, name="mask.nii.gz", on=grid):
        write_volume(image_from_kji(np.asarray(values, np.uint8), on), tmp_path / name)
        return tmp_path / name

    return make


def mask_of(project, name, case_id="c1"):
    return label_mask(project.case(case_id).labels(project.label_set), project.label_set, project.label_set.index(name))


def test_a_mask_with_one_value_is_the_label_that_was_asked_for(a_project, a_file, box):
    file = a_file(box(slice(4, 6)) * 7)
    case = annotate(a_project, "c1", Statement("spleen", State.COMPLETE, voxels=file), who="ann")
    assert case.annotation("spleen").state is State.COMPLETE
    np.testing.assert_array_equal(mask_of(a_project, "spleen"), box(slice(4, 6)))
    np.testing.assert_array_equal(mask_of(a_project, "liver"), box(slice(0, 2)))


def test_dataset_json_beside_the_file_names_its_values(a_project, a_file, box, tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"1": "liver", "2": "Spleen"}}))
    file = a_file(box(slice(0, 2)) * 1 + box(5) * 2)
    annotate(a_project, "c1", Statement("spleen", State.COMPLETE, voxels=file), who="ann")
    np.testing.assert_array_equal(mask_of(a_project, "spleen"), box(5))


def test_a_file_with_several_nameless_values_is_refused(a_project, a_file, box):
    file = a_file(box(3) * 1 + box(5) * 2)
    with pytest.raises(ProjectError, match="values 1, 2 without a name"):
        annotate(a_project, "c1", Statement("spleen", State.COMPLETE, voxels=file), who="ann")


def test_voxels_of_another_annotated_label_are_never_taken(a_project, a_file, box):
    before = a_project.case("c1")
    with pytest.raises(ProjectError, match="20 voxels of spleen are liver"):
        annotate(a_project, "c1", Statement("spleen", State.COMPLETE, voxels=a_file(box(slice(1, 3)))), who="ann")
    assert a_project.case("c1") == before


def test_labels_that_may_overlap_share_voxels(a_project, a_file, box):
    annotate(a_project, "c1", Statement("tumour", State.COMPLETE, voxels=a_file(box(1))), who="ann")
    np.testing.assert_array_equal(mask_of(a_project, "liver"), box(slice(0, 2)))


def test_finished_regions_add_up(a_project, a_file, box):
    annotate(a_project, "c1", Statement("spleen", State.PARTIAL, slices=((2, 3),)), who="ann")
    annotate(a_project, "c1", Statement("spleen", State.PARTIAL, box=((4, 4), (0, 1), (0, 3))), who="ann")
    strokes = a_file(box(5, 0, slice(0, 2)))
    case = annotate(a_project, "c1", Statement("spleen", State.PARTIAL, strokes=strokes), who="ann")
    known = case.known_of("spleen", case.labels(a_project.label_set), a_project.label_set)
    liver = box(slice(0, 2))
    finished = box(slice(2, 4)) | box(4, slice(0, 2)) | box(5, 0, slice(0, 2))
    np.testing.assert_array_equal(known, finished | liver)


def test_a_label_with_voxels_cannot_be_absent(a_project):
    with pytest.raises(ProjectError, match="liver cannot be absent while 40 voxels carry it"):
        annotate(a_project, "c1", Statement("liver", State.ABSENT), who="ann")


def test_taking_a_statement_back_leaves_the_voxels(a_project, box):
    case = annotate(a_project, "c1", Statement("liver", State.UNKNOWN), who="ann")
    assert not case.annotation("liver").annotated
    np.testing.assert_array_equal(mask_of(a_project, "liver"), box(slice(0, 2)))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"state": State.PARTIAL}, "what is finished"),
        ({"state": State.COMPLETE, "slices": ((1, 2),)}, "go with the state partial"),
    ],
)
def test_a_statement_that_contradicts_itself_is_refused(more, words):
    with pytest.raises(ProjectError, match=words):
        Statement("liver", **more)


def test_slices_beyond_the_volume_are_refused(a_project):
    with pytest.raises(ProjectError, match="within 0:5, found 4:9"):
        annotate(a_project, "c1", Statement("spleen", State.PARTIAL, slices=((4, 9),)), who="ann")


def test_ignored_voxels_are_known_of_no_label_and_can_be_lifted(a_project, a_file, box):
    case = annotate(a_project, "c1", ignore=a_file(box(0)), who="ann")
    assert not case.known(a_project.label_set)[:, 0].any()
    case = annotate(a_project, "c1", ignore=a_file(box(0) * 0, "empty.nii.gz"), who="ann")
    assert case.ignore_file is None


@pytest.mark.robustness
def test_g11_masks_that_do_not_lie_on_the_image_are_refused(a_project, a_file, box, grid):
    file = a_file(box(0), on=Grid(grid.size, grid.spacing, (0.0, 0.0, 0.0)))
    for statement, ignore in ((Statement("spleen", State.PARTIAL, strokes=file), None), (None, file)):
        with pytest.raises(ImageError, match="origin"):
            annotate(a_project, "c1", statement, ignore=ignore, who="ann")
    with pytest.raises(ImageError, match="origin"):
        annotate(a_project, "c1", Statement("spleen", State.COMPLETE, voxels=file), who="ann")


def test_g32_a_statement_with_voxels_strokes_and_ignore_is_undone_to_the_byte(a_project, a_file, box):
    file = a_project.case("c1").folder / "case.json"
    before = file.read_bytes()
    statement = Statement("spleen", State.PARTIAL, strokes=a_file(box(4)), voxels=a_file(box(4), "voxels.nii.gz"))
    annotate(a_project, "c1", statement, ignore=a_file(box(0), "ignore.nii.gz"), who="ann")
    assert file.read_bytes() != before
    undo(a_project, who="ann")
    assert file.read_bytes() == before


def test_g30_saying_complete_does_not_turn_accepted_voxels_into_a_persons(a_project, predict, box):
    predict(a_project, "c1", {"spleen": box(4)})
    accept(a_project, "c1", "spleen", slices=(3, 5), who="ann")
    case = annotate(a_project, "c1", Statement("spleen", State.COMPLETE), who="ann")
    theirs = case.labels(a_project.label_set, people_only=True)
    assert not label_mask(theirs, a_project.label_set, a_project.label_set.index("spleen")).any()


def test_voxels_of_a_person_replace_those_of_a_model_and_their_provenance(a_project, predict, a_file, box):
    predict(a_project, "c1", {"spleen": box(4)})
    accept(a_project, "c1", "spleen", who="ann")
    case = annotate(a_project, "c1", Statement("spleen", State.COMPLETE, voxels=a_file(box(3))), who="ann")
    assert not case.annotation("spleen").accepted
    np.testing.assert_array_equal(mask_of(a_project, "spleen"), box(3))


def test_taking_a_statement_back_takes_back_what_people_had_said_before_an_acceptance() -> None:
    said = Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((0, 1),)),))
    accepted = said.accept(Acceptance("run", "last", "2026-01-01", "me", "whole", 3), region=None)
    now = annotating._annotation(accepted, Statement("liver", State.UNKNOWN))
    assert not now.annotated
    assert not now.by_people_only().annotated
    assert now.accepted == accepted.accepted  # so that a later `complete` does not turn model voxels into people's
