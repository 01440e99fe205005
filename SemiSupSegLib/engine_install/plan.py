"""Plan: what pip would change, and whether it may."""

from __future__ import annotations

import json
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from .requirements import InstallError, Versions, is_protected

__all__ = ["Change", "Plan", "read_plan"]


@dataclass(frozen=True)
class Change:
    """One package that pip would install."""

    name: str
    before: str | None
    """Version that is there now; None when there is none."""
    after: str

    def __str__(self) -> str:
        return f"{self.name} {self.after}" if self.before is None else f"{self.name} {self.before} -> {self.after}"


@dataclass(frozen=True)
class Plan:
    """What an installation would change; no changes when everything is there."""

    changes: tuple[Change, ...] = ()

    @property
    def refusal(self) -> str | None:
        """Why it must not be carried out; None when it may."""
        touched = [str(change) for change in self.changes if is_protected(change.name)]
        if not touched:
            return None
        return f"nothing was installed: it would change {', '.join(touched)}, which 3D Slicer itself is built on"

    @property
    def words(self) -> str:
        """One line a package: new ones first, then those whose version changes."""
        if not self.changes:
            return "nothing to install"
        ordered = sorted(self.changes, key=lambda change: (change.before is not None, change.name))
        return "\n".join(("replace " if c.before else "install ") + str(c) for c in ordered)


def read_plan(report: str, installed: Versions) -> Plan:
    """The plan in a report of ``pip install --dry-run --report``.

    Raises:
        InstallError: the text is no such report.
    """
    try:
        entries = json.loads(report)["install"]
        pairs = [(canonicalize_name(e["metadata"]["name"]), str(e["metadata"]["version"])) for e in entries]
    except (ValueError, TypeError, KeyError) as error:
        msg = "pip's answer is not understood: it may be too old; version 22.2 or newer is needed"
        raise InstallError(msg, report[:400]) from error
    return Plan(tuple(Change(name, installed.get(name), version) for name, version in sorted(pairs)))
