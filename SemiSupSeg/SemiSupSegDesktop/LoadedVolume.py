"""LoadedVolume: the volume that the slice views show, and what was drawn on it, for "Add current volume"."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

__all__ = ["LoadedVolume"]


class LoadedVolume:
    """Reads the scene only; the nodes stay as they are."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene

    @property
    def node(self) -> Any | None:
        """The volume in the background of the first slice view that shows one; None when none does."""
        for number in range(self._scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
            composite = self._scene.GetNthNodeByClass(number, "vtkMRMLSliceCompositeNode")
            node = self._scene.GetNodeByID(composite.GetBackgroundVolumeID() or "")
            if node is not None:
                return node
        return None

    @property
    def missing(self) -> str | None:
        """Why there is nothing to add; None when there is."""
        return None if self.node is not None else _("Add current volume: no slice view shows a volume")

    def read(self) -> tuple[Any, str, Path | None]:
        """Image, name, and a label file of the segmentation that was drawn on it; None without one.

        Raises:
            ImageError: the volume has colours, skewed axes or stands under a transform that bends.
        """
        from SemiSupSegScene.Volumes import imageOfVolume

        node = self.node
        return imageOfVolume(node), node.GetName(), self._labels(node)

    def _labels(self, node: Any) -> Path | None:
        role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
        for number in range(self._scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
            drawn = self._scene.GetNthNodeByClass(number, "vtkMRMLSegmentationNode")
            if drawn.GetNodeReference(role) is node and drawn.GetSegmentation().GetNumberOfSegments():
                path = Path(tempfile.mkdtemp(prefix="semisupseg_")) / "labels.seg.nrrd"
                slicer.util.saveNode(drawn, str(path))
                return path if path.is_file() else None
        return None
