"""A case: what case.json says, and what follows for its voxels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from SemiSupSegLib.errors import ImageError, ProjectError
from SemiSupSegLib.project.annotation import Acceptance, Annotation, Region, RegionKind, State
from SemiSupSegLib.project.cases import Case, read_mask, write_mask

COMPLETE = Annotation(State.COMPLETE)


def test_a_case_survives_its_file(a_project):
    case = a_project.case("c1")
    assert Case.from_bytes(case.to_bytes(), case.folder) == case


def test_case_json_has_the_documented_keys(a_project):
    data = json.loads((a_project.case("c1").folder / "case.json").read_bytes())
    assert data == {
        "format": 1, "id": "c1", "generation": 1, "image": "image.nii.gz", "labels": "labels/0001.seg.nrrd",
        "ignore": None, "modality": "CT", "split": "train", "annotations": {"liver": {"state": "complete"}},
        "reviewed": {}, "entry": 1,
    }  # fmt: skip


def test_the_grid_is_read_from_the_header(a_project, grid):
    assert a_project.case("c1").grid() == grid
    assert a_project.case("c1").image().GetSize() == grid.size


def test_a_label_that_was_never_mentioned_is_unknown(a_project):
    case = a_project.case("c1")
    assert case.annotation("spleen") == Annotation()
    assert case.annotation("liver") == COMPLETE
    assert case.annotated


def test_a_case_without_labels_has_empty_layers_and_knows_nothing(an_empty_project, add_case, grid):
    case = add_case(an_empty_project, "c1")
    labels = case.labels(an_empty_project.label_set)
    assert labels.shape == (2, *grid.shape)
    assert not labels.any()
    assert not case.annotated
    assert not case.known(an_empty_project.label_set).any()


def test_what_is_known_follows_from_the_files_on_disk(a_project, box):
    known = a_project.case("c1").known(a_project.label_set)
    assert known[0].all(), "the liver is complete"
    np.testing.assert_array_equal(known[1], box(slice(0, 2)), "where the liver is there is no spleen")
    assert not known[2].any(), "the tumour may lie in the liver"


def test_labels_of_a_set_that_has_grown_keep_their_voxels(a_project, box):
    from SemiSupSegLib.project.labels import Label

    a_project.add_labels([Label("aorta")])
    labels = a_project.case("c1").labels(a_project.label_set)
    np.testing.assert_array_equal(labels[0] == 1, box(slice(0, 2)))
    assert a_project.case("c1").known(a_project.label_set).shape[0] == 4


def test_strokes_are_read_by_the_name_that_regions_give_them(an_empty_project, add_case, box):
    said = {"liver": Annotation(State.PARTIAL, (Region(RegionKind.STROKES, file="mine"),))}
    case = add_case(an_empty_project, "c1", said=said, strokes={"mine": box(slice(2, 4))})
    assert list(case.strokes()) == ["regions/0001_0.nii.gz"]
    np.testing.assert_array_equal(case.known(an_empty_project.label_set)[0], box(slice(2, 4)))


def test_g30_people_only_reads_neither_states_nor_voxels_of_a_model(an_empty_project, add_case, box):
    source = Acceptance("run", "last", "2026-11-22T10:00:00+00:00", "ann", "whole", 20)
    human = Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((0, 1),)),))
    masks = {"liver": box(slice(0, 2), 0), "spleen": box(slice(1, 4), 1)}
    said = {"liver": COMPLETE, "spleen": human.accept(source, region=None)}
    case = add_case(an_empty_project, "c1", masks=masks, said=said, split="holdout")
    label_set = an_empty_project.label_set
    assert case.known(label_set)[1].all()
    known = case.known(label_set, people_only=True)
    np.testing.assert_array_equal(known[1], box(slice(0, 2)))
    np.testing.assert_array_equal(known[2], box(slice(1, 2), 1), "a machine's spleen says nothing of the tumour")
    labels = case.labels(label_set, people_only=True)
    np.testing.assert_array_equal(labels[0] == 2, box(slice(1, 2), 1))


def test_a_mask_survives_its_file(tmp_path, grid, box):
    write_mask(box(slice(1, 3), 2), grid, tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.nii.gz"), box(slice(1, 3), 2))


@pytest.mark.robustness
@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.clear(),
        lambda d: d.pop("annotations"),
        lambda d: d.update(split="validation"),
        lambda d: d.update(id="other"),
        lambda d: d.update(annotations={"liver": {"state": "finished"}}),
        lambda d: d.update(annotations=[]),
        lambda d: d.update(generation="many"),
    ],
)
def test_a_damaged_case_file_is_refused_with_its_name(a_project, damage):
    folder = a_project.case("c1").folder
    data = json.loads((folder / "case.json").read_bytes())
    damage(data)
    with pytest.raises(ProjectError):
        Case.from_bytes(json.dumps(data).encode(), folder)


@pytest.mark.robustness
@pytest.mark.parametrize("content", [b"", b"{", b"null", b"\xff\xfe", b"[]"])
def test_what_is_no_case_is_refused_with_the_file_and_the_cure(a_project, content):
    with pytest.raises(ProjectError, match=r"cases/c1/case.json cannot be read .* history"):
        Case.from_bytes(content, a_project.case("c1").folder)


def test_g08_a_case_of_a_newer_program_is_refused(a_project):
    case = a_project.case("c1")
    with pytest.raises(ProjectError, match="format 2; this program knows 1: please update"):
        Case.from_bytes(case.to_bytes().replace(b'"format": 1', b'"format": 2'), case.folder)


@pytest.mark.robustness
def test_a_missing_image_is_said_with_the_case(a_project):
    case = a_project.case("c1")
    (case.folder / "image.nii.gz").unlink()
    with pytest.raises(ImageError, match="c1"):
        case.grid()


@pytest.mark.security
@pytest.mark.parametrize("key", ["image", "labels", "ignore"])
def test_g25_a_case_file_cannot_point_outside_its_folder(a_project, key):
    folder = a_project.case("c1").folder
    data = json.loads((folder / "case.json").read_bytes())
    data[key] = "../../../secret.nii.gz"
    case = Case.from_bytes(json.dumps(data).encode(), folder)
    with pytest.raises(ProjectError, match="outside"):
        {"image": case.image, "labels": lambda: case.labels(a_project.label_set), "ignore": case.ignore}[key]()


@pytest.mark.security
def test_g25_a_region_cannot_point_outside_the_case(a_project):
    folder = a_project.case("c1").folder
    data = json.loads((folder / "case.json").read_bytes())
    data["annotations"]["spleen"] = {"state": "partial", "regions": [{"kind": "strokes", "file": "/etc/passwd"}]}
    with pytest.raises(ProjectError, match="outside"):
        Case.from_bytes(json.dumps(data).encode(), folder).known(a_project.label_set)
