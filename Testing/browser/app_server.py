"""The app in a process of its own, and the browser that looks at it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from room_needs import BROWSERS

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
PICTURES = REPOSITORY / "build" / "browser"
"""Build output: a picture of each step."""
PATIENCE = 180.0
"""Seconds; the machine may be busy with other things."""
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


class Server:
    """The app in a process of its own.

    Args:
        project: its folder; none when empty.
    """

    def __init__(self, project: str = "") -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="semisupseg app "))
        self._said = self._folder / "said.txt"
        parent = _parent()
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(json.dumps([project, str(self._said)]) + "\n")
        parent.stdin.flush()
        self.process = psutil.Process(int(parent.stdout.readline()))
        self.address = self._address()

    @property
    def said(self) -> str:
        """What it wrote so far."""
        return self._said.read_text(errors="replace") if self._said.exists() else ""

    def _address(self) -> str:
        deadline = time.monotonic() + PATIENCE
        while self.process.is_running() and time.monotonic() < deadline:
            if found := re.search(r"http://\S+token=\S+", self.said):
                return found.group(0)
            time.sleep(0.05)
        raise AssertionError(self.said)

    @property
    def root(self) -> str:
        """Without the token."""
        return self.address.partition("/?")[0]

    def kill(self) -> None:
        """As when the power goes."""
        self.process.send_signal(signal.SIGKILL)
        self._over()

    def end(self) -> None:
        if self.process.is_running():
            self.process.terminate()
            try:
                self.process.wait(20)
            except psutil.TimeoutExpired:
                self.process.kill()
        self._over()

    def _over(self) -> None:
        self.process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


@cache
def _parent() -> Any:
    """The process of which servers are forked; it ends with this one, as its input does."""
    return subprocess.Popen(
        [sys.executable, str(HERE / "serve_app.py")], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
