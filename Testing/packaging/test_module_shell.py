"""The module's main script, as Slicer calls it, with stand-ins for Slicer's classes and for the panel."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import pytest

MODULE = Path(__file__).resolve().parents[2] / "SemiSupSeg"
OURS = ("SemiSupSeg", "SemiSupSegDesktop", "SemiSupSegScene")


class AnInstallation:
    """The engine's packages: lacking some, or none."""

    def __init__(self, *missing: str) -> None:
        self.missing = missing


class APart:
    """Stands for a panel, and notes what is done with it."""

    made: list[APart] = []  # noqa: RUF012 - emptied by the fixture

    def __init__(self, *given, **named) -> None:
        self.given, self.named, self.done = given, named, []
        APart.made.append(self)

    def __getattr__(self, name: str):
        return lambda: self.done.append(name)


class Panel(APart):
    pass


class Offer(APart):
    pass


def module(name: str, **members) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update(members)
    return made


class Base:
    """What all of Slicer's base classes need here: a parent to write to."""

    def __init__(self, parent=None) -> None:
        self.parent = parent
        self.layout = MagicMock()

    def setup(self) -> None:
        pass

    def resourcePath(self, name: str) -> str:  # noqa: N802 - Slicer's name
        return str(MODULE / "Resources" / name)


@pytest.fixture
def a_slicer(monkeypatch) -> SimpleNamespace:
    """Slicer without the engine; ``packages`` is what is asked about it."""
    slicer = SimpleNamespace(packages=AnInstallation("torch>=2.4"), app=MagicMock())
    names = ("ScriptedLoadableModule", "ScriptedLoadableModuleLogic", "ScriptedLoadableModuleTest")
    bases = {name: type(name, (Base,), {}) for name in (*names, "ScriptedLoadableModuleWidget")}
    parts = {
        "qt": module("qt", QLabel=MagicMock()),
        "slicer": module("slicer", app=slicer.app, util=MagicMock(), mrmlScene=MagicMock()),
        "slicer.i18n": module("slicer.i18n", tr=str, translate=lambda _context, text: text),
        "slicer.ScriptedLoadableModule": module("slicer.ScriptedLoadableModule", **bases),
        "SemiSupSegDesktop.EngineInstaller": module("EngineInstaller", makeInstallation=lambda _path: slicer.packages),
        "SemiSupSegDesktop.EngineInstallPanel": module("EngineInstallPanel", EngineInstallPanel=Offer),
        "SemiSupSegDesktop.SemiSupSegPanel": module("SemiSupSegPanel", SemiSupSegPanel=Panel),
    }
    forget()
    for name, part in parts.items():
        monkeypatch.setitem(sys.modules, name, part)
    monkeypatch.syspath_prepend(str(MODULE))
    APart.made.clear()
    yield slicer
    forget()


def forget() -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] in OURS]:
        del sys.modules[name]


@pytest.fixture
def main_script(a_slicer):  # noqa: ARG001 - its modules must be there first
    """SemiSupSeg.py."""
    return importlib.import_module("SemiSupSeg")


def opened(main_script):
    widget = main_script.SemiSupSegWidget(SimpleNamespace())
    widget.setup()
    return widget


def test_slicers_module_list_finds_a_title_a_category_and_a_warning(main_script, a_slicer):
    parent = SimpleNamespace()
    main_script.SemiSupSeg(parent)
    assert (parent.title, parent.categories) == ("SemiSupSeg", ["Segmentation"])
    assert "not a medical device" in parent.helpText
    assert a_slicer.app.connect.call_args.args == ("startupCompleted()", main_script.registerSampleData)


def test_without_the_engine_the_module_offers_to_install_it_and_opens_no_session(main_script):
    widget = opened(main_script)
    assert [type(part) for part in APart.made] == [Offer]
    assert widget.panel is None
    widget.enter()
    widget.exit()
    widget.cleanup()


def test_after_the_installation_the_panel_takes_the_place_of_the_offer_and_its_keys_act(main_script):
    widget = opened(main_script)
    widget.showPanel()
    offer, panel = APart.made
    assert offer.done == ["cleanup"]
    assert panel.done == ["enter"]
    widget.showPanel()
    assert len(APart.made) == 2


def test_with_the_engine_the_panel_comes_at_once_with_session_installation_and_sample(main_script, a_slicer):
    a_slicer.packages = AnInstallation()
    widget = opened(main_script)
    (panel,) = APart.made
    assert panel.given[1] is widget.logic.session
    assert panel.named["installation"] is a_slicer.packages
    assert panel.named["sampleCohort"].__name__ == "makeSyntheticCohort"
    widget.enter()
    widget.exit()
    widget.cleanup()
    assert panel.done == ["enter", "exit", "cleanup"]
    widget.cleanup()  # Slicer may say it twice
    assert panel.done == ["enter", "exit", "cleanup"]


def test_a_slicer_whose_python_is_too_old_says_so_and_offers_nothing(main_script, monkeypatch):
    monkeypatch.setattr(main_script, "OLDEST_PYTHON", (99, 0))
    opened(main_script)
    assert APart.made == []
    assert "99.0" in main_script.qt.QLabel.call_args.args[0]


def test_the_module_is_loaded_without_the_library_the_panels_or_torch(main_script):  # noqa: ARG001
    assert "SemiSupSegDesktop" not in sys.modules
