"""From the opened module to the first accepted organ, by clicks and keys; child processes stand in for the engine."""

from __future__ import annotations

from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813

from SemiSupSegLib.project.annotation import State
from SemiSupSegLib.project.synthetic import write_cohort

MOST_CLICKS = 7
INSTALL_ENGINE = 1
"""The click on "Install engine", which comes before the panel is there (test_engine_install_panel)."""


@pytest.fixture
def screen(a_project, a_session, open_panel):
    """The panel of a project that can be trained; afterwards nothing is predicted."""
    a_session.open(a_project.root)
    a_session.preset = "balanced"
    a_session.predict_after_training = False
    return open_panel(a_session)


@pytest.fixture
def stopped(screen, a_session, until):
    """The same after a training was begun and paused."""
    screen.click("trainButton")
    until(screen, lambda: a_session.progress.step is not None)
    assert screen.widget("deviceChip").text == "Device: CPU – torch has no CUDA build"
    assert not screen.widget("trainButton").isVisible()
    screen.click("pauseButton")
    until(screen, lambda: not a_session.progress.active)
    screen.look()
    return screen


@pytest.mark.slow
@pytest.mark.e2e
def test_at_most_seven_clicks_and_no_message_box_lead_to_the_first_accepted_organ(
    tmp_path: Path, a_session, open_panel, choose, until, no_message_box, monkeypatch
) -> None:
    from PySide6 import QtCore

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_cohort(tmp_path / "cohort", cases=3, unlabelled=1, size=(24, 20, 16))
    screen = open_panel(a_session)
    choose(tmp_path / "cohort")
    screen.click("addFolderButton")
    screen.clicks += 1  # the folder is chosen in the system's own window
    assert screen.widget("previewLabel").text == "cohort: 3 volumes, 2 with labels"
    screen.click("useTheseButton")
    assert a_session.project.root == tmp_path / "home" / "Documents" / "SemiSupSeg" / "cohort"
    until(screen, lambda: len(a_session.case_rows()) == 3 and a_session.task is None)
    screen.widget("presetBox").setCurrentIndex(0)
    a_session.preset = "quick"  # the choice of speed is no step of the way: any preset leads there
    screen.look()
    screen.click("trainButton")
    until(screen, lambda: a_session.queue())
    screen.click_cell("queueTable", 0, 1)
    row = a_session.selected
    assert row is not None
    screen.press(QtCore.Qt.Key_A)
    assert a_session.project.case(row.case).annotation(row.label).state is State.COMPLETE
    assert screen.message.startswith("Accepted ")
    assert screen.clicks + INSTALL_ENGINE <= MOST_CLICKS
    assert no_message_box == []


@pytest.mark.slow
@pytest.mark.e2e
def test_a_training_is_stopped_and_goes_on_and_another_crashes_and_every_end_is_told(
    stopped, a_session, until
) -> None:
    screen = stopped
    assert screen.widget("progressLabel").text == "■ Stopped at step 40"
    assert screen.widget("resumeButton").isVisible()
    a_session.preset = "thorough"
    screen.look()
    screen.click("trainButton")
    until(screen, lambda: a_session.progress.state == "crashed")
    screen.look()
    assert "ended unexpectedly" in screen.widget("progressLabel").text
    assert "no memory left" in screen.widget("detailText").plainText
    assert screen.message.startswith("✖ ")


@pytest.mark.slow
@pytest.mark.e2e
def test_a_click_goes_on_with_a_training_that_was_stopped(stopped, a_session, until) -> None:
    screen, run = stopped, a_session.progress.run
    screen.click("resumeButton")
    until(screen, lambda: a_session.progress.active and a_session.progress.step is not None)
    screen.look()
    assert a_session.progress.run == run  # the same training, not another one
    assert not screen.widget("resumeButton").isVisible()
    assert screen.widget("pauseButton").isEnabled()
    screen.click("stopButton")
    until(screen, lambda: not a_session.progress.active)
    screen.look()
    assert screen.widget("progressLabel").text.startswith("✓ Finished early, after 40 steps")


@pytest.mark.slow
@pytest.mark.e2e
def test_a_training_is_ended_early_and_its_best_is_the_model_in_use(screen, a_session, until) -> None:
    assert not screen.widget("stopButton").isVisible()
    screen.click("trainButton")
    assert screen.widget("stopButton").toolTip == "Stop & keep best: nothing is learnt yet"
    until(screen, lambda: a_session.progress.step is not None)
    assert screen.widget("stopButton").text == "Stop && keep best"
    screen.click("stopButton")
    until(screen, lambda: not a_session.progress.active)
    screen.look()
    assert screen.widget("progressLabel").text == "✓ Finished early, after 40 steps\nit is the first"
    assert a_session.model == "0001"
    assert screen.message.endswith("model 0001 is in use")
    assert not screen.widget("resumeButton").isVisible()
    assert not screen.widget("stopButton").isVisible()


@pytest.mark.slow
@pytest.mark.e2e
def test_a_paused_training_is_previewed_and_then_kept(a_project, a_session, open_panel, until) -> None:
    a_session.open(a_project.root)
    a_session.preset = "balanced"
    a_session.predict_after_training = False
    a_session.show_case("patient_3")
    screen = open_panel(a_session)
    assert screen.widget("previewButton").toolTip == "Predict: no model was trained yet"
    screen.click("trainButton")
    assert screen.widget("previewButton").text == "Preview now"
    assert screen.widget("previewButton").toolTip == "Preview now: the training is still being planned"
    until(screen, lambda: a_session.may_preview is None)
    screen.look()
    screen.click("previewButton")
    until(screen, lambda: a_session.task is None and a_session.queue())
    screen.look()
    row = a_session.selected
    assert (row.case, row.preview) == ("patient_3", True)
    assert f"preview of run {a_session.progress.run} at step 40, not the model in use" in row.reason
    assert screen.widget("acceptButton").toolTip.startswith("Accept: this is a preview of run ")
    assert a_session.progress.active  # it went on
    screen.click("pauseButton")
    until(screen, lambda: not a_session.progress.active)
    screen.look()
    assert screen.widget("resumeButton").isVisible()
    screen.click("stopButton")
    until(screen, lambda: a_session.model is not None and not a_session.progress.active)
    screen.look()
    assert screen.widget("previewButton").text == "Propose labels"
    screen.click("previewButton")
    until(screen, lambda: a_session.task is None and any(row.open for row in a_session.queue()))


@pytest.mark.slow
@pytest.mark.e2e
def test_the_volume_that_is_shown_becomes_a_case(a_project, a_session, open_panel, until, a_scene) -> None:
    from SemiSupSegScene.SliceLayers import showInBackground
    from SemiSupSegScene.Volumes import addVolume

    a_session.open(a_project.root)
    screen = open_panel(a_session)
    assert screen.widget("addVolumeButton").toolTip == "Add current volume: no slice view shows a volume"
    case = a_project.case("patient_1")
    node = addVolume(a_scene, sitk.GetArrayFromImage(case.image()), case.grid(), "loaded by hand")
    showInBackground(a_scene, node)
    screen.panel.cases.obeyRules()
    screen.click("addVolumeButton")
    until(screen, lambda: len(a_session.case_rows()) == 4 and a_session.task is None)
    assert node.GetName() == "loaded by hand"
