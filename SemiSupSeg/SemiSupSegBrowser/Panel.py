"""Panel: what all parts of the page share: a state of their own, and buttons that obey the session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VBtn

__all__ = ["Panel"]

Reason = Callable[[], str | None]


class Panel:
    """One part of the page. It draws from ``state.<name>``, which :meth:`redraw` fills.

    Args:
        app: the :class:`~.App.App`: session, server, view and banner.
    """

    name = ""
    """Of its state, and before the names of its buttons."""

    def __init__(self, app: Any) -> None:
        self.app, self.session, self.state = app, app.session, app.server.state
        self._rules: dict[str, Reason] = {}
        self.state.may = self.state.may or {}
        self.state.does = self.state.does or {}
        self.state[self.name] = self.content()

    def build(self) -> None:
        """Make the widgets, where the caller is in the page."""

    def content(self) -> dict[str, Any]:
        """What the widgets show, as plain values."""
        return {}

    def redraw(self) -> None:
        """Show what is different now; what is not costs nothing on the way to the page."""
        self.state[self.name] = self.content()
        self.state.may = self.state.may | {name: may() or "" for name, may in self._rules.items()}

    def button(self, name: str, words: Any, command: Any, may: Reason, does: str, **more: Any) -> None:
        """A button that gives a command as long as it may; else it is grey, and tells the reason.

        Args:
            name: unique in the page.
            words: on the button; in a tuple, an expression.
            command: called without arguments; a text is an expression of the page.
            may: why it may not; None when it may.
            does: what it does.
            more: for the button itself; ``marks`` are attributes that are written as they are.
        """
        self.rule(name, may, does)
        click = command if isinstance(command, str) else lambda: self.app.attempt(command)
        look = {"size": "small", "variant": "tonal"} | more
        marks = [f'id="{name}"', *look.pop("marks", ()), *(() if isinstance(command, str) else ("data-command",))]
        with html.Span(title=(f"may.{name} || does.{name}",), v_show=(look.pop("v_show", "true"),)):
            VBtn(
                "{{ " + words[0] + " }}" if isinstance(words, tuple) else words,
                click=click, disabled=(f"!!may.{name}",), raw_attrs=marks, **look,
            )  # fmt: skip

    def rule(self, name: str, may: Reason, does: str) -> None:
        """Let another widget obey a rule: ``may.<name>`` is the reason, ``does.<name>`` what it does."""
        self._rules[name] = may
        self.state.does = self.state.does | {name: does}
        self.state.may = self.state.may | {name: may() or ""}

    def on(self, command: Callable[..., Any]) -> Callable[..., Any]:
        """A command for an event of the page, whose mistakes become sentences."""
        return lambda *said, **_more: self.app.attempt(command, *said)
