"""Session: one open project as a front end sees it. Everything that a button may do, and why it may not, lives here."""

from .rows import (
    STATUSES,
    CaseRow,
    Cell,
    ContactRow,
    Curves,
    Found,
    OrganRow,
    PresetRow,
    Progress,
    QueueRow,
    TaskProgress,
)
from .session import Session
from .signals import Signal, Signals
from .words import LEGEND, SYMBOLS

__all__ = [
    "LEGEND", "STATUSES", "SYMBOLS", "CaseRow", "Cell", "ContactRow", "Curves", "Found", "OrganRow", "PresetRow",
    "Progress", "QueueRow", "Session", "Signal", "Signals", "TaskProgress",
]  # fmt: skip
