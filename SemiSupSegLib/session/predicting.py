"""Predicting: the model proposes labels, for the project's cases or for a folder of volumes, in a child process."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .core import require
from .rows import TaskProgress
from .task import Task
from .training import Training
from .words import counted, joined

__all__ = ["Predicting"]

IMPORTS = ("import", "add")


class Predicting(Training):
    """Commands and rules of prediction, and the one task that may be under way."""

    @property
    def task(self) -> TaskProgress | None:
        """What is under way; None when nothing is."""
        return None if self._task is None else self._task.poll()

    @property
    def may_predict(self) -> str | None:
        """Why the model cannot propose; None when it can."""
        if (reason := self._may_own("Predict")) is not None:
            return reason
        if self.model is None:
            return "Predict: no model was trained yet"
        if not self._opened().cases:
            return "Predict: the project has no case yet"
        return self._may_start("Predict")

    @property
    def may_preview(self) -> str | None:
        """Why the last training cannot show what it would propose in the current case; None when it can."""
        button = "Preview now"
        if (reason := self._may_change_case(button)) is not None:
            return reason
        if self._launch is not None and self._launch.kind != "keep":
            return f"{button}: the training is still being planned"
        if self._story is None or self._launch is not None or self._progress is None:
            return f"{button}: no training is under way"
        if self._progress.state == "finished":
            return f"{button}: the last training is finished; Predict proposes with the model in use"
        if not self._story.saved:
            return f"{button}: no checkpoint yet: the first comes after about a minute"
        return self._may_start(button)

    @property
    def looks_ahead(self) -> bool:
        """Whether a preview of the training is what a person wants to see, not what the model in use proposes."""
        if self._is_active:
            return True
        return self.model is None and self._story is not None and self._story.saved > 0

    @property
    def may_cancel(self) -> str | None:
        """Why there is nothing to cancel; None when there is."""
        return None if self._task is not None else "Cancel: nothing is under way"

    def predict(self, cases: Iterable[str] | None = None) -> None:
        """Propose labels.

        Args:
            cases: ids; None for all cases in which a label is still to be found.

        Raises:
            ProjectError: :attr:`may_predict` gives a reason, no such case, or every label is known in every case.
            RunError: the engine cannot be started.
        """
        require(self.may_predict)
        project = self._opened()
        wanted = self._unfinished() if cases is None else [project.case(case_id).id for case_id in cases]
        require(None if wanted else "Predict: every organ is known in every case")
        chosen = [] if len(wanted) == len(project.cases) else [w for case_id in wanted for w in ("--case", case_id)]
        words = f"predicting {counted(len(wanted), 'case')}"
        self._begin(self._child("predict", words, "predict", self._root, "--json", *chosen))

    def preview(self) -> None:
        """Show what the training would propose in the current case, from its newest checkpoint; it goes on meanwhile.

        The preview takes the place of what was proposed in the case. It is for looking: a proposal to decide on comes
        with the next prediction.

        Raises:
            ProjectError: :attr:`may_preview` gives a reason.
            RunError: the engine cannot be started.
        """
        require(self.may_preview)
        assert self._story is not None
        case, run = self._case(), self._story.run
        verb = ("predict", self._root, "--json", "--case", case.id, "--run", run.id)
        self._begin(self._child("preview", f"previewing case {case.id}", *verb))

    @property
    def may_propose(self) -> str | None:
        """Why nothing can be proposed now, by the training or else by the model in use; None when something can."""
        return self.may_preview if self.looks_ahead else self.may_predict

    def propose(self) -> None:
        """Let the training show what it would propose now; without one, let the model in use propose labels for the
        current case, for all cases without a current one.

        Raises:
            ProjectError: :attr:`may_propose` gives a reason.
            RunError: the engine cannot be started.
        """
        if self.looks_ahead:
            self.preview()
        else:
            case = self.current_case
            self.predict(None if case is None else [case.id])

    def predict_folder(self, images: Path, output: Path) -> None:
        """Propose labels for volumes that are no cases of the project.

        Raises:
            ProjectError: :attr:`may_predict` gives a reason, or there is no such folder.
            RunError: the engine cannot be started.
        """
        require(self.may_predict)
        require(None if Path(images).is_dir() else f"Predict folder: there is no folder {images}")
        words, verb = f"predicting the volumes of {Path(images).name}", ("predict", self._root, "--json")
        self._begin(self._child("predict folder", words, *verb, "--images", str(images), "--output", str(output)))

    def cancel_task(self) -> None:
        """End what is under way; what it finished so far stays.

        Raises:
            ProjectError: nothing is.
        """
        require(self.may_cancel)
        assert self._task is not None
        self._task.cancel()

    def _unfinished(self) -> list[str]:
        names, cases = self._opened().label_set.names, self._opened().cases.values()
        return [case.id for case in cases if not all(case.annotation(name).everywhere for name in names)]

    _model_waits = False
    """Whether a model came while a preview was under way: it proposes after that."""

    def _forget_training(self) -> None:
        super()._forget_training()
        self._model_waits, self._previewed = False, None

    def _model_is_new(self) -> None:
        self._model_waits = self._task is not None and self._task.kind == "preview"
        if self.predict_after_training and self.may_predict is None and self._unfinished():
            self.predict()

    # Looking ---------------------------------------------------------------------------------------------------------

    def _poll_task(self) -> None:
        task = self._task
        if task is None:
            return
        now = task.poll()
        if now.active:
            if now != self._told_task:
                self._told_task = now
                self.signals.tell(self.signals.task_changed, now)
            return
        self._task = self._told_task = None
        problem, result, words = task.problem, task.result, now.words
        task.forget()
        self._task_ended(task, words, problem, result)
        self.signals.tell(self.signals.task_changed, None)
        if self._model_waits:
            self._model_is_new()

    _told_task: TaskProgress | None = None

    def _task_ended(self, task: Task, words: str, problem: str | None, result: Any) -> None:
        if problem is not None:
            level = "warning" if task.cancelled else "error"
            self._say(f"{words[0].upper()}{words[1:]}: {problem}", level)
        elif task.kind in IMPORTS:
            self._say(_last_line(result) or f"{words}: done")
        elif task.kind == "preview" and isinstance(result, dict) and not result.get("refused"):
            self._previewed = next(iter(result.get("cases") or ()), None)
            self._say(f"This is a {result.get('model')}, not the model in use")
        else:
            self._say(*_summary(words, result))
        if task.kind in ("predict", "preview"):
            self.refresh_queue()

    _previewed: str | None = None
    """Case whose preview has come and is to be looked at once the queue has it."""

    def refresh_queue(self) -> None:
        """The review reads the proposals again."""


def _summary(words: str, result: Any) -> tuple[str, str]:
    """What a prediction said, and how bad that is."""
    if isinstance(result, str):
        return result.strip() or f"{words}: done", "info"
    said: dict[str, Any] = result if isinstance(result, dict) else {}
    done = said.get("cases") or said.get("volumes") or {}
    refused: dict[str, str] = said.get("refused") or {}
    sentence = f"{counted(len(done), 'volume')} predicted"
    if refused:
        sentence += f"; not {joined(f'{name} ({why})' for name, why in refused.items())}"
    return sentence, "warning" if refused else "info"


def _last_line(text: Any) -> str:
    """The last line of an import that is about what it did, not about what to type next."""
    lines = [line for line in str(text).splitlines() if line.strip() and not line.startswith("next:")]
    return lines[-1] if lines else ""
