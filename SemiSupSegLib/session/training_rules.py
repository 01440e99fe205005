"""TrainingRules: what a training takes, how it stands, and why a button of its panel does nothing."""

from __future__ import annotations

from ..project.annotation import State
from ..project.models import promoted_model, promoted_models
from .cases import Cases
from .core import require
from .rows import Curves, PresetRow, Progress
from .story import Story
from .task import Child
from .words import duration

__all__ = ["TrainingRules"]

RELABELLING = "relabelling.json"
"""In a run's folder: it is a round of a relabelling, which the command line drives."""
_PRESET_WORDS = {
    "quick": "a first look",
    "balanced": "the usual choice",
    "thorough": "when the labels are final",
}


class TrainingRules(Cases):
    """What the training panel shows and asks."""

    _launch: Child | None = None
    """The child that plans a run and starts it."""
    _story: Story | None = None
    _progress: Progress | None = None

    # What it will take -----------------------------------------------------------------------------------------------

    @property
    def presets(self) -> tuple[PresetRow, ...]:
        """What a person chooses from."""
        from ..config import PRESETS  # here, as importing a session must be quick

        return tuple(PresetRow(name, p.minutes, _PRESET_WORDS.get(name, "")) for name, p in PRESETS.items())

    @property
    def preset(self) -> str:
        """Name of the chosen one; kept in the project."""
        return self._saved.preset

    @preset.setter
    def preset(self, name: str) -> None:
        known = [row.name for row in self.presets]
        require(None if name in known else f"no preset {name!r}: choose one of {', '.join(known)}")
        self._remember(preset=name)

    def estimate(self, preset: str | None = None) -> str:
        """What a preset takes before anything is planned; memory and device are in :attr:`progress` soon after."""
        found = {row.name: row for row in self.presets}.get(preset or self.preset)
        return "" if found is None else f"about {duration(60 * found.minutes)}"

    @property
    def predict_after_training(self) -> bool:
        """Whether a new model proposes labels at once; kept in the project."""
        return self._saved.predict_after_training

    @predict_after_training.setter
    def predict_after_training(self, on: bool) -> None:
        self._remember(predict_after_training=bool(on))

    # Rules -----------------------------------------------------------------------------------------------------------

    @property
    def may_train(self) -> str | None:
        """Why no training can start; None when one can."""
        if (reason := self._may_change("Train")) is not None:
            return reason
        if self._is_active:
            return "Train: a training is under way: stop it, or wait for its end"
        project = self._opened()
        if not len(project.label_set):
            return "Train: the project has no organ yet"
        if not project.cases:
            return "Train: the project has no case yet"
        positive = (State.COMPLETE, State.PARTIAL)
        if not any(a.state in positive for case in project.train_cases() for a in case.annotations.values()):
            held = any(a.state in positive for case in project.holdout_cases() for a in case.annotations.values())
            where = " outside of the hold-out" if held else ""
            return f"Train: no organ has a complete annotation yet{where}, nor one finished slice"
        return None

    @property
    def may_stop(self) -> str | None:
        """Why there is nothing to stop; None when there is."""
        return self._may_stop("Stop")

    @property
    def may_pause(self) -> str | None:
        """Why no training can be asked to write a checkpoint and end; None when one can."""
        return "Pause: it is ending already" if self.ending else self._may_stop("Pause")

    @property
    def may_end(self) -> str | None:
        """Why no training can be ended for good; None when one can: with its best kept, or at once while it ends."""
        return self.may_stop if self.ending else self.may_keep_best

    def _may_stop(self, button: str) -> str | None:
        if self._launch is not None:
            return None
        if self._progress is None or not self._progress.active:
            return f"{button}: no training is under way"
        return None if self._owner is None else f"{button}: {self._owner.sentence}"

    @property
    def may_keep_best(self) -> str | None:
        """Why no best checkpoint can be kept as a model; None when one can."""
        button = "Stop & keep best"
        if (reason := self._may_own(button)) is not None:
            return reason
        if self._launch is not None:
            return f"{button}: {'it is under way' if self._launch.kind == 'keep' else 'nothing is learnt yet'}"
        if self._story is None or self._progress is None:
            return f"{button}: no training is under way"
        if self._progress.state == "finished":
            return f"{button}: the last training is finished; what it learnt was judged at its end"
        if self._progress.active and self._story.run.keep_requested:
            return f"{button}: it is under way"
        learnt = self._story.steps if self._progress.active else self._story.saved
        return None if learnt else f"{button}: nothing is learnt yet"

    @property
    def ending(self) -> bool:
        """Whether the training was asked to end and has not yet, by whomever."""
        if self._launch is not None:
            return self._launch.cancelled or self._launch.kind == "keep"
        if self._story is None or self._progress is None:
            return False
        return self._progress.active and self._story.run.stop_requested

    @property
    def may_resume(self) -> str | None:
        """Why no training can go on; None when one can."""
        if (reason := self._may_change("Resume")) is not None:
            return reason
        if self._is_active:
            return "Resume: a training is under way"
        if self._story is None or self._progress is None:
            return "Resume: nothing was trained yet"
        if self._progress.state == "finished":
            return "Resume: the last training is finished; Train begins another"
        if (self._story.run.folder / RELABELLING).exists():
            return "Resume: this is a round of a relabelling, which `semisupseg relabel --resume` goes on with"
        return None

    @property
    def may_rollback(self) -> str | None:
        """Why the model in use stays; None when there is one before it."""
        if (reason := self._may_change("Previous model")) is not None:
            return reason
        if self._is_active:
            return "Previous model: a training is under way"
        number = len(promoted_models(self._opened().models_folder))
        return None if number > 1 else f"Previous model: {'there is only one' if number else 'none was trained yet'}"

    @property
    def _is_active(self) -> bool:
        return self._launch is not None or (self._progress is not None and self._progress.active)

    @property
    def model(self) -> str | None:
        """Name of the model in use; None before the first."""
        folder = None if self._project is None else promoted_model(self._project.models_folder)
        return None if folder is None else folder.name

    @property
    def progress(self) -> Progress | None:
        """How the last training stands; None before the first."""
        return self._progress

    @property
    def curves(self) -> Curves:
        """Of the last training; empty before the first."""
        return Curves() if self._story is None else self._story.curves
