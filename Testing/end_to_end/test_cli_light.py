"""The verbs that need no network, from the outside: what is printed, what is written, which exit code."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from SemiSupSegLib.cli import projects
from SemiSupSegLib.cli.main import VERB_MODULES, main
from SemiSupSegLib.cli.output import Progress, duration, table
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.images import write_unit_interval, write_volume
from SemiSupSegLib.project.labelmaps import write_labels
from SemiSupSegLib.project.project import Project

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).parents[2]
GRID = Grid((6, 5, 8), (1.0, 1.5, 2.0))
ORGANS = {"1": "liver", "2": "left kidney", "3": "spleen"}


class Said:
    """What one command line did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(capsys):
    """Runs a command line in this process."""

    def call(*words: object) -> Said:
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Said(code, out, err)

    return call


def write(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(image_from_kji(values, GRID), path)


@pytest.fixture(scope="module")
def twelve_scans(tmp_path_factory) -> Path:
    """Twelve cases: eleven with all organs, `p03` without a spleen; `p12` has no label file."""
    folder = tmp_path_factory.mktemp("twelve")
    labels = np.zeros(GRID.shape, np.uint8)
    labels[1:3], labels[4], labels[6] = 1, 2, 3
    for number in range(1, 13):
        values = np.random.default_rng(number).integers(0, 300, GRID.shape).astype(np.int16)
        write(folder / f"images/p{number:02d}.nii.gz", values)
        if number < 12:
            write(folder / f"labels/p{number:02d}.nii.gz", labels * (labels != 3) if number == 3 else labels)
    (folder / "dataset.json").write_text(json.dumps({"labels": ORGANS, "modality": "MR"}))
    return folder


@pytest.fixture
def scans(tmp_path: Path, twelve_scans: Path) -> Path:
    """A copy of the twelve cases."""
    return Path(shutil.copytree(twelve_scans, tmp_path / "scans"))


@pytest.fixture(scope="module")
def imported_study(tmp_path_factory, twelve_scans: Path) -> Path:
    """A project with all twelve, two cases held out."""
    study = tmp_path_factory.mktemp("imported") / "study"
    assert main(["import", str(study), str(twelve_scans), "--holdout", "p05,p11", "--yes", "--who", "ann"]) == 0
    return study


@pytest.fixture
def study(tmp_path: Path, imported_study: Path, capsys) -> Path:
    """A copy of the project."""
    capsys.readouterr()
    return Path(shutil.copytree(imported_study, tmp_path / "study"))


def status_of(run, study: Path) -> dict:
    return json.loads(run("status", study, "--json").out)


def states(run, study: Path, case_id: str) -> dict[str, str]:
    return next(case["states"] for case in status_of(run, study)["cases"] if case["id"] == case_id)


# --- the frame ---


def test_help_lists_every_verb_with_its_summary(run):
    said = run("--help")
    assert said.code == 0
    assert [line.split()[0] for line in said.out.splitlines() if line.startswith("  ")] == list(VERB_MODULES)


@pytest.mark.parametrize("name", VERB_MODULES)
def test_every_verb_has_help_with_examples(run, name):
    said = run(name, "--help")
    assert said.code == 0
    assert "examples:" in said.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "usage"),
        (["statsu"], "did you mean 'status'?"),
        (["status", "--jsn"], "--jsn"),
        (["annotate", "p", "c", "liver"], "--state"),
        (["annotate", "p", "c", "liver", "--state", "done"], "invalid choice"),
        (["annotate", "p", "c", "liver", "--state", "partial", "--slices", "7:3"], "FIRST <= LAST"),
        (["annotate", "p", "c", "liver", "--state", "partial", "--box", "1:2,3:4"], "expected three"),
        (["import", "p", "f", "--keep-annotated", "1.5"], "from 0 to 1"),
        (["accept", "c"], "LABEL"),
        (["accept", "c", "l", "--confident", "0.2", "--slices", "1:2"], "not allowed with"),
        (["add", "p", "a.nii", "b.nii", "--id", "x"], "for one image"),
        (["init", "p", "--labels", "a,,b"], "empty name"),
    ],
)
def test_a_wrong_command_line_gives_code_2_and_says_why(run, words, expected):
    said = run(*words)
    assert said.code == 2
    assert expected in said.out + said.err
    assert len(said.err.splitlines()) <= 2


