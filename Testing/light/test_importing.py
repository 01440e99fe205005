"""From a folder of somebody else's files to cases of a project."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.project.annotation import Region, RegionKind, State, label_mask
from SemiSupSegLib.project.folders import find_pairs, read_dataset
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.images import write_volume
from SemiSupSegLib.project.import_plan import ImportPlan, plan_import
from SemiSupSegLib.project.importing import write_import
from SemiSupSegLib.project.labelmaps import write_labels
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

GRID = Grid((4, 5, 6), (1.0, 2.0, 2.5), (10.0, -20.0, 30.0))
Write = Callable[..., Path]


def write(path: Path, values: np.ndarray, grid: Grid = GRID) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(image_from_kji(values, grid), path)
    return path


def noise(seed: int = 0, lowest: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(lowest, 500, GRID.shape).astype(np.int16)


def liver_and_spleen() -> np.ndarray:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[1], labels[3] = 1, 2
    return labels


@pytest.fixture
def a_folder(tmp_path: Path) -> Path:
    """Three cases: a has liver and spleen, b only the liver, c no label file; dataset.json names 1 liver, 2 spleen."""
    folder = tmp_path / "scans"
    for number, name in enumerate("abc"):
        write(folder / "images" / f"{name}.nii.gz", noise(number))
    labels = liver_and_spleen()
    write(folder / "labels/a.nii.gz", labels)
    write(folder / "labels/b.nii.gz", np.where(labels == 1, labels, 0).astype(np.uint8))
    (folder / "dataset.json").write_text(json.dumps({"labels": {"1": "liver", "2": "spleen"}, "modality": "MR"}))
    return folder


@pytest.fixture
def many_cases(tmp_path: Path) -> Path:
    """Twelve cases with four labels each."""
    folder = tmp_path / "many"
    labels = np.zeros(GRID.shape, np.uint8)
    for value in range(1, 5):
        labels[value] = value
    for number in range(12):
        write(folder / "images" / f"case_{number:02d}.nii.gz", noise(number))
        write(folder / "labels" / f"case_{number:02d}.nii.gz", labels)
    names = {str(value): f"organ {value}" for value in range(1, 5)}
    (folder / "dataset.json").write_text(json.dumps({"labels": names}))
    return folder


def planned(folder: Path, *, labels_folder: str = "labels", **options) -> ImportPlan:
    return plan_import(find_pairs(folder, labels_folder=labels_folder), read_dataset(folder), **options)


def imported(folder: Path, **options) -> Project:
    plan = planned(folder, **options)
    project = Project.create(folder.parent / "project", label_set=plan.label_set)
    assert write_import(project, plan, who="ann") == []
    return project


def states(project: Project, case_id: str) -> dict[str, str]:
    return {name: str(project.case(case_id).annotation(name).state) for name in project.label_set.names}


# --- what belongs together ---


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/Case1.nii.gz", "labels/case1.nii.gz"),
        ("images/case1_0000.nii.gz", "labels/case1.nii.gz"),
        ("images/case1.mha", "labels/case1_seg.nrrd"),
        ("images/case1.nrrd", "labels/case1-label.nii.gz"),
        ("imagesTr/case1_0000.nii.gz", "labelsTr/case1.nii.gz"),
        ("case1.nii.gz", "case1.seg.nrrd"),
        ("case1.nii.gz", "case1_label.nii.gz"),
        ("case1.nii.gz", "labels/case1.nii.gz"),
        ("images/v1.2.nii.gz", "labels/v1.2.nii"),
    ],
)
def test_image_and_labels_are_paired_by_name(tmp_path, image, label):
    for name in (image, label):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (pair,) = find_pairs(tmp_path)
    assert (pair.image, pair.labels, pair.problem) == (tmp_path / image, tmp_path / label, None)
    assert pair.stem.casefold() in ("case1", "v1.2")


def test_an_image_without_label_file_is_an_unlabelled_case(a_folder):
    project = imported(a_folder)
    assert list(project.cases) == ["a", "b", "c"]
    assert not project.case("c").annotated
    assert project.case("c").labels_file is None


def test_two_label_files_of_one_image_are_refused_by_name(a_folder):
    write(a_folder / "labels/a_seg.nii.gz", liver_and_spleen())
    plan = planned(a_folder)
    assert "a.nii.gz" in plan.cases[0].problem
    assert "a_seg.nii.gz" in plan.cases[0].problem
    assert [case.id for case in plan.importable] == ["b", "c"]


def test_a_second_modality_is_not_taken_for_a_case_of_its_own(tmp_path):
    for channel in ("0000", "0001"):
        write(tmp_path / f"scans/imagesTr/p1_{channel}.nii.gz", noise())
    plan = planned(tmp_path / "scans")
    assert [case.pair.image.name for case in plan.importable] == ["p1_0000.nii.gz"]
    assert "p1_0001" in next(case.problem for case in plan.cases if case.problem)


def test_a_folder_without_images_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(ProjectError, match="holds no image"):
        find_pairs(tmp_path)
    with pytest.raises(ProjectError, match="not a folder"):
        find_pairs(tmp_path / "nothing")


def test_a_missing_labels_folder_is_refused_when_it_was_asked_for(a_folder):
    with pytest.raises(ProjectError, match=r"no folder 'scribbles' .* images, labels"):
        find_pairs(a_folder, labels_folder="scribbles")


# --- dataset.json ---


@pytest.mark.parametrize(
    "labels", [{"0": "background", "1": "liver", "7": "spleen"}, {"background": 0, "liver": 1, "spleen": 7}]
)
def test_dataset_json_is_understood_in_both_directions(tmp_path, labels):
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels, "channel_names": {"0": "CT"}}))
    dataset = read_dataset(tmp_path)
    assert dataset.names == {1: "liver", 7: "spleen"}
    assert dataset.modality == "CT"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read"),
        ('{"names": {}}', "labels"),
        ('{"labels": {"whole": [1, 2]}}', "whole"),
        ('{"labels": {"liver": 1, "spleen": 1}}', "appears twice"),
        ('{"labels": {"1": "liver", "2": "Liver"}}', "appears twice"),
        ('{"labels": ["liver"]}', "cannot be read"),
    ],
)
def test_a_dataset_json_that_makes_no_sense_is_refused(tmp_path, content, words):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(ProjectError, match=words):
        read_dataset(tmp_path)


def test_a_listed_label_without_voxels_was_looked_for_and_is_absent(a_folder):
    assert states(imported(a_folder), "b") == {"liver": "complete", "spleen": "absent"}


def test_missing_labels_may_be_left_unknown(a_folder):
    assert states(imported(a_folder, missing="unknown"), "b") == {"liver": "complete", "spleen": "unknown"}


def test_a_value_without_a_name_refuses_the_case_and_says_which(a_folder):
    labels = liver_and_spleen()
    labels[5] = 9
    write(a_folder / "labels/a.nii.gz", labels)
    plan = planned(a_folder)
    assert "9" in plan.cases[0].problem
    assert "1 liver" in plan.cases[0].problem
    assert [case.id for case in plan.importable] == ["b", "c"]


def test_numbers_without_dataset_json_are_refused_with_what_to_do(a_folder):
    (a_folder / "dataset.json").unlink()
    problem = planned(a_folder).cases[0].problem
    assert "values 1, 2 without a name" in problem
    assert "dataset.json" in problem


def test_g15_gaps_and_large_values_become_names_and_keep_their_voxels(a_folder):
    labels = (liver_and_spleen().astype(np.uint16) * 300).astype(np.uint16)
    write(a_folder / "labels/a.nii.gz", labels)
    (a_folder / "labels/b.nii.gz").unlink()
    (a_folder / "dataset.json").write_text(json.dumps({"labels": {"600": "spleen", "300": "liver", "7": "gall"}}))
    project = imported(a_folder)
    assert states(project, "a") == {"spleen": "complete", "liver": "complete", "gall": "absent"}
    layers = project.case("a").labels(project.label_set)
    for name, value in (("liver", 300), ("spleen", 600)):
        channel = project.label_set.index(name)
        np.testing.assert_array_equal(label_mask(layers, project.label_set, channel), labels == value)


# --- files with names ---


def write_segments(path: Path, masks: dict[str, np.ndarray], overlaps=(), grid: Grid = GRID) -> Path:
    label_set = LabelSet.from_names(masks, overlaps)
    layers = np.zeros((label_set.n_layers, *grid.shape), np.uint8)
    for mask, place in zip(masks.values(), label_set.places, strict=True):
        layers[place.layer][mask] = place.value
    path.parent.mkdir(parents=True, exist_ok=True)
    write_labels(path, layers, label_set, grid)
    return path


def a_mask(*slices: int) -> np.ndarray:
    mask = np.zeros(GRID.shape, bool)
    mask[list(slices)] = True
    return mask


def test_names_of_segments_decide_not_their_numbers(tmp_path):
    for name in "ab":
        write(tmp_path / f"scans/{name}.nii.gz", noise())
    write_segments(tmp_path / "scans/a.seg.nrrd", {"liver": a_mask(1), "spleen": a_mask(3)})
    write_segments(tmp_path / "scans/b.seg.nrrd", {"spleen": a_mask(3), "gall": a_mask(5)})
    project = imported(tmp_path / "scans")
    assert project.label_set.names == ("liver", "spleen", "gall")
    assert states(project, "a") == {"liver": "complete", "spleen": "complete", "gall": "unknown"}
    assert states(project, "b") == {"liver": "unknown", "spleen": "complete", "gall": "complete"}
    layers = project.case("b").labels(project.label_set)
    np.testing.assert_array_equal(label_mask(layers, project.label_set, 1), a_mask(3))


def test_an_empty_segment_without_dataset_json_says_nothing(tmp_path):
    write(tmp_path / "scans/a.nii.gz", noise())
    write_segments(tmp_path / "scans/a.seg.nrrd", {"liver": a_mask(1), "spleen": a_mask()})
    assert states(imported(tmp_path / "scans"), "a") == {"liver": "complete", "spleen": "unknown"}


def test_colours_of_segments_come_along(tmp_path):
    write(tmp_path / "scans/a.nii.gz", noise())
    write_segments(tmp_path / "scans/a.seg.nrrd", {"liver": a_mask(1), "spleen": a_mask(2)})
    expected = LabelSet.from_names(["liver", "spleen"]).labels[1].colour
    assert imported(tmp_path / "scans").label_set.labels[1].colour == expected


def test_g14_overlapping_segments_keep_every_voxel_in_a_new_project(tmp_path):
    write(tmp_path / "scans/a.nii.gz", noise())
    masks = {"liver": a_mask(1, 2), "tumour": a_mask(2)}
    write_segments(tmp_path / "scans/a.seg.nrrd", masks, [("liver", "tumour")])
    project = imported(tmp_path / "scans")
    assert project.label_set.overlaps == {frozenset({"liver", "tumour"})}
    layers = project.case("a").labels(project.label_set)
    for channel, mask in enumerate(masks.values()):
        np.testing.assert_array_equal(label_mask(layers, project.label_set, channel), mask)


def test_g14_overlapping_segments_are_refused_where_the_project_excludes_them(tmp_path):
    write(tmp_path / "scans/a.nii.gz", noise())
    masks = {"liver": a_mask(1, 2), "tumour": a_mask(2)}
    write_segments(tmp_path / "scans/a.seg.nrrd", masks, [("liver", "tumour")])
    plan = planned(tmp_path / "scans", label_set=LabelSet.from_names(["liver", "tumour"]))
    assert "liver and tumour share voxels" in plan.cases[0].problem


def test_names_that_differ_in_case_or_underscores_are_the_label_of_the_project(tmp_path):
    write(tmp_path / "scans/a.nii.gz", noise())
    write_segments(tmp_path / "scans/a.seg.nrrd", {"Left_Kidney": a_mask(1)})
    plan = planned(tmp_path / "scans", label_set=LabelSet.from_names(["left kidney"]))
    assert plan.label_set.names == ("left kidney",)
    assert plan.cases[0].said["left kidney"].state is State.COMPLETE


# --- one bad case must not stop the others ---


def damaged_image(folder: Path) -> None:
    content = (folder / "images/a.nii.gz").read_bytes()
    (folder / "images/a.nii.gz").write_bytes(content[: len(content) // 2])


def damaged_labels(folder: Path) -> None:
    (folder / "labels/a.nii.gz").write_bytes(gzip.compress(b"this is not an image"))


def shifted_labels(folder: Path) -> None:
    write(folder / "labels/a.nii.gz", liver_and_spleen(), Grid(GRID.size, GRID.spacing, (11.0, -20.0, 30.0)))


def shorter_labels(folder: Path) -> None:
    write(folder / "labels/a.nii.gz", liver_and_spleen()[:5], Grid((4, 5, 5), GRID.spacing, GRID.origin))


def four_dimensional_image(folder: Path) -> None:
    import SimpleITK as sitk  # noqa: N813

    sitk.WriteImage(sitk.Image([4, 5, 6, 3], sitk.sitkInt16), str(folder / "images/a.nii.gz"))


@pytest.mark.robustness
@pytest.mark.parametrize("harm", [damaged_image, damaged_labels, four_dimensional_image], ids=lambda f: f.__name__)
def test_g09_a_damaged_case_is_left_out_with_its_sentence_and_the_others_go_on(a_folder, harm):
    harm(a_folder)
    plan = planned(a_folder)
    assert "a.nii.gz" in plan.cases[0].problem
    assert "\n" not in plan.cases[0].problem
    project = imported(a_folder)
    assert list(project.cases) == ["b", "c"]


@pytest.mark.robustness
@pytest.mark.parametrize(("harm", "words"), [(shifted_labels, "origin"), (shorter_labels, "size")])
def test_g11_labels_that_do_not_lie_on_the_image_are_left_out(a_folder, harm, words):
    harm(a_folder)
    plan = planned(a_folder)
    assert words in plan.cases[0].problem
    assert [case.id for case in plan.importable] == ["b", "c"]


@pytest.mark.robustness
def test_g09_a_file_that_breaks_between_preview_and_writing_leaves_nothing_behind(a_folder):
    plan = planned(a_folder)
    damaged_image(a_folder)
    project = Project.create(a_folder.parent / "project", label_set=plan.label_set)
    ((case_id, reason),) = write_import(project, plan, who="ann")
    assert case_id == "a"
    assert "a.nii.gz" in reason
    assert list(Project.open(project.root).cases) == ["b", "c"]


@pytest.mark.robustness
def test_g16_odd_names_become_safe_ids_that_differ(tmp_path):
    for name in ("Пациент 1", "a b", "a_b", "CON"):
        write(tmp_path / "scans/images" / f"{name}.nii.gz", noise())
    project = imported(tmp_path / "scans")
    assert len({case_id.casefold() for case_id in project.cases}) == 4
    assert "CON" not in project.cases
    assert all(" " not in case_id for case_id in project.cases)


def test_a_case_that_is_there_already_is_never_overwritten(a_folder):
    project = imported(a_folder)
    before = {path: path.read_bytes() for path in project.cases_folder.rglob("*") if path.is_file()}
    write(a_folder / "images/A.nii.gz", noise(9))
    write(a_folder / "images/d.nii.gz", noise(9))
    plan = planned(a_folder, label_set=project.label_set, cases=list(project.cases.values()))
    assert [case.id for case in plan.importable] == ["d"]
    write_import(project, plan, who="ann")
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.security
def test_g24_nothing_of_a_files_metadata_reaches_the_project(a_folder):
    import SimpleITK as sitk  # noqa: N813

    image = image_from_kji(noise(), GRID)
    image.SetMetaData("patient_name", "Eva Mustermann")
    (a_folder / "images/a.nii.gz").unlink()
    sitk.WriteImage(image, str(a_folder / "images/a.nrrd"))
    assert b"Mustermann" in (a_folder / "images/a.nrrd").read_bytes()
    project = imported(a_folder)
    for path in (p for p in project.root.rglob("*") if p.is_file()):
        content = path.read_bytes()
        assert b"Mustermann" not in content
        if path.suffix == ".gz":
            assert b"Mustermann" not in gzip.decompress(content)


# --- modality ---


@pytest.mark.parametrize(("lowest", "expected"), [(-1000, "CT"), (0, "unknown")])
def test_a_volume_that_does_not_say_is_ct_when_it_has_air_in_it(tmp_path, lowest, expected):
    values = noise()
    values[0, 0, 0] = lowest
    write(tmp_path / "scans/a.nii.gz", values)
    assert planned(tmp_path / "scans").cases[0].modality == expected


# --- strokes ---


def scribbles() -> np.ndarray:
    strokes = np.full(GRID.shape, 255, np.uint8)
    strokes[1, 1], strokes[3, 1], strokes[5, 1] = 1, 2, 0
    return strokes


def test_strokes_make_every_listed_label_partial_where_there_is_a_stroke(a_folder):
    write(a_folder / "scribbles/a.nii.gz", scribbles())
    plan = planned(a_folder, labels_folder="scribbles")
    project = Project.create(a_folder.parent / "project", label_set=plan.label_set)
    write_import(project, plan, who="ann")
    case = project.case("a")
    assert states(project, "a") == {"liver": "partial", "spleen": "partial"}
    (liver,), (spleen,) = (case.annotation(name).regions for name in ("liver", "spleen"))
    assert liver == spleen
    assert liver.kind is RegionKind.STROKES
    known = case.known(project.label_set)
    for channel in (0, 1):
        np.testing.assert_array_equal(known[channel], scribbles() != 255)
    assert case.labels(project.label_set).max() == 2


def test_where_whole_slices_were_annotated_these_are_finished(a_folder):
    labels = np.full(GRID.shape, 255, np.uint8)
    labels[[1, 2, 4]] = 0
    labels[2, 1:3, 1:3], labels[4, 2, 2] = 1, 2
    write(a_folder / "scribbles/a.nii.gz", labels)
    plan = planned(a_folder, labels_folder="scribbles")
    project = Project.create(a_folder.parent / "project", label_set=plan.label_set)
    write_import(project, plan, who="ann")
    case = project.case("a")
    for name in ("liver", "spleen"):
        assert case.annotation(name).regions == (Region(RegionKind.SLICES, ((1, 2), (4, 4))),)
    np.testing.assert_array_equal(case.known(project.label_set), [labels != 255] * 2)
    assert not (case.folder / "regions").exists()


def test_a_stroke_beside_whole_slices_makes_all_of_it_strokes(a_folder):
    labels = scribbles()
    labels[2] = 0
    write(a_folder / "scribbles/a.nii.gz", labels)
    plan = planned(a_folder, labels_folder="scribbles")
    (region,) = plan.cases[0].said["liver"].regions
    assert region.kind is RegionKind.STROKES


def test_nnunets_ignore_label_means_not_annotated(a_folder):
    labels = {"background": 0, "liver": 1, "spleen": 2, "ignore": 3}
    (a_folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    strokes = scribbles()
    write(a_folder / "labels/a.nii.gz", np.where(strokes == 255, 3, strokes).astype(np.uint8))
    project = imported(a_folder)
    assert project.label_set.names == ("liver", "spleen")
    assert states(project, "a") == {"liver": "partial", "spleen": "partial"}
    assert states(project, "b") == {"liver": "complete", "spleen": "absent"}


def test_a_named_value_cannot_mean_not_annotated(a_folder):
    with pytest.raises(ProjectError, match="value 2 is 'spleen'"):
        planned(a_folder, not_annotated=2)


# --- annotations left out on purpose ---


def kept(plan: ImportPlan) -> dict[str, tuple[str, ...]]:
    return {case.id: tuple(case.said) for case in plan.cases}


def test_annotations_are_kept_with_the_given_probability_and_the_same_ones_again(many_cases):
    first, again, other = (planned(many_cases, keep_annotated=0.3, seed=seed, holdout=3) for seed in (1, 1, 2))
    assert kept(first) == kept(again) != kept(other)
    train = [case for case in first.cases if case.split == "train"]
    assert len(train) == 9
    number = sum(len(case.said) for case in train)
    assert number + first.dropped == 36
    assert 3 <= number <= 19  # 36 draws at 0.3: mean 10.8, three deviations 8.2


def test_the_hold_out_is_chosen_before_and_keeps_everything(many_cases):
    whole, thinned = planned(many_cases, holdout=3), planned(many_cases, holdout=3, keep_annotated=0.1)
    held = [case.id for case in whole.cases if case.split == "holdout"]
    assert held == [case.id for case in thinned.cases if case.split == "holdout"]
    assert len(held) == 3
    assert all(len(case.said) == 4 for case in thinned.cases if case.split == "holdout")


def test_dropped_annotations_leave_no_voxel_and_an_unknown_state(many_cases):
    project = imported(many_cases, keep_annotated=0.3, holdout=0)
    for case in project.cases.values():
        layers = case.labels(project.label_set)
        for channel, name in enumerate(project.label_set.names):
            assert label_mask(layers, project.label_set, channel).any() == case.annotation(name).annotated
    bare = [case for case in project.cases.values() if not case.annotated]
    assert bare
    assert all(case.labels_file is None for case in bare)


def test_a_hold_out_by_name_is_taken_literally(many_cases):
    plan = planned(many_cases, holdout=("case_02", "case_07"))
    assert [case.id for case in plan.cases if case.split == "holdout"] == ["case_02", "case_07"]


def test_a_hold_out_that_has_no_annotation_is_refused(a_folder):
    with pytest.raises(ProjectError, match="'c' is not one of the annotated cases to import: a, b"):
        planned(a_folder, holdout=("c",))


def test_the_hold_out_of_a_project_that_has_cases_stays_as_it_is(many_cases, a_folder):
    project = imported(many_cases)
    held = [case.id for case in project.holdout_cases()]
    assert len(held) == 2
    plan = planned(a_folder, label_set=project.label_set, cases=list(project.cases.values()))
    write_import(project, plan, who="ann")
    assert [case.id for case in project.holdout_cases()] == held


# --- real volumes ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "labels_folder", "cases"), [("abdomen_mr", "labels", 12), ("cardiac_mr", "scribbles", 20)]
)
def test_real_folders_can_be_planned_as_they_are(real_data, name, labels_folder, cases):
    plan = planned(real_data / name, labels_folder=labels_folder)
    assert len(plan.importable) == cases
    assert all(case.modality == "MR" for case in plan.cases)
    expected = State.PARTIAL if labels_folder == "scribbles" else State.COMPLETE
    assert {said.state for case in plan.cases for said in case.said.values()} == {expected}
