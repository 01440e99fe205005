"""Stand-ins of ctk's and Slicer's own widgets, as far as the panels use them."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Signal

from .pythonqt import own

__all__ = ["ctkCollapsibleButton", "ctkSliderWidget", "qMRMLPlotView", "qMRMLSegmentEditorWidget"]

FOLD_HEIGHT = 26


@own
class ctkCollapsibleButton(QtWidgets.QWidget):  # noqa: N801
    """A bar with a title; a click folds what is under it."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._title, self._folded = "", False
        self.setContentsMargins(0, FOLD_HEIGHT, 0, 0)

    def event(self, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.DynamicPropertyChange:
            name = bytes(event.propertyName().data()).decode()
            if name == "text":
                self._title = str(self.property("text"))
            elif name == "collapsed":
                self.fold(bool(self.property("collapsed")))
            self.update()
        elif event.type() == QtCore.QEvent.ChildPolished:
            self.fold(self._folded)
        return super().event(event)

    def fold(self, on: bool) -> None:
        self._folded = on
        self.setMaximumHeight(FOLD_HEIGHT if on else 16777215)
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget) and on:
                child.lower()
        self.update()

    @property
    def collapsed(self) -> bool:
        return self._folded

    @collapsed.setter
    def collapsed(self, on: bool) -> None:
        self.fold(on)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:  # noqa: N802
        if event.position().y() < FOLD_HEIGHT:
            self.fold(not self._folded)

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:  # noqa: N802
        painter = QtGui.QPainter(self)
        bar = QtCore.QRect(0, 1, QtWidgets.QWidget.width.__get__(self), FOLD_HEIGHT - 4)
        painter.fillRect(bar, self.palette.color(QtGui.QPalette.Button).darker(108))
        painter.setPen(self.palette.color(QtGui.QPalette.ButtonText))
        painter.drawText(
            bar.adjusted(8, 0, 0, 0), QtCore.Qt.AlignVCenter, ("▸ " if self._folded else "▾ ") + self._title
        )
        painter.end()


@own
class ctkSliderWidget(QtWidgets.QWidget):  # noqa: N801
    """A slider and a number."""

    valueChanged = Signal(float)  # noqa: N815

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.slider, self.box = QtWidgets.QSlider(QtCore.Qt.Horizontal), QtWidgets.QDoubleSpinBox()
        row.addWidget(self.slider)
        row.addWidget(self.box)
        self.slider.setRange(0, 1000)
        self.slider.sliderMoved.connect(lambda at: self.setValue(self._low + (self._high - self._low) * at / 1000))
        self.box.valueChanged.connect(self._moved)
        self._low, self._high = 0.0, 1.0

    def event(self, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.DynamicPropertyChange:
            name = bytes(event.propertyName().data()).decode()
            if name in ("minimum", "maximum", "singleStep", "decimals", "value"):
                self.box.setProperty(name, self.property(name))
        return super().event(event)

    def _moved(self, value: float) -> None:
        self.slider.setValue(round(1000 * (value - self._low) / (self._high - self._low)))
        self.valueChanged.emit(value)

    def setValue(self, value: float) -> None:  # noqa: N802
        self.box.setValue(value)

    value = property(lambda self: self.box.property("value"), lambda self, value: self.setValue(value))


@own
class qMRMLSegmentEditorWidget(QtWidgets.QFrame):  # noqa: N801
    """Lists the segments, and knows which effect is active. It paints nothing."""

    currentSegmentIDChanged = Signal(str)  # noqa: N815

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QtWidgets.QFrame.StyledPanel)
        column = QtWidgets.QVBoxLayout(self)
        self.label = QtWidgets.QLabel("(stand-in of Slicer's Segment Editor)")
        self.label.setEnabled(False)
        self.table = QtWidgets.QListWidget()
        self.table.setMaximumHeight(90)
        column.addWidget(self.label)
        column.addWidget(self.table)
        self.node: Any = None
        self.volume: Any = None
        self.effect = ""
        self.shortcuts = False
        self._segment = ""

    def setMRMLScene(self, scene: Any) -> None:  # noqa: N802
        self.scene = scene

    def setMRMLSegmentEditorNode(self, node: Any) -> None:  # noqa: N802
        self.editor_node = node

    def setMaximumNumberOfUndoStates(self, number: int) -> None:  # noqa: N802
        self.undo_states = number

    def setSegmentationNode(self, node: Any) -> None:  # noqa: N802
        self.node = node
        self.table.clear()
        if node is not None:
            segmentation = node.GetSegmentation()
            self.table.addItems([segmentation.GetSegment(i).GetName() for i in segmentation.GetSegmentIDs()])

    def setSourceVolumeNode(self, node: Any) -> None:  # noqa: N802
        self.volume = node

    def setCurrentSegmentID(self, segment: str) -> None:  # noqa: N802
        self._segment = segment
        self.currentSegmentIDChanged.emit(segment)

    def currentSegmentID(self) -> str:  # noqa: N802
        return self._segment

    def setActiveEffectByName(self, name: str) -> None:  # noqa: N802
        self.effect = name

    def activeEffect(self) -> str | None:  # noqa: N802
        return self.effect or None

    def installKeyboardShortcuts(self) -> None:  # noqa: N802
        self.shortcuts = True

    def uninstallKeyboardShortcuts(self) -> None:  # noqa: N802
        self.shortcuts = False

    def setupViewObservations(self) -> None:  # noqa: N802
        pass

    def removeViewObservations(self) -> None:  # noqa: N802
        pass


