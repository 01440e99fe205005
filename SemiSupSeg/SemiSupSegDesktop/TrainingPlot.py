"""TrainingPlot: losses and the score on the hold-out over the steps, in Slicer's own plot nodes. It imports no Qt."""

from __future__ import annotations

from typing import Any

import vtk
from slicer.i18n import tr as _

__all__ = ["TrainingPlot"]

CHART, SERIES, TABLE = "vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode"
COLOURS = ((0.35, 0.55, 0.80), (0.85, 0.55, 0.20), (0.55, 0.40, 0.70), (0.50, 0.50, 0.50))
DICE_COLOUR, BEST_COLOUR = (0.15, 0.60, 0.35), (0.80, 0.15, 0.25)


class TrainingPlot:
    """A chart whose series come and go with the losses of the training. It is not saved with the scene."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._chartId: str | None = None
        self._seriesIds: dict[str, str] = {}
        self._drawn: Any = None

    @property
    def chartNode(self) -> Any | None:
        """What a plot view shows; None before :meth:`show`."""
        return self._scene.GetNodeByID(self._chartId) if self._chartId else None

    def show(self, curves: Any) -> None:
        """Draw what a training said so far.

        Args:
            curves: :class:`~SemiSupSegLib.session.Curves`; empty ones remove what was drawn.
        """
        if curves == self._drawn:
            return
        self._drawn = curves
        wanted: dict[str, tuple[tuple[tuple[int, float], ...], tuple[float, float, float]]] = {}
        for number, (name, points) in enumerate(curves.losses.items()):
            wanted[_("loss: {name}").format(name=name)] = (points, COLOURS[number % len(COLOURS)])
        if curves.dice:
            wanted[_("Dice on the hold-out")] = (curves.dice, DICE_COLOUR)
        if curves.best is not None:
            wanted[_("best so far")] = ((curves.best,), BEST_COLOUR)
        for name in [name for name in self._seriesIds if name not in wanted]:
            self._removeSeries(name)
        if wanted and self.chartNode is None:
            self._makeChart()
        for name, (points, colour) in wanted.items():
            self._draw(name, points, colour, marker=name == _("best so far"))

    def remove(self) -> None:
        """Take the nodes out of the scene."""
        for name in list(self._seriesIds):
            self._removeSeries(name)
        if self.chartNode is not None:
            self._scene.RemoveNode(self.chartNode)
        self._chartId = self._drawn = None

    def _makeChart(self) -> None:
        chart = self._scene.AddNewNodeByClass(CHART, _("Training"))
        chart.SetSaveWithScene(False)
        chart.SetXAxisTitle(_("step"))
        chart.SetTitleVisibility(False)
        self._chartId = chart.GetID()

    def _draw(self, name: str, points: Any, colour: tuple[float, float, float], *, marker: bool) -> None:
        series = self._scene.GetNodeByID(self._seriesIds.get(name, ""))
        if series is None:
            series = self._scene.AddNewNodeByClass(SERIES, name)
            table = self._scene.AddNewNodeByClass(TABLE, name)
            for node in (series, table):
                node.SetSaveWithScene(False)
                node.SetHideFromEditors(True)
            series.SetAndObserveTableNodeID(table.GetID())
            series.SetPlotType(series.PlotTypeScatter)
            series.SetColor(*colour)
            series.SetMarkerStyle(series.MarkerStyleDiamond if marker else series.MarkerStyleNone)
            series.SetMarkerSize(12 if marker else 5)
            series.SetLineStyle(series.LineStyleNone if marker else series.LineStyleSolid)
            self._seriesIds[name] = series.GetID()
            self.chartNode.AddAndObservePlotSeriesNodeID(series.GetID())
        table = series.GetTableNode()
        steps, values = vtk.vtkFloatArray(), vtk.vtkFloatArray()
        steps.SetName(_("step"))
        values.SetName(name)
        for step, value in points:
            steps.InsertNextValue(step)
            values.InsertNextValue(value)
        table.RemoveAllColumns()
        table.AddColumn(steps)
        table.AddColumn(values)
        series.SetXColumnName(steps.GetName())
        series.SetYColumnName(name)

    def _removeSeries(self, name: str) -> None:
        series = self._scene.GetNodeByID(self._seriesIds.pop(name))
        if series is not None:
            if self.chartNode is not None:
                self.chartNode.RemovePlotSeriesNodeID(series.GetID())
            table = series.GetTableNode()
            self._scene.RemoveNode(series)
            if table is not None:
                self._scene.RemoveNode(table)
