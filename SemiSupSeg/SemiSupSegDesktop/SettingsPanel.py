"""SettingsPanel: who annotates, the engine and its report, and what is stored on this computer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from .Panel import Panel
from .StoredContent import StoredContent

__all__ = ["SettingsPanel"]

PRIVACY = (
    "Everything stays on this computer: no server, no listening socket, nothing is sent. "
    "Only Install engine uses the network."
)


class SettingsPanel(Panel):
    """Nothing here is needed to begin.

    Args:
        parent: widget with a layout.
        session: the session.
        installation: of the engine; None where it is not installed from here.
        stored: what can be deleted.
        onEngine: called after the engine was installed.
    """

    def __init__(
        self, parent: Any, session: Any, installation: Any, stored: StoredContent, onEngine: Callable[[], None]
    ) -> None:
        super().__init__(parent, session)
        self._stored, self._onEngine = stored, onEngine
        ui = self.ui
        ui.whoEdit.setText(session.who)
        ui.whoEdit.connect("editingFinished()", self._setWho)
        ui.privacyLabel.setText(_(PRIVACY))
        self.engine: Any = None
        if installation is not None:
            from .EngineInstallPanel import EngineInstallPanel

            self.engine = EngineInstallPanel(ui.engineHolder, installation, self._engineIsReady)
        self.bind(ui.deleteStoredButton, self.delete, lambda: stored.mayDelete, _("Projects, labels and models stay"))

    def redraw(self, _changed: frozenset[str]) -> None:
        """See :meth:`.Panel.redraw`."""
        self.ui.storedLabel.setText(self._stored.words)

    def delete(self) -> None:
        """Delete what can be made again."""
        cached = self.session.has_stored
        self._stored.delete()
        if cached:  # the session tells when that is done
            return
        self.tell(_("what was stored is deleted; projects, labels and models stay"))
        self.redraw(frozenset())
        self.obeyRules()

    def _setWho(self, *_said: Any) -> None:
        name = str(self.ui.whoEdit.text).strip()
        if name:
            self.session.who = name
        else:
            self.ui.whoEdit.setText(self.session.who)

    def _engineIsReady(self) -> None:
        self.tell(_("the engine is ready"))
        self._onEngine()  # the strip says it, too

    def cleanup(self) -> None:
        """See :meth:`.Panel.cleanup`."""
        if self.engine is not None:
            self.engine.cleanup()
