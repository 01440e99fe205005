"""Labels as outlines over the user's segmentation, in a segmentation node of their own: to compare, never to edit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SemiSupSegLib.project.geometry import Grid
from SemiSupSegLib.project.labels import LabelSet

from .CaseContent import Parts, partsOf
from .CaseSegments import addSegments
from .DerivedNodes import keepOutOfFiles, removeWithDisplay
from .Translation import _

__all__ = ["PREVIOUS", "PROPOSAL", "Outline", "OutlineStyle"]

ROLE_ATTRIBUTE = "SemiSupSeg.Role"


@dataclass(frozen=True)
class OutlineStyle:
    """How a kind of outline looks."""

    role: str
    thickness: int
    """Pixels."""
    colour: tuple[float, float, float] | None = None
    """Red, green, blue, each 0 to 1; None for the colours of the labels."""


PROPOSAL = OutlineStyle("Proposal", 3)
PREVIOUS = OutlineStyle("Previous", 1, (1.0, 1.0, 1.0))


class Outline:
    """Outlines of one kind. The node is derived from the project and is not saved with the scene."""

    def __init__(self, scene: Any, style: OutlineStyle) -> None:
        self._scene = scene
        self._style = style
        self._nodeId: str | None = None

    @property
    def node(self) -> Any | None:
        """The segmentation node; None before :meth:`show` and after the user deleted it."""
        return self._scene.GetNodeByID(self._nodeId) if self._nodeId else None

    def show(
        self, layers: NDArray[np.integer[Any]], labelSet: LabelSet, grid: Grid, *, only: Iterable[str] | None = None
    ) -> None:
        """What :meth:`showParts` does, of layers (L, k, j, i) in the order of ``labelSet.places``."""
        self.showParts(partsOf(layers, labelSet, only), labelSet, grid, only=only)

    def showParts(
        self, parts: Parts, labelSet: LabelSet, grid: Grid, *, only: Iterable[str] | None = None
    ) -> None:
        """Show the outlines of labels, instead of those before.

        Args:
            parts: the labels' voxels, cut to where they are: :func:`.CaseContent.partsOf`.
            labelSet: what the values mean.
            grid: of the whole volume, in the world.
            only: names of the labels to show; None for all.
        """
        node = self.node
        if node is None:
            node = self._scene.AddNewNodeByClass("vtkMRMLSegmentationNode", self._name())
            self._nodeId = node.GetID()
            node.SetAttribute(ROLE_ATTRIBUTE, self._style.role)
            node.CreateDefaultDisplayNodes()
            keepOutOfFiles(node)
        node.GetSegmentation().RemoveAllSegments()
        addSegments(node, parts, labelSet, grid, only=only)
        self._draw(node)

    def setVisible(self, visible: bool) -> None:
        """Show or hide the outlines."""
        if self.node is not None:
            self.node.SetDisplayVisibility(visible)

    def remove(self) -> None:
        """Take the outlines out of the scene; the user's segmentation stays."""
        if self.node is not None:
            removeWithDisplay(self.node)
        self._nodeId = None

    def _draw(self, node: Any) -> None:
        display = node.GetDisplayNode()
        display.SetVisibility(True)
        display.SetVisibility3D(False)
        display.SetVisibility2DFill(False)
        display.SetVisibility2DOutline(True)
        display.SetOpacity2DOutline(1.0)
        display.SetSliceIntersectionThickness(self._style.thickness)
        if self._style.colour is not None:
            for segmentId in node.GetSegmentation().GetSegmentIDs():
                node.GetSegmentation().GetSegment(segmentId).SetColor(*self._style.colour)

    def _name(self) -> str:
        return _("Proposal") if self._style is PROPOSAL else _("Previous labels")
