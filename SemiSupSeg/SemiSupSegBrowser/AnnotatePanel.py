"""AnnotatePanel: trame-slicer's tools on the open case, and what a partial annotation needs beside them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from SemiSupSegScene.IgnoreBrush import IgnoreBrush
from trame.widgets import html
from trame.widgets.vuetify3 import VSelect
from trame_slicer.app.logic.segmentation import SegmentEditorLogic
from trame_slicer.segmentation import (
    SegmentationEditableAreaMode,
    SegmentationEffectDraw,
    SegmentationEffectPaint,
    SegmentationEffectThreshold,
    SegmentationOverwriteMode,
)

from SemiSupSegLib.errors import ProjectError

from .PaintTools import PaintTools
from .Panel import Panel

__all__ = ["AnnotatePanel"]

QUIET_SECONDS = 0.4
"""A stroke is stored when nothing was painted for so long."""
UNDO_STATES = 20
ADDING = (SegmentationEffectPaint, SegmentationEffectDraw, SegmentationEffectThreshold)


class AnnotatePanel(Panel):
    """Painting, "This slice is done" and "Ignore here"."""

    name = "annotate"

    def __init__(self, app: Any) -> None:
        self._ignoring, self._storing, self._paintedAt = False, False, 0.0
        self._brush = IgnoreBrush(app.host.scene, app.session)
        super().__init__(app)
        self.logic = SegmentEditorLogic(app.server, app.host)
        app.editor.undo_stack.set_undo_limit(UNDO_STATES)
        app.editor.segmentation_modified.connect(self._painted)
        app.editor.active_effect_name_changed.connect(lambda _name: self._guardNeighbours())
        app.editor.active_segment_id_changed.connect(lambda _segment: self.app.hear("organs_changed"))
        app.view.onShown = self.showCase
        app.session.signals.labels_written.connect(lambda *_said: app.editor.undo_stack.clear())

    def build(self) -> None:
        """See :meth:`.Panel.build`."""
        session = self.session
        html.Div("Open a case to paint in it: click it in the table.", v_if=("!annotate.shown",), classes="ss-quiet")
        with html.Div(v_show=("annotate.shown",)):
            html.Div("{{ annotate.painting }}", classes="ss-quiet", raw_attrs=['id="painting"'])
            self.tools = PaintTools()
            self.logic.set_ui(self.tools)
            with html.Div(classes="ss-buttons"):
                VSelect(v_model=("finish_for", ""), items=("annotate.open",), density="compact", hide_details=True,
                        variant="underlined", style="max-width: 190px")  # fmt: skip
                self.button("sliceDone", "This slice is done", self.finishSlice, lambda: session.may_finish_slice,
                            "In the axial slice on show, what is painted is the organ and the rest is not")  # fmt: skip
            with html.Div(classes="ss-buttons"):
                self.button("ignore", ("annotate.ignoring ? 'Store what is ignored' : 'Ignore here'",), self.ignore,
                            lambda: self.session.may_ignore,
                            "Paint what training and scores leave out; click again to store it")  # fmt: skip
                self.button("ignoreNothing", "Ignore nothing", self.ignoreNothing,
                            lambda: self.session.may_ignore_nothing, "Nothing is left out any more")  # fmt: skip
                html.Span("{{ annotate.ignored }}", classes="ss-quiet")

    def content(self) -> dict[str, Any]:
        """See :meth:`.Panel.content`."""
        session = self.session
        case = session.current_case
        rows = [row.name for row in session.organ_rows() if str(row.state) in ("unknown", "partial")] if case else []
        number = session.ignored_voxels
        label = self.app.view.labelOf(self.app.editor.get_active_segment_id()) if case else None
        return {
            "shown": case is not None and self.app.view.segmentationNode is not None,
            "open": [{"title": "every open organ", "value": ""}]
            + [{"title": f"only {name}", "value": name} for name in rows],
            "ignoring": self._ignoring,
            "ignored": f"{number} voxels are left out" if number else "",
            "painting": "Painting what is ignored" if self._ignoring else f"Painting {label}" if label
            else "Choose an organ above, or add one, to paint it",
        }  # fmt: skip

    # The case that is shown ------------------------------------------------------------------------------------------

    def showCase(self) -> None:
        """Paint in the case that is shown now."""
        self._brush.remove()
        self._ignoring = False
        view, editor = self.app.view, self.app.editor
        node = view.segmentationNode
        if node is None:
            editor.deactivate_effect()
            return
        before = view.labelOf(editor.get_active_segment_id() or "")
        editor.set_active_segmentation(node, view.volumeNode)
        if before is not None:
            self.choose(before)
        self._guardNeighbours()
        self.app.shown()

    def choose(self, label: str) -> None:
        """Paint an organ from now on.

        Raises:
            ProjectError: no case is open, or it has no segment of that name.
        """
        segment = self.app.view.segmentOf(label)
        if segment is None:
            msg = f"Paint: {label} has no segment in the case that is shown: open a case first"
            raise ProjectError(msg)
        self.app.editor.set_active_segment_id(segment)

    def edit(self, label: str | None) -> bool:
        """Take the brush for an organ, or put it away while it is taken.

        Returns:
            Whether the brush is taken now.
        """
        editor = self.app.editor
        if label is None or isinstance(editor.active_effect, SegmentationEffectPaint):
            editor.deactivate_effect()
            return False
        self.choose(label)
        editor.set_active_effect_type(SegmentationEffectPaint)
        return True

    @property
    def editing(self) -> bool:
        """Whether the brush is taken."""
        return isinstance(self.app.editor.active_effect, SegmentationEffectPaint)

    def store(self) -> None:
        """Store a stroke soon after it ended, so that nothing but the one under way can be lost.

        Raises:
            SemiSupSegError: it cannot be stored.
        """
        self._storing = self._storing and self.session.busy is not None
        if self._ignoring or not self._paintedAt or time.monotonic() - self._paintedAt < QUIET_SECONDS:
            return
        self._paintedAt, free = 0.0, self.session.busy is None
        self.session.save_painting()
        self._storing = free and self.session.busy is not None

    def finishStoring(self) -> None:
        """Wait for the end of :meth:`store`: a click right after a stroke is not refused. It waits for nothing else."""
        if self._storing:
            self._storing = False
            self.session.wait()

    def _painted(self) -> None:
        self._paintedAt = time.monotonic()

    def _guardNeighbours(self) -> None:
        """What adds voxels leaves those of other organs alone, unless the project lets organs overlap."""
        editor, project = self.app.editor, self.session.project
        if editor.active_segmentation is None or project is None:
            return
        editor.set_overwrite_mode(SegmentationOverwriteMode.ALLOW_OVERLAP)
        guard = isinstance(editor.active_effect, ADDING) and not project.label_set.overlaps
        area = SegmentationEditableAreaMode
        editor.set_editable_area(area.OUTSIDE_ALL_SEGMENTS if guard else area.EVERYWHERE)

    # Commands --------------------------------------------------------------------------------------------------------

    def finishSlice(self) -> None:
        """Say that the slice that is shown is done, for the chosen organ or for all.

        Raises:
            ProjectError: ``session.may_finish_slice`` gives a reason, or no slice view shows the case.
        """
        k = self.app.view.slice()
        if k is None:
            msg = "This slice is done: no slice view shows the case"
            raise ProjectError(msg)
        self.session.finish_slice(k, label=self.state.finish_for or None)

    def ignore(self) -> None:
        """Begin to paint what is left out, or store it.

        Raises:
            SemiSupSegError: it cannot be stored.
        """
        editor, view = self.app.editor, self.app.view
        if not self._ignoring:
            self.session.save_painting()
            node, segment = self._brush.begin(view.volumeNode)
            self._ignoring = True
            editor.set_active_segmentation(node, view.volumeNode)
            editor.set_active_segment_id(segment)
            editor.set_active_effect_type(SegmentationEffectPaint)
            return
        self._ignoring = False
        try:
            editor.deactivate_effect()
            editor.set_active_segmentation(view.segmentationNode, view.volumeNode)
        finally:
            self._brush.end()

    def ignoreNothing(self) -> None:
        """Take back all that is left out in this case."""
        self.session.set_ignore(np.zeros(self.session.current_case.grid().shape, bool))
