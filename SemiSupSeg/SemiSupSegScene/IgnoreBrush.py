"""IgnoreBrush: voxels to leave out of training and scores, painted in a segmentation of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from .SegmentVoxels import changeSegment, segmentMask
from .Translation import _

__all__ = ["IgnoreBrush"]

COLOUR = (0.55, 0.55, 0.55)


class IgnoreBrush:
    """The mask as a segment beside the user's segmentation, which it never touches. It is not saved with the scene."""

    def __init__(self, scene: Any, session: Any) -> None:
        self._scene, self._session = scene, session
        self._nodeId: str | None = None
        self._segmentId = ""

    @property
    def node(self) -> Any | None:
        """What is painted in while the brush is on; None otherwise."""
        return self._scene.GetNodeByID(self._nodeId) if self._nodeId else None

    def begin(self, volumeNode: Any) -> tuple[Any, str]:
        """Show what is left out now, to be painted on.

        Returns:
            Segmentation node and id of its only segment.
        """
        self.remove()
        node = self._scene.AddNewNodeByClass("vtkMRMLSegmentationNode", _("Ignored"))
        self._nodeId = node.GetID()
        node.SetSaveWithScene(False)
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
        self._segmentId = node.GetSegmentation().AddEmptySegment("ignore", _("Ignore here"), COLOUR)
        mask = self._session.ignore()
        if mask is not None and mask.any():
            grid = self._session.current_case.grid()
            changeSegment(node, self._segmentId, grid, added=mask, removed=np.zeros_like(mask))
        return node, self._segmentId

    def end(self) -> None:
        """Store what was painted, when it differs; the node leaves the scene.

        Raises:
            SemiSupSegError: it cannot be stored.
        """
        self._session.wait()  # what is painted here is nowhere else: it must not be refused
        node, case = self.node, self._session.current_case
        try:
            if node is not None and case is not None:
                mask, before = segmentMask(node, self._segmentId, case.grid()), self._session.ignore()
                if not np.array_equal(mask, np.zeros_like(mask) if before is None else before):
                    self._session.set_ignore(mask)
        finally:
            self.remove()

    def remove(self) -> None:
        """Take the node out of the scene; what was not stored is lost."""
        if self.node is not None:
            self._scene.RemoveNode(self.node)
        self._nodeId = None
