"""CasesPanel: volumes come in, are listed with what is known of them, and are opened. Nothing is ever cleared."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VBtn, VProgressLinear, VSelect

from SemiSupSegLib.session import STATUSES

from .Colours import css
from .Panel import Panel

__all__ = ["CasesPanel"]


class CasesPanel(Panel):
    """The table of cases, and two ways to more of them: a folder of this computer, or files of the browser."""

    name = "cases"

    def build(self) -> None:
        """See :meth:`.Panel.build`."""
        state, session = self.state, self.session
        state.case_filter = ""
        state.change("case_filter")(lambda **_said: self.redraw())
        with html.Div(classes="ss-buttons"):
            self.button("addFolder", "Add folder…", "chooser_mode = 'import'; chooser_shown = true", self._mayAdd,
                        "Shows what a folder of this computer holds before anything is copied")  # fmt: skip
            self.button("uploadFiles", "Upload files…", "void 0", lambda: session.may_import,
                        "NIfTI, NRRD or MetaImage files; copied into the project",
                        marks=['data-upload="files"'])  # fmt: skip
            self.button("uploadFolder", "Upload DICOM folder…", "void 0", lambda: session.may_import,
                        "All files of one DICOM series; copied into the project",
                        marks=['data-upload="folder"'])  # fmt: skip
        html.Div("Uploading {{ uploading }}", v_if=("uploading",), classes="ss-quiet")
        html.Div("{{ cases.empty }}", v_if=("cases.empty",), classes="ss-quiet my-2", raw_attrs=['id="noCase"'])
        with html.Div(v_if=("cases.all > 0",)):
            html.Div("{{ cases.done }} of {{ cases.all }} reviewed", classes="ss-quiet")
            VProgressLinear(model_value=("100 * cases.done / cases.all",), height=5, color="primary")
            VSelect(
                v_model=("case_filter",), density="compact", hide_details=True, variant="underlined",
                items=("case_filters", [{"title": "All cases", "value": ""},
                                        *({"title": s.capitalize(), "value": s} for s in STATUSES)]),
            )  # fmt: skip
            self._table()
            html.Div("{{ cases.held }}", classes="ss-quiet")
        self.rule("holdOut", lambda: session.may_set_holdout,
                  "Keeps this case for scores only; training never sees it")  # fmt: skip

    def _table(self) -> None:
        with html.Div(classes="ss-scroll"), html.Table(classes="ss-table"):
            with html.Tr():
                for title in ("case", "modality", "status", "organs"):
                    html.Th(title)
                for title in ("round", "score"):  # narrow as the panel is, empty columns have no place in it
                    html.Th(title, v_if=("cases.scored",))
                html.Th("")
            with html.Tr(
                v_for="row in cases.rows", key="row.id", raw_attrs=[":data-case='row.id'"],
                classes=("['ss-row', row.current ? 'ss-current' : '']",),
                click=(self.on(self.session.show_case), "[row.id]"), title=("'Opens ' + row.id",),
            ):  # fmt: skip
                html.Td("{{ row.current ? '▶ ' : '' }}{{ row.id }}")
                html.Td("{{ row.modality }}")
                html.Td("{{ row.status }}")
                with html.Td(title=("row.words",)):
                    html.Span("{{ c.sign }}", v_for="c in row.chips", classes="ss-chip",
                              style=("{borderColor: c.colour}",))  # fmt: skip
                html.Td("{{ row.round }}", v_if=("cases.scored",), title="The model that predicted it last")
                html.Td("{{ row.score }}", v_if=("cases.scored",),
                        title="How much its worst proposal needs a look")  # fmt: skip
                with html.Td():
                    VBtn("{{ row.held ? 'held out' : 'hold out' }}", size="x-small", variant="text",
                         classes="text-none", disabled=("!!may.holdOut",),
                         v_on_click_stop=(self.on(self.hold), "[row.id]"),
                         title=("may.holdOut || does.holdOut",))  # fmt: skip

    def content(self) -> dict[str, Any]:
        """See :meth:`.Panel.content`."""
        session = self.session
        only = self.state.case_filter or None
        rows = session.case_rows(only)
        colours = {} if session.project is None else {x.name: css(x.colour) for x in session.project.label_set.labels}
        done, every = session.reviewed
        held = [row.id for row in session.case_rows() if row.split == "holdout"]
        empty = ""
        if session.project is None:
            empty = "No project is open."
        elif not rows:
            empty = "No case has this status." if every else "No case yet: add a folder of volumes, or upload some."
        return {
            "rows": [_row(row, colours) for row in rows],
            "scored": any(row.round or row.score is not None for row in rows),
            "done": done,
            "all": every,
            "empty": empty,
            "held": f"Held out: {', '.join(held)}"
            if held
            else "Nothing is held out: no round can be compared with the last.",
        }

    def hold(self, case: str) -> None:
        """Hold a case out, or take it back into training.

        Raises:
            ProjectError: ``session.may_set_holdout`` gives a reason.
        """
        held = {row.id for row in self.session.case_rows() if row.split == "holdout"}
        self.session.set_holdout(sorted(held ^ {case}))

    def _mayAdd(self) -> str | None:
        return self.session.may_import


def _row(row: Any, colours: dict[str, str]) -> dict[str, Any]:
    words = "\n".join(f"{c.symbol} {c.label}: {c.state}" + (" (proposed)" if c.proposed else "") for c in row.cells)
    return {
        "id": row.id,
        "status": row.status,
        "modality": row.modality,
        "round": row.round or "",
        "held": row.split == "holdout",
        "current": row.current,
        "words": words or "no organ yet",
        "score": "" if row.score is None else f"{row.score:.2f}",
        "chips": [{"sign": "◆" if c.proposed else c.symbol, "colour": colours.get(c.label, "#888")} for c in row.cells],
    }
