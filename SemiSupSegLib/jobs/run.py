"""Run: the folder that a training writes and its watchers read. Files only: no pipe, no socket, as many as like to."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import RunError
from ..project.atomic import write_json
from ..structure import structure
from .events import append_event
from .protocol import CHECKPOINTS, CONFIG_FILE, EVENTS_FILE, KEEP_BEST, LOG_FILE, STOP_FILE

__all__ = ["Request", "Run"]

FORMAT_VERSION = 1
REQUEST_FILE = "request.json"


@dataclass(frozen=True, kw_only=True)
class Request:
    """How the process of a run is to begin. It lies in the folder, so that torchrun needs no flags."""

    created: str = ""
    """When the run was made: UTC, ISO 8601."""
    from_scratch: bool = False
    """Random weights instead of the last promoted model's."""
    resume: bool = False
    """Go on from the run's last checkpoint."""


@dataclass(frozen=True)
class Run:
    """One training and all that it writes.

    The folder holds ``config.json``, ``request.json``, ``process.json``, ``events.jsonl``, ``log.txt``,
    ``checkpoints/`` and, when somebody asked it to end, the file ``stop``.
    """

    folder: Path
    writes: bool = True
    """False in all but the first of several processes of one training: then :meth:`write` does nothing."""

    @classmethod
    def create(cls, runs_folder: Path, config: Config, *, method: str = "", from_scratch: bool = False) -> Run:
        """A new run with a unique name such as ``2026-11-22_0915_smile``.

        Args:
            runs_folder: where the project keeps its runs; made when missing.
            config: all settings.
            method: last part of the name; the configuration's method when empty.
            from_scratch: see :class:`Request`.
        """
        name = f"{datetime.now().astimezone():%Y-%m-%d_%H%M}_{method or config.method}"
        folder, number = runs_folder / name, 1
        while True:
            try:
                folder.mkdir(parents=True)  # fails when it exists, so two programs never share one
                break
            except FileExistsError:
                number += 1
                folder = runs_folder / f"{name}_{number}"
        run = cls(folder)
        run.set_request(Request(created=datetime.now(UTC).isoformat(), from_scratch=from_scratch))
        run.checkpoints.mkdir()
        write_json(folder / CONFIG_FILE, config.to_json())  # last: a folder without it is not a run
        return run

    @classmethod
    def open(cls, folder: Path, *, writes: bool = True) -> Run:
        """A run that exists.

        Raises:
            RunError: the folder is not a run's.
        """
        if not (folder / CONFIG_FILE).is_file():
            msg = f"{folder} is not a run: it has no {CONFIG_FILE}"
            raise RunError(msg)
        return cls(folder.resolve(), writes)

    @property
    def id(self) -> str:
        """Name of the folder."""
        return self.folder.name

    def config(self) -> Config:
        """The settings it was started with.

        Raises:
            RunError: ``config.json`` is missing or damaged.
            ConfigError: it was written by a newer version.
        """
        return Config.from_json(self._json(CONFIG_FILE))

    def request(self) -> Request:
        """How its process is to begin; the defaults when nobody said.

        Raises:
            RunError: ``request.json`` is damaged.
        """
        if not (self.folder / REQUEST_FILE).is_file():
            return Request()
        data = self._json(REQUEST_FILE)
        data.pop("format", None)
        return structure(data, Request)

    def set_request(self, request: Request) -> None:
        """Replace ``request.json``."""
        write_json(self.folder / REQUEST_FILE, {"format": FORMAT_VERSION, **vars(request)})

    def write(self, kind: str, **data: Any) -> None:
        """Append one event (see :class:`~SemiSupSegLib.jobs.protocol.EventKind` for the data of each kind).

        Raises:
            OSError: the disk is full or cannot be written.
        """
        if self.writes:
            append_event(self.folder / EVENTS_FILE, kind, data)

    @property
    def events_size(self) -> int:
        """Bytes of ``events.jsonl``; 0 when there is none."""
        try:
            return (self.folder / EVENTS_FILE).stat().st_size
        except OSError:
            return 0

    def request_stop(self, *, keep_best: bool = False) -> None:
        """Ask the training to write a checkpoint and end; it looks at every step. Asking twice is asking once.

        Args:
            keep_best: what it learnt becomes a model and is offered for promotion, and the run is finished; asking
                without it afterwards does not take that back.
        """
        if keep_best:
            write_json(self.folder / STOP_FILE, KEEP_BEST)  # replaced as a whole: half of it would be a plain stop
        else:
            (self.folder / STOP_FILE).touch()

    def clear_stop(self) -> None:
        """Take the request back, before the run goes on."""
        (self.folder / STOP_FILE).unlink(missing_ok=True)

    @property
    def stop_requested(self) -> bool:
        """Whether somebody asked it to end."""
        return (self.folder / STOP_FILE).exists()

    @property
    def keep_requested(self) -> bool:
        """Whether somebody asked it to end and to keep the best checkpoint; a file that says nothing clear does not."""
        try:
            return bool(json.loads((self.folder / STOP_FILE).read_bytes()) == KEEP_BEST)
        except (OSError, ValueError):  # none, or an empty one: a plain stop
            return False

    @property
    def checkpoints(self) -> Path:
        """Folder of its checkpoints."""
        return self.folder / CHECKPOINTS

    def append_log(self, text: str) -> None:
        """Add text to ``log.txt``, beside what the process itself prints there."""
        with (self.folder / LOG_FILE).open("ab") as file:
            file.write(text.encode(errors="replace") + b"\n")

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of ``log.txt``, bytes that are not UTF-8 replaced by a mark. Empty without a log."""
        room = 400 * lines + 4096  # a log may be huge; long lines are cut at their start
        try:
            with (self.folder / LOG_FILE).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(size - room, 0))
                text = file.read().decode("utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:]) if lines > 0 else ""

    def _json(self, name: str) -> dict[str, Any]:
        try:
            data = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            msg = f"run {self.id}: {name} cannot be read ({type(error).__name__})"
            raise RunError(msg) from error
        if not isinstance(data, dict):
            msg = f"run {self.id}: {name} holds a {type(data).__name__}, not an object"
            raise RunError(msg)
        return data
