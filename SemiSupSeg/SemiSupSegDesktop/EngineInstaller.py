"""EngineInstaller: the calls of the engine's installation that only Slicer has. Every rule lives in SemiSupSegLib."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

POLL_MILLISECONDS = 200


def pythonOfSlicer() -> str:
    """Slicer's own Python, to be started as a child; this one where there is no launcher."""
    return shutil.which("PythonSlicer") or sys.executable


def makeInstallation(requirementsPath: str, wheels: str = ""):
    """The installation of what a file lists.

    Args:
        requirementsPath: ``Resources/requirements.txt`` of the module.
        wheels: folder of wheels to take instead of the network; empty for the network.

    Raises:
        InstallError: the file is damaged.
    """
    from SemiSupSegLib.engine_install.installation import Installation
    from SemiSupSegLib.engine_install.requirements import read_requirements

    return Installation(
        read_requirements(Path(requirementsPath)),
        python=pythonOfSlicer(),
        install_torch=installTorch if hasPyTorchExtension() else None,
        install_packages=installPackages,
        wheels=Path(wheels) if wheels else None,
    )


def hasPyTorchExtension() -> bool:
    """Whether Slicer's PyTorch extension is there; without it pip takes the PyTorch of its own index."""
    return hasattr(slicer.modules, "pytorchutils")


def installTorch(versions: str, held: str) -> None:
    """Let the PyTorch extension install the build that fits this machine's graphics card.

    Args:
        versions: allowed ones, ``">=2.4"``.
        held: constraints that keep Slicer's own packages as they are.
    """
    import PyTorchUtils

    with constrained(held):  # the extension takes no constraints, but the pip that it starts reads its environment
        # no second question: the panel has named packages and size, and the click was the consent
        logic = PyTorchUtils.PyTorchUtilsLogic()
        if logic.installTorch(askConfirmation=False, torchVersionRequirement=versions) is None:
            msg = _("the PyTorch extension did not install PyTorch")
            raise RuntimeError(msg)


def installPackages(words: list[str], held: str) -> None:
    """``pip install`` with Slicer's progress window.

    Args:
        words: what follows ``pip install``: requirements, perhaps a folder of wheels.
        held: constraints that keep Slicer's own packages as they are.
    """
    with constrained(held):
        try:
            pip = importlib.import_module("slicer.packaging")
        except ImportError:  # before Slicer 5.11
            slicer.util.pip_install(words)
        else:
            pip.pip_install(words, requester="SemiSupSeg")


@contextmanager
def constrained(held: str) -> Iterator[None]:
    """Every pip that is started in here keeps to these constraints, whoever starts it."""
    before = os.environ.get("PIP_CONSTRAINT")
    with tempfile.TemporaryDirectory(prefix="semisupseg_") as folder:
        path = Path(folder) / "held.txt"
        path.write_text(held, encoding="utf-8")
        held_at = path.as_uri()  # pip splits at spaces, which a path may hold and an address may not
        os.environ["PIP_CONSTRAINT"] = held_at if not before else f"{before} {held_at}"
        try:
            yield
        finally:
            if before is None:
                os.environ.pop("PIP_CONSTRAINT", None)
            else:
                os.environ["PIP_CONSTRAINT"] = before


class EngineInstaller:
    """Runs one installation beside the user interface: pip is asked in the background, then Slicer installs.

    Args:
        installation: what :func:`makeInstallation` gave.
        onStage: called with the stage after every change of it.
    """

    def __init__(self, installation, onStage: Callable) -> None:
        self.installation = installation
        self._onStage = onStage
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MILLISECONDS)
        self._timer.connect("timeout()", self._poll)

    def start(self) -> None:
        """What the click on "Install engine" does."""
        self._onStage(self.installation.start())
        self._timer.start()

    def cancel(self) -> None:
        """Stop asking; nothing once packages are being installed."""
        self._timer.stop()
        self.installation.cancel()

    def _poll(self) -> None:
        from SemiSupSegLib.engine_install.installation import Stage

        stage = self.installation.poll()
        if stage is Stage.ASKING:
            return
        self._timer.stop()  # first: installing handles events, and a second round must not begin meanwhile
        if stage is Stage.ALLOWED:
            self._onStage(stage)
            stage = self.installation.install()
        self._onStage(stage)