@own
class qMRMLPlotView(QtWidgets.QWidget):  # noqa: N801
    """Draws the tables of a chart's series as lines."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.node: Any = None

    def setMRMLScene(self, scene: Any) -> None:  # noqa: N802
        self.scene = scene

    def setMRMLPlotViewNode(self, node: Any) -> None:  # noqa: N802
        self.node = node

    def series(self) -> list[Any]:
        chart = self.node.GetPlotChartNode() if self.node is not None else None
        return (
            [] if chart is None else [chart.GetNthPlotSeriesNode(n) for n in range(chart.GetNumberOfPlotSeriesNodes())]
        )

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:  # noqa: N802
        painter = QtGui.QPainter(self)
        area = QtCore.QRectF(0, 0, *self._size()).adjusted(34, 6, -6, -18)
        painter.setPen(self.palette.color(QtGui.QPalette.Mid))
        painter.drawRect(area)
        found = [(series, _points(series)) for series in self.series()]
        if found:
            top = max(y for _, points in found for _, y in points) or 1.0
            right = max(x for _, points in found for x, _ in points) or 1.0
            for number, (series, points) in enumerate(found):
                painter.setPen(QtGui.QPen(QtGui.QColor.fromRgbF(*series.GetColor()), 2))
                places = [
                    QtCore.QPointF(area.left() + x / right * area.width(), area.bottom() - y / top * area.height())
                    for x, y in points
                ]
                if len(places) > 1:
                    painter.drawPolyline(places)
                else:
                    painter.drawText(places[0] + QtCore.QPointF(-5, 5), "◆")
                painter.drawText(QtCore.QPointF(area.left() + 8, area.top() + 14 + 14 * number), series.GetName())
            painter.setPen(self.palette.color(QtGui.QPalette.Text))
            painter.drawText(QtCore.QPointF(2, area.top() + 10), f"{top:.2f}")
            painter.drawText(QtCore.QPointF(area.right() - 30, area.bottom() + 14), f"{right:.0f}")
        painter.end()

    def _size(self) -> tuple[int, int]:
        size = self.property("size")
        return size.width(), size.height()


def _points(series: Any) -> list[tuple[float, float]]:
    table = series.GetTableNode().GetTable()
    xs, ys = (table.GetColumnByName(name) for name in (series.GetXColumnName(), series.GetYColumnName()))
    return [(xs.GetValue(n), ys.GetValue(n)) for n in range(xs.GetNumberOfTuples())]
