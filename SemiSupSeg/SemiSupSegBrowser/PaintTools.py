"""PaintTools: trame-slicer's effects with their settings, without its list of segments: organs are the project's."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame_slicer.app.ui import SegmentEditorUI
from trame_slicer.app.ui.segmentation import (
    DrawEffectUI,
    IslandsEffectUI,
    LogicalOperatorsEffectUI,
    PaintEffectUI,
    ScissorsEffectUI,
    SmoothingEffectUI,
    ThresholdEffectUI,
)
from trame_slicer.segmentation import (
    SegmentationEffectDraw,
    SegmentationEffectErase,
    SegmentationEffectIslands,
    SegmentationEffectLogicalOperators,
    SegmentationEffectNoTool,
    SegmentationEffectPaint,
    SegmentationEffectScissors,
    SegmentationEffectSmoothing,
    SegmentationEffectThreshold,
)

__all__ = ["EFFECTS", "PaintTools"]

EFFECTS: tuple[tuple[str, str, Any, Any], ...] = (
    ("No tool", "mdi-cursor-default", SegmentationEffectNoTool, None),
    ("Paint", "mdi-brush", SegmentationEffectPaint, PaintEffectUI),
    ("Erase", "mdi-eraser", SegmentationEffectErase, PaintEffectUI),
    ("Draw", "mdi-draw", SegmentationEffectDraw, DrawEffectUI),
    ("Threshold", "mdi-auto-fix", SegmentationEffectThreshold, ThresholdEffectUI),
    ("Scissors", "mdi-content-cut", SegmentationEffectScissors, ScissorsEffectUI),
    ("Islands", "mdi-scatter-plot", SegmentationEffectIslands, IslandsEffectUI),
    ("Smoothing", "mdi-square-rounded-outline", SegmentationEffectSmoothing, SmoothingEffectUI),
)
"""Words, icon, effect, and its settings; in the order of the buttons."""


class PaintTools(SegmentEditorUI):
    """One row of tools, below it the settings of the one in hand."""

    def _build_ui(self) -> None:
        with self:
            with html.Div(classes="d-flex flex-row flex-wrap", raw_attrs=['id="tools"']):
                for words, icon, effect, _settings in EFFECTS:
                    self._create_effect_button(words, icon, effect, raw_attrs=[f'data-tool="{words}"'])
                self.build_undo_redo_buttons()
            with html.Div(classes="mt-2"):
                for _words, _icon, effect, settings in EFFECTS:
                    if settings is not None:
                        self._register_effect_ui(effect, settings)
                # never in hand: between organs that exclude each other it has no meaning; its logic asks for it
                self._register_effect_ui(SegmentationEffectLogicalOperators, LogicalOperatorsEffectUI)
