"""Training: start, stop, go on. The engine works in a process of its own."""

from __future__ import annotations

import time
from dataclasses import replace

from ..project.models import roll_back
from .core import require
from .rows import Progress
from .training_watch import TrainingWatch

__all__ = ["Training"]


class Training(TrainingWatch):
    """Commands of the training panel."""

    def train(
        self,
        preset: str | None = None,
        *,
        method: str | None = None,
        device: str = "auto",
        from_scratch: bool = False,
    ) -> None:
        """Plan and start a training in the background, after what is painted is stored.

        Args:
            preset: one of :attr:`presets`; :attr:`preset` when None.
            method: as ``semisupseg methods`` lists them; None: what the command line does untold.
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

    def _plan(self, method: str | None, device: str, *, from_scratch: bool) -> None:
        require(self.may_train)
        words = ["--preset", self.preset, "--device", device, "--background", "--json"]
        words += ["--method", method] if method else []
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
        self._follow_new(run, job)

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
