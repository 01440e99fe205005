"""What can be deleted, which organs may touch, the second map, and a kind of file that is not written here."""

from __future__ import annotations

import numpy as np
import pytest

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.project.adjacency_rules import read_rules
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.images import write_unit_interval
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.session import Session


@pytest.fixture
def a_session(a_project: Project) -> Session:
    session = Session(who="ann", threads=False)
    session.open(a_project.root)
    return session


@pytest.fixture
def neighbours(tmp_path, add_case, box) -> Session:
    """Liver and spleen touch in the one case, the kidney touches neither; nothing is known of a fourth organ."""
    project = Project.create(
        tmp_path / "p", label_set=LabelSet.from_names(["liver", "spleen", "kidney", "pancreas"])
    )
    said = dict.fromkeys(("liver", "spleen", "kidney"), Annotation(State.COMPLETE))
    add_case(project, "c1", masks={"liver": box(slice(0, 2)), "spleen": box(2), "kidney": box(5)}, said=said)
    session = Session(who="ann", threads=False)
    session.open(project.root)
    session.count_contacts()
    return session


def relations(session: Session) -> dict[tuple[str, str], str]:
    return {(row.first, row.second): row.relation for row in session.contact_rows()}


# --------------------------------------------------------------------------------------------------- stored content


def test_the_cache_is_deleted_and_labels_and_models_stay(a_session: Session, a_project: Project) -> None:
    said = []
    a_session.signals.message.connect(lambda *what: said.append(what))
    (a_project.cache_folder / "volumes").mkdir(parents=True)
    (a_project.models_folder / "0001").mkdir(parents=True)
    assert a_session.may_delete_stored() is None
    a_session.delete_stored()
    assert said[-1] == ("what was stored is deleted; projects, labels and models stay", "info")
    assert not a_session.has_stored
    assert (a_project.models_folder / "0001").is_dir()
    assert a_session.label_voxels("c1")["liver"].sum() == 40
    assert a_session.may_delete_stored() == "Delete stored content: there is none"
    assert a_session.may_delete_stored(elsewhere=True) is None


def test_what_a_project_takes_on_the_disk_is_measured_anew_when_asked(a_session: Session, a_project: Project) -> None:
    assert a_session.stored_words == ""
    (a_project.cache_folder / "volumes").mkdir(parents=True)
    (a_project.cache_folder / "volumes" / "x.npy").write_bytes(bytes(7_000_000))
    heard = []
    a_session.signals.stored_changed.connect(lambda: heard.append(1))
    a_session.measure_stored()
    assert heard == [1]
    assert a_session.stored_words == "The project takes 7 MB on the disk; 7 MB of it can be made again."
    a_session.delete_stored()
    a_session.measure_stored()
    assert a_session.stored_words == "The project takes 0 MB on the disk; 0 MB of it can be made again."
    a_session.close()
    assert a_session.stored_words == ""
    a_session.measure_stored()  # of no project


def test_without_a_project_only_what_the_front_end_keeps_can_go() -> None:
    session = Session(who="ann", threads=False)
    assert session.may_delete_stored() == "Delete stored content: there is none"
    assert session.may_delete_stored(elsewhere=True) is None
    session.delete_stored()


def test_nothing_that_a_task_reads_is_deleted(a_session: Session, a_project: Project) -> None:
    from SemiSupSegLib.session.task import Thread

    (a_project.cache_folder / "volumes").mkdir(parents=True)
    task = Thread("export", "exporting 1 case", lambda _tell: "")
    task.wait(60)
    a_session._begin(task)
    assert "exporting 1 case is under way" in str(a_session.may_delete_stored())
    with pytest.raises(ProjectError, match="Delete stored content"):
        a_session.delete_stored()
    assert a_session.has_stored


# --------------------------------------------------------------------------------------------------- sample project


def test_a_sample_project_is_made_opened_and_says_that_it_is_synthetic(tmp_path) -> None:
    session = Session(who="ann", threads=False)
    said = []
    session.signals.message.connect(lambda *what: said.append(what))
    assert session.may_make_sample(tmp_path / "sample") is None
    session.make_sample(tmp_path / "sample")
    session.poll()
    assert said[-1] == ("6 SYNTHETIC cases, 3 of them without labels: no patient", "info")
    rows = session.case_rows()
    assert len(rows) == 6
    assert all("synthetic" in cell.label for row in rows for cell in row.cells)
    assert session.may_make_sample(tmp_path / "sample") == "Sample project: close the project first"
    session.close()
    again = session.may_make_sample(tmp_path / "sample")
    assert again == "Sample project: there is a project already in this folder"
    with pytest.raises(ProjectError, match="there is a project already"):
        session.make_sample(tmp_path / "sample")


