"""Installation: from the click on "Install engine" to a report that can be copied.

Nothing runs before :meth:`Installation.start`, which is that click. The two steps that only Slicer can do are handed
in, so the whole way is tested without Slicer.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .dry_run import DryRun, pip_words
from .plan import Plan
from .requirements import (
    PROTECTED,
    TORCH,
    InstallError,
    Versions,
    constraints,
    installed_versions,
    is_protected,
    missing,
)

__all__ = ["DOWNLOAD", "Installation", "Stage", "report_text"]

DOWNLOAD = "about 300 MB, or 3 GB with PyTorch for an NVIDIA graphics card"
"""What the packages weigh, for the line beside the button: the click is the consent."""


class Stage(Enum):
    """How far an installation is."""

    IDLE = "not started"
    ASKING = "asking pip what would change"
    ALLOWED = "checked: nothing of Slicer's own would change"
    DONE = "installed"
    FAILED = "not installed"


class Installation:
    """One installation of the engine into Slicer's Python. Safe to repeat: what is there is not installed again.

    Args:
        requirements: what the engine needs beside PyTorch.
        python: interpreter of that Python, for pip's dry run.
        install_torch: installs PyTorch in the range given, as the PyTorch extension does; called only when it is absent
            or too old. None where no such way exists: pip then takes PyTorch like any other package.
        install_packages: runs ``pip install`` with these words and this text of constraints.
        wheels: folder of wheels to take instead of the network, in a hospital without one.
        installed: looks what is there.
        dry_run: makes the dry run.
    """

    def __init__(
        self,
        requirements: Sequence[Requirement],
        *,
        python: str,
        install_torch: Callable[[str, str], object] | None,
        install_packages: Callable[[list[str], str], object],
        wheels: Path | None = None,
        installed: Callable[[], Versions] = installed_versions,
        dry_run: Callable[..., Any] = DryRun,
    ) -> None:
        self.requirements = tuple(requirements)
        self.stage = Stage.IDLE
        self.plan: Plan | None = None
        self.problem: InstallError | None = None
        self._python, self._wheels = python, wheels
        self._install_torch, self._install_packages = install_torch, install_packages
        self._installed, self._make_dry_run = installed, dry_run
        self._dry_run: Any = None
        self.missing: tuple[Requirement, ...] = ()
        """What was absent or of a wrong version at the last look; empty when the engine can start."""
        self.look()

    def look(self) -> tuple[Requirement, ...]:
        """Look what is missing now, and keep it: listing the packages takes too long for every redrawing."""
        self.missing = missing((TORCH, *self.requirements), self._installed())
        return self.missing

    @property
    def offer(self) -> str:
        """What a click would install, and how much that is; empty when there is nothing to install."""
        wanted = self.missing
        if not wanted:
            return ""
        weight = f" ({DOWNLOAD})" if any(r.name == TORCH.name for r in wanted) else ""
        return f"{', '.join(map(str, wanted))}{weight}"

    def start(self) -> Stage:
        """Begin by asking pip, in the background; done at once when nothing is missing."""
        wanted = self.look()
        self.plan, self.problem = None, None
        if not wanted:
            self.stage = Stage.DONE
            return self.stage
        self.stage = Stage.ASKING
        try:
            self._dry_run = self._make_dry_run(self._python, wanted, self._installed(), wheels=self._wheels)
        except InstallError as error:
            self._fail(error)
        return self.stage

    def poll(self) -> Stage:
        """Look whether pip has answered. ALLOWED means that :meth:`install` may follow, FAILED says why not."""
        if self.stage is not Stage.ASKING:
            return self.stage
        try:
            self.plan = self._dry_run.poll()
        except InstallError as error:
            self._fail(error)
            return self.stage
        if self.plan is not None:
            self.stage = Stage.ALLOWED
            if self.plan.refusal:
                self._fail(InstallError(self.plan.refusal, self.plan.words))
        return self.stage

    def install(self) -> Stage:
        """Install: PyTorch first, then the rest, with Slicer's own packages held at their versions.

        Any exception of an installer counts as a failure, with its text in the report; a second try goes on from what
        is there then.
        """
        if self.stage is not Stage.ALLOWED:
            return self.stage
        before = self._installed()
        try:
            if self._install_torch and self._wheels is None and missing([TORCH], before):
                self._install_torch(str(TORCH.specifier), constraints(before))
            rest = self.look()
            if rest:
                self._install_packages(pip_words(rest, wheels=self._wheels), constraints(self._installed()))
        except Exception as error:  # pip, the network, a declined question: whatever it was, say it and keep working
            self._fail(InstallError("the engine could not be installed completely; a second try goes on", str(error)))
            return self.stage
        self._judge(before)
        return self.stage

    def cancel(self) -> None:
        """Give up asking; nothing when that is over."""
        if self.stage is Stage.ASKING:
            self._dry_run.cancel()
            self.stage = Stage.IDLE

    @property
    def report(self) -> str:
        """Text to copy into a question to others."""
        outcome = self.stage.value if self.problem is None else f"{self.stage.value}: {self.problem}"
        return report_text(self.requirements, self._installed(), outcome=outcome, detail=self._detail)

    @property
    def _detail(self) -> str:
        if self.problem is not None:
            return self.problem.detail
        return "" if self.plan is None else self.plan.words

    def _judge(self, before: Versions) -> None:
        after, left = self._installed(), self.look()
        pairs = [(name, version, after.get(name, "removed")) for name, version in before.items() if is_protected(name)]
        harmed = [f"{name} {was} -> {now}" for name, was, now in pairs if was != now]
        if harmed:
            words = f"{', '.join(harmed)} changed all the same: reinstall Slicer before you go on"
            self._fail(InstallError(words))
        elif left:
            self._fail(InstallError(f"pip reported no error, but {', '.join(map(str, left))} is not there"))
        else:
            self.stage = Stage.DONE

    def _fail(self, error: InstallError) -> None:
        self.stage, self.problem = Stage.FAILED, error


def report_text(requirements: Sequence[Requirement], installed: Versions, *, outcome: str, detail: str = "") -> str:
    """What happened, on which machine, with which versions. The home folder, and with it a name, is left out."""
    watched = [*(r.name for r in requirements), TORCH.name, *PROTECTED]
    rows = [f"  {name} {installed.get(canonicalize_name(name), 'not installed')}" for name in dict.fromkeys(watched)]
    machine = f"Python {platform.python_version()}, {platform.system()} {platform.release()} {platform.machine()}"
    lines = [f"SemiSupSeg engine: {outcome}", machine, *rows, *([detail] if detail else [])]
    return "\n".join(lines).replace(str(Path.home()), "~")
