"""``_``: Slicer's translation where there is one; the text itself in the browser app, whose Slicer has none."""

from __future__ import annotations

__all__ = ["_"]

try:
    from slicer.i18n import tr as _
except ImportError:

    def _(text: str) -> str:
        return text
