"""SettingsPanel: who annotates, where the project is, what it takes on the disk, and the engine's versions."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VBtn, VTextField

from .Panel import Panel

__all__ = ["SettingsPanel"]

PRIVACY = "Everything stays on this computer: the server answers nobody else, and nothing is sent."
NAME = "Settings"


class SettingsPanel(Panel):
    """Nothing here is needed to begin."""

    name = "settings"

    def __init__(self, app: Any) -> None:
        self._measuredFor: Any = None
        super().__init__(app)

    def build(self) -> None:
        """See :meth:`.Panel.build`."""
        session, state = self.session, self.state
        state.who, state.versions = session.who, self.app.diagnostics.report("settings")
        state.change("who")(self.on(self._setWho))
        state.change("sections")(lambda **_said: self.redraw())
        VTextField(v_model=("who",), label="Who annotates (for the journal)", density="compact", hide_details=True,
                   variant="underlined", raw_attrs=['id="who"'])  # fmt: skip
        html.Div("{{ settings.where }}", v_if=("settings.where",), classes="mt-2", raw_attrs=['id="where"'])
        html.Div("{{ settings.stored }}", v_if=("settings.stored",), raw_attrs=['id="stored"'])
        with html.Div(classes="ss-buttons"):
            self.button("deleteStored", "Delete stored content", session.delete_stored,
                        lambda: session.may_delete_stored(), "What can be made again; the project, its labels and its "
                        "models stay")  # fmt: skip
        html.Div("{{ versions }}", classes="ss-pre")
        with html.Div(classes="ss-buttons"):
            VBtn("Copy report", size="small", variant="tonal", raw_attrs=['data-copy="versions"', 'id="copyReport"',
                 'title="Versions, without the names of your folders"'])  # fmt: skip
        html.Div(PRIVACY, classes="ss-quiet")

    def content(self) -> dict[str, Any]:
        """See :meth:`.Panel.content`."""
        project = self.session.project
        return {
            "where": "" if project is None else f"Project: {project.root}",
            "stored": self.session.stored_words,
        }

    def redraw(self) -> None:
        """See :meth:`.Panel.redraw`; the disk is measured when the section is open, once for each state of it."""
        session = self.session
        seen = (session.project and session.project.root, session.has_stored, session.task is None)
        if NAME in (self.state.sections or ()) and session.project is not None and seen != self._measuredFor:
            self._measuredFor = seen
            session.measure_stored()
        super().redraw()

    def _setWho(self, *_said: Any) -> None:
        name = str(self.state.who or "").strip()
        if name:
            self.session.who = name
