"""Writing files so that a crash, a full disk or a power cut leaves the old file or the new one, never a mixture.

One order everywhere: temporary file in the same folder, flush, fsync, ``os.replace``, fsync of the folder.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ProjectError

__all__ = [
    "WriteError", "fsync_file", "fsync_folder", "replace_file", "replacing", "temp_beside", "write_bytes", "write_json",
]  # fmt: skip

OTHERS_HOLD_FILES = os.name == "nt"
"""Windows replaces no file that another program has open, as one that reads progress, or scans for viruses, has for a
moment."""
PATIENCE = 2.0
"""Seconds to wait for such a program."""


class WriteError(ProjectError, OSError):
    """A file could not be written (disk full, read-only, no rights); the file that was there before is untouched.

    It is an ``OSError`` as well, so that ``errno`` tells a full disk from a missing right.
    """

    def __str__(self) -> str:
        return str(self.strerror)


def temp_beside(path: Path) -> Path:
    """An unused name in the folder of ``path``, hidden, with the same endings, so that writers still see the format."""
    return path.with_name(f".tmp-{secrets.token_hex(8)}{''.join(path.suffixes[-2:])}")


def replace_file(temp: Path, path: Path) -> None:
    """Make a finished temporary file durable and put it in the place of ``path``.

    Args:
        temp: a closed file in the same folder as ``path``; gone afterwards, whether this succeeds or not.
        path: the file to replace or to create.

    Raises:
        WriteError: the disk is full, the folder is read-only, and so on; ``path`` is as it was before.
    """
    try:
        fsync_file(temp)
        _replace(temp, path)
        fsync_folder(path.parent)
    except OSError as error:
        raise _write_error(error, path) from error
    finally:
        temp.unlink(missing_ok=True)


def _replace(temp: Path, path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            os.replace(temp, path)  # noqa: PTH105  tests record this call
        except PermissionError:
            if not OTHERS_HOLD_FILES or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the body a temporary path to write; what it wrote takes the place of ``path`` when the body succeeds.

    Raises:
        WriteError: the body or the replacement met an ``OSError``. After any exception ``path`` is as it was before and
            the temporary file is gone.
    """
    temp = temp_beside(path)
    try:
        yield temp
        replace_file(temp, path)
    except OSError as error:
        raise _write_error(error, path) from error
    finally:
        temp.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the content of ``path``, or create it; its folder must exist.

    Raises:
        WriteError: nothing was changed.
    """
    with replacing(path) as temp, temp.open("xb") as file:
        file.write(data)
        file.flush()


def write_json(path: Path, obj: Any) -> None:
    """Replace the content of ``path`` by ``obj`` as readable JSON (UTF-8, no NaN); its folder must exist.

    Raises:
        WriteError: nothing was changed.
        ValueError, TypeError: ``obj`` is not JSON; nothing was changed.
    """
    write_bytes(path, (json.dumps(obj, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def fsync_file(path: Path) -> None:
    """Make the content of a closed file durable."""
    with path.open("r+b") as file:  # Windows flushes only handles that may write
        os.fsync(file.fileno())


def fsync_folder(folder: Path) -> None:
    """Make what was created, renamed or removed in a folder durable."""
    if os.name == "nt":  # a folder has no handle to sync there; NTFS journals the rename
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_error(error: OSError, path: Path) -> WriteError:
    if isinstance(error, WriteError):
        return error
    reason = error.strerror or type(error).__name__
    return WriteError(error.errno or 0, f"{path.name} could not be written ({reason}); nothing was changed")
