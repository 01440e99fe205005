"""The verb adjacency, from the outside: the matrix, the rules, the picture, and what is said about mistakes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from SemiSupSegLib.cli.main import main
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

pytestmark = pytest.mark.e2e

ORGANS = ("liver", "left kidney", "spleen", "tumour")
COMPLETE = Annotation(State.COMPLETE)


@pytest.fixture
def run(capsys):
    """Runs a command line in this process: (exit code, standard output, standard error)."""

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


def a_project(folder: Path, names, layers: np.ndarray) -> Path:
    project = Project.create(folder, label_set=LabelSet.from_names(names))
    grid = Grid((layers.shape[3], layers.shape[2], layers.shape[1]), (1.0, 1.0, 1.0))
    image = image_from_kji(np.zeros(layers.shape[1:], np.int16), grid)
    said = {name: COMPLETE for n, name in enumerate(names, start=1) if (layers == n).any()}
    project.add_case("c1", image, labels=layers, annotations=said, modality="CT", who="ann")
    return folder


@pytest.fixture
def study(tmp_path) -> Path:
    """One case: liver and left kidney touch in 9 pairs of voxels, the spleen touches nothing; no tumour anywhere."""
    layers = np.zeros((1, 6, 5, 7), np.uint8)
    layers[0, 1:5, :, :2], layers[0, 2, 2, 2], layers[0, 1:5, :, 5:] = 1, 2, 3
    return a_project(tmp_path / "study", ORGANS, layers)


@pytest.fixture
def atlas(tmp_path) -> Path:
    """140 labels in one row: each touches the next one."""
    layers = np.arange(1, 141, dtype=np.uint8).reshape(1, 1, 1, 140)
    return a_project(tmp_path / "atlas", [f"region {n} of the left cortex" for n in range(140)], layers)


def forbidden(run, folder: Path) -> list[list[str]]:
    return json.loads(run("adjacency", folder, "--json")[1])["forbidden"]


def test_the_matrix_shows_each_pair_once_with_its_contacts(run, study):
    code, out, err = run("adjacency", study)
    assert (code, err) == (0, "")
    rows = {line.split("  ")[0]: line.split() for line in out.splitlines()}
    assert rows["left kidney"][-1] == "9"
    assert rows["spleen"][-2:] == ["never", "never"]
    assert rows["tumour"][-4:] == ["?", "?", "?", "?"]
    assert "counted from 1 annotated case; reach 1" in out
    assert out.splitlines()[-1] == "2 pairs of labels must not touch"


def test_rules_change_the_graph_and_are_taken_back_by_their_opposite(run, study):
    assert forbidden(run, study) == [["liver", "spleen"], ["left kidney", "spleen"]]
    code, out, _ = run("adjacency", study, "--allow", "spleen", "Left_Kidney", "--forbid", "liver", "tumour")
    assert code == 0
    assert out.splitlines() == ["rule: left kidney and spleen may touch", "rule: liver and tumour must not touch"]
    assert forbidden(run, study) == [["liver", "spleen"], ["liver", "tumour"]]
    code, out, _ = run("adjacency", study, "--allow", "liver", "tumour", "--show")
    assert "allowed *" in out
    assert forbidden(run, study) == [["liver", "spleen"]]
    assert run("adjacency", study, "--reset")[1].startswith("rules: none")
    assert len(forbidden(run, study)) == 2
    assert "reach 2" in run("adjacency", study, "--reach", "2", "--show")[1]
    said = [json.loads(line) for line in (study / "journal.jsonl").read_text().splitlines()]
    assert [entry["action"] for entry in said] == ["add", *["adjacency"] * 4]


def test_a_rule_that_the_cases_contradict_is_noted(run, study):
    code, _, err = run("adjacency", study, "--forbid", "liver", "left kidney")
    assert code == 0
    assert err == "note: liver and left kidney touch in the annotated cases (9 contacts): the rule contradicts them\n"


def test_the_project_may_be_the_current_folder(run, study, monkeypatch):
    monkeypatch.chdir(study)
    assert run("adjacency", "--forbid", "liver", "tumour")[0] == 0
    assert ["liver", "tumour"] in forbidden(run, study)


def test_many_labels_are_summed_up(run, atlas):
    code, out, _ = run("adjacency", atlas, "--forbid", "region 0 of the left cortex", "background", "--show")
    assert code == 0
    assert max(map(len, out.splitlines())) < 120
    assert len(out.splitlines()) < 40
    assert f"{139}  touch in the annotated cases" in out
    assert f"{140 * 139 // 2 - 139}  never do: forbidden" in out
    assert "touching with fewest contacts" in out
    assert out.splitlines()[-1] == f"{140 * 139 // 2 - 139 + 1} pairs of labels must not touch"


def pixels_of(path: Path) -> tuple[int, int]:
    from matplotlib.image import imread

    assert path.read_bytes().startswith(b"\x89PNG")
    height, width = imread(path).shape[:2]
    return width, height


def test_the_picture_has_room_for_every_name(run, study, atlas, tmp_path):
    for folder, fewest in ((study, 600), (atlas, 140 * 18)):
        file = tmp_path / f"{folder.name}.png"
        code, out, _ = run("adjacency", folder, "--picture", file)
        assert code == 0
        assert out == f"the matrix of {folder.name} is in {file}\n"
        assert min(pixels_of(file)) >= fewest
        assert max(pixels_of(file)) < 6000


@pytest.mark.robustness
@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--forbid", "liver", "splen"], 1, "no label 'splen' in this project: did you mean 'spleen'?"),
        (["--allow", "lung", "liver"], 1, "no label 'lung' in this project"),
        (["--allow", "liver", "liver"], 1, "liver always touches itself"),
        (["--picture", "nowhere/matrix.png"], 1, "could not be written"),
        (["--picture", "matrix.gif"], 2, "ends in .png"),
        (["--allow", "liver"], 2, "--allow"),
        (["--reach", "3"], 2, "--reach"),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_nothing(run, study, words, code, sentence):
    found, out, err = run("adjacency", study, *words)
    assert (found, out) == (code, "")
    assert sentence in err.splitlines()[-1]
    assert len(err.splitlines()) == code
    assert not (study / "adjacency.json").exists()


@pytest.mark.robustness
def test_a_damaged_file_is_said_and_reset_puts_it_right(run, study):
    (study / "adjacency.json").write_text("{")
    for verb in ("adjacency", "review"):
        code, _, err = run(verb, study)
        assert code == 1
        assert "adjacency.json of project study cannot be read" in err
    assert run("adjacency", study, "--reset")[0] == 0
    assert run("review", study)[0] == 0


@pytest.mark.robustness
def test_a_case_that_cannot_be_read_is_left_out_and_named(run, study):
    case = Project.open(study).case("c1")
    (case.folder / case.labels_file).write_bytes(b"not a label file")
    code, out, err = run("adjacency", study)
    assert code == 0
    assert err.startswith("left out c1: ")
    assert "no annotated case to count from" in out


def test_a_project_without_labels_or_cases_is_no_mistake(run, tmp_path):
    run("init", tmp_path / "empty")
    assert run("adjacency", tmp_path / "empty")[1] == "project empty has no labels yet\n"
    run("init", tmp_path / "new", "--labels", "liver,spleen")
    code, out, _ = run("adjacency", tmp_path / "new", "--picture", tmp_path / "new.png", "--show")
    assert code == 0
    assert "no annotated case to count from" in out
    assert "0 pairs of labels must not touch" in out


def test_pictures_without_matplotlib_say_what_to_install(run, study, tmp_path, monkeypatch):
    for name in ("matplotlib", "matplotlib.colors", "matplotlib.figure", "matplotlib.patches"):
        monkeypatch.setitem(sys.modules, name, None)
    code, _, err = run("adjacency", study, "--picture", tmp_path / "m.png")
    assert code == 1
    assert "pip install matplotlib" in err
