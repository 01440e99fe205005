"""SliceStrip: under the axial view: which slice it is, how unsure the proposal is in each, and the window."""

from __future__ import annotations

from typing import Any

from SemiSupSegScene.UncertaintyColours import uniformColours
from SemiSupSegScene.UncertaintyOverlay import MUTUAL_INFORMATION
from SemiSupSegScene.WindowLevel import PRESETS, setWindowLevel
from trame.widgets import html
from trame.widgets.vuetify3 import VBtn, VBtnToggle, VSelect, VSpacer

from .Colours import css
from .Panel import Panel

__all__ = ["SliceStrip"]

LEGENDS = {MUTUAL_INFORMATION: "Mutual information", None: "Uncertainty"}
LEAST_TOP = 0.2
"""Small doubts stay small bars."""
COLOURS = ", ".join(css((round(255 * r), round(255 * g), round(255 * b))) for r, g, b in uniformColours(9).tolist())


class SliceStrip(Panel):
    """Bars over the slices of the case, one a slice; a click goes there. Numbers say the same without colour."""

    name = "strip"

    def build(self) -> None:
        """See :meth:`.Panel.build`."""
        self.state.window_level = "auto"
        self.state.change("window_level")(self.on(self._setWindow))
        with html.Div(classes="ss-strip", raw_attrs=['id="strip"']):
            with html.Div(classes="ss-bars", v_if=("strip.bars.length",), title="What is expected to be wrong in each slice; a click goes there"), html.Div(  # noqa: E501
                v_for="(tall, k) in strip.bars", key="k", classes=("['ss-bar', k === strip.k ? 'ss-here' : '']",),
                title=("'slice ' + k",), click=(self.on(self.go), "[k]"),
            ):  # fmt: skip
                html.Div(style=("{height: tall + '%'}",))
            with html.Div(classes="d-flex align-center", style="gap: 10px; height: 30px"):
                html.Span("{{ strip.words }}", raw_attrs=['id="slice"'])
                with html.Span(v_if=("strip.legend",), classes="ss-scale", raw_attrs=['id="legend"']):
                    html.Span("{{ strip.legend }} 0")
                    html.Span(style=f"background: linear-gradient(to right, {COLOURS})")
                    html.Span("1")
                VSpacer()
                VSelect(v_model=("window_level",), items=("strip.windows",), density="compact", hide_details=True,
                        variant="plain", classes="ss-small", style="max-width: 220px", theme="dark",
                        raw_attrs=['title="Window and level"'])  # fmt: skip
                with VBtnToggle(v_model=("layout", "large"), density="compact", mandatory=True, theme="dark",
                                classes="ss-layouts"):  # fmt: skip
                    for value, icon, words in (("large", "mdi-view-split-vertical", "Axial large"),
                                               ("equal", "mdi-view-grid", "Four equal views"),
                                               ("only", "mdi-square-outline", "Axial only")):  # fmt: skip
                        VBtn(icon=icon, value=value, size="x-small", raw_attrs=[f'title="{words}"'])

    def content(self) -> dict[str, Any]:
        """See :meth:`.Panel.content`."""
        view, profile, errors = self.app.view, self.session.profile(), self.session.expected_errors()
        k, number = view.slice(), view.sliceCount()
        words = "" if k is None or not number else f"slice {k}/{number - 1}"
        if k is not None and k < len(profile):
            words += f", U {profile[k]:.2f}"
        top = max(float(errors.max()), LEAST_TOP) if len(errors) else 1.0
        case = self.session.current_case
        shown = view.overlay.visible
        return {
            "bars": [round(100 * float(value) / top) for value in errors],
            "k": k,
            "words": words,
            "legend": LEGENDS.get(view.overlay.kind, LEGENDS[None]) if shown else "",
            "windows": [
                {"title": preset.words, "value": name} for name, preset in PRESETS.items()
                if case is None or preset.modality in (None, case.modality) or case.modality not in ("CT", "MR")
            ],
        }  # fmt: skip

    def go(self, k: int) -> None:
        """Show a slice."""
        self.app.view.goToSlice(int(k))
        self.redraw()

    def caseShown(self) -> None:
        """Begin with the window that fits its modality."""
        case = self.session.current_case
        self.state.window_level = "abdomen" if case is not None and case.modality == "CT" else "auto"
        self._setWindow()

    def _setWindow(self, *_said: Any) -> None:
        node = self.app.view.volumeNode
        if node is not None:
            setWindowLevel(node, str(self.state.window_level))
