"""StatusStrip: the top of the page: project, what makes sense next, what is under way, undo. Errors are a banner."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VAlert, VBtn, VCard, VDialog, VIcon, VProgressLinear, VSpacer

from .Panel import Panel

__all__ = ["Banner", "StatusStrip"]

TOUR = (
    "Cases: add a folder of volumes, with the labels you have.",
    "Organs: say what is known of each organ in this case. What is ? is ignored, never taken for background.",
    "Annotate: paint, then say that a slice is done.",
    "Train: Quick is enough for a first look; you can go on painting meanwhile.",
    "Review: look where the map glows; A accepts an organ, X rejects it. Every decision can be undone.",
)


class StatusStrip(Panel):
    """One line that is always visible."""

    name = "status"

    def build(self) -> None:
        """See :meth:`.Panel.build`."""
        session = self.session
        VBtn("{{ status.project }} ▾", click="chooser_mode = 'open'; chooser_shown = true", variant="tonal",
             size="small", classes="ml-2 text-none",
             raw_attrs=['id="project"', 'title="Open a project, or make a new one"'])  # fmt: skip
        html.Span("{{ status.engine }}", classes="mx-3 ss-next ss-quiet")
        html.Span("{{ status.next }}", classes="ss-next", raw_attrs=['id="nextStep"'])
        VSpacer()
        with html.Div(v_if=("status.task",), style="width: 220px", classes="mr-2"):
            html.Div("{{ status.task }}", classes="ss-message")
            VProgressLinear(model_value=("status.percent",), indeterminate=("status.percent === null",), height=5)
        self.button("cancelTask", "Cancel", session.cancel_task, lambda: session.may_cancel,
                    "What is finished so far stays", v_show="status.task")  # fmt: skip
        self.button("takeOver", "Take over", session.take_over, self._mayTakeOver,
                    "The other one can look only from then on", v_show="status.owner", color="warning")  # fmt: skip
        self.button("undo", "Undo last accept", session.undo, lambda: session.may_undo,
                    "Takes back the last change, also after a restart (⇧Z)",
                    prepend_icon="mdi-undo-variant")  # fmt: skip
        with VBtn(icon=True, size="small", click="dark = !dark", raw_attrs=['id="theme"', 'title="Light or dark"']):
            VIcon("{{ dark ? 'mdi-weather-sunny' : 'mdi-weather-night' }}")
        VBtn("?", icon=True, size="small", click="tour = true", raw_attrs=['id="tour"', 'title="How it goes"'])
        with VDialog(v_model=("tour", False), max_width=560), VCard(title="How it goes", classes="pa-4"):
            for number, line in enumerate(TOUR, start=1):
                html.P(f"{number}  {line}", classes="mb-2")
            VBtn("Close", click="tour = false", variant="tonal")

    def content(self) -> dict[str, Any]:
        """See :meth:`.Panel.content`."""
        session = self.session
        project, task, owner = session.project, session.task, session.owner
        fraction = None if task is None or task.fraction is None else round(100 * task.fraction)
        busy = session.busy
        return {
            "project": project.name if project else "No project",
            "next": f"Next: {session.next_step}" if busy is None else f"{busy[:1].upper()}{busy[1:]} …",
            "engine": self._engine(),
            "task": "" if task is None else task.words,
            "percent": fraction,
            "owner": "" if owner is None else owner.sentence,
            "undo": session.undo_words or "",
        }

    def redraw(self) -> None:
        """See :meth:`.Panel.redraw`."""
        super().redraw()
        words = self.session.undo_words
        self.state.does = self.state.does | {
            "undo": f"Takes back: {words} (⇧Z)" if words else "Takes back the last change, also after a restart (⇧Z)"
        }

    def _engine(self) -> str:
        progress = self.session.progress
        if progress is None or not progress.device:
            return "● Engine ready"
        name = "CPU" if progress.device == "cpu" else progress.device
        return f"◐ Training · {name}" if progress.active else f"● Ready · {name}"

    def _mayTakeOver(self) -> str | None:
        return None if self.session.owner is not None else "Take over: nobody else has this project open"


class Banner(Panel):
    """One readable sentence over the views: an error stays until it is closed, what merely happened goes by itself."""

    name = "banner"
    text, level, report = "", "info", ""

    def build(self) -> None:
        """See :meth:`.Panel.build`."""
        with (
            VAlert(
                v_if=("banner.text",), type=("banner.level",), density="compact", variant="flat",
                raw_attrs=['id="banner"'],
            ),
            html.Div(style="display: flex; align-items: center; gap: 12px"),
        ):  # fmt: skip
            html.Span("{{ banner.text }}", style="flex: 1", raw_attrs=['role="status"'])
            VBtn("{{ banner.copied || 'Copy diagnostics' }}", v_if=("banner.level === 'error'",), size="small",
                 variant="outlined", classes="text-none", raw_attrs=['data-copy="diagnostics"'])  # fmt: skip
            VBtn(icon="mdi-close", size="x-small", variant="text", click=self.close, raw_attrs=['title="Close"'])

    def content(self) -> dict[str, Any]:
        """See :meth:`.Panel.content`."""
        return {"text": self.text, "level": self.level, "copied": ""}

    def show(self, text: str, level: str, report: str) -> None:
        """Show a sentence instead of the one before; an error is not pushed away by good news."""
        if level == "info" and self.text and self.level == "error":
            return
        self.text, self.level = text[:1].upper() + text[1:], level
        self.state.diagnostics = report
        self.redraw()

    def close(self) -> None:
        """Show none."""
        self.text, self.level = "", "info"
        self.redraw()

    def copied(self, done: bool) -> None:
        """Say whether the text is in the clipboard."""
        words = "Copied" if done else "The browser did not allow it"
        if self.text and self.level == "error":
            self.state.banner = self.content() | {"copied": words}
        else:
            self.app.tell(words)
