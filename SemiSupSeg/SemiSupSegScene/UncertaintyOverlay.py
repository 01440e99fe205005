"""The uncertainty of a proposal over the image: where it glows, look again.

Certain voxels are transparent, so anatomy stays visible; the window is fixed at 0 to 1, so rounds compare.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from SemiSupSegLib.project.geometry import Grid

from .DerivedNodes import keepOutOfFiles, removeWithDisplay
from .Grids import matrixOfGrid
from .SliceLayers import Foreground
from .Translation import _
from .UncertaintyColours import colourNode
from .Volumes import addDisplay, emptyImage

__all__ = ["MUTUAL_INFORMATION", "OPACITY", "THRESHOLD", "UNCERTAINTY", "UncertaintyOverlay"]

UNCERTAINTY = "uncertainty"
"""Normalised predictive entropy: all doubt."""
MUTUAL_INFORMATION = "mutual_information"
"""Its epistemic part: what more annotations could remove."""
THRESHOLD = 0.2
OPACITY = 0.5
LEGEND_LABELS = 5


class UncertaintyOverlay:
    """One map at a time as the foreground of all slice views, with a legend that comes and goes with it.

    Its nodes are derived from the project and are not saved with the scene.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._foreground = Foreground(scene)
        self._volumeId: str | None = None
        self._threshold = THRESHOLD
        self._opacity = OPACITY
        self._visible = False
        self.kind = UNCERTAINTY
        self.drawsLegend = True
        """Whether the slice views show a legend; a front end that has one of its own switches it off."""

    @property
    def volumeNode(self) -> Any | None:
        """The map; None before :meth:`show` and after the user deleted it."""
        return self._scene.GetNodeByID(self._volumeId) if self._volumeId else None

    @property
    def threshold(self) -> float:
        """Values below it are transparent, [0, 1]."""
        return self._threshold

    @property
    def opacity(self) -> float:
        """Of the map over the image, [0, 1]."""
        return self._opacity

    @property
    def visible(self) -> bool:
        """Whether the map is to be seen in the slice views."""
        return self._visible and self.volumeNode is not None

    def show(self, values: NDArray[np.floating[Any]], grid: Grid, *, kind: str = UNCERTAINTY) -> None:
        """Show a map, instead of the one before.

        Args:
            values: (k, j, i) in [0, 1].
            grid: its place in the world.
            kind: :data:`UNCERTAINTY` or :data:`MUTUAL_INFORMATION`, for the legend.

        Raises:
            ValueError: the array's shape is not that of the grid.
        """
        values = np.asarray(values, np.float32)
        if values.shape != grid.shape:
            msg = f"array of shape {values.shape} on a grid of shape {grid.shape}"
            raise ValueError(msg)
        image, room = emptyImage(grid)
        room[:] = values
        self.showImage(image, grid, kind=kind)

    def showImage(self, image: Any, grid: Grid, *, kind: str = UNCERTAINTY) -> None:
        """What :meth:`show` does, of what :func:`.Volumes.emptyImage` gave and somebody filled: nothing is copied."""
        self.kind = kind
        node = self.volumeNode
        if node is None:
            node = self._scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", _("Uncertainty"))
            self._volumeId = node.GetID()
            addDisplay(node, (0.0, 1.0))
            self._prepare(node)
        node.SetIJKToRASMatrix(matrixOfGrid(grid))
        node.SetAndObserveImageData(image)
        node.SetName(self._title())
        self.setThreshold(self._threshold)
        self.setVisible(True)

    def setThreshold(self, threshold: float) -> None:
        """Make values below a threshold, [0, 1], wholly transparent; the legend keeps all colours."""
        self._threshold = min(1.0, max(0.0, float(threshold)))
        node = self.volumeNode
        if node is not None:
            node.GetDisplayNode().SetThreshold(self._threshold, 1.0)

    def setOpacity(self, opacity: float) -> None:
        """Of the map over the image, [0, 1]."""
        self._opacity = min(1.0, max(0.0, float(opacity)))
        if self.visible:
            self._foreground.show(self.volumeNode, self._opacity)

    def setVisible(self, visible: bool) -> None:
        """Show or hide the map and its legend; the foreground that the user had comes back."""
        self._visible, node = visible, self.volumeNode
        if node is None:
            return
        if visible:
            self._foreground.show(node, self._opacity)
        else:
            self._foreground.giveBack(node)
        legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
        if legend is None and visible and self.drawsLegend:
            legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
        if legend is not None:
            legend.SetTitleText(self._title())
            legend.SetNumberOfLabels(LEGEND_LABELS)
            legend.SetLabelFormat("%.2f")
            legend.SetSaveWithScene(False)
            legend.SetVisibility(visible)

    def remove(self) -> None:
        """Take the map and its legend out of the scene; other nodes stay."""
        self.setVisible(False)
        node = self.volumeNode
        if node is not None:
            removeWithDisplay(node)
        self._volumeId = None

    def _prepare(self, node: Any) -> None:
        keepOutOfFiles(node)
        display = node.GetDisplayNode()
        display.SetAndObserveColorNodeID(colourNode(self._scene).GetID())
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(0.0, 1.0)
        display.SetInterpolate(False)  # a voxel below the threshold must not glow because its neighbour does
        display.SetAutoThreshold(False)
        display.SetApplyThreshold(True)

    def _title(self) -> str:
        return _("Mutual information") if self.kind == MUTUAL_INFORMATION else _("Uncertainty")
