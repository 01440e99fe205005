"""Who may import whom among what a person sees: desktop and browser stand on the scene, never on each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

MODULE = Path(__file__).parents[2] / "SemiSupSeg"
LIGHT = ("project", "jobs", "session", "engine_install", "config", "errors")
FORBIDDEN = {
    "SemiSupSegScene": {"SemiSupSegDesktop", "SemiSupSegBrowser", "qt", "ctk", "trame", "trame_slicer", "aiohttp"},
    "SemiSupSegDesktop": {"SemiSupSegBrowser", "trame", "trame_slicer", "aiohttp"},
    "SemiSupSegBrowser": {"SemiSupSegDesktop", "qt", "ctk", "PySide6"},
}
HEAVY = {"torch", "monai", "lightning_fabric", "safetensors"}
LONGEST_FILE = 260


def imported(path: Path) -> set[str]:
    """Whole names of all modules that a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
    return found


def files(room: str) -> list[Path]:
    return sorted((MODULE / room).glob("*.py"))


@pytest.mark.parametrize("room", FORBIDDEN)
def test_no_room_imports_upward_or_across(room):
    assert files(room)
    for path in files(room):
        tops = {name.partition(".")[0] for name in imported(path)}
        assert tops & (FORBIDDEN[room] | HEAVY) == set(), path.name


@pytest.mark.parametrize("room", FORBIDDEN)
def test_front_ends_use_the_light_floor_of_the_library_only(room):
    for path in files(room):
        ours = {name.split(".")[1] for name in imported(path) if name.startswith("SemiSupSegLib.")}
        assert ours <= set(LIGHT), path.name


def test_files_of_the_browser_app_stay_short_and_say_what_they_are_for():
    for path in files("SemiSupSegBrowser"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= LONGEST_FILE, path.name
        assert ast.get_docstring(ast.parse(text)), path.name


def test_the_page_names_no_other_host():
    for path in sorted((MODULE / "Resources" / "Browser").glob("*.[hcj]*")):
        assert "//" not in path.read_text(encoding="utf-8").replace("// ", ""), path.name
