"""Event: one line of a run's ``events.jsonl``, how it is appended, and how a reader follows the file while it grows.

A line is ``{"time": ISO 8601 in UTC, "kind": ..., "data": {...}}``. Lines are only ever appended, each with one write;
a line without its newline is not there yet (or never will be: the writer was killed).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .protocol import EVENTS_FILE, TERMINAL, EventKind

if TYPE_CHECKING:
    from .run import Run

__all__ = ["Event", "EventReader", "append_event"]

MUST_LAST = frozenset({*TERMINAL, EventKind.CHECKPOINT, EventKind.PROMOTED})
"""Kinds that survive a power cut; waiting for the disk at every step would cost more than a lost line of a curve."""


@dataclass(frozen=True)
class Event:
    """Something that happened in a run."""

    kind: str
    """An :class:`~SemiSupSegLib.jobs.protocol.EventKind`, or a word of a newer version that this one does not know."""
    time: datetime
    """When it was written, UTC."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What :class:`~SemiSupSegLib.jobs.protocol.EventKind` says for the kind."""
    offset: int = 0
    """Byte at which its line begins."""

    @classmethod
    def from_line(cls, line: bytes, offset: int = 0) -> Event | None:
        """The event of one line; None when the line is not one (broken by a kill or a full disk)."""
        try:
            found = json.loads(line)
            time = datetime.fromisoformat(found["time"])
            data = found.get("data", {})
            if not isinstance(data, dict) or time.tzinfo is None:
                return None
            return cls(str(found["kind"]), time.astimezone(UTC), data, offset)
        except (ValueError, TypeError, KeyError, AttributeError):  # broken JSON and UTF-8 are ValueErrors
            return None


def append_event(path: Path, kind: str, data: Mapping[str, Any]) -> None:
    """Append one event; safe against readers and against a writer that was killed in the middle of a line.

    Args:
        path: ``events.jsonl``; made when missing.
        kind: what happened.
        data: plain values, and anything with ``item()`` (a NumPy or torch scalar). What is not finite becomes null.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    text = json.dumps({"time": now, "kind": str(kind), "data": _plain(data)}, ensure_ascii=False, allow_nan=False)
    line = text.encode() + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        if os.lseek(descriptor, 0, os.SEEK_END):
            os.lseek(descriptor, -1, os.SEEK_END)
            if os.read(descriptor, 1) != b"\n":  # half a line of a killed writer must not swallow this one
                line = b"\n" + line
        while line:  # one write, but for a disk that fills up: then the next one raises
            line = line[os.write(descriptor, line) :]
        if kind in MUST_LAST:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "item"):
        return _plain(value.item())
    msg = f"an event cannot carry a {type(value).__name__}"
    raise TypeError(msg)


class EventReader:
    """Follows a run's events: every call of :meth:`new` returns those written since the last.

    Args:
        run: the run.
        offset: bytes to leave out at the start: what :attr:`offset` was earlier.
    """

    def __init__(self, run: Run, offset: int = 0) -> None:
        self._path = run.folder / EVENTS_FILE
        self.offset = offset

    def new(self) -> list[Event]:
        """Whole lines that were not returned before. Empty for a missing file; broken lines are left out."""
        try:
            with self._path.open("rb") as file:
                file.seek(self.offset)
                block = file.read()
        except OSError:  # not there yet, or a shared disk that is away for a moment: the next call sees it
            return []
        events = []
        for line in block[: block.rfind(b"\n") + 1].splitlines(keepends=True):
            if (event := Event.from_line(line, self.offset)) is not None:
                events.append(event)
            self.offset += len(line)
        return events
