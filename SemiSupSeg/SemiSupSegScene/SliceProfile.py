"""Uncertainty slice by slice: a table, and a bar chart of it in Slicer's plot views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray

from .Translation import _

__all__ = ["SliceProfile", "sliceMeans"]

BAR_COLOUR = (0.85, 0.33, 0.22)


def sliceMeans(values: NDArray[np.floating[Any]], mask: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Mean of a map in each slice k, (K,).

    Args:
        values: (k, j, i) in [0, 1].
        mask: (k, j, i): where to look; a slice without any voxel has the mean 0. None for everywhere.
    """
    if mask is None:
        return np.asarray(values.mean(axis=(1, 2), dtype=np.float64))
    counts = np.count_nonzero(mask, axis=(1, 2))
    sums = np.where(mask, values, 0).sum(axis=(1, 2), dtype=np.float64)
    return np.asarray(sums / np.maximum(counts, 1))


class SliceProfile:
    """Bars over the slices of a case. Its nodes are derived from the project and are not saved with the scene."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._ids: list[str] = []

    @property
    def chartNode(self) -> Any | None:
        """What a plot view shows; None before :meth:`show` and after the user deleted it."""
        return self._scene.GetNodeByID(self._ids[-1]) if self._ids else None

    def show(self, values: Sequence[float | None]) -> None:
        """Show one value a slice, instead of those before.

        Args:
            values: mean uncertainty in each slice k, [0, 1]; None, where nothing is to be unsure of, shows as 0.
        """
        if self.chartNode is None:
            self._make()
        table = self._scene.GetNodeByID(self._ids[0])
        slices, bars = vtk.vtkIntArray(), vtk.vtkFloatArray()
        slices.SetName(_("Slice"))
        bars.SetName(_("Uncertainty"))
        for number, value in enumerate(values):
            slices.InsertNextValue(number)
            bars.InsertNextValue(0.0 if value is None or np.isnan(value) else float(value))
        table.RemoveAllColumns()
        table.AddColumn(slices)
        table.AddColumn(bars)
        series = self._scene.GetNodeByID(self._ids[1])
        series.SetXColumnName(slices.GetName())
        series.SetYColumnName(bars.GetName())

    def remove(self) -> None:
        """Take table and chart out of the scene."""
        for nodeId in reversed(self._ids):
            node = self._scene.GetNodeByID(nodeId)
            if node is not None:
                self._scene.RemoveNode(node)
        self._ids = []

    def _make(self) -> None:
        self.remove()
        kinds = ("vtkMRMLTableNode", "vtkMRMLPlotSeriesNode", "vtkMRMLPlotChartNode")
        table, series, chart = (self._scene.AddNewNodeByClass(kind, _("Uncertainty by slice")) for kind in kinds)
        self._ids = [node.GetID() for node in (table, series, chart)]
        for node in (table, series, chart):
            node.SetSaveWithScene(False)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetPlotType(series.PlotTypeBar)
        series.SetColor(*BAR_COLOUR)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
        chart.SetTitle(_("Uncertainty by slice"))
        chart.SetXAxisTitle(_("Slice"))
        chart.SetYAxisTitle(_("Mean uncertainty"))
        chart.SetYAxisRangeAuto(False)
        chart.SetYAxisRange(0.0, 1.0)
        chart.SetLegendVisibility(False)
