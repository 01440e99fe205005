"""ReviewPanel: what the model proposes, what needs a look most first, and what a person decides on it."""

from __future__ import annotations

from typing import Any

from SemiSupSegScene.UncertaintyOverlay import MUTUAL_INFORMATION, UNCERTAINTY
from trame.widgets import html
from trame.widgets.vuetify3 import VCheckbox, VSelect, VSlider

from SemiSupSegLib.errors import ProjectError

from .Panel import Panel

__all__ = ["ReviewPanel"]

MAPS = ((UNCERTAINTY, "all doubt"), (MUTUAL_INFORMATION, "doubt that labels can remove"))
MAPS_EXPLAINED = (
    "All doubt: the normalised entropy of the predictions. Doubt that more labels can remove: their mutual information"
)
DECISIONS = {"accepted": "✓", "rejected": "✗", "flagged": "⚑", None: ""}


class ReviewPanel(Panel):
    """The queue, its buttons, and the keys of the desktop."""

    name = "review"

    def build(self) -> None:
        """See :meth:`.Panel.build`."""
        session, state = self.session, self.state
        state.only_case, state.overlay, state.compare = False, self.app.view.overlayVisible, False
        state.threshold = session.threshold
        state.change("only_case")(lambda **_said: self.redraw())
        state.change("overlay")(lambda overlay, **_said: self.app.view.setOverlayVisible(bool(overlay)))
        state.change("compare")(lambda compare, **_said: self.app.view.compare(bool(compare)))
        state.change("threshold")(self.on(self._setThreshold))
        state.map_kind = self.app.view.mapKind
        state.change("map_kind")(lambda map_kind, **_said: self.app.attempt(self.app.view.setMap, str(map_kind)))
        html.Div("{{ review.empty }}", v_if=("review.empty",), classes="ss-quiet", raw_attrs=['id="noProposal"'])
        with html.Div(v_show=("!review.empty",)):
            html.Div("{{ review.waiting }}", classes="ss-quiet")
            VCheckbox(v_model=("only_case",), label="this case only", density="compact", hide_details=True)
            with html.Div(classes="ss-scroll"), html.Table(classes="ss-table"):
                with html.Tr():
                    for title in ("", "case", "organ", "score", "U", "why"):
                        html.Th(title)
                with html.Tr(
                    v_for="row in review.rows", key="row.case + '/' + row.label",
                    raw_attrs=[":data-proposal=\"row.case + '/' + row.label\""],
                    classes=("['ss-row', row.selected ? 'ss-current' : '']",),
                    click=(self.on(session.select), "[row.case, row.label]"),
                ):  # fmt: skip
                    for cell in ("rank", "case", "label", "score", "u", "why"):
                        html.Td("{{ row." + cell + " }}")
            with html.Div(classes="ss-buttons"):
                self.button("previous", "Previous (⇧N)", session.select_previous, lambda: session.may_next,
                            "The proposal before")  # fmt: skip
                self.button("next", "Next (N)", session.select_next, lambda: session.may_next,
                            "The next proposal that waits")  # fmt: skip
            html.Div("{{ review.reason }}", raw_attrs=['id="reason"'])
            self._decisions()
            self._looking()

    def _decisions(self) -> None:
        session = self.session
        with html.Div(classes="ss-buttons"):
            self.button("accept", "Accept organ (A)", session.accept, lambda: session.may_accept,
                        "Takes the whole proposal over; the organ is complete then", color="success")  # fmt: skip
            self.button("acceptConfident", "Accept confident part (⇧A)", session.accept_confident,
                        lambda: session.may_accept_confident, "Only where it is surer than the threshold")  # fmt: skip
            self.button("acceptSlice", "Accept slice", self.acceptSlice, lambda: session.may_accept_slice,
                        "Only in the axial slice on show")  # fmt: skip
            self.button("edit", ("review.editing ? 'Stop editing (E)' : 'Edit (E)'",), self.edit, self._mayEdit,
                        "Takes the brush for this organ; again puts it away")  # fmt: skip
            self.button("reject", "Reject (X)", session.reject, lambda: session.may_reject,
                        "A later model may propose again", color="error")  # fmt: skip
            self.button("flag", "Flag (F)", session.flag, lambda: session.may_flag, "Leaves it to somebody else")
            self.button("absent", "Absent", session.mark_absent, lambda: session.may_mark_absent,
                        "It was looked for and is not there")  # fmt: skip

    def _looking(self) -> None:
        session = self.session
        with html.Div(classes="d-flex"):
            VCheckbox(v_model=("overlay",), label="Map (U)", density="compact", hide_details=True,
                      raw_attrs=['id="overlay"', 'title="The map of where the proposal is unsure"'])  # fmt: skip
            VCheckbox(v_model=("compare",), label="My outline", density="compact", hide_details=True,
                      raw_attrs=['title="The outline of your own label, to compare"'])  # fmt: skip
        self.rule("map", self._mayChooseMap, MAPS_EXPLAINED)
        with html.Div(title=("may.map || does.map",)):
            VSelect(v_model=("map_kind",), items=("maps", [{"title": words, "value": kind} for kind, words in MAPS]),
                    disabled=("!!may.map",), density="compact", hide_details=True, variant="underlined")  # fmt: skip
        with html.Div(classes="ss-buttons"):
            self.button("worst", "Worst slice (J / ⇧J)", session.worst_slice, lambda: session.may_worst_slice,
                        "The next slice in the order of uncertainty; with shift and J back again")  # fmt: skip
        with html.Div(title="Below it the map is transparent, and Accept confident part takes over"):
            html.Div("Threshold {{ Number(threshold).toFixed(2) }}")
            VSlider(v_model=("threshold",), min=0, max=1, step=0.01, density="compact", hide_details=True)

    def content(self) -> dict[str, Any]:
        """See :meth:`.Panel.content`."""
        session = self.session
        case = session.current_case if self.state.only_case else None
        rows = session.queue(None if case is None else case.id)
        empty = (session.may_review or "").removeprefix("Review: ")
        row, waiting = session.selected, sum(row.open for row in rows)
        reason = ""
        if row is not None:
            what = f"{row.label} in {row.case}: {row.reason}"
            reason = f"{what}; {row.volume_ml:.1f} ml; model {row.model}"
        return {
            "empty": empty[:1].upper() + empty[1:],
            "waiting": f"{waiting} of {len(rows)} proposals wait for you",
            "rows": [_row(each) for each in rows],
            "reason": reason,
            "editing": self.app.annotate.editing,
        }

    def redraw(self) -> None:
        """See :meth:`.Panel.redraw`."""
        super().redraw()
        if abs(float(self.state.threshold) - self.session.threshold) > 1e-6:
            self.state.threshold = self.session.threshold

    # Commands --------------------------------------------------------------------------------------------------------

    def press(self, key: str) -> None:
        """What a key does.

        Raises:
            SemiSupSegError: the rule of its button gives a reason.
        """
        session = self.session
        commands = {
            "A": session.accept, "Shift+A": session.accept_confident, "X": session.reject, "F": session.flag,
            "J": session.worst_slice, "Shift+J": lambda: session.worst_slice(-1), "U": self._toggleOverlay,
            "E": self.edit, "N": session.select_next, "Shift+N": session.select_previous, "Shift+Z": session.undo,
        }  # fmt: skip
        if key in commands:
            commands[key]()

    def acceptSlice(self) -> None:
        """Take over the slice that is shown.

        Raises:
            ProjectError: ``session.may_accept_slice`` gives a reason, or no slice view shows the case.
        """
        k = self.app.view.slice()
        if k is None:
            msg = "Accept slice: no slice view shows the case"
            raise ProjectError(msg)
        self.session.accept_slices(k)

    def edit(self) -> None:
        """Take the brush for the organ that is looked at, or put it away.

        Raises:
            ProjectError: no proposal is selected.
        """
        reason = self._mayEdit()
        if reason is not None:
            raise ProjectError(reason)
        self.app.annotate.edit(self.session.selected.label)
        self.redraw()

    def _toggleOverlay(self) -> None:
        self.state.overlay = not self.state.overlay
        self.app.view.setOverlayVisible(bool(self.state.overlay))

    def _setThreshold(self, *_said: Any) -> None:
        self.session.threshold = round(float(self.state.threshold), 2)

    def _mayChooseMap(self) -> str | None:
        return self.session.may_show_map(UNCERTAINTY) or self.session.may_show_map(MUTUAL_INFORMATION)

    def _mayEdit(self) -> str | None:
        if (reason := self.session.may_edit) is not None:
            return reason
        organ = self.session.selected.label
        return None if self.app.view.segmentOf(organ) else f"Edit: {organ} has no segment in this case"


def _row(row: Any) -> dict[str, Any]:
    decided = f"{DECISIONS.get(row.decision, '')} {row.decision}".strip() if row.decision else ""
    return {
        "rank": "▶" if row.selected else str(row.rank),
        "case": row.case,
        "label": row.label,
        "score": f"{row.score:.2f}",
        "u": f"{row.uncertainty:.2f}",
        "why": " · ".join(filter(None, (decided, row.reason))),
        "selected": row.selected,
    }
