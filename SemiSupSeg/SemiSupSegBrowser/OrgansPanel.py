"""OrgansPanel: what is known of each organ in the case that is shown. A click on the state changes it."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import Template, VBtn, VList, VListItem, VMenu, VTextField

from SemiSupSegLib.project.annotation import State
from SemiSupSegLib.session import LEGEND, SYMBOLS

from .Colours import css
from .Panel import Panel

__all__ = ["OrgansPanel"]

IN_WORDS = {"unknown": "not annotated", "partial": "partial", "complete": "complete", "absent": "absent"}
CHOICES = (State.UNKNOWN, State.COMPLETE, State.ABSENT)


class OrgansPanel(Panel):
    """The table of organs. A click on a row takes its brush, one on the state says what is known."""

    name = "organs"

    def build(self) -> None:
        """See :meth:`.Panel.build`."""
        session, state = self.session, self.state
        state.organ_name = ""
        state.change("organ_name")(lambda **_said: self.redraw())
        html.Div("{{ organs.case }}", classes="ss-quiet")
        with html.Table(classes="ss-table", v_if=("organs.rows.length",)), html.Tr(
            v_for="row in organs.rows", key="row.name", raw_attrs=[":data-organ='row.name'"],
            classes=("['ss-row', row.active ? 'ss-current' : '']",), click=(self.on(self.choose), "[row.name]"),
            title=("'Choose ' + row.name + ' to paint it'",),
        ):  # fmt: skip
            with html.Td():
                html.Span(classes="ss-swatch", style=("{background: row.colour}",))
                html.Span("{{ row.name }}")
            with html.Td(title=("row.refused || row.does",)):
                VBtn(
                    "{{ row.words }}", size="x-small", variant="tonal", classes="ss-state", disabled=("!!row.refused",),
                    v_on_click_stop=(self.on(self.cycle), "[row.name]"), raw_attrs=["data-state"],
                )  # fmt: skip
            with html.Td(), VMenu():
                with Template(v_slot_activator="{ props }"):
                    VBtn("⋯", v_bind="props", size="x-small", variant="text", v_on_click_stop="void 0",
                         title="All states, and the same for all cases")  # fmt: skip
                with VList(density="compact"):
                    VListItem("{{ c.words }}", v_for="c in row.choices", key="c.words", disabled=("!!c.refused",),
                              click=(self.on(self.say), "[row.name, c.state, c.all]"))  # fmt: skip
            html.Td("{{ row.rest }}", classes="ss-quiet")
        for line in LEGEND.splitlines():
            html.Div(line, classes="ss-quiet")
        with html.Div(classes="ss-buttons"):
            VTextField(v_model=("organ_name",), label="New organ", density="compact", hide_details=True,
                       variant="underlined", v_on_keydown_enter=self.on(self.add),
                       raw_attrs=['id="organName"'])  # fmt: skip
            self.button("addOrgan", "Add organ", self.add, lambda: session.may_add_organ(self.state.organ_name or ""),
                        "It is ? in every case")  # fmt: skip
        self.app.adjacency.build()

    def content(self) -> dict[str, Any]:
        """See :meth:`.Panel.content`."""
        session = self.session
        case = session.current_case
        active = self.app.view.labelOf(self.app.editor.get_active_segment_id()) if case is not None else None
        return {
            "case": f"In case {case.id}:" if case else "No case is shown: click one above.",
            "rows": [self._row(row, shown=case is not None, active=row.name == active) for row in session.organ_rows()],
        }

    def _row(self, row: Any, *, shown: bool, active: bool) -> dict[str, Any]:
        words = f"{row.symbol} {IN_WORDS[str(row.state)]}" + (" · ◆ proposed" if row.proposed else "")
        may = self.session.may_set_state
        refused = (lambda state: may(row.name, state)) if shown else (lambda _state: "Open a case first")
        here = [
            {"words": f"{SYMBOLS[s]} {IN_WORDS[str(s)]}", "state": str(s), "all": False, "refused": refused(s) or ""}
            for s in CHOICES
        ]
        everywhere = [
            {"words": f"{SYMBOLS[s]} {IN_WORDS[str(s)]} in all cases", "state": str(s), "all": True,
             "refused": self.session.may_change or ""}
            for s in CHOICES
        ]  # fmt: skip
        return {
            "name": row.name,
            "colour": css(row.colour),
            "words": words if shown else "–",
            "does": f"Click: {IN_WORDS[str(row.next_state)]}",
            "refused": refused(row.next_state) or "",
            "rest": " · ".join(filter(None, (row.finished, row.accepted))),
            "choices": here + everywhere,
            "active": active,
        }

    # Commands --------------------------------------------------------------------------------------------------------

    def choose(self, label: str) -> None:
        """Paint this organ from now on."""
        self.app.annotate.choose(label)

    def cycle(self, label: str) -> None:
        """What a click on the state does."""
        self.session.cycle(label)

    def say(self, label: str, state: str, everywhere: bool) -> None:
        """Give a state, here or in all cases where that may be."""
        (self.session.apply_to_all if everywhere else self.session.set_state)(label, State(state))

    def add(self) -> None:
        """Add the organ whose name was typed.

        Raises:
            ProjectError: ``session.may_add_organ`` gives a reason.
        """
        self.session.add_organ(self.state.organ_name or "")
        self.state.organ_name = ""
