"""The module's panel under PySide6, over real MRML and a real session; only the engine and Slicer's widgets stand in.

``room_needs.py`` says what this folder needs.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 120.0
for folder in (REPOSITORY / "SemiSupSeg", REPOSITORY / "Testing" / "scene", Path(__file__).parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # the first as Slicer does with the folder of a scripted module


@pytest.fixture(scope="session")
def host() -> Any:
    """MRML as the application sets it up, Qt with PythonQt's manners, and the widgets that stand in for Slicer's."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"  # no window, wherever this runs
    import slicer
    from slicer_host import Host
    from standins import pythonqt, widgets

    made = Host()
    made.application = pythonqt.install()
    made.application.setOrganizationName("SemiSupSegTesting")
    slicer.qMRMLPlotView = widgets.qMRMLPlotView
    slicer.qMRMLSegmentEditorWidget = widgets.qMRMLSegmentEditorWidget
    slicer.util.mainWindow = lambda *_said, **_also: None
    slicer.util.showStatusMessage = lambda *_said, **_also: None
    return made


@pytest.fixture
def a_scene(host) -> Iterator[Any]:
    """A scene with three slice views and nothing else."""
    import slicer

    host.scene.Clear(False)
    slicer.mrmlScene = host.scene
    for name, orientation in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal")):
        node = slicer.vtkMRMLSliceNode()
        node.SetSingletonTag(name)
        node.SetName(name)
        host.scene.AddNode(node).SetOrientation(orientation)
        composite = slicer.vtkMRMLSliceCompositeNode()
        composite.SetSingletonTag(name)
        host.scene.AddNode(composite)
    yield host.scene
    host.scene.Clear(False)


@pytest.fixture
def no_message_box(host, monkeypatch: pytest.MonkeyPatch) -> list[str]:  # noqa: ARG001  must be there first
    """Every window that asks or tells something is written here instead of shown."""
    from PySide6 import QtWidgets

    shown: list[str] = []
    for ask in ("information", "warning", "critical", "question", "about"):
        monkeypatch.setattr(QtWidgets.QMessageBox, ask, lambda *said, **_also: shown.append(repr(said)))
    monkeypatch.setattr(QtWidgets.QDialog, "exec", lambda self: shown.append(repr(self)))
    monkeypatch.setattr(QtWidgets.QDialog, "open", lambda self: shown.append(repr(self)))
    return shown


