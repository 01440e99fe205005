"""ProcessIdentity: which process makes a run, whether it lives, and how all of it is ended. No orphan stays behind."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ..project.atomic import write_json
from .protocol import PROCESS_FILE

__all__ = ["ProcessIdentity", "process_tree"]

FORMAT_VERSION = 1
CLOCK_TOLERANCE = 0.05 if os.name == "nt" else 5.0
"""Seconds by which the creation time of one process may seem to move. On POSIX it is counted from the boot time, which
moves when the clock is set; Windows stores it, and uses process numbers again at once."""

LOOK_SECONDS = 0.03


@dataclass(frozen=True)
class ProcessIdentity:
    """One process on one machine: a number alone would be another process after a reboot."""

    pid: int
    created: float
    """Seconds since the epoch."""
    host: str
    command: tuple[str, ...] = ()
    """How it was started."""
    own_session: bool = False
    """Whether it leads a session of its own (POSIX), so that everything in the session belongs to it."""
    events_from: int = 0
    """Bytes of ``events.jsonl`` when it took the run: what lies before was written by another process."""
    since: float = field(default_factory=time.time)
    """When it took the run, seconds since the epoch."""

    @classmethod
    def of(
        cls, pid: int, *, command: tuple[str, ...] = (), own_session: bool = False, events_from: int = 0
    ) -> ProcessIdentity:
        """The process with this number on this machine; one that is gone already was created just now."""
        try:
            created = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            created = time.time()
        return cls(pid, created, platform.node(), command, own_session, events_from)

    @classmethod
    def load(cls, folder: Path) -> ProcessIdentity | None:
        """Read ``process.json`` of a run; None when it is missing or cannot be understood."""
        try:
            data = json.loads((folder / PROCESS_FILE).read_text(encoding="utf-8"))
            return cls(
                int(data["pid"]),
                float(data["created"]),
                str(data["host"]),
                tuple(map(str, data.get("command", ()))),
                bool(data.get("own_session", False)),
                int(data.get("events_from", 0)),
                float(data.get("since", data["created"])),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def save(self, folder: Path) -> None:
        """Write ``process.json``."""
        write_json(folder / PROCESS_FILE, {"format": FORMAT_VERSION, **vars(self), "command": list(self.command)})

    @property
    def here(self) -> bool:
        """Whether it runs on this machine, so that :attr:`alive` can tell."""
        return self.host == platform.node()

    @property
    def alive(self) -> bool:
        """Whether exactly this process still runs on this machine; False for one that ended and was not waited for."""
        if not self.here:
            return False
        try:
            process = psutil.Process(self.pid)
            return self._created_as(process.create_time()) and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:  # it is there, but of another user
            return True

    def _created_as(self, moment: float) -> bool:
        return abs(moment - self.created) <= CLOCK_TOLERANCE

    def kill(self, *, grace: float = 2.0) -> bool:
        """End the process and all its descendants: politely, then by force.

        Args:
            grace: seconds between the two.

        Returns:
            Whether nothing of it is left.
        """
        for attempt in range(5):  # a member may have started another between the look and the blow
            members = process_tree(self)
            if not members:
                return True
            for member in members:
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    member.terminate() if attempt == 0 else member.kill()
            deadline = time.monotonic() + grace
            while process_tree(self) and time.monotonic() < deadline:
                time.sleep(LOOK_SECONDS)
        return not process_tree(self)


def process_tree(identity: ProcessIdentity) -> list[psutil.Process]:
    """The living process and its living descendants, on this machine, also those whose own parent is gone already.

    PythonSlicer is a launcher: the Python that trains is its child, and the loaders are that one's children.
    """
    if not identity.here:
        return []
    running = {
        process.pid: process
        for process in psutil.process_iter(["ppid", "create_time", "status"])
        if (process.info["create_time"] or 0.0) >= identity.created - CLOCK_TOLERANCE and process.pid != os.getpid()
    }
    leader = running.get(identity.pid)
    if leader is None and psutil.pid_exists(identity.pid):
        return []  # the number is an older process's: nothing of ours can be left
    if leader is not None and not identity._created_as(leader.info["create_time"]):
        return []  # it went to a younger one, which no system does while a session or a child still refers to it
    members = {pid for pid, process in running.items() if _is_root(process, identity)}
    while more := {pid for pid, p in running.items() if pid not in members and p.info["ppid"] in members}:
        members |= more
    return [running[pid] for pid in sorted(members) if running[pid].info["status"] != psutil.STATUS_ZOMBIE]


def _is_root(process: psutil.Process, identity: ProcessIdentity) -> bool:
    if process.pid == identity.pid:
        return True
    if os.name == "nt":  # a child keeps the number of a parent that is gone
        return bool(process.info["ppid"] == identity.pid)
    try:
        return identity.own_session and os.getsid(process.pid) == identity.pid
    except OSError:
        return False
