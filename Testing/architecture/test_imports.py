"""Who may import whom, and what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from SemiSupSegLib.cli.main import VERB_MODULES, verb_named

REPOSITORY = Path(__file__).parents[2]
LIBRARY = REPOSITORY / "SemiSupSegLib"
LIGHT = ("project", "jobs", "session", "engine_install", "config", "errors")
LONGEST_FILE = 300

WITHOUT_TORCH = """
import importlib, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "monai", "lightning_fabric", "safetensors"):
            raise ImportError(f"{name} was imported")
sys.meta_path.insert(0, Refuse())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def light_modules() -> list[str]:
    """Names of all modules of the LIGHT floor, found as files, so that nothing is imported here."""
    paths = [p.relative_to(REPOSITORY).with_suffix("") for p in LIBRARY.rglob("*.py") if p.stem != "__init__"]
    return sorted(".".join(path.parts) for path in paths if path.parts[1] in LIGHT)


def import_without_torch(names: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_TORCH, *names]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)


def test_the_light_floor_works_where_torch_cannot_be_imported():
    assert len(light_modules()) > 10
    done = import_without_torch(light_modules())
    assert done.returncode == 0, done.stderr


def test_the_check_itself_notices_torch():
    done = import_without_torch(["SemiSupSegLib.losses.masked"])
    assert "torch was imported" in done.stderr


def test_no_verb_imports_torch_before_it_runs():
    done = import_without_torch([f"SemiSupSegLib.cli.{name}" for name in sorted({"main", *VERB_MODULES.values()})])
    assert done.returncode == 0, done.stderr


def test_status_and_review_run_where_torch_cannot_be_imported(tmp_path):
    script = WITHOUT_TORCH + (
        "from SemiSupSegLib.cli.main import main\n"
        f"project = {str(tmp_path / 'p')!r}\n"
        "lines = ['init', project, '--labels', 'liver'], ['status', project], ['review', project]\n"
        "sys.exit(any([main(words) for words in lines]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", VERB_MODULES)
def test_every_verb_has_a_summary_and_examples_of_itself(name):
    verb = verb_named(name)
    assert verb.summary
    assert not verb.summary.endswith(".")
    assert verb.examples
    assert all(f"semisupseg {name}" in line or f"SemiSupSegLib {name}" in line for line in verb.examples)


def test_every_verb_of_every_file_can_be_called():
    for module in sorted(set(VERB_MODULES.values())):
        verbs = sys.modules[verb_named(next(v for v, m in VERB_MODULES.items() if m == module)).run.__module__].VERBS
        assert {verb.name for verb in verbs} == {name for name, m in VERB_MODULES.items() if m == module}


def test_only_the_command_line_prints():
    for path in sorted(LIBRARY.rglob("*.py")):
        if "cli" in path.relative_to(LIBRARY).parts:
            continue
        calls = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
        assert not [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"], path


def test_files_stay_short_enough_to_be_read():
    texts = {str(p.relative_to(REPOSITORY)): p.read_text(encoding="utf-8") for p in LIBRARY.rglob("*.py")}
    lengths = {name: len(text.splitlines()) for name, text in texts.items()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_modules_begin_with_what_they_are_for():
    for path in sorted(LIBRARY.rglob("*.py")):
        content = path.read_text(encoding="utf-8")
        if content.strip() and path.name != "__init__.py":
            assert ast.get_docstring(ast.parse(content)), path
            assert "from __future__ import annotations" in content, path
