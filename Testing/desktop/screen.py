"""Screen: the panel as a person has it before them. It is clicked, typed into, and photographed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtGui, QtTest, QtWidgets

__all__ = ["PICTURES", "Screen"]

PICTURES = Path(__file__).parents[2] / "build" / "desktop"
"""Build output: what the tests photograph."""
WIDTH = 560
CAPTION = "TEST PICTURE: PySide6 with stand-ins for Slicer's widgets. Not what Slicer looks like."


class Screen:
    """A window with the panel in it.

    Args:
        application: of Qt.
        session: the session.
        scene: Slicer's.
        said: passed on to the panel.
    """

    def __init__(self, application: Any, session: Any, scene: Any, **said: Any) -> None:
        import qt
        from SemiSupSegDesktop.SemiSupSegPanel import SemiSupSegPanel

        self.application = application
        self.clicks = 0
        self.window = qt.QWidget()
        qt.QVBoxLayout(self.window)
        self.panel = SemiSupSegPanel(self.window, session, scene=scene, **said)
        self.panel.enter()
        self.window.resize(WIDTH, 400)
        self.window.show()
        self.window.activateWindow()
        self.look()

    @property
    def message(self) -> str:
        """The line in the status strip."""
        return str(self.panel.status.ui.messageLabel.text)

    def look(self) -> None:
        """Let a moment pass: the timer's work, and everything that waits to be drawn."""
        self.panel.session.poll()
        for _turn in range(3):
            self.application.processEvents()

    def widget(self, name: str) -> Any:
        """A widget by its name in the Designer files."""
        for panel in self.panel.panels:
            if hasattr(panel.ui, name):
                return getattr(panel.ui, name)
        msg = f"no widget {name}"
        raise AssertionError(msg)

    def click(self, name: str) -> None:
        """Click a button that may be clicked."""
        button = self.widget(name)
        assert button.isVisible(), f"{name} is hidden"
        assert button.isEnabled(), f"{name} is disabled: {button.toolTip}"
        self.clicks += 1
        QtTest.QTest.mouseClick(button, QtCore.Qt.LeftButton)
        self.look()

    def unfold(self, name: str) -> None:
        """Open a part of the panel that is folded away."""
        self.widget(name).collapsed = False
        self.look()

    def click_cell(self, name: str, row: int, column: int, *, double: bool = False) -> None:
        """Click, or double-click, a cell of a table."""
        table = self.widget(name)
        place = table.visualItemRect(table.item(row, column)).center()
        self.clicks += 1
        QtTest.QTest.mouseClick(table.viewport(), QtCore.Qt.LeftButton, pos=place)
        if double:
            QtTest.QTest.mouseDClick(table.viewport(), QtCore.Qt.LeftButton, pos=place)
        self.look()

    def press(self, key: Any, *, shift: bool = False) -> None:
        """Press a key where the focus is."""
        self.clicks += 1
        modifier = QtCore.Qt.ShiftModifier if shift else QtCore.Qt.NoModifier
        QtTest.QTest.keyClick(QtWidgets.QApplication.focusWidget() or self.window, key, modifier)
        self.look()

    def cells(self, name: str, column: int) -> list[str]:
        """What stands in a column of a table."""
        table = self.widget(name)
        return [table.item(row, column).text() for row in range(table.rowCount)]

    def buttons(self) -> list[Any]:
        """All buttons of all parts."""
        found = [b for panel in self.panel.panels for b in panel.widget.findChildren(QtWidgets.QAbstractButton)]
        return [button for button in found if button.property("objectName") and not _is_of_qt(button)]

    def photograph(self, path: Path) -> QtGui.QPixmap:
        """Write what the window shows, whole, under a caption that says what it is."""
        self.look()
        self.window.resize(WIDTH, max(self.window.minimumSizeHint().height(), self.window.sizeHint().height()))
        self.look()
        shown = self.window.grab()
        picture = QtGui.QPixmap(shown.width(), shown.height() + 22)
        picture.fill(QtGui.QColor("#ffe9a8"))
        painter = QtGui.QPainter(picture)
        painter.drawText(QtCore.QRect(6, 0, shown.width(), 22), QtCore.Qt.AlignVCenter, CAPTION)
        painter.drawPixmap(0, 22, shown)
        painter.end()
        path.parent.mkdir(parents=True, exist_ok=True)
        assert picture.save(str(path))
        return picture

    def close(self) -> None:
        """Leave the module and close Slicer."""
        self.panel.exit()
        self.panel.cleanup()
        self.window.close()
        self.window.deleteLater()
        self.application.processEvents()


def _is_of_qt(button: Any) -> bool:
    return str(button.property("objectName")).startswith("qt_")
