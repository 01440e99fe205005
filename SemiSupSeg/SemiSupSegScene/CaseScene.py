"""One case of the project in Slicer's scene: its volume, and the segmentation in which the user draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.project.annotation import label_mask
from SemiSupSegLib.project.cases import Case
from SemiSupSegLib.project.geometry import Grid, check_same_grid
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.session.differences import Step, differences

from .CaseContent import CaseContent, Parts, partsOf, readCase
from .CaseNodes import SEGMENTATION, VOLUME, hideOthers, isCurrent, markNode, nodeOf, setAside
from .CaseSegments import addSegments, labelMasks, tagSegments
from .Grids import gridOfVolume
from .LabelChange import changeLabel
from .Observations import Observations
from .SegmentSnapshot import SegmentSnapshot
from .SliceLayers import showInBackground
from .Translation import _
from .Volumes import addVolume

__all__ = ["CaseScene"]

EDITS = ("SourceRepresentationModified", "SegmentAdded", "SegmentRemoved")

Layers = NDArray[np.integer[Any]]


class CaseScene:
    """The nodes of the open case. The user's segmentation is changed by :meth:`update` alone.

    Other nodes of the scene are never touched; opening another case leaves those of this one where they are.
    """

    def __init__(self, scene: Any, onEdit: Callable[[], None] | None = None) -> None:
        """Listen to nothing yet.

        Args:
            scene: a ``vtkMRMLScene``.
            onEdit: called after the user changed, added or removed a segment of the open case.
        """
        self._scene = scene
        self._onEdit = onEdit
        self._observations = Observations()
        self._case: Case | None = None
        self._labelSet = LabelSet(())
        self._layers: Layers | None = None
        self._ours = 0
        self._itsGrid: Grid | None = None
        self.edited = False
        """Whether the segmentation may hold strokes of the user that the project has not seen."""

    @property
    def case(self) -> Case | None:
        """The open case, as it was shown last; None when none is open."""
        return self._case

    @property
    def volumeNode(self) -> Any | None:
        """The open case's volume; None when none is open or the user deleted it."""
        return None if self._case is None else nodeOf(self._scene, self._case, VOLUME)

    @property
    def segmentationNode(self) -> Any | None:
        """The user's segmentation of the open case; None when none is open or the user deleted it."""
        return None if self._case is None else nodeOf(self._scene, self._case, SEGMENTATION)

    @property
    def grid(self) -> Grid | None:
        """Of the open case's image, read from the disk once; None when none is open."""
        if self._case is not None and self._itsGrid is None:
            self._itsGrid = self._case.grid()
        return self._itsGrid

    def needsImage(self, case: Case) -> bool:
        """Whether the scene does not show the volume of a case yet."""
        return nodeOf(self._scene, case, VOLUME) is None

    def open(self, case: Case, labelSet: LabelSet, content: CaseContent | None = None) -> None:
        """Show a case: its nodes when the scene has them already, else new ones from the project.

        A segmentation of the scene that is older than the project's is kept under another name, hidden.

        Args:
            case: the case.
            labelSet: the project's labels.
            content: what its files hold, where it was read before; with the image where :meth:`needsImage` says so.

        Raises:
            ImageError: a file of the case is damaged.
        """
        self.close()
        if content is None or (content.image is None and self.needsImage(case)):
            content = readCase(case, labelSet, withImage=self.needsImage(case))
        self._case, self._labelSet = case, labelSet
        self._layers, self._itsGrid = content.layers, content.grid
        if self.volumeNode is None:
            node = addVolume(self._scene, content.voxels, content.grid, case.id, window=content.window)
            markNode(node, case)
        segmentation = self.segmentationNode
        if segmentation is not None and not isCurrent(segmentation, case):
            setAside(segmentation)
            segmentation = None
        if segmentation is None:
            self._addSegmentation(content.parts, content.grid)
        else:
            self.edited = True  # it may hold strokes that the project has not seen
        with self._changing():
            self._tag()
        self._observe()
        hideOthers(self.segmentationNode)
        showInBackground(self._scene, self.volumeNode)

    def adopt(self, volumeNode: Any, segmentationNode: Any | None, case: Case, labelSet: LabelSet) -> None:
        """Take nodes that the user had before the case was added to the project; they stay as they are, but for tags.

        Args:
            volumeNode: the volume that the case was made from.
            segmentationNode: what was drawn on it; None makes a new one.
            case: the new case.
            labelSet: the project's labels.

        Raises:
            ImageError: the volume does not lie where the case's image does.
        """
        check_same_grid(case.grid(), gridOfVolume(volumeNode), what="the volume", where=f"case {case.id}")
        self.close()
        self._case, self._labelSet, self._layers = case, labelSet, case.labels(labelSet)
        markNode(volumeNode, case)
        if segmentationNode is None:
            self._addSegmentation(partsOf(self._layers, labelSet), self._grid())
        else:
            markNode(segmentationNode, case)
        with self._changing():
            self._tag()
        self._observe()

    def grow(self, labelSet: LabelSet) -> bool:
        """Take labels over that were added to the project; they have no voxel, so nothing is to be read.

        Returns:
            False where the labels that were there are not what they were: then the case is to be opened anew.
        """
        before = self._labelSet
        same = labelSet.names[: len(before)] == before.names and labelSet.places[: len(before)] == before.places
        if self.segmentationNode is None or not same or labelSet.n_layers != before.n_layers:
            return False
        self._labelSet = labelSet
        return True

    def masks(self, *, nearest: bool = False) -> dict[str, NDArray[np.bool_]]:
        """What the user's segmentation holds, (k, j, i) bool by label name, on the case's own grid.

        A label without a segment is not in it: it keeps what the project has.

        Args:
            nearest: take over segments that lie on another grid by their nearest voxels, instead of refusing them.

        Raises:
            ProjectError: no case is open, its segmentation was deleted, or its segments' names contradict each other.
            ImageError: a segment does not lie on the image.
        """
        return labelMasks(self._segmentation(), self._labelSet, self._grid(), nearest=nearest)

    def snapshot(self) -> SegmentSnapshot:
        """What :meth:`masks` gives, to be looked at in any thread; raises the same, some of it only there."""
        return SegmentSnapshot(self._segmentation(), self._labelSet, self._grid())

    def update(self, case: Case, step: Step | None = None) -> list[str]:
        """Bring what changed in the project since the last call to the user's segmentation: an acceptance, its undo.

        Only voxels that changed in the project change here, and none on which the user has drawn a label that excludes
        the changed one. Calling it with the state that an undo put back takes the same voxels away again.

        Args:
            case: the open case as the project has it now.
            step: what is different, where that was found out before; else its labels are read and compared.

        Returns:
            Names of the labels whose voxels changed.

        Raises:
            ProjectError: another case is open, or its segmentation was deleted.
            ImageError: a segment does not lie on the image.
        """
        if self._case is None or self._case.folder != case.folder:
            msg = f"case {case.id} is not open"
            raise ProjectError(msg)
        assert self._layers is not None
        if step is None:
            after = case.labels(self._labelSet)
            before, found = self._layers, differences(self._labelSet, self._layers, after)
        else:
            before, after, found = step.before, step.layers, dict(step.differences)
        with self._changing():
            node, grid = self._segmentation(), self._grid()
            missed = [
                name for name, difference in found.items()
                if not changeLabel(node, grid, self._labelSet, name, difference, before)
            ]  # fmt: skip
            self._case, self._layers = case, after
            self._tag()
            markNode(self._segmentation(), case)
        self.edited = bool(missed) or (self.edited and (step is not None or self._differs()))
        return list(found)

    def close(self) -> None:
        """Stop listening. The nodes stay in the scene; the user's strokes in them too."""
        self._observations.removeAll()
        self._case, self._layers, self._itsGrid, self.edited = None, None, None, False

    def _differs(self) -> bool:
        assert self._layers is not None
        channels = ((self._labelSet.index(name), mask) for name, mask in self.masks().items())
        return any(not np.array_equal(mask, label_mask(self._layers, self._labelSet, c)) for c, mask in channels)

    def _tag(self) -> None:
        assert self._case is not None
        tagSegments(self._segmentation(), self._case, self._labelSet)

    def _addSegmentation(self, parts: Parts, grid: Grid) -> None:
        assert self._case is not None
        node = self._scene.AddNewNodeByClass("vtkMRMLSegmentationNode", _("{case} labels").format(case=self._case.id))
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(self.volumeNode)
        addSegments(node, parts, self._labelSet, grid)
        markNode(node, self._case)

    def _segmentation(self) -> Any:
        if self._case is None:
            msg = "no case is open"
            raise ProjectError(msg)
        node = self.segmentationNode
        if node is None:
            msg = f"the segmentation of case {self._case.id} was deleted from the scene: open the case again"
            raise ProjectError(msg)
        return node

    def _grid(self) -> Grid:
        grid = self.grid
        assert grid is not None
        return grid

    def _observe(self) -> None:
        segmentation = self._segmentation().GetSegmentation()
        for event in EDITS:
            self._observations.add(segmentation, getattr(slicer.vtkSegmentation, event), self._onSegmentationEdited)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """What happens meanwhile is our doing, not the user's."""
        self._ours += 1
        try:
            yield
        finally:
            self._ours -= 1

    def _onSegmentationEdited(self, _caller: Any, _event: str) -> None:
        if not self._ours:
            self.edited = True
            if self._onEdit is not None:
                self._onEdit()
