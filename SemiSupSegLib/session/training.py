"""Training: start, stop, go on, attach, and how it stands. The engine works in a process of its own."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import ProjectError, SemiSupSegError
from ..project.models import roll_back
from .core import require
from .rows import Progress
from .story import Story
from .task import Child, Thread
from .training_rules import TrainingRules

if TYPE_CHECKING:
    from ..jobs.run import Run

__all__ = ["GRACE_SECONDS", "Training"]

GRACE_SECONDS = 5.0
"""How long a training may take to write its checkpoint after it was asked to stop; then it is ended."""


class Training(TrainingRules):
    """Commands and rules of the training panel."""

    _stop_asked: float | None = None
    _killer: Thread | None = None

    # Commands --------------------------------------------------------------------------------------------------------

    def train(
        self, preset: str | None = None, *, method: str = "smile", device: str = "auto", from_scratch: bool = False
    ) -> None:
        """Plan and start a training in the background, after what is painted is stored.

        Args:
            preset: one of :attr:`presets`; :attr:`preset` when None.
            method: as ``semisupseg methods`` lists them.
            device: ``auto``, ``cpu`` or ``cuda``.
            from_scratch: random weights instead of the model in use.

        Raises:
            ProjectError: :attr:`may_train` gives a reason.
            RunError: the engine cannot be started.
        """
        require(None if self._worker.writing is None else self._may_change("Train"))
        if preset is not None:
            self.preset = preset
        self._stored_then(lambda: self._plan(method, device, from_scratch=from_scratch))

    def _plan(self, method: str, device: str, *, from_scratch: bool) -> None:
        require(self.may_train)
        words = ["--preset", self.preset, "--method", method, "--device", device, "--background", "--json"]
        more = ["--from-scratch"] if from_scratch else []
        self._launch = self._child("train", "planning the training", "train", self._root, *words, *more)
        self._tell_progress(Progress("", "planning", True, f"planning the training ({self.estimate()})"))

    def stop(self, *, now: bool = False) -> None:
        """Ask the training to write a checkpoint and end; it is ended when it does not answer in a few seconds.

        Args:
            now: end it at once; a second call does, too. What came after its last checkpoint is lost.

        Raises:
            ProjectError: :attr:`may_stop` gives a reason.
        """
        require(self.may_stop)
        if self._launch is not None:
            self._launch.cancel()
            return
        assert self._story is not None
        if now or self._stop_asked is not None or self._story.run.keep_requested:
            self._kill()
            return
        self._stop_asked = time.monotonic()
        self._story.run.request_stop()
        self._look_at_job()

    def keep_best(self) -> None:
        """End the training for good: its best checkpoint becomes a model and is used unless the hold-out gets worse.

        The training's own process does it; for one that was stopped or ended unexpectedly before, another process.

        Raises:
            ProjectError: :attr:`may_keep_best` gives a reason.
            RunError: the engine cannot be started.
        """
        require(self.may_keep_best)
        assert self._story is not None
        run = self._story.run
        if self._is_active:
            run.request_stop(keep_best=True)
            self._stop_asked = None  # scoring takes its time: nobody ends it after the grace of a plain stop
            self._look_at_job()
            return
        words = "keeping the best checkpoint"
        self._launch = self._child("keep", words, "stop", self._root, run.id, "--keep-best", "--json")
        self._tell_progress(Progress(run.id, "keeping", True, f"{words}: it is scored on the hold-out first"))

    def pause(self) -> None:
        """Ask the training to write a checkpoint and end, to be resumed.

        Raises:
            ProjectError: :attr:`may_pause` gives a reason.
        """
        require(self.may_pause)
        self.stop()

    def end(self) -> None:
        """End the training for good and keep its best checkpoint; while it is ending already, end it at once.

        Raises:
            ProjectError: :attr:`may_end` gives a reason.
            RunError: the engine cannot be started.
        """
        if self.ending:
            self.stop(now=True)
        else:
            self.keep_best()

    def resume(self) -> None:
        """Go on from the last checkpoint of the last training.

        Raises:
            ProjectError: :attr:`may_resume` gives a reason.
            RunError: it cannot be started.
        """
        require(None if self._worker.writing is None else self._may_change("Resume"))
        self._stored_then(self._resume)

    def _resume(self) -> None:
        from ..jobs.job import LocalJob

        require(self.may_resume)
        assert self._story is not None
        run = self._story.run
        with self._opened().lock():
            self._refuse_another()
            run.set_request(replace(run.request(), resume=True))
            job = LocalJob.start(run, [*self.program, "train-run", str(run.folder.resolve())])
        self._follow(run, job)

    def rollback(self) -> None:
        """Put the model before the one in use back into use.

        Raises:
            ProjectError: :attr:`may_rollback` gives a reason.
        """
        require(self.may_rollback)
        project = self._opened()
        with project.lock():
            before, now = roll_back(project.models_folder)
            project.journal.append(action="rollback", who=self.who, detail={"from": before, "to": now})
        self.signals.tell(self.signals.project_changed)
        self._say(f"model {now} is in use again; {before} stays on disk")

    # Looking ---------------------------------------------------------------------------------------------------------

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
            self._follow(self._run_named(told))
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
