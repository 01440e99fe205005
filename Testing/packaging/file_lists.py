"""The files that the CMake lists name, those that are there, and both brought together.

``python Testing/packaging/file_lists.py --write`` rewrites the lists in place after a file was added or removed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LISTS = {
    "SemiSupSeg": ("MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"),
    "SemiSupSegLib": ("MODULE_PYTHON_SCRIPTS",),
}
"""Folders with a CMakeLists.txt of their own, and the lists in each."""


def _block(variable: str) -> re.Pattern[str]:
    return re.compile(rf"set\({variable}\n(.*?)^  \)", re.DOTALL | re.MULTILINE)


def listed(folder: Path, variable: str) -> list[str]:
    """Names in one list, as they stand there."""
    text = (folder / "CMakeLists.txt").read_text(encoding="utf-8")
    found = _block(variable).search(text)
    return [] if found is None else found.group(1).replace("${MODULE_NAME}", folder.name).split()


def present(folder: Path, variable: str) -> list[str]:
    """What such a list must hold: all sources, or all resources, that a user needs."""
    pattern = "*.py" if variable.endswith("SCRIPTS") else "Resources/**/*"
    names = [p.relative_to(folder) for p in folder.rglob(pattern) if p.is_file()]
    kept = [n for n in names if not {"__pycache__", "Testing"} & set(n.parts) and not n.name.startswith(".")]
    if variable.endswith("RESOURCES"):
        kept = [name for name in kept if name.suffix not in (".py", ".pyc")]
    # a module's main script and __init__.py first, as people read them
    return [n.as_posix() for n in sorted(kept, key=lambda n: (len(n.parts) > 1, n.parent.as_posix(), n.name.lower()))]


def rewrite(folder: Path) -> None:
    """Make the lists of a folder's CMakeLists.txt what they should be."""
    path = folder / "CMakeLists.txt"
    text = path.read_text(encoding="utf-8")
    for variable in LISTS[folder.name]:
        lines = "".join(f"  {name}\n" for name in present(folder, variable))
        text = _block(variable).sub(lambda _: f"set({variable}\n{lines}  )", text, count=1)  # noqa: B023
    path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(f"usage: {sys.argv[0]} --write")
    for name in LISTS:
        rewrite(REPOSITORY / name)
