"""What the slice views show behind and over each other. What the user had chosen comes back when we step aside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["Foreground", "showInBackground"]


def showInBackground(scene: Any, volumeNode: Any) -> None:
    """Show a volume in all slice views of the scene."""
    for composite in compositeNodes(scene):
        composite.SetBackgroundVolumeID(volumeNode.GetID())


class Foreground:
    """The foreground of all slice views, lent to one volume."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._before: dict[str, tuple[str | None, float]] = {}

    def show(self, volumeNode: Any, opacity: float) -> None:
        """Put a volume over the background of every slice view, views made since the last call included."""
        for composite in compositeNodes(self._scene):
            if composite.GetForegroundVolumeID() != volumeNode.GetID():
                said = (composite.GetForegroundVolumeID(), composite.GetForegroundOpacity())
                self._before.setdefault(composite.GetID(), said)
                composite.SetForegroundVolumeID(volumeNode.GetID())
            composite.SetForegroundOpacity(opacity)

    def giveBack(self, volumeNode: Any) -> None:
        """Put back what was in the foreground before, in the views that still show this volume there."""
        for composite in compositeNodes(self._scene):
            volumeId, opacity = self._before.get(composite.GetID(), (None, 0.0))
            if volumeNode is not None and composite.GetForegroundVolumeID() == volumeNode.GetID():
                there = volumeId is not None and self._scene.GetNodeByID(volumeId) is not None
                composite.SetForegroundVolumeID(volumeId if there else None)
                composite.SetForegroundOpacity(opacity)
        self._before.clear()


def compositeNodes(scene: Any) -> Iterator[Any]:
    """The layers of each slice view."""
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
        yield scene.GetNthNodeByClass(number, "vtkMRMLSliceCompositeNode")
