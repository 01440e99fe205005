"""Comparing proposals with references: by name, per case and label, missing values left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from SemiSupSegLib.cli.main import main
from SemiSupSegLib.engine.evaluate import ALL_LABELS, GROUPS, evaluate_folders, evaluate_project, reference_on_grid
from SemiSupSegLib.errors import RunError, SemiSupSegError
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.images import write_volume
from SemiSupSegLib.project.labelmaps import write_labels
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

GRID = Grid((4, 5, 6), (1.0, 2.0, 3.0))
ORGANS = LabelSet.from_names(["liver", "left kidney"])


def a_map(**blocks: slice) -> np.ndarray:
    """(k, j, i) uint8: value 1 in the k range of ``liver``, 2 in that of ``kidney``."""
    labels = np.zeros(GRID.shape, np.uint8)
    for value, name in enumerate(("liver", "kidney"), start=1):
        labels[blocks.get(name, slice(0, 0))] = value
    return labels


def write_map(labels: np.ndarray, path: Path, grid: Grid = GRID) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(image_from_kji(labels, grid), path)


def a_prediction_of(project: Project, case_id: str, labels: np.ndarray) -> None:
    folder = project.predictions_folder / case_id
    folder.mkdir(parents=True)
    write_labels(folder / "labels.seg.nrrd", labels[None], project.label_set, GRID)
    said = dict.fromkeys(("model", "run", "checkpoint", "date"), "x") | {"format": 1, "passes": 0, "threshold": 0.5}
    (folder / "prediction.json").write_text(json.dumps(said | {"labels": {n: {} for n in project.label_set.names}}))


@pytest.fixture
def a_reference(tmp_path) -> Path:
    """Values 7 and 3 for the two organs, named by dataset.json; case b has no kidney."""
    folder = tmp_path / "reference"
    for case_id, labels in (("a", a_map(liver=slice(0, 2), kidney=slice(4, 5))), ("b", a_map(liver=slice(0, 2)))):
        write_map(np.choose(labels, [0, 7, 3]).astype(np.uint8), folder / "labels" / f"{case_id}.nii.gz")
    (folder / "dataset.json").write_text('{"labels": {"3": "Left_Kidney", "7": "liver"}}')
    return folder


@pytest.fixture
def a_project(tmp_path) -> Project:
    """Case a is for training with its liver annotated, b is held out, c has no reference, d nothing at all."""
    project = Project.create(tmp_path / "study", label_set=ORGANS)
    image = image_from_kji(np.zeros(GRID.shape, np.float32), GRID)
    said = {"liver": Annotation(State.COMPLETE)}
    for case_id, split in (("a", "train"), ("b", "holdout"), ("c", "train")):
        labels = a_map(liver=slice(0, 2))[None]
        project.add_case(
            case_id, image, labels=labels, annotations=said, modality="MR", split=split, who="tester"
        )  # fmt: skip
        a_prediction_of(
            project, case_id, a_map(liver=slice(0, 1), kidney=slice(4, 5) if case_id == "a" else slice(0, 0))
        )
    project.add_case("d", image, labels=None, annotations={}, modality="MR", who="tester")
    return project


@pytest.mark.unit
def test_labels_are_matched_by_name_whatever_their_values(a_project, a_reference):
    found = evaluate_project(a_project, a_reference)
    rows = {(r.case, r.label): r for r in found.rows}
    assert set(rows) == {("a", "liver"), ("a", "left kidney"), ("b", "liver"), ("b", "left kidney")}
    assert rows["a", "liver"].scores.dice == pytest.approx(2 / 3)  # one slice of two
    assert rows["a", "liver"].scores.jaccard == pytest.approx(1 / 2)
    assert rows["a", "left kidney"].scores.dice == 1
    assert rows["a", "liver"].scores.hd95_mm == pytest.approx(3)  # slices are 3 mm apart
    assert not found.matched_by_number
    assert found.skipped == {}


@pytest.mark.unit
def test_rows_are_grouped_by_what_the_case_was_for_the_label(a_project, a_reference):
    groups = {(r.case, r.label): r.group for r in evaluate_project(a_project, a_reference).rows}
    assert groups["a", "liver"] == GROUPS[1]
    assert groups["a", "left kidney"] == GROUPS[2]
    assert groups["b", "liver"] == groups["b", "left kidney"] == GROUPS[0]


@pytest.mark.unit
def test_what_does_not_exist_is_left_out_of_the_means_and_null_in_json(a_project, a_reference):
    found = evaluate_project(a_project, a_reference)
    (kidney,) = (s for s in found.summary() if (s.group, s.label, s.metric) == (GROUPS[0], "left kidney", "dice"))
    assert kidney.count == 0  # nothing there and nothing proposed
    (overall,) = (s for s in found.summary() if (s.group, s.label, s.metric) == (GROUPS[0], ALL_LABELS, "dice"))
    assert (overall.mean, overall.count) == (pytest.approx(2 / 3), 1)
    said = json.loads(json.dumps(found.to_json(), allow_nan=False))
    (row,) = (r for r in said["rows"] if (r["case"], r["label"]) == ("b", "left kidney"))
    assert row["dice"] is None
    assert set(said["definitions"]) == {"dice", "jaccard", "hd95_mm", "assd_mm"}


@pytest.mark.unit
def test_a_reference_without_names_is_matched_by_number_and_says_so(a_project, tmp_path):
    write_map(a_map(liver=slice(0, 1), kidney=slice(4, 5)), tmp_path / "plain" / "a.nii.gz")
    found = evaluate_project(a_project, tmp_path / "plain")
    assert found.matched_by_number
    assert {r.label: r.scores.dice for r in found.rows} == {"liver": 1, "left kidney": 1}


@pytest.mark.unit
def test_segments_are_matched_by_their_names(a_project, tmp_path):
    (tmp_path / "segments").mkdir()
    other_order = LabelSet.from_names(["LEFT KIDNEY", "spleen"])
    write_labels(tmp_path / "segments" / "a.seg.nrrd", a_map(liver=slice(4, 5))[None], other_order, GRID)
    found = evaluate_project(a_project, tmp_path / "segments")
    assert [(r.label, r.scores.dice) for r in found.rows] == [("left kidney", 1)]  # no word about the liver


@pytest.mark.unit
def test_voxels_that_nobody_annotated_do_not_count(a_project, tmp_path):
    labels = a_map(liver=slice(0, 1))
    labels[3:] = 255
    write_map(labels, tmp_path / "scribbles" / "a.nii.gz")
    (tmp_path / "scribbles" / "dataset.json").write_text('{"labels": {"liver": 1, "left kidney": 2, "ignore": 255}}')
    scores = {r.label: r.scores for r in evaluate_project(a_project, tmp_path / "scribbles").rows}
    assert scores["liver"].dice == 1
    assert np.isnan(scores["left kidney"].dice)  # proposed only where nobody knows


@pytest.mark.robustness
def test_g11_a_reference_on_another_grid_is_skipped_with_a_sentence(a_project, a_reference):
    write_map(np.zeros((6, 5, 3), np.uint8), a_reference / "labels" / "b.nii.gz", Grid((3, 5, 6), (1.0, 2.0, 3.0)))
    found = evaluate_project(a_project, a_reference)
    assert {r.case for r in found.rows} == {"a"}
    assert "size" in found.skipped["b"]


@pytest.mark.robustness
def test_nothing_to_compare_is_an_error(a_project, tmp_path):
    write_map(a_map(), tmp_path / "others" / "x.nii.gz")
    with pytest.raises(RunError, match="nothing to compare"):
        evaluate_project(a_project, tmp_path / "others")
    with pytest.raises(SemiSupSegError, match="not a folder"):
        evaluate_project(a_project, tmp_path / "nowhere")
    empty = Project.create(tmp_path / "empty", label_set=ORGANS)
    with pytest.raises(RunError, match="predict"):
        evaluate_project(empty, tmp_path / "others")


@pytest.mark.unit
def test_two_folders_are_compared_by_the_names_that_either_has(tmp_path, a_reference):
    ours = tmp_path / "ours"
    write_map(a_map(liver=slice(0, 1), kidney=slice(4, 5)), ours / "a.nii.gz")
    (ours / "labels.json").write_text('{"labels": {"1": "liver", "2": "left kidney"}}')
    found = evaluate_folders(ours, a_reference)
    assert not found.matched_by_number
    assert {r.label: r.scores.dice for r in found.rows} == {"liver": pytest.approx(2 / 3), "left kidney": 1}


@pytest.mark.unit
def test_two_folders_without_names_are_compared_by_number(tmp_path):
    write_map(a_map(liver=slice(0, 1)), tmp_path / "ours" / "a.nii.gz")
    write_map(a_map(liver=slice(0, 1), kidney=slice(4, 5)), tmp_path / "theirs" / "a.nii.gz")
    found = evaluate_folders(tmp_path / "ours", tmp_path / "theirs")
    assert found.matched_by_number
    assert {r.label: r.scores.dice for r in found.rows} == {"value 1": 1, "value 2": 0}


@pytest.mark.unit
def test_a_reference_comes_to_the_training_grid(a_reference):
    """RAS+: i runs to the left and j to the back in this image, so both are flipped; slices stay in order."""
    grid = Grid((4, 5, 3), (1.0, 2.0, 6.0), (3.0, 8.0, 1.5), (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
    found = reference_on_grid(a_reference, "a", ORGANS, grid)
    assert found.shape == (2, 4, 5, 3)
    assert found[0, 0, 0].tolist() == [True, False, False]


@pytest.mark.e2e
def test_the_verb_prints_a_table_with_its_definitions(a_project, a_reference, capsys):
    assert main(["evaluate", str(a_project.root), "--reference", str(a_reference), "--cases"]) == 0
    out = capsys.readouterr().out
    assert "holdout" in out
    assert "95th percentile" in out
    assert "0.667" in out


@pytest.mark.e2e
def test_the_verb_speaks_json_and_compares_folders(a_project, a_reference, capsys):
    assert main(["evaluate", str(a_project.root), "--reference", str(a_reference), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["matched_by"] == "name"
    folders = ["--predictions", str(a_reference), "--reference", str(a_reference), "--json"]
    assert main(["evaluate", *folders]) == 0
    said = json.loads(capsys.readouterr().out)
    assert all(r["dice"] in (1, None) for r in said["rows"])


@pytest.mark.e2e
def test_mistakes_are_one_sentence(a_project, tmp_path, capsys):
    assert main(["evaluate", str(a_project.root), "--reference", str(tmp_path / "nowhere")]) == 1
    error = capsys.readouterr().err
    assert "not a folder" in error
    assert "Traceback" not in error
