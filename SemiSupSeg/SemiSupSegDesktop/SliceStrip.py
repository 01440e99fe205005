"""SliceStrip: one bar a slice, as high as the proposal is unsure there; a click goes to the slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import qt
from slicer.i18n import tr as _

from .Chips import isDark

__all__ = ["SliceStrip"]

HEIGHT = 44
BAR, BAR_DARK = (191, 87, 0), (255, 170, 80)


class SliceStrip(qt.QLabel):
    """The profile of the proposal that is looked at; empty without one."""

    def __init__(self, parent: Any, onClick: Callable[[int], None]) -> None:
        """Show nothing yet.

        Args:
            parent: widget with a layout.
            onClick: called with the slice k.
        """
        qt.QLabel.__init__(self, parent)
        self._onClick = onClick
        self._values = np.zeros(0)
        self._current: int | None = None
        self.setMinimumHeight(HEIGHT)
        self.setMinimumWidth(60)
        self.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Fixed)
        self.setToolTip(_("What is expected to be wrong in each slice; a click goes there"))
        parent.layout().addWidget(self)

    def show_(self, values: Any, current: int | None) -> None:
        """Draw the bars.

        Args:
            values: (K,) in [0, 1]; empty for none.
            current: slice that the views show; None when unknown.
        """
        values = np.asarray(values, float)
        if current != self._current or not np.array_equal(values, self._values):  # a timer asks four times a second
            self._values, self._current = values, current
            self._draw()

    def sliceAt(self, x: float) -> int | None:
        """The slice under a place, in pixels from the left; None without bars."""
        if not len(self._values):
            return None
        return int(min(max(x / max(self.width, 1), 0.0), 0.999999) * len(self._values))

    def mousePressEvent(self, event: Any) -> None:
        """Go to the slice under the mouse."""
        place = event.position() if hasattr(event, "position") else event.pos()  # Qt 6, Qt 5
        k = self.sliceAt(place.x())
        if k is not None:
            self._onClick(k)

    def resizeEvent(self, _event: Any) -> None:
        """Draw for the new width."""
        self._draw()

    def _draw(self) -> None:
        number, width = len(self._values), max(int(self.width), 1)
        picture = qt.QPixmap(width, HEIGHT)
        picture.fill(qt.QColor(0, 0, 0, 0))
        if number:
            painter = qt.QPainter()
            painter.begin(picture)
            top = max(float(self._values.max()), 0.2)  # small doubts stay small bars
            colour = qt.QColor(*(BAR_DARK if isDark(self) else BAR))
            x = 0
            while x < width:
                k, begin = self.sliceAt(x), x
                while x < width and self.sliceAt(x) == k:
                    x += 1
                tall = round((HEIGHT - 8) * float(self._values[k]) / top)
                if tall:
                    painter.fillRect(begin, HEIGHT - 4 - tall, x - begin, tall, qt.QBrush(colour))
            painter.setPen(qt.QPen(self.palette.color(qt.QPalette.Text)))
            painter.drawLine(0, HEIGHT - 3, width - 1, HEIGHT - 3)
            if self._current is not None:
                x = round((self._current + 0.5) / number * width)
                painter.drawLine(x, 0, x, HEIGHT - 1)
            painter.end()
        self.setPixmap(picture)
