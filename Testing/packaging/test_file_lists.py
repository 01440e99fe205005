"""What is not in a CMake list never reaches a user: the lists name every file, and no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from file_lists import LISTS, REPOSITORY, listed, present, rewrite

CASES = [(name, variable) for name, variables in LISTS.items() for variable in variables]
HINT = "run `python Testing/packaging/file_lists.py --write`"


@pytest.mark.parametrize(("folder", "variable"), CASES)
def test_every_file_that_users_need_is_in_its_list(folder, variable):
    lacking = sorted(set(present(REPOSITORY / folder, variable)) - set(listed(REPOSITORY / folder, variable)))
    assert lacking == [], HINT


@pytest.mark.parametrize(("folder", "variable"), CASES)
def test_no_list_names_a_file_that_is_not_there_or_one_twice(folder, variable):
    names = listed(REPOSITORY / folder, variable)
    assert [name for name in names if not (REPOSITORY / folder / name).is_file()] == [], HINT
    assert len(names) == len(set(names)), HINT


@pytest.fixture
def a_module(tmp_path: Path) -> Path:
    """A copy of the module's lists beside two files and what tests and Python leave behind."""
    folder = tmp_path / "SemiSupSeg"
    for name in (
        "SemiSupSeg.py",
        "Resources/UI/Panel.ui",
        "Testing/test_x.py",
        "__pycache__/SemiSupSeg.cpython-311.pyc",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    shutil.copy(REPOSITORY / "SemiSupSeg" / "CMakeLists.txt", folder)
    return folder


def test_the_lists_can_be_rewritten_and_leave_tests_and_caches_out(a_module):
    rewrite(a_module)
    assert listed(a_module, "MODULE_PYTHON_SCRIPTS") == ["SemiSupSeg.py"]
    assert listed(a_module, "MODULE_PYTHON_RESOURCES") == ["Resources/UI/Panel.ui"]
    once = (a_module / "CMakeLists.txt").read_bytes()
    rewrite(a_module)
    assert (a_module / "CMakeLists.txt").read_bytes() == once


def test_a_new_file_is_noticed(a_module):
    rewrite(a_module)
    (a_module / "SemiSupSegDesktop").mkdir()
    (a_module / "SemiSupSegDesktop" / "NewPanel.py").touch()
    assert "SemiSupSegDesktop/NewPanel.py" in present(a_module, "MODULE_PYTHON_SCRIPTS")
    assert "SemiSupSegDesktop/NewPanel.py" not in listed(a_module, "MODULE_PYTHON_SCRIPTS")