@pytest.fixture
def choose(host, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:  # noqa: ARG001  must be there first
    """What the person picks in the next folder chooser: ``choose(path)``."""
    import qt

    chosen: list[Path] = []
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", staticmethod(lambda *_said: str(chosen.pop(0))))
    return chosen.append


@pytest.fixture
def settings(host, tmp_path: Path) -> None:  # noqa: ARG001  must be there first
    """Settings of a person who has never started the module."""
    import qt

    qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
    qt.QSettings.setPath(qt.QSettings.IniFormat, qt.QSettings.UserScope, str(tmp_path / "settings"))


@pytest.fixture
def open_panel(host, a_scene, settings, no_message_box) -> Iterator[Callable[..., Any]]:  # noqa: ARG001  must be there first
    """Opens the module: ``open_panel(session, ...)``; closed again after the test."""
    from screen import Screen

    opened: list[Any] = []

    def begin(session: Any, **said: Any) -> Any:
        opened.append(Screen(host.application, session, a_scene, **said))
        return opened[-1]

    yield begin
    for screen in opened:
        screen.close()
    assert no_message_box == []


@pytest.fixture
def until(host) -> Callable[..., None]:  # noqa: ARG001  must be there first
    """Waits for something that a real process does: ``until(screen, lambda: ...)``; ``patience`` in seconds."""

    def wait(screen: Any, done: Callable[[], object], *, patience: float = PATIENCE) -> None:
        deadline = time.monotonic() + patience
        while not done():
            assert time.monotonic() < deadline, (screen.message, screen.panel.session.progress)
            screen.look()
            time.sleep(0.02)

    return wait


@pytest.fixture
def program() -> tuple[str, str]:
    """The words that start the engine's stand-in."""
    return sys.executable, str(Path(__file__).parent / "standins" / "engine.py")


@pytest.fixture
def a_session(program) -> Any:
    """No project is open yet."""
    from SemiSupSegLib.session import Session

    return Session(who="ann", threads=False, program=program)


@pytest.fixture
def a_project(tmp_path: Path) -> Any:
    """Three small cases with three organs: one complete, one with a finished part, one of which nothing is known."""
    import numpy as np

    from SemiSupSegLib.project.annotation import Annotation, Region, RegionKind, State
    from SemiSupSegLib.project.geometry import Grid, image_from_kji
    from SemiSupSegLib.project.labels import LabelSet
    from SemiSupSegLib.project.project import Project

    project = Project.create(tmp_path / "study", label_set=LabelSet.from_names(["liver", "spleen", "left kidney"]))
    grid = Grid((20, 18, 16), (2.0, 2.0, 3.0), (0.0, 0.0, 0.0))
    layers = np.zeros((1, *grid.shape), np.uint8)
    layers[0, 4:12, 3:12, 2:9], layers[0, 5:9, 6:12, 12:16] = 1, 2
    complete = Annotation(State.COMPLETE)
    part = Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((4, 6),)),))
    said = (
        {"liver": complete, "spleen": complete, "left kidney": Annotation(State.ABSENT)},
        {"liver": part},
        {},
    )
    for number, states in enumerate(said):
        noise = np.random.default_rng(number).integers(0, 100, grid.shape).astype(np.int16)
        labels = layers if states else None
        project.add_case(
            f"patient_{number + 1}", image_from_kji(noise + 200 * layers[0].astype(np.int16), grid), labels=labels,
            annotations=states, modality="CT", who="ann",
        )  # fmt: skip
    return project


@pytest.fixture
def proposed(a_project) -> Any:
    """The same after a first model: it proposes liver and spleen in the other cases, and finds no left kidney."""
    import numpy as np
    from standins.engine import write_prediction

    from SemiSupSegLib.project.models import add_promoted

    (a_project.models_folder / "0001").mkdir(parents=True)
    (a_project.models_folder / "0001" / "model.json").write_text("{}")
    add_promoted(a_project.models_folder, "0001")
    shape = a_project.case("patient_1").grid().shape
    liver, spleen = np.zeros(shape, bool), np.zeros(shape, bool)
    liver[4:12, 3:12, 2:10], spleen[5:9, 6:12, 12:17] = True, True
    masks = {"liver": liver, "spleen": spleen, "left kidney": np.zeros(shape, bool)}
    write_prediction(a_project, "patient_2", {"liver": liver}, liver={"parts": 2})
    write_prediction(a_project, "patient_3", masks)
    return a_project


@pytest.fixture
def a_run(a_project) -> Any:
    """A training that this very process seems to make: it lives, and says what a test writes."""
    from SemiSupSegLib.config import Config, TrainConfig
    from SemiSupSegLib.jobs.process_tree import ProcessIdentity
    from SemiSupSegLib.jobs.run import Run

    run = Run.create(a_project.runs_folder, Config(train=TrainConfig(minutes=5)))
    ProcessIdentity.of(os.getpid()).save(run.folder)
    run.write("started", device="cpu", reason="torch has no CUDA build")
    run.write("prepared", cases=2, minutes=6.0, memory_gb=3.1)
    for step in range(5, 105, 5):
        losses = {"dice": 0.9 * 0.98**step, "sdm": 0.5 * 0.97**step}
        run.write("progress", step=step, fraction=step / 160, eta_seconds=170, losses=losses)
        if step % 20 == 0:
            dice = 0.4 + 0.35 * (1 - 0.97**step) - (0.06 if step == 100 else 0)
            run.write("validated", step=step, dice={"liver": dice}, mean=dice, best=step != 100)
    return run