# -------------------------------------------------------------------------------------------------------- adjacency


def test_pairs_say_what_the_annotated_cases_show(neighbours: Session) -> None:
    found = relations(neighbours)
    assert found["liver", "spleen"] == "touch"
    assert found["liver", "kidney"] == "never"
    assert found["liver", "pancreas"] == "open"
    assert neighbours.contacts_words == "counted from 1 annotated case"
    assert [row.relation for row in neighbours.contact_rows()][:2] == ["never", "never"]


def test_what_a_person_says_outranks_the_cases_and_can_be_taken_back(neighbours: Session) -> None:
    heard = []
    neighbours.signals.contacts_changed.connect(lambda: heard.append(1))
    neighbours.set_contact("liver", "kidney", "allow")
    neighbours.set_contact("liver", "spleen", "forbid")
    assert relations(neighbours)["liver", "kidney"] == "allowed"
    assert relations(neighbours)["liver", "spleen"] == "forbidden"
    assert heard == [1, 1]
    rules = read_rules(Project.open(neighbours.project.root))
    assert (rules.allow, rules.forbid) == ({frozenset(("kidney", "liver"))}, {frozenset(("liver", "spleen"))})
    neighbours.set_contact("liver", "kidney", "learned")
    assert relations(neighbours)["liver", "kidney"] == "never"
    assert relations(neighbours)["liver", "spleen"] == "forbidden"  # what was said of others holds
    with pytest.raises(ProjectError, match="expected learned, forbid, allow"):
        neighbours.set_contact("liver", "spleen", "perhaps")


def test_clicks_on_a_pair_go_round(neighbours: Session) -> None:
    seen = []
    for _click in range(3):
        row = next(r for r in neighbours.contact_rows() if (r.first, r.second) == ("liver", "spleen"))
        neighbours.set_contact(row.first, row.second, neighbours.next_contact(row))
        seen.append(relations(neighbours)["liver", "spleen"])
    assert seen == ["forbidden", "allowed", "touch"]


def test_organs_that_may_overlap_keep_to_that(a_session: Session) -> None:
    a_session.count_contacts()
    reason = "Adjacency rules: liver and tumour may overlap in this project"
    assert a_session.may_set_contact("liver", "tumour") == reason
    with pytest.raises(ProjectError, match="may overlap in this project"):
        a_session.set_contact("liver", "tumour", "forbid")


def test_one_organ_touches_no_other(tmp_path) -> None:
    session = Session(who="ann", threads=False)
    assert session.may_count_contacts == "Adjacency rules: open or create a project first"
    session.create(tmp_path / "p", ["liver"])
    assert session.may_count_contacts == "Adjacency rules: the project has fewer than two organs"
    assert session.contact_rows() == []


# ------------------------------------------------------------------------------------------------------ second map


def test_the_second_map_is_shown_where_the_prediction_has_one(a_session, a_project, predict, box, grid) -> None:
    assert a_session.may_show_map("mutual_information") == "Mutual information: select a proposal first"
    folder = predict(a_project, "c1", {"spleen": box(5), "tumour": box(0)}, spleen={"mutual_information": "mi.nii.gz"})
    write_unit_interval(np.full((6, 5, 4), 0.25, np.float32), grid, folder / "mi.nii.gz")
    a_session.refresh_queue()
    a_session.select("c1", "spleen")
    assert a_session.may_show_map("mutual_information") is None
    assert np.allclose(a_session.uncertainty("mutual_information"), 0.25, atol=0.01)
    assert not a_session.uncertainty().any()
    a_session.select("c1", "tumour")
    assert "predict it again" in str(a_session.may_show_map("mutual_information"))
    with pytest.raises(ProjectError, match="no such map"):
        a_session.uncertainty("mutual_information")


# --------------------------------------------------------------------------------------------------------- DICOM SEG


def test_dicom_seg_is_refused_with_its_reason_and_the_way_to_it(a_session: Session, tmp_path) -> None:
    reason = a_session.may_export_as("dicom seg")
    assert reason.startswith("Export: DICOM SEG names the DICOM files that a volume came from")
    assert "export .seg.nrrd" in reason
    assert a_session.may_export_as("seg.nrrd") is None
    with pytest.raises(ProjectError, match="DICOM SEG"):
        a_session.export_labels(tmp_path / "out", "dicom seg")
    assert not (tmp_path / "out").exists()
