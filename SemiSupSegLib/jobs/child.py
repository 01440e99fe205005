"""How a child process of this package is started: what it inherits, and that it outlives who started it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["REPOSITORY", "child_environment", "detached"]

REPOSITORY = Path(__file__).resolve().parents[2]
"""Folder that holds the package."""


def child_environment(**more: str) -> dict[str, str]:
    """This process's environment variables, and those that a child needs; ``more`` come last."""
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),  # PythonSlicer knows nothing of this package
        "PYTHONSAFEPATH": "1",  # or `-m` would import what lies in the current folder: perhaps somebody's project
        "PYTHONUNBUFFERED": "1",
        **more,
    }


def detached() -> dict[str, Any]:
    """Arguments of ``subprocess.Popen`` with which a child gets a process group of its own."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}
