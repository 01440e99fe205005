"""DryRun: pip asked, in a process of its own, what an installation would change."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from .plan import Plan, read_plan
from .requirements import InstallError, Versions, constraints

__all__ = ["DryRun", "dry_run_command", "pip_words"]

LAST_LINES = 12


def pip_words(requirements: Iterable[Requirement], *, wheels: Path | None = None) -> list[str]:
    """What follows ``pip install``: the requirements, and the folder of wheels to take instead of the network."""
    offline = [] if wheels is None else ["--no-index", "--find-links", str(wheels)]
    return [*offline, *map(str, requirements)]


def dry_run_command(
    python: str, requirements: Sequence[Requirement], report: Path, *, held: Path, wheels: Path | None = None
) -> list[str]:
    """The command line that says what would be installed and installs nothing.

    Args:
        python: interpreter of the environment in question.
        requirements: what is wanted.
        report: where pip writes its report, as JSON.
        held: constraints file: without it pip would not look for a solution that leaves Slicer's packages alone.
        wheels: folder of wheels to take instead of the network.
    """
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]
    rules = ["--dry-run", "--report", str(report), "--constraint", str(held)]
    return [python, "-m", "pip", "install", *quiet, *rules, *pip_words(requirements, wheels=wheels)]


class DryRun:
    """pip in a child process, asked what it would do. It changes nothing, and never makes the caller wait.

    Args:
        python: interpreter of the environment in question.
        requirements: what is wanted; not empty.
        installed: what is there now.
        wheels: folder of wheels to take instead of the network.
        start: starts a command line and returns its process, with the output to read.

    Raises:
        InstallError: the interpreter cannot be started.
    """

    def __init__(
        self,
        python: str,
        requirements: Sequence[Requirement],
        installed: Versions,
        *,
        wheels: Path | None = None,
        start: Callable[..., Any] = subprocess.Popen,
    ) -> None:
        self._installed = installed
        self._folder = tempfile.TemporaryDirectory(prefix="semisupseg_")
        room = Path(self._folder.name)
        self._report, self._log, held = room / "report.json", room / "log.txt", room / "held.txt"
        held.write_text(constraints(installed), encoding="utf-8")
        command = dry_run_command(python, requirements, self._report, held=held, wheels=wheels)
        try:
            with self._log.open("wb") as log:
                self._process = start(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        except OSError as error:
            self._folder.cleanup()
            msg = f"Slicer's Python cannot be started: {error.strerror}"
            raise InstallError(msg) from error

    def poll(self) -> Plan | None:
        """The plan once pip has answered; None until then.

        Raises:
            InstallError: pip found no way; ``detail`` holds its last lines.
        """
        code = self._process.poll()
        if code is None:
            return None
        said = self._log.read_bytes().decode("utf-8", "replace") if self._log.is_file() else ""
        report = self._report.read_text(encoding="utf-8") if self._report.is_file() else ""
        self._folder.cleanup()
        if code != 0:
            msg = "nothing was installed: pip found no way to add the engine's packages and leave Slicer's as they are"
            raise InstallError(msg, "\n".join(said.strip().splitlines()[-LAST_LINES:]))
        return read_plan(report, self._installed)

    def cancel(self) -> None:
        """End it; nothing when it has ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()
