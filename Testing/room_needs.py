"""What some rooms of the tests need besides the library: Python packages, and libraries and programs of the system.

Started as a script it prints the Debian packages that are missing here, which ``.ci/setup`` installs.
"""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import sys

__all__ = ["missing_debian_packages", "why_not"]

PACKAGES = {
    "scene": ("slicer",),
    "desktop": ("slicer", "PySide6"),
    "browser": ("slicer", "trame_slicer", "playwright"),
}
"""Room (folder of tests): what its tests import that is not published for every system."""
PUBLISHED = "Python 3.11 to 3.13, on 64-bit Intel Linux and Windows and on Apple silicon"
"""Where ``slicer-core`` is; pyproject.toml says the same to pip."""
LIBRARIES = {
    "libdbus-1.so.3": "libdbus-1-3",
    "libEGL.so.1": "libegl1",
    "libfontconfig.so.1": "libfontconfig1",
    "libGL.so.1": "libgl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libxkbcommon.so.0": "libxkbcommon0",
}
"""What VTK and Qt load on Linux to draw without a screen: the Debian package of each; Mesa's drivers come with them."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
"""Programs that the tests of the browser app can drive."""


def why_not(room: str) -> str | None:
    """Why the tests of this room cannot run here, in one sentence that says what to do; None where they can."""
    if room not in PACKAGES:
        return None
    absent = [name for name in PACKAGES[room] if importlib.util.find_spec(name) is None]
    if absent:
        where = f"Slicer's core is published for {PUBLISHED}"
        return f"{' and '.join(absent)} not installed: run pip install -e '.[dev,app]' ({where})"
    missing = " ".join(_missing_libraries() + (_missing_browser() if room == "browser" else []))
    return f"not on this machine, by Debian's names: {missing}; run apt-get install {missing}" if missing else None


def missing_debian_packages() -> list[str]:
    """All that is missing on this machine; none on other systems than Linux, which apt knows nothing of."""
    return _missing_libraries() + _missing_browser() if sys.platform == "linux" else []


def _missing_libraries() -> list[str]:
    return [package for library, package in LIBRARIES.items() if sys.platform == "linux" and not _loads(library)]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _missing_browser() -> list[str]:
    return [] if any(shutil.which(name) for name in BROWSERS) else ["chromium"]


if __name__ == "__main__":
    sys.stdout.write(" ".join(missing_debian_packages()))