@pytest.mark.parametrize(
    "words",
    [
        ["status", "nothing"],
        ["review", "nothing"],
        ["undo", "nothing"],
        ["accept", "nothing", "case", "liver"],
        ["annotate", "nothing", "case", "liver", "--state", "absent"],
        ["add", "nothing", "a.nii.gz"],
        ["import", "nothing", "nowhere", "--yes"],
    ],
)
def test_a_users_mistake_gives_code_1_and_one_sentence(run, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    said = run(*words)
    assert said.code == 1
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith(f"semisupseg {words[0]}: ")
    assert list(tmp_path.iterdir()) == []


def test_a_bug_keeps_its_traceback(monkeypatch, tmp_path):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(projects.Project, "create", broken)
    with pytest.raises(ZeroDivisionError):
        main(["init", str(tmp_path / "p")])


def test_an_interrupt_is_quiet_and_has_a_code_of_its_own(monkeypatch, tmp_path, run):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(projects.Project, "create", interrupted)
    said = run("init", tmp_path / "p")
    assert (said.code, said.out, said.err) == (130, "", "")


def test_a_reader_that_has_seen_enough_ends_the_program_quietly(study):
    program = [sys.executable, "-m", "SemiSupSegLib", "status", str(study)]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stream:
        done = subprocess.run(program, cwd=REPOSITORY, stdout=stream, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_symbols_survive_an_ascii_terminal(study):
    program = [sys.executable, "-m", "SemiSupSegLib", "status", str(study)]
    environment = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(program, cwd=REPOSITORY, env=environment, capture_output=True, timeout=60, check=False)
    assert "✓" in done.stdout.decode("utf-8")


# --- init and import ---


def test_init_makes_a_project_and_a_second_one_is_refused(run, tmp_path):
    said = run("init", tmp_path / "p", "--labels", "liver,tumour", "--overlap", "liver,tumour")
    assert said.code == 0
    assert Project.open(tmp_path / "p").label_set.overlaps == {frozenset({"liver", "tumour"})}
    again = run("init", tmp_path / "p")
    assert again.code == 1
    assert "is a project already" in again.err


def test_the_preview_shows_each_case_and_nothing_is_written_without_a_yes(run, tmp_path, scans, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    said = run("import", tmp_path / "study", scans, "--holdout", "2")
    assert said.code == 1
    assert "--yes" in said.err
    assert "6×5×8" in said.out
    assert "1×1.5×2" in said.out
    assert "✓2 ∅1" in next(line for line in said.out.splitlines() if line.startswith("p03"))
    assert "no label file" in next(line for line in said.out.splitlines() if line.startswith("p12"))
    assert sum(line.endswith("holdout") for line in said.out.splitlines()) == 2
    assert "? is ignored in training, never counted as background." in said.out
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_import_asks_on_a_terminal(run, tmp_path, scans, monkeypatch, answer, code):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert run("import", tmp_path / "study", scans).code == code
    assert (tmp_path / "study").exists() == (code == 0)


def test_import_makes_a_project_that_status_describes(run, study):
    told = status_of(run, study)
    assert [label["name"] for label in told["labels"]] == list(ORGANS.values())
    assert told["holdout"] == ["p05", "p11"]
    assert (len(told["cases"]), told["labelled"]) == (12, 11)
    assert states(run, study, "p03") == {"liver": "complete", "left kidney": "complete", "spleen": "absent"}
    assert set(states(run, study, "p12").values()) == {"unknown"}
    assert f"semisupseg train {study}" in told["next"]
    assert told["journal_broken_at"] is None


def test_annotations_are_kept_with_a_probability_but_never_dropped_in_the_hold_out(run, tmp_path, scans):
    words = ("--keep-annotated", 0.3, "--seed", 1, "--holdout", 3, "--yes")
    said = [run("import", tmp_path / name, scans, *words) for name in ("one", "two")]
    assert "dropped on purpose" in said[0].out
    one, two = (status_of(run, tmp_path / name) for name in ("one", "two"))
    assert [case["states"] for case in one["cases"]] == [case["states"] for case in two["cases"]]
    unknown = {c["id"]: sum(s == "unknown" for s in c["states"].values()) for c in one["cases"]}
    assert all(unknown[case_id] == 0 for case_id in one["holdout"])
    dropped = sum(unknown[c] for c in unknown if c not in (*one["holdout"], "p12"))
    assert 9 <= dropped <= 24  # 24 draws at 0.7


def test_importing_again_skips_what_is_there_and_says_so(run, study, scans):
    before = {path: path.read_bytes() for path in (study / "cases").rglob("*") if path.is_file()}
    write(scans / "images/p13.nii.gz", np.zeros(GRID.shape, np.int16) + np.arange(6, dtype=np.int16))
    said = run("import", study, scans, "--yes")
    assert said.code == 0
    assert "imported 1 of 13 cases; 12 left out" in said.out
    assert "case p01 is in the project already; it was not touched" in said.out
    assert all(path.read_bytes() == content for path, content in before.items())
    again = run("import", study, scans, "--yes")
    assert again.code == 1
    assert "none of the 13 cases" in again.err


@pytest.mark.robustness
def test_g09_bad_files_are_left_out_one_by_one_and_the_others_go_on(run, tmp_path, scans):
    content = (scans / "images/p01.nii.gz").read_bytes()
    (scans / "images/p01.nii.gz").write_bytes(content[:-40])
    (scans / "images/p02.nii.gz").write_bytes(b"")
    (scans / "labels/p04.nii.gz").write_bytes(gzip.compress(b"nonsense" * 100))
    labels = np.full(GRID.shape, 8, np.uint8)
    write(scans / "labels/p06.nii.gz", labels)
    said = run("import", tmp_path / "study", scans, "--yes")
    assert said.code == 0
    assert "imported 8 of 12 cases; 4 left out" in said.out
    left = {line.split()[2].rstrip(":"): line for line in said.out.splitlines() if line.startswith("left out")}
    assert sorted(left) == ["p01", "p02", "p04", "p06"]
    assert "8" in left["p06"]
    assert [case["id"] for case in status_of(run, tmp_path / "study")["cases"]] == [
        "p03", "p05", "p07", "p08", "p09", "p10", "p11", "p12",
    ]  # fmt: skip


def test_a_dataset_json_that_cannot_be_read_stops_before_anything_is_written(run, tmp_path, scans):
    (scans / "dataset.json").write_text("{")
    said = run("import", tmp_path / "study", scans, "--yes")
    assert said.code == 1
    assert "dataset.json" in said.err
    assert not (tmp_path / "study").exists()


# --- add, annotate, hold-out ---


@pytest.mark.robustness
@pytest.mark.parametrize("content", [b"", b"\x1f\x8b this is no volume"])
def test_add_says_why_when_nothing_could_be_added(run, study, tmp_path, content):
    (tmp_path / "scan.nii.gz").write_bytes(content)
    said = run("add", study, tmp_path / "scan.nii.gz")
    assert said.code == 1
    assert "nothing was imported: scan: " in said.err
    assert "scan" not in {case["id"] for case in status_of(run, study)["cases"]}


def test_add_takes_images_with_and_without_labels(run, study, tmp_path):
    write(tmp_path / "new/x.nii.gz", np.arange(240, dtype=np.int16).reshape(GRID.shape))
    write(tmp_path / "new/y.nii.gz", np.arange(240, dtype=np.int16).reshape(GRID.shape))
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2] = 5
    write(tmp_path / "new/labels/x.nii.gz", labels)
    (tmp_path / "new/dataset.json").write_text(json.dumps({"labels": {"Left_Kidney": 5}}))
    new = tmp_path / "new"
    assert run("add", study, new / "x.nii.gz", "--labels", new / "labels/x.nii.gz", "--id", "p 20").code == 0
    assert run("add", study, new / "y.nii.gz").code == 0
    assert states(run, study, "p_20") == {"liver": "unknown", "left kidney": "complete", "spleen": "unknown"}
    assert set(states(run, study, "y").values()) == {"unknown"}
    again = run("add", study, tmp_path / "new/y.nii.gz")
    assert again.code == 1
    assert "in the project already" in again.out


def test_annotate_changes_the_state_and_undo_takes_it_back(run, study):
    before = (study / "cases/p12/case.json").read_bytes()
    assert run("annotate", study, "p12", "spleen", "--state", "absent", "--who", "ann").code == 0
    assert states(run, study, "p12")["spleen"] == "absent"
    said = run("undo", study)
    assert said.code == 0
    assert "took back: annotate of spleen in case p12" in said.out
    assert (study / "cases/p12/case.json").read_bytes() == before
    assert "nothing to undo" in run("undo", study).err


def test_annotate_takes_slices_boxes_strokes_and_voxels(run, study, tmp_path):
    mask = np.zeros(GRID.shape, np.uint8)
    mask[7] = 1
    write(tmp_path / "mask.nii.gz", mask)
    words = ("--slices", "2:3", "--slices", "5", "--box", "6:6,0:4,0:2", "--strokes", tmp_path / "mask.nii.gz")
    said = run("annotate", study, "p12", "liver", "--state", "partial", *words, "--from", tmp_path / "mask.nii.gz")
    assert said.code == 0, said.err
    project = Project.open(study)
    case = project.case("p12")
    known = case.known_of("liver", case.labels(project.label_set), project.label_set)
    assert known.any(axis=(1, 2)).tolist() == [False, False, True, True, False, True, True, True]
    assert np.array_equal(case.labels(project.label_set)[0] == 1, mask == 1)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["p01", "liver", "--state", "absent"], "liver cannot be absent while 60 voxels carry it"),
        (["p01", "lung", "--state", "absent"], "it has liver, left kidney, spleen"),
        (["p99", "liver", "--state", "absent"], "did you mean p"),
        (["p12", "liver", "--state", "partial"], "what is finished"),
        (["p12", "liver", "--state", "partial", "--slices", "3:20"], "within 0:7"),
        (["p12", "liver", "--state", "complete", "--from", "nothing.nii.gz"], "does not exist"),
    ],
)
def test_annotate_refuses_in_one_sentence_what_makes_no_sense(run, study, words, expected):
    before = (study / "journal.jsonl").read_bytes()
    said = run("annotate", study, *words)
    assert said.code == 1
    assert expected in said.err
    assert len(said.err.splitlines()) == 1
    assert (study / "journal.jsonl").read_bytes() == before


