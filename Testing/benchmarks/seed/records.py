"""Records: what is done of a table, one JSON line for each row and seed, so that an interrupted table goes on."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

FILE, SETTINGS = "scores.jsonl", "settings.json"


class Records:
    """Lines of one table.

    Args:
        folder: of the table.
        settings: what all rows share; a folder that was begun with others ends the program with one sentence.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        before = folder / SETTINGS
        settings = json.loads(json.dumps(settings))
        if before.is_file():
            differing = _differing(json.loads(before.read_text(encoding="utf-8")), settings)
            if differing:
                sys.exit(f"{folder} was begun with another {', '.join(differing)}: give another --output, or delete it")
        before.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")

    def all(self) -> list[dict[str, Any]]:
        """What is done, in the order in which it was; a line that was cut short does not count."""
        found: dict[tuple[str, int], dict[str, Any]] = {}
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                found[record["row"], record["seed"]] = record
        return list(found.values())

    def has(self, row: str, seed: int) -> bool:
        """Whether a row is done for a seed."""
        return any((record["row"], record["seed"]) == (row, seed) for record in self.all())

    def append(self, record: dict[str, Any]) -> None:
        """Add a line; it is on the disk when this returns."""
        cut_short = self.path.is_file() and not self.path.read_bytes().endswith(b"\n") and self.path.stat().st_size
        with self.path.open("a", encoding="utf-8") as file:
            file.write(("\n" if cut_short else "") + json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _differing(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [name for name in {**before, **now} if before.get(name) != now.get(name)]
