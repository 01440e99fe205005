"""AdjacencyTable: which organs may touch, as the annotated cases show it and as the person says; a click changes it."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VBtn

from SemiSupSegLib.session.touching import CONTACT_LEGEND, CONTACT_SIGNS

from .Panel import Panel

__all__ = ["AdjacencyTable"]


class AdjacencyTable(Panel):
    """Inside the panel of organs, below "Adjacency rules…"."""

    name = "adjacency"

    def __init__(self, app: Any) -> None:
        self._shown, self._stale = False, True
        super().__init__(app)
        signals = app.session.signals
        for signal in (signals.project_changed, signals.cases_changed):
            signal.connect(self._outdate)

    def build(self) -> None:
        """See :meth:`.Panel.build`."""
        with html.Div(classes="ss-buttons"):
            self.button("adjacencyRules", "Adjacency rules…", self.toggle, lambda: self.session.may_count_contacts,
                        "Which organs touch in the annotated cases, and what you say about it")  # fmt: skip
        with html.Div(v_if=("adjacency.shown",), raw_attrs=['id="adjacency"']):
            html.Div(CONTACT_LEGEND, classes="ss-quiet")
            html.Div("{{ adjacency.words }}", classes="ss-quiet")
            with html.Div(classes="ss-scroll"), html.Table(classes="ss-table"):
                with html.Tr():
                    for title in ("organs", "may they touch?", "contacts"):
                        html.Th(title)
                with html.Tr(
                    v_for="row in adjacency.rows", key="row.pair", raw_attrs=[":data-pair='row.pair'"]
                ):  # fmt: skip
                    html.Td("{{ row.pair }}")
                    with html.Td(title=("row.refused || row.words",)):
                        VBtn("{{ row.words }}", size="x-small", variant="tonal", disabled=("!!row.refused",),
                             click=(self.on(self.change), "[row.first, row.second]"))  # fmt: skip
                    html.Td("{{ row.contacts }}", title="Pairs of neighbouring voxels")

    def content(self) -> dict[str, Any]:
        """See :meth:`.Panel.content`."""
        rows = self.session.contact_rows() if self._shown else []
        return {"shown": self._shown, "words": self.session.contacts_words, "rows": [self._row(row) for row in rows]}

    def redraw(self) -> None:
        """See :meth:`.Panel.redraw`."""
        session = self.session
        self._shown = self._shown and session.may_count_contacts is None
        if self._shown and self._stale and not session.counting_contacts:
            self._stale = False
            session.count_contacts()
        super().redraw()

    def toggle(self) -> None:
        """Count and show the pairs, or fold them away.

        Raises:
            ProjectError: ``session.may_count_contacts`` gives a reason.
        """
        self._shown = not self._shown
        self._stale = True

    def change(self, first: str, second: str) -> None:
        """What a click on a pair does.

        Raises:
            ProjectError: ``session.may_set_contact`` gives a reason.
        """
        for row in self.session.contact_rows():
            if (row.first, row.second) == (first, second):
                self.session.set_contact(first, second, self.session.next_contact(row))

    def _outdate(self, *_said: Any) -> None:
        self._stale = True

    def _row(self, row: Any) -> dict[str, Any]:
        return {
            "pair": f"{row.first} · {row.second}",
            "first": row.first,
            "second": row.second,
            "words": f"{CONTACT_SIGNS.get(row.relation, '')} {row.words}".strip(),
            "contacts": row.contacts,
            "refused": self.session.may_set_contact(row.first, row.second) or "",
        }