def test_complete_without_a_voxel_is_noted(run, study):
    said = run("annotate", study, "p12", "liver", "--state", "complete")
    assert said.code == 0
    assert "--state absent" in said.err


def test_ignore_alone_needs_no_label(run, study, tmp_path):
    mask = np.zeros(GRID.shape, np.uint8)
    mask[0] = 1
    write(tmp_path / "artefact.nii.gz", mask)
    assert run("annotate", study, "p01", "--ignore", tmp_path / "artefact.nii.gz").code == 0
    project = Project.open(study)
    assert not project.case("p01").known(project.label_set)[:, 0].any()


def test_the_hold_out_can_be_chosen_and_is_shown(run, study):
    assert run("holdout", study, "p01,p02,p03").code == 0
    assert status_of(run, study)["holdout"] == ["p01", "p02", "p03"]
    assert run("holdout", study, "0").code == 0
    assert "none: nothing tells" in run("status", study).out


# --- status and review ---


def test_status_shows_a_symbol_per_case_and_label(run, study):
    lines = run("status", study).out.splitlines()
    assert next(line for line in lines if line.startswith("p03")).split() == ["p03", "✓", "✓", "∅"]
    assert next(line for line in lines if line.startswith("p05")).split() == ["p05", "✓", "✓", "✓", "hold-out"]
    assert next(line for line in lines if line.startswith("p12")).split() == ["p12", "?", "?", "?"]
    assert any("11 of 12 labelled" in line for line in lines)
    assert lines[-1].startswith("next: semisupseg train")


