"""Watching: follows the process that trains, and tells what becomes of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..errors import ProjectError, SemiSupSegError
from .core import require
from .rows import Progress
from .story import Story
from .task import Child, Thread
from .training_rules import TrainingRules

if TYPE_CHECKING:
    from ..jobs.run import Run

__all__ = ["GRACE_SECONDS", "TrainingWatch"]

GRACE_SECONDS = 5.0
"""How long a training may take to write its checkpoint after it was asked to stop; then it is ended."""


class TrainingWatch(TrainingRules):
    """From the start of the engine, or from a run that is there already, to its last word."""

    _stop_asked: float | None = None
    _killer: Thread | None = None

    def _attach(self) -> None:
        """The run on which a process works, else the last one."""
        from ..jobs.state import active_run, runs

        folder = self._opened().runs_folder
        run = active_run(folder)
        known = [run] if run is not None else runs(folder)
        if known:
            self._follow(known[-1])

    def _follow(self, run: Run, job: object = None) -> None:
        self._story = Story(run, job)  # type: ignore[arg-type]
        self._stop_asked = None
        self._story.new()
        self._tell_progress(self._story.progress())

    def _follow_new(self, run: Run, job: object = None) -> None:
        """A run that was just begun; a short one, or one that failed at once, may be over when it is first seen."""
        self._follow(run, job)
        if self._progress is not None and not self._progress.active:
            self._job_ended(self._progress)

    def _refuse_another(self) -> None:
        from ..jobs.state import active_run

        run = active_run(self._opened().runs_folder)
        require(None if run is None else f"run {run.id} of this project is active: wait for its end or stop it")

    def _poll_training(self) -> None:
        if self._launch is not None:
            self._look_at_launch(self._launch)
        elif self._story is not None and (self._progress is None or self._progress.active):
            self._look_at_job()
        if self._killer is not None and not self._killer.active:
            problem, self._killer = self._killer.problem, None
            if problem:
                self._say(problem, "error")

    def _look_at_launch(self, child: Child) -> None:
        if child.active:
            return
        self._launch = None
        problem, told = child.problem, child.result
        tail = child.log
        child.forget()
        if child.kind == "keep":
            self._kept(problem)
            return
        if child.cancelled:
            self._tell_progress(Progress("", "stopped", False, "stopped before it began"))
            return
        try:
            require(problem)
            self._follow_new(self._run_named(told))
        except SemiSupSegError as error:
            self._tell_progress(Progress("", "failed", False, f"the training did not start: {error}", tail))
            self._say(f"Train: {error}", "error")

    def _kept(self, problem: str | None) -> None:
        assert self._story is not None
        self._follow(self._story.run)
        if problem is None and self._progress is not None:
            self._job_ended(self._progress)
        else:
            self._say(f"Stop & keep best: {problem}", "error")

    def _run_named(self, told: object) -> Run:
        from ..jobs.run import Run

        name = told.get("id") if isinstance(told, dict) else None
        if not isinstance(name, str) or "/" in name or "\\" in name:
            msg = "the engine did not say which run it began"
            raise ProjectError(msg)
        return Run.open(self._opened().runs_folder / name)

    def _look_at_job(self) -> None:
        assert self._story is not None
        before = self._progress
        self._story.new()
        now = self._story.progress()
        if now != before:
            self._tell_progress(now)
        if not now.active:
            self._stop_asked = None
            if before is not None and before.active:
                self._job_ended(now)
        elif self._stop_asked is not None and time.monotonic() - self._stop_asked > GRACE_SECONDS and not self._killer:
            said = f"the training did not answer within {GRACE_SECONDS:.0f} s"
            self._say(f"{said} and is ended; its last checkpoint is kept", "warning")
            self._kill()

    def _job_ended(self, now: Progress) -> None:
        level = "info" if now.state in ("finished", "stopped") else "error"
        self._say(f"Train: {now.words}" + (f"; model {now.model} is in use" if now.model else ""), level)
        self.signals.tell(self.signals.project_changed)
        if now.state == "finished" and now.model is not None:
            self._model_is_new()

    def _model_is_new(self) -> None:
        """For the prediction that follows."""

    def _kill(self) -> None:
        from ..jobs.job import LocalJob

        assert self._story is not None
        if self._killer is None:  # beside the front end: it takes up to some seconds
            run = self._story.run
            self._killer = Thread("stop", "ending the training", lambda _tell: LocalJob.attach(run).kill())

    def _tell_progress(self, progress: Progress) -> None:
        self._progress = progress
        self.signals.tell(self.signals.job_changed, progress)

    def _forget_training(self) -> None:
        """Let go of the process; it goes on."""
        self._launch = self._story = self._progress = self._stop_asked = None
