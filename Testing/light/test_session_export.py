"""Export: label files with what is known of them, the audit, the model."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.labelmaps import read_labels, read_segments
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.models import add_promoted
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.session import Session


@pytest.fixture
def a_session(a_project: Project) -> Session:
    session = Session(who="ann", threads=False)
    session.open(a_project.root)
    return session


def rows_of(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))


def test_segmentations_carry_names_and_states(a_session: Session, tmp_path: Path) -> None:
    a_session.export_labels(tmp_path / "out", "seg.nrrd")
    layers, segments, _ = read_segments(tmp_path / "out" / "c1.seg.nrrd")
    assert [s.name for s in segments] == ["liver", "spleen", "tumour"]
    assert (layers[0] == 1).sum() == 40
    assert segments[0].tags["SemiSupSeg.State"] == "complete"
    assert segments[1].tags["SemiSupSeg.State"] == "unknown"
    assert rows_of(tmp_path / "out" / "annotation_states.csv")[1] == ["c1", "liver", "complete", "train", "0"]


def test_labels_that_may_overlap_get_a_nifti_file_each(a_session: Session, tmp_path: Path) -> None:
    a_session.export_labels(tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").glob("*.nii.gz")) == [
        "c1_liver.nii.gz", "c1_spleen.nii.gz", "c1_tumour.nii.gz",
    ]  # fmt: skip


def test_one_nifti_file_a_case_comes_with_the_names_of_its_values(tmp_path: Path, add_case, box) -> None:
    project = Project.create(tmp_path / "p", label_set=LabelSet.from_names(["liver", "spleen"]))
    add_case(project, "c1", masks={"spleen": box(2)}, said={"spleen": Annotation(State.COMPLETE)})
    session = Session(who="ann", threads=False)
    session.open(project.root)
    session.export_labels(tmp_path / "out")
    layers, entries, _ = read_labels(tmp_path / "out" / "c1.nii.gz")
    names = json.loads((tmp_path / "out" / "dataset.json").read_text())["labels"]
    assert names[str(entries[0][2])] == "spleen"
    assert (layers[0] > 0).sum() == 20


def test_a_folder_with_something_in_it_is_left_alone(a_session: Session, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(ProjectError, match="holds something already"):
        a_session.export_labels(tmp_path / "out")
    with pytest.raises(ProjectError, match="no kind 'dicom'"):
        a_session.export_labels(tmp_path / "new", "dicom")


@pytest.mark.parametrize("name", ["audit.csv", "audit.json"])
def test_g28_the_audit_says_who_did_what_and_if_it_was_edited(a_session: Session, tmp_path: Path, name: str) -> None:
    a_session.show_case("c1")
    a_session.set_state("spleen", State.ABSENT)
    said = []
    a_session.signals.message.connect(lambda *what: said.append(what))
    a_session.export_audit(tmp_path / name)
    if name.endswith("json"):
        told = json.loads((tmp_path / name).read_text())
        assert told["intact"]
        assert told["entries"][-1]["who"] == "ann"
    else:
        assert rows_of(tmp_path / name)[-1][2:6] == ["ann", "annotate", "c1", "spleen"]
    assert said[-1][1] == "info"
    journal = a_session.project.journal.path
    journal.write_bytes(journal.read_bytes().replace(b'"ann"', b'"bob"'))
    a_session.export_audit(tmp_path / name)
    assert said[-1][1] == "warning"
    assert "line 1 of the journal was edited" in said[-1][0]
    with pytest.raises(ProjectError, match=r"should end in \.csv or \.json"):
        a_session.export_audit(tmp_path / "audit.txt")


def test_a_name_that_looks_like_a_formula_is_harmless(a_project: Project, tmp_path: Path) -> None:
    session = Session(who="=HYPERLINK(1)", threads=False)
    session.open(a_project.root)
    session.set_state("spleen", State.ABSENT, "c1")
    session.export_audit(tmp_path / "audit.csv")
    assert rows_of(tmp_path / "audit.csv")[-1][2] == "'=HYPERLINK(1)"


def test_the_model_in_use_is_copied(a_session: Session, a_project: Project, tmp_path: Path) -> None:
    assert a_session.may_export_model == "Export model: none was trained yet"
    (a_project.models_folder / "0001").mkdir(parents=True)
    (a_project.models_folder / "0001" / "model.json").write_text("{}")
    add_promoted(a_project.models_folder, "0001")
    a_session.export_model(tmp_path / "model")
    assert (tmp_path / "model" / "model.json").read_text() == "{}"


def test_there_is_nothing_to_export_without_labels(tmp_path: Path) -> None:
    session = Session(who="ann", threads=False)
    session.create(tmp_path / "p", ["liver"])
    assert session.may_export == "Export: no case has a label yet"
