"""Uploads: files that come through a browser wait in the project's cache until a child process has added them."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..errors import ProjectError
from ..project.paths import inside, safe_id

__all__ = ["MOST_BYTES", "MOST_FILES", "Uploads"]

MOST_BYTES = 4 * 1024**3
"""Of one batch: a large CT has about half a gigabyte."""
MOST_FILES = 5000
"""Of one batch: a DICOM series has a file a slice."""
VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha")
_BATCH = re.compile(r"[0-9a-f]{16}")


class Uploads:
    """Batches of files below ``cache/uploads`` of one project; nothing is ever written outside.

    Args:
        cache: the project's cache folder.
        most_bytes: of one batch.
    """

    def __init__(self, cache: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder = cache / "uploads"
        self._most = most_bytes
        self._left: dict[str, int] = {}
        self._files: dict[str, list[str]] = {}

    def begin(self) -> str:
        """A new, empty batch.

        Raises:
            OSError: the folder cannot be written.
        """
        batch = secrets.token_hex(8)
        (self._folder / batch).mkdir(parents=True)
        self._left[batch], self._files[batch] = self._most, []
        return batch

    def place(self, batch: str, name: str) -> Path:
        """Where a file of a batch goes.

        Args:
            batch: from :meth:`begin`.
            name: as the browser says it, perhaps with folders in front; only its last part counts, made safe.

        Raises:
            ProjectError: no such batch, or too many files.
        """
        if _BATCH.fullmatch(batch) is None or batch not in self._files:
            msg = "Upload: it was not begun, or the server was started again since: upload once more"
            raise ProjectError(msg)
        taken = self._files[batch]
        if len(taken) >= MOST_FILES:
            msg = f"Upload: more than {MOST_FILES} files at once: upload fewer"
            raise ProjectError(msg)
        last = re.split(r"[\\/]", name)[-1]
        ending = next((e for e in sorted(VOLUMES, key=len, reverse=True) if last.casefold().endswith(e)), "")
        stem = safe_id(last[: len(last) - len(ending)] if ending else last, [_stem(other) for other in taken])
        safe = f"{stem}{ending}"
        taken.append(safe)
        return inside(self._folder, f"{batch}/{safe}")

    def count(self, batch: str, size: int) -> None:
        """Count bytes that were received.

        Raises:
            ProjectError: the batch is larger than it may be; it is removed.
        """
        self._left[batch] -= size
        if self._left[batch] < 0:
            self.remove(batch)
            msg = f"Upload: more than {self._most / 1024**3:.1g} GB at once: add the folder from this computer instead"
            raise ProjectError(msg)

    def volumes(self, batch: str) -> Sequence[Path]:
        """What to add: each volume file, or the whole folder as one DICOM series.

        Raises:
            ProjectError: no such batch, or nothing came.
        """
        if not self._files.get(batch):
            msg = "Upload: no file came"
            raise ProjectError(msg)
        folder = self._folder / batch
        files = [folder / name for name in self._files[batch] if name.casefold().endswith(VOLUMES)]
        return files or [folder]

    def remove(self, batch: str) -> None:
        """Forget a batch and its files; nothing happens when it is gone already."""
        if batch in self._files:
            del self._files[batch], self._left[batch]
            shutil.rmtree(self._folder / batch, ignore_errors=True)

    def clear(self) -> None:
        """Remove what earlier servers left."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._files, self._left = {}, {}


def _stem(name: str) -> str:
    return next((name[: -len(e)] for e in sorted(VOLUMES, key=len, reverse=True) if name.endswith(e)), name)
