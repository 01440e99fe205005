"""ReviewKeys: the keys of the review. They exist only while the module is shown, and rest while something is typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt

__all__ = ["KEYS", "ReviewKeys"]

KEYS = {
    "A": "accept", "Shift+A": "acceptConfident", "X": "reject", "F": "flag", "J": "worst", "Shift+J": "lessWorst",
    "U": "uncertainty", "E": "edit", "N": "next", "Shift+N": "previous", "Shift+Z": "undo",
}  # fmt: skip
"""Never one of the Segment Editor's own: arrows, Q, W, Z, Y, I, space, escape, digits. Z takes back a stroke there,
shift and Z the last decision here."""
TYPED_INTO = ("QLineEdit", "QTextEdit", "QPlainTextEdit", "QAbstractSpinBox")


class ReviewKeys:
    """Shortcuts of one window.

    Args:
        commands: what each word of :data:`KEYS` does.
    """

    def __init__(self, commands: Mapping[str, Callable[[], Any]]) -> None:
        self._commands = commands
        self._shortcuts: list[Any] = []

    def install(self, window: Any) -> None:
        """Let the keys act in a window; nothing happens when they do already."""
        if self._shortcuts:
            return
        for key, word in KEYS.items():
            shortcut = qt.QShortcut(qt.QKeySequence(key), window)
            shortcut.connect("activated()", lambda word=word: self.press(word))
            self._shortcuts.append(shortcut)

    def remove(self) -> None:
        """Let no key act any more."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts = []

    def press(self, word: str) -> None:
        """What a key does, unless somebody types."""
        if not self._types():
            self._commands[word]()

    def _types(self) -> bool:
        focused = qt.QApplication.focusWidget()
        if focused is None:
            return False
        if focused.inherits("QComboBox"):
            return bool(focused.editable)
        return any(focused.inherits(name) for name in TYPED_INTO)
