"""Observers of VTK objects that are removed together, so that a closed panel hears nothing more."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["Observations"]


class Observations:
    """What one object listens to. It keeps no observed object alive beyond :meth:`removeAll`."""

    def __init__(self) -> None:
        self._tags: list[tuple[Any, int]] = []

    def add(self, observed: Any, event: int | str, callback: Callable[[Any, str], None]) -> None:
        """Call ``callback(observed, event name)`` at every event of a VTK object."""
        self._tags.append((observed, observed.AddObserver(event, callback)))

    def remove(self, observed: Any) -> None:
        """Stop listening to one object; nothing happens when it was not observed."""
        for known, tag in self._tags:
            if known is observed:
                known.RemoveObserver(tag)
        self._tags = [(known, tag) for known, tag in self._tags if known is not observed]

    def removeAll(self) -> None:
        """Stop listening; may be called twice."""
        while self._tags:
            observed, tag = self._tags.pop()
            with suppress(AttributeError):  # the object's class was torn down with the application
                observed.RemoveObserver(tag)

    def __len__(self) -> int:
        return len(self._tags)
