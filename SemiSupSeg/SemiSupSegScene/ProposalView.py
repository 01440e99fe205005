"""ProposalView: the proposal that is looked at, as an outline over the user's labels, and the map of its doubt."""

from __future__ import annotations

from typing import Any

import numpy as np

from SemiSupSegLib.project.geometry import Grid
from SemiSupSegLib.project.labels import LabelSet

from .CaseContent import Parts, partsOf
from .Outline import PREVIOUS, PROPOSAL, Outline
from .SceneParameters import SceneParameters
from .SliceNavigation import jumpToSlice
from .UncertaintyOverlay import UNCERTAINTY, UncertaintyOverlay
from .Volumes import emptyImage

__all__ = ["ProposalView"]


class ProposalView:
    """Reads what is proposed beside the front end, and shows it when it is there; what was shown before is hidden.

    Args:
        scene: the ``vtkMRMLScene``.
        session: the session.
        parameters: of the scene.
    """

    def __init__(self, scene: Any, session: Any, parameters: SceneParameters) -> None:
        self._scene, self._session, self._parameters = scene, session, parameters
        self._proposal, self._previous = Outline(scene, PROPOSAL), Outline(scene, PREVIOUS)
        self.overlay = UncertaintyOverlay(scene)
        self.looked: Any = None
        """(k, j, i) bool: the proposal that is shown; None when none is."""
        self._shown: tuple[str, str, int | None] | None = None
        """Case, label and prediction of the proposal that is shown."""
        self._reading: tuple[str, str, int | None] | None = None
        """The same of the one that is being read."""
        self._comparing = False
        self.overlayWanted = parameters.get("overlayVisible") == "1"
        """Whether the map is shown whenever there is one."""

    def show(self, row: Any, grid: Grid) -> None:
        """Show a proposal of the case that is shown; nothing happens when it is shown, or being read, already.

        Args:
            row: of the session's queue; the selected one.
            grid: of the case.

        Raises:
            SemiSupSegError: it cannot be read, where no thread reads it.
        """
        session = self._session
        wanted = (row.case, row.label, session.prediction_stamp)
        if wanted == self._shown or (wanted == self._reading and session.opening is not None):
            return
        self.hide()
        self._reading = wanted
        read, (image, room), kind = session.proposal_reader(), emptyImage(grid), self._kind()
        fill, alone = session.uncertainty_reader(kind), self._alone(row.label)

        def call() -> tuple[Any, Parts]:
            mask = read()
            np.copyto(room, fill(), casting="same_kind")
            return mask, partsOf(mask[np.newaxis].view(np.uint8), alone)

        def shown(found: tuple[Any, Parts]) -> None:
            if self._reading != wanted:
                return
            self._shown, self._reading, self.looked = wanted, None, found[0]
            self._proposal.showParts(found[1], alone, grid)
            self._proposal.setVisible(True)
            self._showFilled(image, grid, kind)
            self._parameters.set("label", row.label)
            self._showPrevious(grid)
            jumpToSlice(self._scene, grid, row.worst_slice, mask=self.looked)
            if self._kind() != kind:  # another map was chosen meanwhile
                self.showMap(grid)

        session.read(f"the proposal for {row.label} in case {row.case} is being read", call, shown)

    def showMap(self, grid: Grid) -> None:
        """Show the map that is chosen now; nothing happens without a proposal on show.

        Raises:
            SemiSupSegError: it cannot be read, where no thread reads it.
        """
        if self.looked is None:
            return
        (image, room), kind, of = emptyImage(grid), self._kind(), self._shown
        fill = self._session.uncertainty_reader(kind)

        def shown(_nothing: Any) -> None:
            if self._shown == of:
                self._showFilled(image, grid, kind)

        words = "the map of uncertainty is being read"
        self._session.read(words, lambda: np.copyto(room, fill(), casting="same_kind"), shown)

    def hide(self) -> None:
        """Show no proposal."""
        self.looked = self._shown = self._reading = None
        for outline in (self._proposal, self._previous):
            outline.setVisible(False)
        self.overlay.setVisible(False)

    def setOverlayVisible(self, visible: bool) -> None:
        """Show or hide the map of uncertainty; remembered with the scene."""
        self.overlayWanted = visible
        self._parameters.set("overlayVisible", "1" if visible else "0")
        self.overlay.setVisible(visible and self.looked is not None)

    def compare(self, on: bool, grid: Grid | None) -> None:
        """Show the outline of what the project holds beside the proposal's."""
        self._comparing = on
        self._showPrevious(grid)

    def remove(self) -> None:
        """Take all of it out of the scene."""
        for derived in (self._proposal, self._previous, self.overlay):
            derived.remove()

    def _showFilled(self, image: Any, grid: Grid, kind: str) -> None:
        self.overlay.showImage(image, grid, kind=kind)
        self.overlay.setThreshold(self._session.threshold)
        self.overlay.setVisible(self.overlayWanted)

    def _showPrevious(self, grid: Grid | None) -> None:
        row = self._session.selected
        self._previous.setVisible(False)
        if self._comparing and row is not None and self.looked is not None and grid is not None:
            mask = self._session.label_voxels(names=[row.label])[row.label]
            self._previous.show(mask[np.newaxis].view(np.uint8), self._alone(row.label), grid)
            self._previous.setVisible(True)

    def _kind(self) -> str:
        from SemiSupSegLib.session.looking import MAPS

        kind = self._parameters.get("map")
        if kind not in MAPS or self._session.may_show_map(kind) is not None:
            kind = UNCERTAINTY  # an older prediction has the first map alone
        return kind

    def _alone(self, label: str) -> LabelSet:
        labels = self._session.project.label_set
        return LabelSet((labels.labels[labels.index(label)],))
