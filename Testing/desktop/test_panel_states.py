"""Every state of the panel: what it says, and a picture of it under build/desktop/ to be looked at."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from screen import PICTURES

from SemiSupSegLib.project.synthetic import write_cohort


def test_without_a_project_everything_says_why_it_waits(a_session, open_panel) -> None:
    screen = open_panel(a_session)
    screen.photograph(PICTURES / "01_no_project.png")
    begin = "Next: Add a folder of volumes, or open a project to go on with earlier work."
    assert screen.widget("nextStepLabel").text == begin
    assert screen.widget("trainButton").toolTip == "Train: open or create a project first"
    assert screen.widget("addFolderButton").isEnabled()


def test_what_a_folder_holds_is_shown_before_anything_is_copied(tmp_path: Path, a_session, open_panel, choose) -> None:
    write_cohort(tmp_path / "cohort", cases=3, unlabelled=1, size=(16, 16, 16))
    screen = open_panel(a_session)
    choose(tmp_path / "cohort")
    screen.click("addFolderButton")
    assert screen.cells("previewTable", 1) == ["synthetic_01.nii.gz", "synthetic_02.nii.gz", "–"]
    assert "A new project will be made in" in screen.widget("previewPlaceLabel").text
    screen.photograph(PICTURES / "02_folder_preview.png")
    screen.click("notTheseButton")
    assert not screen.widget("previewWidget").isVisible()
    assert a_session.project is None


def test_a_folder_without_volumes_is_one_line_in_the_status_strip(
    tmp_path: Path, a_session, open_panel, choose
) -> None:
    (tmp_path / "holidays").mkdir()
    screen = open_panel(a_session)
    choose(tmp_path / "holidays")
    screen.click("addFolderButton")
    assert screen.message.startswith("✖ ")
    assert "\n" not in screen.message
    screen.photograph(PICTURES / "03_error.png")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_case_is_opened_and_its_organs_are_listed(a_project, a_session, open_panel, host, dark: bool) -> None:
    with host_colours(host, dark=dark):
        a_session.open(a_project.root)
        screen = open_panel(a_session)
        screen.click_cell("casesTable", 1, 0, double=True)
        assert a_session.current_case.id == "patient_2"
        assert screen.widget("segmentEditor").node.GetName() == "patient_2 labels"
        assert screen.cells("organsTable", 1) == ["partial", "not annotated", "not annotated"]
        assert screen.cells("organsTable", 2)[0] == "slices 4–6"
        assert screen.widget("reviewedLabel").text == "1 of 3 reviewed"
        screen.photograph(PICTURES / f"04_case_{'dark' if dark else 'light'}.png")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_training_shows_how_far_it_is_on_what_and_its_best(
    a_project, a_run, a_session, open_panel, host, dark
) -> None:
    with host_colours(host, dark=dark):
        a_session.open(a_project.root)
        screen = open_panel(a_session)
        a_run.write("progress", step=105, fraction=0.66, eta_seconds=170, losses={"dice": 0.1, "sdm": 0.02})  # it lives
        screen.look()
        assert screen.widget("estimateLabel").text == "≈ 6 min, 3.1 GB"
        assert screen.widget("deviceChip").text == "Device: CPU – torch has no CUDA build"
        assert "about 3 min left" in screen.widget("progressBar").property("format")
        assert screen.widget("bestLabel").text.startswith("◆ best so far: Dice 0.7")
        names = [series.GetName() for series in screen.panel.train.plotView.series()]
        assert names == ["loss: dice", "loss: sdm", "Dice on the hold-out", "best so far"]
        screen.photograph(PICTURES / f"05_training_{'dark' if dark else 'light'}.png")


def test_a_training_that_gives_no_sign_of_life_is_told_in_words(a_project, a_run, a_session, open_panel) -> None:
    events = a_run.folder / "events.jsonl"
    events.write_text(events.read_text().replace(time.strftime("%Y", time.gmtime()), "2020"))
    a_session.open(a_project.root)
    screen = open_panel(a_session)
    assert "no sign of life" in screen.widget("progressLabel").text
    screen.photograph(PICTURES / "06_training_lost.png")


def test_a_training_whose_process_is_gone_has_crashed_and_can_go_on(a_project, a_run, a_session, open_panel) -> None:
    said = json.loads((a_run.folder / "process.json").read_text())
    (a_run.folder / "process.json").write_text(json.dumps({**said, "created": 1.0}))  # another process has its number
    a_run.append_log("RuntimeError: out of memory")
    a_session.open(a_project.root)
    screen = open_panel(a_session)
    assert screen.widget("progressLabel").text.startswith("✖ The training ended unexpectedly; Resume goes on")
    assert "out of memory" in screen.widget("detailText").plainText
    assert screen.widget("resumeButton").isEnabled()
    assert "Resume goes on from its last checkpoint" in screen.widget("nextStepLabel").text
    screen.photograph(PICTURES / "07_training_crashed.png")


def test_a_stopped_training_says_where_it_stopped(a_project, a_run, a_session, open_panel) -> None:
    a_run.write("stopped", step=100)
    a_session.open(a_project.root)
    screen = open_panel(a_session)
    assert screen.widget("progressLabel").text == "■ Stopped at step 100"
    screen.photograph(PICTURES / "08_training_stopped.png")


def test_a_project_that_somebody_else_has_open_can_be_looked_at(a_project, a_session, open_panel) -> None:
    import psutil

    from SemiSupSegLib.session.owner import Owner

    parent = psutil.Process(psutil.Process().ppid())
    me = Owner.me("bob")
    Owner("bob", me.host, parent.pid, parent.create_time(), time.time()).save(a_project.root)
    a_session.open(a_project.root)
    screen = open_panel(a_session)
    assert "bob has this project open" in screen.widget("ownerLabel").text
    assert "bob has this project open" in screen.widget("trainButton").toolTip
    screen.photograph(PICTURES / "09_read_only.png")
    screen.click("takeOverButton")
    assert screen.widget("trainButton").isEnabled()


class host_colours:  # noqa: N801
    """Slicer's dark or light look, as far as a palette goes."""

    def __init__(self, host, *, dark: bool) -> None:
        self._application, self._dark = host.application, dark

    def __enter__(self) -> None:
        from PySide6 import QtGui, QtWidgets

        self._application.setStyle(QtWidgets.QStyleFactory.create("Fusion"))
        palette = QtGui.QPalette()
        back, base, text = ("#2b2b2b", "#1e1e1e", "#e6e6e6") if self._dark else ("#efefef", "#ffffff", "#111111")
        grounds = {"Window": back, "Button": back, "Base": base, "AlternateBase": back, "ToolTipBase": back}
        writing = dict.fromkeys(("Text", "WindowText", "ButtonText", "ToolTipText"), text)
        for role, colour in {**grounds, **writing}.items():
            palette.setColor(getattr(QtGui.QPalette, role), QtGui.QColor(colour))
        for role in ("Text", "WindowText", "ButtonText"):
            palette.setColor(QtGui.QPalette.Disabled, getattr(QtGui.QPalette, role), QtGui.QColor("#8a8a8a"))
        palette.setColor(QtGui.QPalette.PlaceholderText, QtGui.QColor("#8a8a8a"))
        self._before = QtWidgets.QApplication.palette()
        self._application.setPalette(palette)

    def __exit__(self, *_said) -> None:
        self._application.setPalette(self._before)
