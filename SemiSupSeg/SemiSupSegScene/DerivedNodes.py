"""Nodes that show what the project holds: not saved with the scene, and gone without a trace when they are removed."""

from __future__ import annotations

from typing import Any

__all__ = ["keepOutOfFiles", "removeWithDisplay"]


def keepOutOfFiles(node: Any) -> None:
    """Leave a node and its display nodes out of saved scenes."""
    node.SetSaveWithScene(False)
    for display in _displayNodes(node):
        display.SetSaveWithScene(False)


def removeWithDisplay(node: Any) -> None:
    """Remove a node and its display nodes, a colour legend among them, from their scene."""
    scene, displays = node.GetScene(), _displayNodes(node)
    scene.RemoveNode(node)
    for display in displays:
        if display.GetScene() is not None:
            scene.RemoveNode(display)


def _displayNodes(node: Any) -> list[Any]:
    found = [node.GetNthDisplayNode(number) for number in range(node.GetNumberOfDisplayNodes())]
    return [display for display in found if display is not None]
