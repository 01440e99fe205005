"""Which nodes of a scene belong to which case. The mark is saved with the scene; it tells nobody where a case lies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from SemiSupSegLib.project.cases import Case

from .Translation import _

__all__ = ["SEGMENTATION", "VOLUME", "hideOthers", "isCurrent", "markNode", "nodeOf", "setAside"]

VOLUME = "vtkMRMLScalarVolumeNode"
SEGMENTATION = "vtkMRMLSegmentationNode"
CASE_ATTRIBUTE = "SemiSupSeg.Case"
GENERATION_ATTRIBUTE = "SemiSupSeg.Generation"


def nodeOf(scene: Any, case: Case, className: str) -> Any | None:
    """The node of a class that shows a case; None when there is none, or none any more."""
    return next(_marked(scene, case, className), None)


def markNode(node: Any, case: Case) -> None:
    """Let a node show the present state of a case; no other node of its class does so from now on."""
    for other in list(_marked(node.GetScene(), case, node.GetClassName())):
        if other is not node:
            other.RemoveAttribute(CASE_ATTRIBUTE)
    node.SetAttribute(CASE_ATTRIBUTE, _key(case))
    node.SetAttribute(GENERATION_ATTRIBUTE, str(case.generation))


def isCurrent(node: Any, case: Case) -> bool:
    """Whether a marked node was last written from the state that the case has now."""
    return bool(node.GetAttribute(GENERATION_ATTRIBUTE) == str(case.generation))


def setAside(node: Any) -> None:
    """Keep a segmentation under another name, hidden, as no case's any more."""
    node.RemoveAttribute(CASE_ATTRIBUTE)
    node.SetName(_("{name} (earlier)").format(name=node.GetName()))
    node.SetDisplayVisibility(False)


def hideOthers(segmentationNode: Any) -> None:
    """Show the labels of one case only: those of another patient must never lie over this one. All nodes stay."""
    scene = segmentationNode.GetScene()
    for number in range(scene.GetNumberOfNodesByClass(SEGMENTATION)):
        node = scene.GetNthNodeByClass(number, SEGMENTATION)
        if node is not segmentationNode and node.GetAttribute(CASE_ATTRIBUTE):
            node.SetDisplayVisibility(False)
    segmentationNode.SetDisplayVisibility(True)


def _marked(scene: Any, case: Case, className: str) -> Iterator[Any]:
    for number in range(scene.GetNumberOfNodesByClass(className)):
        node = scene.GetNthNodeByClass(number, className)
        if node.GetAttribute(CASE_ATTRIBUTE) == _key(case):
            yield node


def _key(case: Case) -> str:
    # of the folder, as two projects may have a case of the same id; hashed, as paths may hold a patient's name
    return hashlib.sha256(str(case.folder).encode()).hexdigest()[:16]
