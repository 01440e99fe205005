"""What is computed once and kept on disk: folders of ``.npy`` files, named by a hash of everything that went into them.

An entry is written under a temporary name and renamed when it is whole, so two processes may make the same entry at
once and a power cut leaves none or all of it. Its ``entry.json`` says how long each file is; an entry that does not
fit is made again. The whole folder may be deleted at any time. Nothing in it is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RunError
from ..project.atomic import write_json

__all__ = ["Cache", "Entry", "Made", "StoredArray"]

ENTRY_FILE = "entry.json"
DIGESTS_FILE = "digests.json"
TEMPORARY = ".tmp-"
Made = tuple[dict[str, NDArray[Any]], dict[str, Any]]
"""The arrays of an entry by name, and what else is worth keeping (JSON)."""
ABANDONED_SECONDS = 24 * 3600.0
"""Age at which a temporary folder belongs to a process that is gone."""


@dataclass(frozen=True)
class StoredArray:
    """An array on disk that holds no file handle: a thousand cases stay below the limit of open files, and it crosses
    to another process as a path."""

    path: Path

    @property
    def entry(self) -> str:
        """Name of the cache entry that it is in, for what is derived from it."""
        return self.path.parent.name

    def open(self) -> NDArray[Any]:
        """The array, mapped into memory and read-only; the file is closed when the last view of it is gone.

        Raises:
            RunError: the file is gone or damaged.
        """
        try:
            array: NDArray[Any] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            msg = (
                f"the prepared volume {self.path.parent.name}/{self.path.name} is gone or damaged (was the project's "
                "cache folder deleted while it was in use?): start again, it is made anew"
            )
            raise RunError(msg) from error
        return array


@dataclass(frozen=True)
class Entry:
    """One folder of the cache."""

    folder: Path
    meta: dict[str, Any]

    @property
    def key(self) -> str:
        """What the entry is named: a hash of all that went into it."""
        return self.folder.name

    def array(self, name: str) -> StoredArray | None:
        """One of the arrays; None when the entry has no such array."""
        return StoredArray(self.folder / f"{name}.npy") if f"{name}.npy" in self.meta["files"] else None


class Cache:
    """The cache folder of a project; made when it is not there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self._digests: dict[str, str] = self._read_digests()
        self._new_digests = False
        self._forget_abandoned()

    def entry(self, kind: str, ingredients: Mapping[str, Any], make: Callable[[], Made]) -> Entry:
        """The entry made of these ingredients, from disk when it is there and whole.

        Args:
            kind: first part of the folder's name, for people: ``image``, ``labels``.
            ingredients: JSON that determines the content, versions of the code included.
            make: called when there is no such entry.
        """
        text = json.dumps({"kind": kind, **ingredients}, sort_keys=True)
        folder = self.root / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:40]}"
        meta = _read_whole(folder)
        return Entry(folder, meta if meta is not None else self._write(folder, *make()))

    def digest(self, path: Path) -> str:
        """SHA-256 of a file's content, remembered by its path, length and time of change."""
        status = path.stat()
        key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
        if key not in self._digests:
            with path.open("rb") as file:
                self._digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
            self._new_digests = True
        return self._digests[key]

    def save_digests(self) -> None:
        """Remember the digests for the next process. Of two processes at once the last wins: nothing is lost but
        time."""
        if self._new_digests:
            write_json(self.root / DIGESTS_FILE, self._digests)
            self._new_digests = False

    def _read_digests(self) -> dict[str, str]:
        try:
            data = json.loads((self.root / DIGESTS_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(k): str(v) for k, v in data.items()} if isinstance(data, dict) else {}

    def _write(self, folder: Path, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> dict[str, Any]:
        temp = self.root / f"{TEMPORARY}{secrets.token_hex(8)}"
        temp.mkdir()
        try:
            files = {}
            for name, array in arrays.items():
                with (temp / f"{name}.npy").open("xb") as file:
                    np.save(file, array, allow_pickle=False)
                    file.flush()
                    os.fsync(file.fileno())
                    files[f"{name}.npy"] = file.tell()
            meta = {**meta, "files": files}
            write_json(temp / ENTRY_FILE, meta)
            return self._put(temp, folder, meta)
        finally:
            shutil.rmtree(temp, ignore_errors=True)

    def _put(self, temp: Path, folder: Path, meta: dict[str, Any]) -> dict[str, Any]:
        while True:
            try:
                os.replace(temp, folder)  # noqa: PTH105  fails when the folder is there and not empty
            except OSError:
                theirs = _read_whole(folder)  # another process was faster, or what is there is damaged
                if theirs is not None:
                    return theirs
                if not folder.exists():
                    raise
                damaged = self.root / f"{TEMPORARY}{secrets.token_hex(8)}"
                folder.rename(damaged)
                shutil.rmtree(damaged, ignore_errors=True)
            else:
                return meta

    def _forget_abandoned(self) -> None:
        for folder in self.root.glob(f"{TEMPORARY}*"):
            try:
                if time.time() - folder.stat().st_mtime > ABANDONED_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
            except OSError:  # another process was faster
                continue


def _read_whole(folder: Path) -> dict[str, Any] | None:
    """What ``entry.json`` says, None when the entry is missing or not whole."""
    try:
        meta = json.loads((folder / ENTRY_FILE).read_text(encoding="utf-8"))
        whole = all((folder / name).stat().st_size == size for name, size in meta["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return meta if whole else None
