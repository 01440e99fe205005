"""Panel: what all parts of the module's panel share: their file of widgets, and buttons that obey the session."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
import slicer.util
from slicer.i18n import tr as _

__all__ = ["FORMS", "Panel"]

FORMS = Path(__file__).resolve().parents[1] / "Resources" / "UI"
_LOG = logging.getLogger(__name__)

Reason = Callable[[], str | None]


class Panel:
    """One part of the panel, made from the Designer file with the name of its class.

    Args:
        parent: widget with a layout, to whose end the part is added.
        session: the :class:`~SemiSupSegLib.session.Session`.
    """

    def __init__(self, parent: Any, session: Any) -> None:
        self.session = session
        self.widget = slicer.util.loadUI(str(FORMS / f"{type(self).__name__}.ui"))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self._rules: list[tuple[Any, Reason, str]] = []
        parent.layout().addWidget(self.widget)

    def redraw(self, changed: frozenset[str]) -> None:
        """Show what is different now.

        Args:
            changed: names of the session's signals since the last call.
        """

    def bind(self, button: Any, command: Callable[[], Any], may: Reason, does: str) -> None:
        """Let a button give a command as long as it may.

        Args:
            button: any button; disabled with the reason as its tooltip while there is one.
            command: called without arguments when it is clicked.
            may: why it may not; None when it may.
            does: what it does, for the tooltip.
        """
        button.connect("clicked()", lambda *_said: self.attempt(command))
        self.rule(button, may, does)

    def rule(self, widget: Any, may: Reason, does: str) -> None:
        """Enable a widget by a rule only; something else listens to it."""
        self._rules.append((widget, may, does))

    def obeyRules(self) -> None:
        """Enable what may be used, and let the rest say why it may not."""
        for widget, may, does in self._rules:
            reason = may()
            widget.setEnabled(reason is None)
            widget.setToolTip(does if reason is None else reason)

    def attempt(self, command: Callable[..., Any], *said: Any) -> bool:
        """Give a command; what goes wrong becomes one line in the status strip.

        Returns:
            Whether it was carried out.
        """
        from SemiSupSegLib.errors import SemiSupSegError

        qt.QApplication.setOverrideCursor(qt.QCursor(qt.Qt.WaitCursor))
        try:
            command(*said)
        except (SemiSupSegError, OSError) as error:
            self.tell(str(error), "error")
            return False
        except Exception as error:
            _LOG.exception("%s failed", command)
            words = _("a mistake in the program ({kind}); the Python console tells more")
            self.tell(words.format(kind=type(error).__name__), "error")
            return False
        finally:
            qt.QApplication.restoreOverrideCursor()
        return True

    def tell(self, sentence: str, level: str = "info") -> None:
        """One sentence in the status strip; ``level`` is ``info``, ``warning`` or ``error``."""
        self.session.signals.message.emit(sentence, level)

    def cleanup(self) -> None:
        """Let go of what would outlive the widgets."""
