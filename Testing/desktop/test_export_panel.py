"""Export and batch: what goes out, by clicks, and what is said when it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813
from screen import PICTURES


@pytest.fixture
def the_exports(proposed, a_session, open_panel):
    """The screen with "Export and batch" unfolded."""
    a_session.open(proposed.root)
    screen = open_panel(a_session)
    screen.unfold("exportBox")
    return screen


def pick(screen, kind: str) -> None:
    box = screen.widget("kindBox")
    box.setCurrentIndex(box.findData(kind))
    screen.look()


@pytest.mark.parametrize("kind", ["nifti", "seg.nrrd"])
def test_labels_go_to_an_empty_folder_and_the_strip_says_where(the_exports, tmp_path: Path, choose, kind: str) -> None:
    pick(the_exports, kind)
    choose(tmp_path / "out")
    the_exports.click("exportLabelsButton")
    assert "exported to" in the_exports.message
    ending = {"nifti": ".nii.gz", "seg.nrrd": ".seg.nrrd"}[kind]
    assert sorted(p.name for p in (tmp_path / "out").glob(f"*{ending}")) == [f"patient_{n}{ending}" for n in (1, 2)]
    assert (tmp_path / "out" / "annotation_states.csv").is_file()
    the_exports.photograph(PICTURES / "11_export.png")


def test_dicom_seg_says_on_the_panel_why_it_is_not_written_here_and_what_to_do(the_exports) -> None:
    assert not the_exports.widget("kindHintLabel").isVisible()
    pick(the_exports, "dicom seg")
    assert not the_exports.widget("exportLabelsButton").isEnabled()
    assert "DICOM SEG names the DICOM files" in the_exports.widget("exportLabelsButton").toolTip
    assert "export .seg.nrrd" in the_exports.widget("kindHintLabel").text
    the_exports.photograph(PICTURES / "12_export_dicom_seg.png")
    pick(the_exports, "nifti")
    assert the_exports.widget("exportLabelsButton").isEnabled()


def test_a_folder_that_holds_something_is_left_alone_and_one_line_says_so(the_exports, tmp_path: Path, choose) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    choose(tmp_path / "mine")
    the_exports.click("exportLabelsButton")
    assert the_exports.message.startswith("✖ Export: ")
    assert "holds something already" in the_exports.message
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_the_model_is_copied(the_exports, tmp_path: Path, choose) -> None:
    choose(tmp_path / "model")
    the_exports.click("exportModelButton")
    assert (tmp_path / "model" / "model.json").is_file()
    assert the_exports.message.startswith("Model 0001 is in ")


def test_the_audit_is_written_and_says_that_the_journal_is_intact(the_exports, tmp_path: Path, monkeypatch) -> None:
    import qt

    file = tmp_path / "audit.json"
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", staticmethod(lambda *_said: (str(file), "JSON (*.json)")))
    the_exports.click("exportAuditButton")
    assert json.loads(file.read_text())["intact"]
    assert the_exports.message.endswith("the journal is intact")
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", staticmethod(lambda *_said: ("", "")))
    the_exports.click("exportAuditButton")  # cancelled: nothing is written, nothing is said to be wrong
    assert not the_exports.message.startswith("✖")


@pytest.mark.e2e
def test_a_folder_of_other_volumes_is_predicted_by_a_child_process(
    the_exports, tmp_path: Path, choose, until
) -> None:
    (tmp_path / "others").mkdir()
    sitk.WriteImage(sitk.Image(4, 4, 4, sitk.sitkInt16), str(tmp_path / "others" / "new.nii.gz"))
    choose(tmp_path / "others")
    choose(tmp_path / "proposals")
    session = the_exports.panel.session
    the_exports.click("predictFolderButton")
    assert the_exports.widget("taskBar").isVisible()
    assert the_exports.widget("predictFolderButton").toolTip.startswith("Predict: predicting the volumes of others")
    until(the_exports, lambda: session.task is None)
    assert the_exports.message == "1 volume predicted"


def test_nothing_is_written_when_the_chooser_is_cancelled(the_exports, monkeypatch) -> None:
    import qt

    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", staticmethod(lambda *_said: ""))
    for name in ("exportLabelsButton", "exportModelButton", "predictFolderButton"):
        the_exports.click(name)
    assert the_exports.message == ""