def test_status_of_an_empty_project_names_the_first_step(run, tmp_path):
    run("init", tmp_path / "p")
    assert f"next: semisupseg import {tmp_path / 'p'} FOLDER" in run("status", tmp_path / "p").out


def test_status_tells_that_the_journal_was_edited(run, study):
    journal = study / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"who":"ann"', '"who":"bob"', 1))
    assert "line 1 was edited" in run("status", study).out


def predict(study: Path, case_id: str) -> None:
    """What the engine writes for the liver of one case: slices 2 to 4, unsure in slice 4."""
    project = Project.open(study)
    folder = study / "predictions" / case_id
    folder.mkdir(parents=True)
    labels = np.zeros((1, *GRID.shape), np.uint8)
    labels[0, 2:5] = 1
    uncertainty = np.zeros(GRID.shape)
    uncertainty[4] = 0.6
    write_labels(folder / "labels.seg.nrrd", labels, project.label_set, GRID)
    write_unit_interval(uncertainty, GRID, folder / "uncertainty_liver.nii.gz")
    liver = {
        "uncertainty": "uncertainty_liver.nii.gz", "voxels": 90, "volume_ml": 0.27, "confidence": 0.9, "parts": 1,
        "uncertainty_boundary": 0.31, "mutual_information_boundary": 0.05, "worst_slice": 4, "empty": False,
        "largest_part": 1.0, "slices": [0, 0, 0, 0, 0.6, 0, 0, 0],
    }  # fmt: skip
    head = {"format": 1, "model": "0001", "run": "r", "checkpoint": "last", "date": "2026-11-22T09:00:00+00:00"}
    rest = {"passes": 8, "threshold": 0.5, "labels": {"liver": liver}}
    (folder / "prediction.json").write_text(json.dumps({**head, **rest}))


