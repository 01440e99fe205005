"""Diagnostics: what helps somebody else to understand an error, for "Copy diagnostics". No names of files or cases."""

from __future__ import annotations

import logging
import platform
import re
import traceback
from collections import deque
from importlib import metadata

__all__ = ["Diagnostics"]

LINES = 60
PACKAGES = ("trame-slicer", "trame", "slicer-core", "numpy", "SimpleITK", "torch")
_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][^\s\\/:'\",]+){2,}[\\/]")
"""Folders: they may hold a patient's name. The last part of a path stays."""


class Diagnostics(logging.Handler):
    """Keeps the last lines of the log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self._lines: deque[str] = deque(maxlen=LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """See :meth:`logging.Handler.emit`."""
        self._lines.append(self.format(record))

    def report(self, sentence: str, error: BaseException | None = None) -> str:
        """All of it as text.

        Args:
            sentence: what the person read.
            error: that was raised; None when none was.
        """
        from SemiSupSegLib import __version__

        head = [f"SemiSupSeg {__version__} · browser app", f"said: {sentence}", f"{platform.platform()}"]
        head.append(f"Python {platform.python_version()} · " + " · ".join(map(_version, PACKAGES)))
        told = [] if error is None else traceback.format_exception(error)
        return _PATH.sub("…/", "\n".join([*head, "", *told, *self._lines]))


def _version(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"{package} –"
