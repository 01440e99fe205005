"""What common organ names mean, as the terminology entry that Slicer stores with a segment (SNOMED CT codes)."""

from __future__ import annotations

__all__ = ["terminology_of"]


def terminology_of(name: str) -> str | None:
    """Slicer's serialized terminology entry for an organ name; None when the name is not among those known here."""
    return _ENTRIES.get(name.casefold())


_ENTRIES: dict[str, str] = {}
