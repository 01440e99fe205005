"""Owner: who has a project open (G7). A second program on the same project sees it, and looks without changing."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..project.atomic import write_json

__all__ = ["HEARTBEAT_SECONDS", "STALE_SECONDS", "Owner"]

OWNER_FILE = "owner.json"
FORMAT_VERSION = 1
HEARTBEAT_SECONDS = 20.0
"""How often the owner touches its file."""
STALE_SECONDS = 120.0
"""An owner on another machine that was silent for so long is gone; on this machine its process tells."""


@dataclass(frozen=True)
class Owner:
    """The program that has a project open."""

    who: str
    host: str
    pid: int
    created: float
    """When its process began, seconds since the epoch: process numbers are used again."""
    since: float
    """When it opened the project, seconds since the epoch."""

    @classmethod
    def me(cls, who: str) -> Owner:
        """This process, now."""
        from ..jobs.process_tree import ProcessIdentity  # here, as importing a session must be quick

        process = ProcessIdentity.of(os.getpid())
        return cls(who, process.host, process.pid, process.created, time.time())

    @classmethod
    def of(cls, root: Path) -> Owner | None:
        """Who has the project open, this process included; None when nobody has, or who had it is gone."""
        try:
            data = json.loads((root / OWNER_FILE).read_bytes())
            fields = str(data["who"]), str(data["host"]), int(data["pid"]), float(data["created"]), float(data["since"])
            owner, silent = cls(*fields), time.time() - (root / OWNER_FILE).stat().st_mtime
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return owner if owner._lives(silent) else None

    def _lives(self, silent: float) -> bool:
        from ..jobs.process_tree import ProcessIdentity

        process = ProcessIdentity(self.pid, self.created, self.host)
        return process.alive if process.here else silent < STALE_SECONDS

    def is_same(self, other: Owner) -> bool:
        """Whether both are one process."""
        return (self.host, self.pid, round(self.created)) == (other.host, other.pid, round(other.created))

    @property
    def sentence(self) -> str:
        """Who, where and since when, and what can be done."""
        since = f"{datetime.fromtimestamp(self.since).astimezone():%H:%M on %d %B}"
        where = f"on {self.host} (process {self.pid}, since {since})"
        return f"{self.who} has this project open {where}: close it there first"

    def save(self, root: Path) -> None:
        """Say that this process has the project.

        Raises:
            OSError: the folder cannot be written.
        """
        write_json(root / OWNER_FILE, {"format": FORMAT_VERSION, **vars(self)})

    def touch(self, root: Path) -> None:
        """Say that it still has."""
        with suppress(OSError):  # a shared disk that is away for a moment
            (root / OWNER_FILE).touch()

    def leave(self, root: Path) -> None:
        """Say that it has no longer; nothing happens when another took over."""
        current = Owner.of(root)
        if current is not None and current.is_same(self):
            with suppress(OSError):
                (root / OWNER_FILE).unlink()
