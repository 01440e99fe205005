"""Journal: who did what to which case, append-only, each line bound to the one before it by a hash (G28).

A line is the canonical JSON of a :class:`JournalEntry`. Its ``hash`` covers all its other fields, ``previous`` among
them, so that a line that was edited, removed or moved shows. The hashes are not keyed: they find damage and casual
edits, not a forger who writes the whole file anew. Entries hold ids only, nothing of a file's metadata (G24).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import ProjectError
from .atomic import WriteError, write_bytes

__all__ = ["Journal", "JournalEntry", "content_hash"]

FIRST = "0" * 64
"""What the first line gives as its previous hash."""
_TAIL = 65_536


def content_hash(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class JournalEntry:
    """One line."""

    id: int
    """1, 2, 3, ... in the order of the file."""
    time: str
    """UTC, ISO 8601."""
    who: str
    """Id of the annotator."""
    action: str
    """``add``, ``annotate``, ``accept``, ``reject``, ``flag``, ``split``, ``labels``, ``adjacency``, ``undo``,
    ``aborted``."""
    case: str | None
    label: str | None
    detail: dict[str, Any]
    generation: tuple[int, int]
    """Generation of the case before and after; (0, 0) when no case is meant."""
    content: tuple[str | None, str | None]
    """SHA-256 of case.json before and after; what undo and recovery compare with."""
    previous: str = FIRST
    """Hash of the line before."""
    hash: str = field(default="", compare=False)
    """SHA-256 of the canonical JSON of all other fields."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object with every field."""
        return {**vars(self), "generation": list(self.generation), "content": list(self.content)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JournalEntry:
        """Inverse of :meth:`to_json`; raises TypeError, KeyError or ValueError."""
        return cls(**{**data, "generation": _pair(data["generation"]), "content": _pair(data["content"])})


def _pair(values: Any) -> tuple[Any, Any]:
    before, after = values
    return before, after


def _canonical(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _hash_of(data: Mapping[str, Any]) -> str:
    return content_hash(_canonical({key: value for key, value in data.items() if key != "hash"}))


class Journal:
    """The file ``journal.jsonl`` of a project. Whoever appends holds the project's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def last(self) -> JournalEntry | None:
        """The newest entry, read from the end of the file; None when there is none.

        Raises:
            ProjectError: the last complete line is not an entry.
        """
        line, _ = self._last_line()
        return None if line is None else self._parse(line, "the last line")

    def next_id(self) -> int:
        """The id that the next entry will get."""
        last = self.last()
        return 1 if last is None else last.id + 1

    def append(
        self,
        *,
        who: str,
        action: str,
        case: str | None = None,
        label: str | None = None,
        detail: Mapping[str, Any] | None = None,
        generation: tuple[int, int] = (0, 0),
        content: tuple[str | None, str | None] = (None, None),
    ) -> JournalEntry:
        """Write one line and wait until it is on the disk.

        A last line without its end, left by a crash, is no entry: nothing was done on its account. It is cut off here.

        Raises:
            WriteError: the disk is full, and so on.
            ProjectError: the last complete line is not an entry.
        """
        line, end = self._last_line()
        last = None if line is None else self._parse(line, "the last line")
        number, previous = (1, FIRST) if last is None else (last.id + 1, last.hash)
        time = datetime.now(UTC).isoformat(timespec="seconds")
        entry = JournalEntry(number, time, who, action, case, label, dict(detail or {}), generation, content, previous)
        data = entry.to_json()
        data["hash"] = _hash_of(data)
        if not self.path.exists():
            write_bytes(self.path, b"")  # so that the folder's entry is on the disk too
        try:
            with self.path.open("ab") as stream:
                if stream.tell() > end:
                    stream.truncate(end)
                stream.write(_canonical(data) + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            with suppress(OSError):  # what cannot be cut off now is settled by the next change
                os.truncate(self.path, end)
            msg = f"{self.path.name} could not be written ({error.strerror}); nothing was changed"
            raise WriteError(error.errno or 0, msg) from error
        return JournalEntry.from_json(data)

    def entries(self) -> list[JournalEntry]:
        """All entries, oldest first; an unfinished last line is left out.

        Raises:
            ProjectError: a line is not an entry; the message gives its number.
        """
        return [self._parse(line, f"line {number}") for number, line in enumerate(self._lines(), start=1)]

    def verify(self, *, newest: int = 0) -> int | None:
        """Number (from 1) of the first line that was edited, or before which one was removed; None when all is well.

        Args:
            newest: the largest entry id that a case.json names: a journal that ends before it has lost its end.
        """
        previous = FIRST
        number = 0
        for number, line in enumerate(self._lines(), start=1):
            try:
                data = json.loads(line)
                intact = data["hash"] == _hash_of(data) and data["previous"] == previous and data["id"] == number
            except (ValueError, KeyError, TypeError):
                return number
            if not intact or line != _canonical(data):
                return number
            previous = data["hash"]
        return number + 1 if number < newest else None

    def _lines(self) -> Iterator[bytes]:
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            for line in stream:
                if line.endswith(b"\n"):
                    yield line[:-1]

    def _last_line(self) -> tuple[bytes | None, int]:
        """The last complete line without its end, and the offset at which the next one begins."""
        if not self.path.exists():
            return None, 0
        with self.path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            reach = _TAIL
            while True:
                start = max(0, size - reach)
                stream.seek(start)
                tail = stream.read(size - start)
                end = tail.rfind(b"\n")
                begin = tail.rfind(b"\n", 0, max(end, 0)) + 1
                if start == 0 or (end >= 0 and begin > 0):
                    return (tail[begin:end], start + end + 1) if end >= 0 else (None, 0)
                reach *= 4

    def _parse(self, line: bytes, where: str) -> JournalEntry:
        try:
            return JournalEntry.from_json(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            found = f"expected a journal entry, found {line[:40]!r}"
            msg = f"{self.path.name}, {where}: {found}; move the file aside to begin a new one"
            raise ProjectError(msg) from error
