"""TrainPanel: how much to train, on what, how it stands, and how to end it."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VCheckbox, VProgressLinear, VSelect

from .Panel import Panel
from .TrainingCurve import trainingCurve

__all__ = ["TrainPanel"]

FACES = {"finished": "✓ ", "stopped": "■ ", "failed": "✖ ", "crashed": "✖ ", "hung": "⚠ "}
DEVICES = (("auto", "the fastest that is there"), ("cpu", "CPU"), ("cuda", "NVIDIA graphics card"))


class TrainPanel(Panel):
    """Preset, device, estimate, progress and curve."""

    name = "training"

    def build(self) -> None:
        """See :meth:`.Panel.build`."""
        session, state = self.session, self.state
        state.preset, state.device, state.from_scratch = session.preset, "auto", False
        state.predict_after = session.predict_after_training
        state.change("preset")(self.on(self._choosePreset))
        state.change("predict_after")(self.on(self._choosePrediction))
        with html.Div(v_show=("!training.active",)):
            VSelect(v_model=("preset",), items=("training.presets",), label="Preset", density="compact",
                    hide_details=True, variant="underlined")  # fmt: skip
            VSelect(v_model=("device",), label="Device", density="compact", hide_details=True, variant="underlined",
                    classes="mt-3",
                    items=("devices", [{"title": words, "value": name} for name, words in DEVICES]))  # fmt: skip
            VCheckbox(v_model=("predict_after",), label="Propose labels when a new model is ready", density="compact",
                      hide_details=True)  # fmt: skip
            VCheckbox(v_model=("from_scratch",), label="Begin from random weights", density="compact",
                      hide_details=True)  # fmt: skip
        html.Div("{{ training.estimate }}", classes="ss-quiet")
        with html.Div(classes="ss-buttons"):
            self.button("train", "Train", self.train, lambda: session.may_train,
                        "Trains in a process of its own; you can go on painting", color="primary",
                        v_show="!training.active")  # fmt: skip
            self.button("pause", "Pause", session.pause, lambda: session.may_pause,
                        "Writes a checkpoint and gives the machine back; Resume goes on from there",
                        v_show="training.active")  # fmt: skip
            self.button("stop", ("training.asked ? 'End it now' : 'Stop & keep best'",), session.end,
                        lambda: session.may_end, "Ends the training for good: its best checkpoint on the hold-out "
                        "becomes the model in use, unless the hold-out would get worse",
                        v_show="training.active || !may.stop")  # fmt: skip
            self.button("resume", "Resume", session.resume, lambda: session.may_resume,
                        "Goes on from the last checkpoint", v_show="!training.active && !may.resume")  # fmt: skip
            self.button("preview", ("training.ahead ? 'Preview now' : 'Propose labels'",), session.propose,
                        lambda: session.may_propose, "While a training goes on: shows what it would propose now in "
                        "the case that is open. Otherwise the model in use proposes labels, in all cases when none "
                        "is")  # fmt: skip
            self.button("rollback", "Previous model", session.rollback, lambda: session.may_rollback,
                        "The model in use now stays on disk")  # fmt: skip
        with html.Div(v_if=("training.words",), raw_attrs=['id="progress"']):
            with VProgressLinear(v_if=("training.active",), model_value=("training.percent",), height=18,
                                 indeterminate=("training.percent === null",), color="primary"):  # fmt: skip
                html.Span("{{ training.bar }}", style="font-size: 12px")
            html.Div("{{ training.words }}", classes="my-1")
            html.Div("{{ training.device }}", classes="ss-quiet")
            html.Div("{{ training.detail }}", v_if=("training.detail",), classes="ss-pre")
            html.Div(v_if=("training.curve",), v_html=("training.curve",), classes="ss-curve", raw_attrs=['id="curve"'])
            html.Div("{{ training.best }}", v_if=("training.curve",), classes="ss-quiet")

    def content(self) -> dict[str, Any]:
        """See :meth:`.Panel.content`."""
        session = self.session
        progress, curves = session.progress, session.curves
        active = progress is not None and progress.active
        fraction = None if progress is None or progress.fraction is None else round(100 * progress.fraction)
        known = "" if fraction is None else f"{fraction} %"
        best = f"◆ best so far: Dice {curves.best[1]:.2f} at step {curves.best[0]}" if curves.best else ""
        return {
            "presets": [
                {"title": f"{row.name.capitalize()} – {row.words}" if row.words else row.name.capitalize(),
                 "value": row.name} for row in session.presets
            ],
            "active": active,
            "asked": session.ending,
            "ahead": session.looks_ahead,
            "estimate": _estimate(session, progress if active else None),
            "percent": fraction,
            "bar": "" if progress is None else " · ".join(filter(None, (known, progress.eta))),
            "words": "" if progress is None else _words(progress),
            "device": _device(progress),
            "detail": "" if progress is None else progress.detail,
            "curve": trainingCurve(curves),
            "best": best or "No score on a hold-out yet",
        }  # fmt: skip

    def redraw(self) -> None:
        """See :meth:`.Panel.redraw`."""
        super().redraw()
        if self.session.project is not None:
            self.state.preset = self.session.preset
            self.state.predict_after = self.session.predict_after_training

    # Commands --------------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """Start with what is chosen.

        Raises:
            SemiSupSegError: ``session.may_train`` gives a reason, or the engine cannot be started.
        """
        self.session.train(device=str(self.state.device), from_scratch=bool(self.state.from_scratch))

    def _choosePreset(self, *_said: Any) -> None:
        if self.state.preset != self.session.preset:
            self.session.preset = str(self.state.preset)

    def _choosePrediction(self, *_said: Any) -> None:
        if bool(self.state.predict_after) != self.session.predict_after_training:
            self.session.predict_after_training = bool(self.state.predict_after)


def _estimate(session: Any, progress: Any) -> str:
    if progress is None or progress.minutes is None:
        return session.estimate(session.preset)
    memory = "" if progress.memory_gb is None else f", {progress.memory_gb:.1f} GB"
    return f"≈ {round(progress.minutes, 1):g} min{memory}"


def _words(progress: Any) -> str:
    verdict = f": {progress.verdict}" if progress.verdict and not progress.active else ""
    return FACES.get(progress.state, "") + progress.words[:1].upper() + progress.words[1:] + verdict


def _device(progress: Any) -> str:
    if progress is None or not progress.device:
        return "Device: chosen when the training starts, and named here with the reason"
    name = "CPU" if progress.device == "cpu" else progress.device
    return f"Device: {name}" + (f" – {progress.device_reason}" if progress.device_reason else "")
