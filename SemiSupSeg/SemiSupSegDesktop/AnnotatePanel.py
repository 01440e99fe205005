"""AnnotatePanel: Slicer's own Segment Editor, and the two things that a partial annotation needs beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from .CaseView import CaseView
from .IgnoreBrush import IgnoreBrush
from .Panel import Panel

__all__ = ["AnnotatePanel"]

EDITOR_NODE = "SemiSupSegEditor"
UNDO_STATES = 20


class AnnotatePanel(Panel):
    """Painting, "This slice is done" and "Ignore here".

    Args:
        parent: widget with a layout.
        session: the session.
        view: shows the case in the scene.
    """

    def __init__(self, parent: Any, session: Any, view: CaseView) -> None:
        super().__init__(parent, session)
        self._view = view
        self._brush = IgnoreBrush(view.scene, session)
        self._entered = False
        ui = self.ui
        self.editor = ui.segmentEditor
        self.editor.setMRMLScene(view.scene)
        self.editor.setMRMLSegmentEditorNode(self._editorNode())
        self.editor.setMaximumNumberOfUndoStates(UNDO_STATES)
        for chooser in ("setSegmentationNodeSelectorVisible", "setSourceVolumeNodeSelectorVisible"):
            if hasattr(self.editor, chooser):  # the case chooses them
                getattr(self.editor, chooser)(False)
        self.editor.connect("currentSegmentIDChanged(QString)", lambda *_said: self._followEditor())
        self.bind(ui.sliceDoneButton, self.finishSlice, lambda: session.may_finish_slice, _(
            "In the slice that is shown, what is painted is the organ and the rest is not"))  # fmt: skip
        ui.ignoreButton.connect("toggled(bool)", lambda on: self.attempt(self.ignore, on))
        self.rule(
            ui.ignoreButton,
            lambda: self.session.may_ignore,
            _("Paint what training and scores leave out; click again to store it"),
        )
        self.bind(
            ui.ignoreNothingButton,
            self.ignoreNothing,
            lambda: self.session.may_ignore_nothing,
            _("Nothing is left out any more"),
        )
        view.onShown = self.showCase
        self.showCase()

    def redraw(self, changed: frozenset[str]) -> None:
        """See :meth:`.Panel.redraw`."""
        if changed & {"project_changed", "organs_changed", "current_case_changed", "all"}:
            self._fillOrgans()
            number = self.session.ignored_voxels
            self.ui.ignoreLabel.setText(_("{voxels} voxels are left out").format(voxels=number) if number else "")

    def showCase(self) -> None:
        """Paint in the case that is shown now."""
        ui, view = self.ui, self._view
        self._brush.remove()
        ui.ignoreButton.blockSignals(True)
        ui.ignoreButton.setChecked(False)
        ui.ignoreButton.blockSignals(False)
        self._edit(view.segmentationNode)
        shown = view.segmentationNode is not None
        self.editor.setVisible(shown)
        ui.hintLabel.setVisible(not shown)
        ui.hintLabel.setText(_("Open a case to paint in it: double-click it in the table."))
        self._fillOrgans()

    # Commands --------------------------------------------------------------------------------------------------------

    def finishSlice(self) -> None:
        """Say that the slice that is shown is done, for the chosen organ or for all.

        Raises:
            ProjectError: ``session.may_finish_slice`` gives a reason, or no slice view shows the case.
        """
        from SemiSupSegLib.errors import ProjectError

        k = self._view.slice()
        if k is None:
            msg = _("This slice is done: no slice view shows the case")
            raise ProjectError(msg)
        label = self.ui.organBox.itemData(self.ui.organBox.currentIndex)
        self.session.finish_slice(k, label=str(label) if label else None)

    def ignore(self, on: bool) -> None:
        """Begin to paint what is left out, or store it.

        Raises:
            SemiSupSegError: it cannot be stored.
        """
        if on:
            node, segment = self._brush.begin(self._view.volumeNode)
            self._edit(node)
            self.editor.setCurrentSegmentID(segment)
            self.editor.setActiveEffectByName("Paint")
            return
        try:
            self._brush.end()
        finally:
            self._edit(self._view.segmentationNode)

    def ignoreNothing(self) -> None:
        """Take back all that is left out in this case."""
        self.session.set_ignore(np.zeros(self.session.current_case.grid().shape, bool))

    def edit(self, label: str | None) -> bool:
        """Take the brush for an organ; with None, or while it is taken, put it away.

        Returns:
            Whether the brush is taken now.
        """
        segment = None if label is None else self._view.segmentOf(label)
        if segment is None or self.editor.activeEffect() is not None:
            self.editor.setActiveEffectByName("")
            return False
        self.editor.setCurrentSegmentID(segment)
        self.editor.setActiveEffectByName("Paint")
        return True

    def enter(self) -> None:
        """The module is shown: the editor's own keys work."""
        self._entered = True
        self.editor.setupViewObservations()
        self.editor.installKeyboardShortcuts()

    def exit(self) -> None:
        """Another module is shown: what is painted as ignored is stored, and the brush is put away."""
        if self.ui.ignoreButton.checked:
            self.ui.ignoreButton.setChecked(False)
        if self._entered:
            self._entered = False
            self.editor.setActiveEffectByName("")
            self.editor.uninstallKeyboardShortcuts()
            self.editor.removeViewObservations()

    def cleanup(self) -> None:
        """See :meth:`.Panel.cleanup`."""
        self.exit()
        self._brush.remove()
        self._view.onShown = lambda: None

    def _edit(self, node: Any) -> None:
        self.editor.setActiveEffectByName("")
        self.editor.setSegmentationNode(node)
        self.editor.setSourceVolumeNode(self._view.volumeNode)

    def _editorNode(self) -> Any:
        node = self._view.scene.GetSingletonNode(EDITOR_NODE, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.vtkMRMLSegmentEditorNode()
            node.SetSingletonTag(EDITOR_NODE)
            node = self._view.scene.AddNode(node)
        node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)  # a neighbour is never painted away unseen
        return node

    def _fillOrgans(self) -> None:
        box = self.ui.organBox
        rows = [row for row in self.session.organ_rows() if str(row.state) in ("unknown", "partial")]
        names = [row.name for row in rows] if self.session.current_case else []
        there = [box.itemData(index) for index in range(1, box.count)]
        if box.count == 0 or there != names:
            chosen = box.itemData(box.currentIndex)
            box.clear()
            box.addItem(_("for every organ that is open"), "")
            for name in names:
                box.addItem(_("for {organ}").format(organ=name), name)
            box.setCurrentIndex(max(box.findData(chosen), 1 if names else 0))
        box.setEnabled(bool(names))
        why = _("Which organ: open a case in which an organ is not finished")
        box.setToolTip(_("For which organ the slice is done") if names else why)

    def _followEditor(self) -> None:
        segment = self.editor.currentSegmentID()
        index = self.ui.organBox.findData(self._view.labelOf(segment) or "-") if segment else -1
        if index > 0:
            self.ui.organBox.setCurrentIndex(index)
