"""The app in a process of its own, and the browser that looks at it."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

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
    """The app in a process of its own."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "serve_app.py"), *words], cwd=REPOSITORY, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.said = ""
        self.address = self._address()

    def _address(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if found := re.search(r"http://\S+token=\S+", line):
                return found.group(0)
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
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._over()

    def _over(self) -> None:
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
