"""The whole way with the real engine in its child processes: counted clicks, and the test that Slicer itself runs.

The engine's Python is this one when it has torch, else that of ``make setup``; without either these tests are skipped.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import types
import unittest
from pathlib import Path

import pytest

from SemiSupSegLib.project.annotation import State
from SemiSupSegLib.project.synthetic import write_cohort

REPOSITORY = Path(__file__).parents[2]
MOST_CLICKS = 7
INSTALL_ENGINE = 1
"""The click on "Install engine", which comes before the panel is there."""


@pytest.fixture(scope="module")
def engine_python() -> str:
    """A Python in which the engine runs."""
    of_make = REPOSITORY / ".venv" / "bin" / "python"
    for python in (sys.executable, str(of_make)):
        look = [python, "-c", "import importlib.util as i, sys; sys.exit(i.find_spec('torch') is None)"]
        if Path(python).exists() and subprocess.run(look, check=False).returncode == 0:
            return python
    pytest.skip("no Python with torch: make setup")


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("no_torch_yet")
def test_seven_clicks_and_no_message_box_lead_through_a_real_training_to_an_accepted_organ(
    tmp_path: Path, engine_python, open_panel, choose, until, no_message_box, monkeypatch
) -> None:
    from PySide6 import QtCore

    from SemiSupSegLib.session import Session

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_cohort(tmp_path / "cohort", cases=4, unlabelled=1, size=(36, 30, 24))
    small = str(Path(__file__).parent / "standins" / "small_engine.py")
    session = Session(who="ann", program=(engine_python, small))
    screen = open_panel(session)
    choose(tmp_path / "cohort")
    screen.click("addFolderButton")
    screen.clicks += 1  # the folder is chosen in the system's own window
    screen.click("useTheseButton")
    until(screen, lambda: len(session.case_rows()) == 4 and session.task is None)
    screen.look()
    screen.click("trainButton")
    until(screen, lambda: session.queue() and session.task is None, patience=800)
    assert "torch" not in sys.modules  # nothing of the engine is in Slicer's own process
    worth = next(number for number, row in enumerate(session.queue()) if row.volume_ml > 0)
    screen.look()
    screen.click_cell("queueTable", worth, 1)
    until(screen, lambda: session.may_accept is None)
    row = session.selected
    screen.press(QtCore.Qt.Key_A)
    assert session.project.case(row.case).annotation(row.label).state is State.COMPLETE
    assert screen.message.startswith("Accepted ")
    assert screen.clicks + INSTALL_ENGINE <= MOST_CLICKS
    assert no_message_box == []
    session.close()


@pytest.fixture
def no_torch_yet(monkeypatch) -> None:
    """Other tests may have imported it into this process: as if they had not, and afterwards as they left it."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)


@pytest.fixture
def slicers_test(no_torch_yet, host, a_scene, settings, engine_python, tmp_path: Path, monkeypatch):  # noqa: ARG001  there first
    """``SemiSupSegTest`` of the module's main script, with stand-ins for what only the application has."""
    import slicer

    bases = types.ModuleType("slicer.ScriptedLoadableModule")
    for name in ("ScriptedLoadableModule", "ScriptedLoadableModuleLogic", "ScriptedLoadableModuleWidget"):
        setattr(bases, name, type(name, (), {"__init__": lambda *_said: None}))
    said = {"delayDisplay": lambda self, words, *_more: self.__dict__.setdefault("said", []).append(words)}
    bases.ScriptedLoadableModuleTest = type("ScriptedLoadableModuleTest", (unittest.TestCase,), said)
    monkeypatch.setitem(sys.modules, "slicer.ScriptedLoadableModule", bases)
    monkeypatch.setattr(slicer.i18n, "translate", lambda _context, text: text, raising=False)
    launcher = tmp_path / "bin" / "PythonSlicer"  # Slicer's own Python, as the module finds it
    launcher.parent.mkdir()
    launcher.write_text(f'#!/bin/sh\nexec "{engine_python}" "$@"\n')
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", f"{launcher.parent}{os.pathsep}{os.environ['PATH']}")
    spec = importlib.util.spec_from_file_location("SemiSupSegMain", REPOSITORY / "SemiSupSeg" / "SemiSupSeg.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    test = script.SemiSupSegTest("test_Loop")
    monkeypatch.setattr(test, "_skipWithoutEngine", lambda: None)  # it is in a Python of its own here
    return test


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_the_loop_that_slicer_runs_on_itself_passes_on_its_real_core(slicers_test) -> None:
    slicers_test.setUp()
    try:
        slicers_test.test_Loop()
    finally:
        slicers_test.tearDown()
    assert slicers_test.said == ["Test passed"]
