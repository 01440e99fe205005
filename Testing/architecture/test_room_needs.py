"""Tests that cannot run on a machine say why, and the set-up asks for nothing that is not published."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

import pytest
import room_needs
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[2]
PUBLISHED = [
    ("3.11", "linux", "x86_64"), ("3.13", "linux", "x86_64"), ("3.12", "darwin", "arm64"), ("3.12", "win32", "AMD64"),
]  # fmt: skip
NOT_PUBLISHED = [("3.14", "linux", "x86_64"), ("3.12", "linux", "aarch64"), ("3.12", "darwin", "x86_64")]


@pytest.fixture
def nothing_lacks(monkeypatch) -> pytest.MonkeyPatch:
    """A Linux with everything; a test takes something away."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())
    monkeypatch.setattr(room_needs, "_loads", lambda _library: True)
    monkeypatch.setattr(room_needs.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(room_needs.sys, "platform", "linux")
    return monkeypatch


@pytest.mark.parametrize("room", ["scene", "desktop", "browser", "light", "torch"])
def test_where_nothing_lacks_no_room_is_skipped(room, nothing_lacks):  # noqa: ARG001
    assert room_needs.why_not(room) is None
    assert room_needs.missing_debian_packages() == []


def test_a_room_without_its_package_says_which_and_how_to_get_it(nothing_lacks):
    nothing_lacks.setattr(importlib.util, "find_spec", lambda name: None if name == "PySide6" else object())
    assert room_needs.why_not("scene") is None
    assert "PySide6 not installed: run pip install -e '.[dev,app]'" in room_needs.why_not("desktop")


def test_a_room_without_a_library_names_debians_package(nothing_lacks):
    nothing_lacks.setattr(room_needs, "_loads", lambda library: library != "libEGL.so.1")
    assert room_needs.why_not("scene").endswith("run apt-get install libegl1")
    assert room_needs.why_not("light") is None
    assert room_needs.missing_debian_packages() == ["libegl1"]


def test_only_the_browser_app_needs_a_browser(nothing_lacks):
    nothing_lacks.setattr(room_needs.shutil, "which", lambda _name: None)
    assert room_needs.why_not("desktop") is None
    assert room_needs.why_not("browser").endswith("run apt-get install chromium")


def test_other_systems_are_not_asked_for_debians_libraries(nothing_lacks):
    nothing_lacks.setattr(room_needs, "_loads", lambda _library: False)
    nothing_lacks.setattr(room_needs.sys, "platform", "darwin")
    assert room_needs.why_not("desktop") is None
    assert room_needs.missing_debian_packages() == []


@pytest.mark.parametrize("system", PUBLISHED + NOT_PUBLISHED)
def test_pip_is_asked_for_slicers_core_where_it_is_published_and_nowhere_else(system):
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    app = map(Requirement, project["optional-dependencies"]["app"])
    markers = [requirement.marker for requirement in app if requirement.name == "trame-slicer"]
    place = dict(zip(("python_version", "sys_platform", "platform_machine"), system, strict=True))
    assert any(marker.evaluate(place) for marker in markers) == (system in PUBLISHED)
