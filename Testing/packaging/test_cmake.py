"""The extension's CMake files, run by CMake against a stand-in of Slicer's package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from file_lists import LISTS, REPOSITORY, listed

CMAKE = shutil.which("cmake", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
STANDIN = Path(__file__).parent / "slicer_standin"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CMAKE is None, reason="cmake is not on this machine (`pip install cmake` brings it)"),
]


@pytest.fixture
def an_extension(tmp_path: Path) -> Path:
    """A copy of what CMake reads: the lists and the files that they name."""
    folder = tmp_path / "SlicerSemiSupSeg"
    leave = shutil.ignore_patterns("__pycache__", ".*")
    for name in LISTS:
        shutil.copytree(REPOSITORY / name, folder / name, ignore=leave)
    shutil.copy(REPOSITORY / "CMakeLists.txt", folder)
    return folder


def configure(extension: Path) -> subprocess.CompletedProcess[str]:
    command = [CMAKE, "-S", extension, "-B", extension.parent / "build", f"-DSlicer_DIR={STANDIN}"]
    generator = ["-G", "Ninja"] if shutil.which("make") is None and shutil.which("ninja") else []
    return subprocess.run([*command, *generator], capture_output=True, text=True, timeout=240, check=False)


def test_the_extension_configures_and_installs_every_listed_file_beside_the_module(an_extension):
    done = configure(an_extension)
    assert done.returncode == 0, done.stderr
    assert "test in Slicer: SemiSupSeg.py" in done.stdout
    build, prefix = an_extension.parent / "build", an_extension.parent / "installed"
    subprocess.run([CMAKE, "--install", build, "--prefix", prefix], check=True, capture_output=True, timeout=240)
    modules = prefix / "lib" / "Slicer-standin" / "qt-scripted-modules"
    installed = {p.relative_to(modules).as_posix() for p in modules.rglob("*") if p.is_file()}
    module = {name for variable in LISTS["SemiSupSeg"] for name in listed(an_extension / "SemiSupSeg", variable)}
    library = listed(an_extension / "SemiSupSegLib", "MODULE_PYTHON_SCRIPTS")
    assert installed == module | {f"SemiSupSegLib/{name}" for name in library}
    # what lies in Slicer's folder of modules and is no package would be taken for a module
    assert [name for name in sorted(installed) if "/" not in name] == ["SemiSupSeg.py"]


@pytest.mark.parametrize(
    "name",
    [
        "SemiSupSeg/SemiSupSegDesktop/ForgottenPanel.py",
        "SemiSupSeg/Resources/UI/Forgotten.ui",
        "SemiSupSegLib/forgotten.py",
    ],
)
def test_a_file_that_no_list_names_stops_the_build(an_extension, name):
    (an_extension / name).parent.mkdir(parents=True, exist_ok=True)
    (an_extension / name).touch()
    done = configure(an_extension)
    assert done.returncode != 0
    assert Path(name).name in done.stderr


@pytest.mark.parametrize("name", ["SemiSupSeg/Resources/requirements.txt", "SemiSupSegLib/errors.py"])
def test_a_listed_file_that_is_gone_stops_the_build(an_extension, name):
    (an_extension / name).unlink()
    done = configure(an_extension)
    assert done.returncode != 0
    assert Path(name).name in done.stderr


def test_an_extension_without_its_description_stops_the_build(an_extension):
    path = an_extension / "CMakeLists.txt"
    path.write_text(path.read_text().replace("set(EXTENSION_DESCRIPTION", "set(NOTHING"))
    done = configure(an_extension)
    assert done.returncode != 0
    assert "EXTENSION_DESCRIPTION is not set" in done.stderr
