"""A project: made, opened, added to, locked."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from SemiSupSegLib.errors import ImageError, ProjectError
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import image_from_kji
from SemiSupSegLib.project.holdout import choose_holdout, set_holdout
from SemiSupSegLib.project.labels import Label, LabelSet
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.proposals import accept, reject
from SemiSupSegLib.project.transactions import commit, undo

COMPLETE = Annotation(State.COMPLETE)
ABSENT = Annotation(State.ABSENT)
REPOSITORY = Path(__file__).parents[2]


def test_a_project_comes_back_as_it_was_made(tmp_path):
    labels = LabelSet.from_names(["liver", "spleen"])
    made = Project.create(tmp_path / "Leber ä", label_set=labels)
    opened = Project.open(tmp_path / "Leber ä")
    assert (opened.name, opened.label_set, opened.cases, opened.created) == ("Leber ä", labels, {}, made.created)
    assert Project.create(tmp_path / "other", name="Study 7").name == "Study 7"


def test_a_second_project_in_one_folder_is_refused(a_project):
    with pytest.raises(ProjectError, match="is a project already"):
        Project.create(a_project.root)


@pytest.mark.robustness
def test_a_folder_without_a_project_is_refused(tmp_path):
    with pytest.raises(ProjectError, match=r"is not a project: it has no project\.json"):
        Project.open(tmp_path)


@pytest.mark.robustness
@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": 1, "name": "x", "created": "", "label_set": 3}'])
def test_a_damaged_project_file_is_refused(a_project, content):
    (a_project.root / "project.json").write_bytes(content)
    with pytest.raises(ProjectError, match="cannot be read"):
        Project.open(a_project.root)


def test_g08_a_project_of_a_newer_program_is_refused(a_project):
    file = a_project.root / "project.json"
    file.write_text(file.read_text().replace('"format": 1', '"format": 7'))
    with pytest.raises(ProjectError, match="format 7; this program knows up to 1: please update"):
        Project.open(a_project.root)


def test_cases_are_sorted_by_id_and_split(an_empty_project, add_case):
    for case_id, split in (("b", "train"), ("a", "holdout"), ("c", "train")):
        add_case(an_empty_project, case_id, split=split)
    for project in (an_empty_project, Project.open(an_empty_project.root)):
        assert list(project.cases) == ["a", "b", "c"]
        assert [case.id for case in project.train_cases()] == ["b", "c"]
        assert [case.id for case in project.holdout_cases()] == ["a"]


def test_an_unknown_case_is_refused_with_similar_ones(an_empty_project, add_case):
    with pytest.raises(ProjectError, match="it has no cases yet"):
        an_empty_project.case("c1")
    add_case(an_empty_project, "patient_01")
    with pytest.raises(ProjectError, match=r"no case 'patient_02' .*: did you mean patient_01\?"):
        an_empty_project.case("patient_02")


def test_folders_left_by_an_unfinished_import_and_stray_files_are_passed_over(a_project):
    (a_project.cases_folder / "half").mkdir()
    (a_project.cases_folder / "half" / "image.nii.gz").write_bytes(b"")
    (a_project.cases_folder / "notes.txt").write_text("hello")
    assert list(Project.open(a_project.root).cases) == ["c1"]


def test_labels_are_added_once_and_journalled(a_project):
    a_project.add_labels([Label("aorta"), Label("Liver")], who="ann")
    a_project.add_labels([Label("aorta")], who="ann")
    assert Project.open(a_project.root).label_set.names == ("liver", "spleen", "tumour", "aorta")
    assert [e.detail for e in a_project.journal.entries() if e.action == "labels"] == [{"added": ["aorta"]}]


def test_adding_a_case_journals_it_and_never_takes_a_taken_id(a_project, add_case):
    with pytest.raises(ProjectError, match="there is a case 'c1' already"):
        add_case(a_project, "c1")
    with pytest.raises(ProjectError, match="cannot be the id of a case: use 'C1_2'"):
        add_case(a_project, "C1")
    assert [(e.action, e.case, e.who) for e in a_project.journal.entries()] == [("add", "c1", "ann")]


@pytest.mark.security
@pytest.mark.parametrize("case_id", ["../c2", "a/b", "a\\b", "", "..", "con", "x" * 300, "c2\n", "/etc"])
def test_g25_ids_that_are_no_safe_folder_names_are_refused(a_project, add_case, case_id):
    with pytest.raises(ProjectError):
        add_case(a_project, case_id)
    assert {path.name for path in a_project.cases_folder.iterdir()} == {"c1"}


@pytest.mark.robustness
def test_a_case_whose_labels_do_not_fit_is_not_added(a_project, grid):
    image = image_from_kji(np.zeros(grid.shape, np.int16), grid)
    with pytest.raises(ImageError, match="expected whole-number layers"):
        a_project.add_case("c2", image, labels=np.zeros((1, 2, 2, 2), np.uint8), annotations={}, modality="CT", who="a")
    assert list(Project.open(a_project.root).cases) == ["c1"]


@pytest.mark.security
def test_g24_no_file_of_a_project_carries_what_the_image_said_about_the_patient(
    an_empty_project, predict, box, grid
):
    secrets = ["DOE^JOHN", "MRN-0815", "19500102"]
    image = image_from_kji(np.zeros(grid.shape, np.int16), grid)
    for key, secret in zip(("0010|0010", "descrip", "0010|0030"), secrets, strict=True):
        image.SetMetaData(key, secret)
    project = an_empty_project
    project.add_case("c1", image, labels=None, annotations={}, modality="CT", who="ann")
    predict(project, "c1", {"spleen": box(slice(1, 5)), "liver": box(0)})
    accept(project, "c1", "spleen", who="ann")
    reject(project, "c1", "liver", who="ann")
    undo(project, who="ann")
    for path in project.root.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        content += gzip.decompress(content) if path.name.endswith(".gz") else b""
        assert not any(secret.encode() in content for secret in secrets), path


def test_g28_a_journal_that_lost_its_end_is_noticed_by_the_project(a_project):
    commit(a_project, "c1", action="annotate", who="ann", annotations={"spleen": ABSENT})
    assert a_project.verify_journal() is None
    lines = a_project.journal.path.read_bytes().splitlines(keepends=True)
    a_project.journal.path.write_bytes(lines[0])
    assert Project.open(a_project.root).verify_journal() == 2


@pytest.mark.robustness
def test_a_damaged_journal_stops_changes_but_not_looking(a_project):
    with a_project.journal.path.open("ab") as journal:
        journal.write(b"scribble\n")
    project = Project.open(a_project.root)
    assert project.case("c1").annotated
    assert project.verify_journal() == 2
    before = (project.case("c1").folder / "case.json").read_bytes()
    with pytest.raises(ProjectError, match="expected a journal entry"):
        commit(project, "c1", action="annotate", who="ann", annotations={"spleen": ABSENT})
    assert (project.case("c1").folder / "case.json").read_bytes() == before


def test_g07_the_lock_is_nested_in_one_program_and_exclusive_between_two(a_project):
    other = Project.open(a_project.root)
    with a_project.lock(), a_project.lock():
        found = []

        def attempt():
            with pytest.raises(ProjectError, match="another program is changing project"), other.lock(seconds=0):
                pass
            found.append("refused")

        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
        assert found == ["refused"]
    with other.lock(seconds=0):
        pass


def test_g07_a_lock_ends_with_the_process_that_held_it(a_project):
    script = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from SemiSupSegLib.project.project import Project\n"
        "with Project.open(Path(sys.argv[1])).lock(): os._exit(9)\n"
    )
    command = [sys.executable, "-c", script, str(a_project.root), str(REPOSITORY)]
    assert subprocess.run(command, check=False).returncode == 9
    with a_project.lock(seconds=0):
        pass


def test_importing_the_project_never_reaches_torch_nor_simpleitk():
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from SemiSupSegLib.project import project, proposals, transactions, holdout, journal, cases\n"
        "print(sorted({'torch', 'monai', 'SimpleITK', 'cattrs', 'lightning_fabric'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", script, str(REPOSITORY)], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


# ------------------------------------------------------------------------------------------------------------ hold-out


@pytest.fixture
def many_cases(an_empty_project, add_case):
    """Twenty cases: all with a complete liver, every fourth with an absent spleen as well."""
    for n in range(20):
        said = {"liver": COMPLETE, **({"spleen": ABSENT} if n % 4 == 0 else {})}
        add_case(an_empty_project, f"c{n:02d}", said=said)
    return an_empty_project


def test_fewer_than_ten_annotated_cases_hold_none_out(many_cases):
    cases = list(many_cases.cases.values())
    assert choose_holdout(cases[:9]) == ()
    assert len(choose_holdout(cases[:10])) == 2
    assert choose_holdout([]) == ()


def test_fifteen_percent_are_held_out_those_with_most_labels_first(many_cases):
    chosen = choose_holdout(list(many_cases.cases.values()))
    assert len(chosen) == 3
    assert all("spleen" in many_cases.case(case_id).annotations for case_id in chosen)


def test_the_choice_depends_on_the_seed_and_nothing_else(many_cases):
    cases = list(many_cases.cases.values())
    choices = {choose_holdout(cases, 7, seed=seed) for seed in range(8)}
    assert len(choices) > 1
    assert choose_holdout(cases, 7, seed=3) == choose_holdout(list(reversed(cases)), 7, seed=3)


def test_the_only_case_of_a_label_stays_in_training(many_cases):
    commit(many_cases, "c05", action="annotate", who="ann", annotations={"spleen": ABSENT, "tumour": ABSENT})
    cases = list(many_cases.cases.values())
    assert "c05" not in choose_holdout(cases)
    assert "c05" not in choose_holdout(cases, 19)


def test_a_number_is_kept_even_where_it_takes_the_only_case_of_a_label(an_empty_project, add_case):
    add_case(an_empty_project, "a", said={"liver": COMPLETE})
    add_case(an_empty_project, "b", said={"spleen": COMPLETE})
    assert len(choose_holdout(list(an_empty_project.cases.values()), 1)) == 1


def test_r6_cases_that_are_held_out_already_stay_held_out(many_cases):
    set_holdout(many_cases, ["c01", "c02"], who="ann")
    assert {"c01", "c02"} <= set(choose_holdout(list(many_cases.cases.values())))


def test_g30_what_a_model_annotated_does_not_make_a_case_worth_holding_out(an_empty_project, add_case, predict, box):
    for n in range(12):
        add_case(an_empty_project, f"c{n:02d}", said={"liver": COMPLETE} if n < 9 else {})
    for n in range(9, 12):
        predict(an_empty_project, f"c{n:02d}", {"spleen": box(2)})
        accept(an_empty_project, f"c{n:02d}", "spleen", who="ann")
    assert choose_holdout(list(an_empty_project.cases.values())) == ()


@pytest.mark.parametrize("number", [-1, 20, 100])
def test_a_holdout_that_leaves_nothing_to_train_on_is_refused(many_cases, number):
    with pytest.raises(ProjectError, match="expected 0 to 19 of the 20 annotated cases"):
        choose_holdout(list(many_cases.cases.values()), number)


def test_setting_the_holdout_moves_cases_both_ways_and_is_journalled(many_cases):
    set_holdout(many_cases, ["c01", "c02"], who="ann")
    moved = set_holdout(many_cases, ["c02", "c03"], who="ann")
    assert [(case.id, case.split) for case in moved] == [("c01", "train"), ("c03", "holdout")]
    assert [case.id for case in Project.open(many_cases.root).holdout_cases()] == ["c02", "c03"]
    assert sum(e.action == "split" for e in many_cases.journal.entries()) == 4
    with pytest.raises(ProjectError, match="no case"):
        set_holdout(many_cases, ["c99"], who="ann")


def test_what_is_written_is_readable_text(a_project):
    text = (a_project.case("c1").folder / "case.json").read_text()
    assert re.search(r'^ "split": "train"', text, re.MULTILINE)
    assert json.loads((a_project.root / "project.json").read_text())["label_set"]["labels"][0]["name"] == "liver"
