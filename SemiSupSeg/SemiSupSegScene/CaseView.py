"""CaseView: the session's case in Slicer's scene: volume, what the user draws, the proposal, and where it is unsure.

It listens to the session and moves nodes; the desktop module and the browser app share it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .CaseContent import CaseContent, readCase
from .CaseScene import CaseScene
from .ProposalView import ProposalView
from .SceneParameters import SceneParameters, projectKey
from .SegmentMatches import addSegment, matchedSegments
from .SliceNavigation import jumpToSlice, sliceInView, viewAlong

__all__ = ["CaseView"]


class CaseView:
    """Keeps scene and session together. The user's segmentation changes by an acceptance alone, and by its undo.

    Args:
        scene: the ``vtkMRMLScene``.
        session: the session; its ``painting`` is set here.
        tell: says a sentence: text, level.
    """

    def __init__(self, scene: Any, session: Any, tell: Callable[[str, str], None]) -> None:
        self.scene, self.session, self._tell = scene, session, tell
        self.parameters = SceneParameters(scene)
        self._case = CaseScene(scene, onEdit=self._edited)
        self._proposal = ProposalView(scene, session, self.parameters)
        self.overlay = self._proposal.overlay
        self._masks: Any = None
        self._names: tuple[str, ...] = ()
        self.onShown: Callable[[], None] = lambda: None
        """Called after another case, or none, is shown."""
        signals = session.signals
        self._heard = (
            (signals.current_case_changed, self._guarded(self._showCase)),
            (signals.labels_written, self._guarded(self._labelsWritten)),
            (signals.organs_changed, self._guarded(self._update)),
            (signals.project_changed, self._guarded(self._projectChanged)),
            (signals.candidate_changed, self._guarded(self._showProposal)),
            (signals.slice_wanted, self._guarded(self._jump)),
            (signals.threshold_changed, self._guarded(self._setThreshold)),
        )
        for signal, listener in self._heard:
            signal.connect(listener)
        session.painting = self.painting
        if session.current_case is not None:  # a project was open before the panel was
            self._guarded(self._projectChanged)()
            self._guarded(self._showCase)(session.current_case.id)

    # What the panels ask ---------------------------------------------------------------------------------------------

    @property
    def volumeNode(self) -> Any | None:
        """Of the case that is shown; None when none is."""
        return self._case.volumeNode

    @property
    def segmentationNode(self) -> Any | None:
        """In which the user draws; None when no case is shown."""
        return self._case.segmentationNode

    def segmentOf(self, label: str) -> str | None:
        """Id of the segment of a label; None when it has none."""
        node = self.segmentationNode
        return None if node is None else matchedSegments(node, self.session.project.label_set).get(label)

    def labelOf(self, segmentId: str) -> str | None:
        """Inverse of :meth:`segmentOf`."""
        node = self.segmentationNode
        matched = {} if node is None else matchedSegments(node, self.session.project.label_set)
        return next((label for label, its in matched.items() if its == segmentId), None)

    def slice(self) -> int | None:
        """Index k of the slice that is shown by the view that looks along k; None without a case or a view."""
        grid = self._case.grid  # not the case's own, which reads the disk: a timer asks four times a second
        if grid is None:
            return None
        node = viewAlong(self.scene, np.asarray(grid.matrix)[:, 2] * (-1, -1, 1))  # RAS
        return None if node is None else sliceInView(node, grid)

    def sliceCount(self) -> int:
        """Slices k of the case that is shown; 0 without one."""
        return 0 if self._case.grid is None else self._case.grid.size[2]

    def goToSlice(self, k: int) -> None:
        """Show a slice, where the proposal is when it has voxels there."""
        if self._case.grid is not None:
            jumpToSlice(self.scene, self._case.grid, k, mask=self._proposal.looked)

    def setOverlayVisible(self, visible: bool) -> None:
        """Show or hide the map of uncertainty; remembered with the scene."""
        self._proposal.setOverlayVisible(visible)

    @property
    def overlayVisible(self) -> bool:
        """Whether the map is shown whenever there is one."""
        return self._proposal.overlayWanted

    @property
    def mapKind(self) -> str:
        """Which map is shown: ``uncertainty`` or ``mutual_information``; remembered with the scene."""
        return self.parameters.get("map")

    def setMap(self, kind: str) -> None:
        """Show another map of the proposal that is looked at.

        Args:
            kind: ``uncertainty`` or ``mutual_information``.
        """
        self.parameters.set("map", kind)
        if self._case.grid is not None:
            self._guarded(self._proposal.showMap)(self._case.grid)

    def compare(self, on: bool) -> None:
        """Show the outline of what the project holds beside the proposal's."""
        self._guarded(self._proposal.compare)(on, self._case.grid)

    def painting(self, caseId: str) -> Any | None:
        """What the user drew, for the session; None when nothing was drawn since the case was opened."""
        case = self._case.case
        if case is None or case.id != caseId or not self._case.edited:
            return None
        if self._masks is None:
            self._masks = self._case.snapshot()
        return self._masks

    def cleanup(self) -> None:
        """Stop listening. What is derived leaves the scene; volumes and what was drawn stay."""
        for signal, listener in self._heard:
            signal.disconnect(listener)
        if self.session.painting == self.painting:
            self.session.painting = None
        self._proposal.remove()
        self._case.close()

    # What the session says -------------------------------------------------------------------------------------------

    def _showCase(self, _caseId: str | None) -> None:
        case, project, session = self.session.current_case, self.session.project, self.session
        self._masks = None
        self._case.close()
        self._proposal.hide()
        if case is None or project is None:
            session.stop_reading()
            self.onShown()
            return
        labelSet, withImage = project.label_set, self._case.needsImage(case)
        self._names = labelSet.names
        words = f"case {case.id} is being opened"
        session.read(words, lambda: readCase(case, labelSet, withImage=withImage), self._caseRead, opens=True)
        if session.background:
            self.onShown()  # after it: while a case is being opened nobody asks for its voxels, nor paints in it

    def _caseRead(self, content: CaseContent) -> None:
        """Show what was read, unless the case was changed meanwhile: then it is read once more."""
        session, case = self.session, content.case
        if session.current_case != case or session.project.label_set != content.labelSet:
            self._showCase(None)
            return
        session.keep_layers(case, content.layers, content.held)
        session.keep_left_out(content.leftOut)
        self._case.open(case, content.labelSet, content)
        self.onShown()
        self._showProposal(session.selected)
        if session.background:
            session.signals.tell(session.signals.organs_changed)

    def _projectChanged(self) -> None:
        project = self.session.project
        if project is None:
            return
        self.parameters.set("projectKey", projectKey(project.root))
        case = self.session.current_case
        if case is None or self._case.case is None or self._names == project.label_set.names:
            return
        new = set(project.label_set.names) - set(self._names)
        self._names = project.label_set.names
        if not self._case.grow(project.label_set):
            self._case.open(case, project.label_set)
        there = matchedSegments(self._case.segmentationNode, project.label_set)
        for label in project.label_set.labels:
            if label.name in new and label.name not in there:
                addSegment(self._case.segmentationNode, label)  # empty: something to paint with
        self._masks = None
        self.onShown()

    def _labelsWritten(self, caseId: str, _names: tuple[str, ...]) -> None:
        case = self.session.current_case
        if case is not None and case.id == caseId:
            self._update(force=True)

    def _update(self, *, force: bool = False) -> None:
        case, shown = self.session.current_case, self._case.case
        if case is None or shown is None or case.id != shown.id:
            return
        if force or case.generation != shown.generation:
            step = self.session.step(shown)
            is_stored = step is not None and self._masks is not None and step.painting is self._masks
            if is_stored:
                self._case.edited = False  # nothing was painted since it was looked at
            try:
                self._case.update(case, step)
            except Exception:
                self._case.edited = True  # the session must find out what the screen does not show
                raise
            finally:
                self._masks = None

    def _showProposal(self, row: Any) -> None:
        case = self.session.current_case
        if row is None or case is None or case.id != row.case:
            self._proposal.hide()
        elif self._case.grid is not None:  # else the case is being opened, and its proposal is shown after it
            self._proposal.show(row, self._case.grid)

    def _jump(self, _caseId: str, k: int, _label: str) -> None:
        self.goToSlice(k)

    def _setThreshold(self, value: float) -> None:
        self.parameters.set("threshold", f"{value:.2f}")
        self.overlay.setThreshold(value)

    def _edited(self) -> None:
        self._masks = None

    def _guarded(self, listener: Callable[..., None]) -> Callable[..., None]:
        """What goes wrong becomes a sentence: a listener has nobody above it who could say it."""
        from SemiSupSegLib.errors import SemiSupSegError

        def heard(*said: Any) -> None:
            try:
                listener(*said)
            except (SemiSupSegError, OSError) as error:
                self._tell(str(error), "error")

        return heard
