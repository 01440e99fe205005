"""What a session remembers in the project folder, so that opening the project again goes on where it was left."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..project.atomic import write_json

__all__ = ["Saved"]

SESSION_FILE = "session.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Saved:
    """Ids and settings only. Nothing of it is needed: a damaged file is as good as none."""

    case: str | None = None
    candidate: tuple[str, str] | None = None
    """Case and label."""
    threshold: float = 0.2
    """Largest uncertainty that counts as sure, [0, 1]."""
    preset: str = "balanced"
    predict_after_training: bool = True

    @classmethod
    def load(cls, root: Path) -> Saved:
        """What was saved last; the defaults when nothing was, or it cannot be understood."""
        try:
            data: dict[str, Any] = json.loads((root / SESSION_FILE).read_bytes())
            pair = data.get("candidate")
            return cls(
                None if data.get("case") is None else str(data["case"]),
                None if pair is None else (str(pair[0]), str(pair[1])),
                min(1.0, max(0.0, float(data.get("threshold", cls.threshold)))),
                str(data.get("preset", cls.preset)),
                bool(data.get("predict_after_training", True)),
            )
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
            return cls()

    def save(self, root: Path) -> None:
        """Write, atomically; a folder that cannot be written keeps what it has."""
        with suppress(OSError):
            write_json(root / SESSION_FILE, {"format": FORMAT_VERSION, **vars(self)})