def test_review_ranks_what_is_proposed_and_says_why(run, study):
    assert "nothing to review" in run("review", study).out
    predict(study, "p12")
    said = run("review", study)
    assert "unsure at the border (0.31)" in said.out
    assert f"semisupseg accept {study} p12 liver" in said.out
    (candidate,) = json.loads(run("review", study, "--json").out)["candidates"]
    expected = {"rank": 1, "case": "p12", "label": "liver", "worst_slice": 4}
    assert {key: candidate[key] for key in expected} == expected
    assert "?◆" in next(line for line in run("status", study).out.splitlines() if line.startswith("p12"))
    assert run("review", study, "--case", "p99").code == 1


def test_a_proposal_is_accepted_in_parts_and_taken_back(run, study, monkeypatch):
    predict(study, "p12")
    said = run("accept", study, "p12", "liver", "--confident", "0.2", "--who", "ann")
    assert "accepted 60 voxels: liver is partial in case p12" in said.out
    monkeypatch.chdir(study)
    assert run("accept", "p12", "liver", "--slices", "4:4").code == 0
    assert run("accept", "p12", "liver").code == 0
    assert states(run, study, "p12")["liver"] == "complete"
    assert "already" in run("accept", "p12", "liver").err
    for _ in range(3):
        assert run("undo").code == 0
    assert states(run, study, "p12")["liver"] == "unknown"


def test_options_may_stand_between_the_words_of_accept(run, study):
    predict(study, "p12")
    assert run("accept", study, "--confident", "0.2", "p12", "liver").code == 0
    assert states(run, study, "p12")["liver"] == "partial"


def test_a_rejected_or_flagged_proposal_says_so(run, study):
    predict(study, "p12")
    assert run("flag", study, "p12", "liver").code == 0
    assert json.loads(run("review", study, "--json").out)["candidates"][0]["decision"] == "flagged"
    assert run("reject", study, "p12", "liver").code == 0
    assert json.loads(run("review", study, "--json").out)["candidates"][0]["decision"] == "rejected"
    assert states(run, study, "p12")["liver"] == "unknown"
    assert run("accept", study, "p12", "spleen").code == 1


# --- what is printed ---


def test_columns_are_aligned_and_missing_values_are_dashes():
    lines = table([("a", 1, 0.5), ("long name", 20, None)], ("name", "n", "x")).splitlines()
    assert lines == ["name        n    x", "---------  --  ---", "a           1  0.5", "long name  20    –"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(8.2, "8 s"), (125, "2 min 05 s"), (4200, "1 h 10 min"), (59.7, "1 min 00 s")]
)
def test_durations_are_read_at_a_glance(seconds, words):
    assert duration(seconds) == words


def test_progress_is_silent_for_short_work_and_tells_what_is_left_of_long_work():
    short, long = io.StringIO(), io.StringIO()
    Progress("reading", stream=short)(1, 2)
    assert short.getvalue() == ""
    progress = Progress("reading", stream=long, quiet_seconds=0)
    progress(1, 4, "a")
    progress(4, 4, "d")
    assert "1 of 4, 0 s left  a" in long.getvalue()
    assert "4 of 4" in long.getvalue().splitlines()[-1]
