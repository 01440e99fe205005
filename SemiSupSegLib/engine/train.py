"""The loop: one for all methods, on CPU, one GPU, or the processes that torchrun started.

Read it from top to bottom. It sums what the method returns, steps, reports, looks for the stop file, writes a checkpoint every
minute, scores the hold-out, and goes on after what goes wrong: memory that runs out (smaller batch, patch, CPU), a loss that
is not finite (back to the last checkpoint with a lower learning rate, at most three times).
"""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from ..config import Config
from ..data.batch import Batch
from ..data.loader import loader
from ..data.prepare import PreparedCase, ct_statistics, prepare, prepare_holdout
from ..data.source import PatchSource
from ..errors import RunError, SemiSupSegError
from ..jobs.protocol import EventKind
from ..jobs.run import Run
from ..project.models import promoted_model
from ..project.project import Project
from .backoff import is_out_of_memory, smaller
from .budget import Budget, learning_rate
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .device import choose_device
from .launch import launch
from .model import Model
from .plan import check_trainable, estimate
from .probe import Probe, probe
from .promote import promote
from .reporter import Reporter
from .state import TrainingState, predicting_weights
from .validate import validate

__all__ = ["PSEUDO_FOLDER", "Outcome", "train"]

MODEL_FOLDER = "model"
"""Inside the run's folder: what it learnt."""
PSEUDO_FOLDER = "pseudo"
"""Inside the run's folder: what a relabelling round added."""
MOST_ROLLBACKS = 3
"""Roll-backs after which a run gives up."""
SECONDS_BETWEEN_VALIDATIONS = 20.0
"""Shortest time between two scorings of the hold-out."""
VALIDATION_SHARE = 0.08
"""Largest share of the time that scoring the hold-out may take."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    finished: bool
    """False: stopped by the user; ``last`` is written."""
    model_folder: Path | None = None
    """What was learnt, inside the run; None when stopped."""
    promoted: str | None = None
    """Name under which it is now in use; None when it was not promoted."""


class _Again(Exception):
    """Something was repaired; the loop starts again from this checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.checkpoint = checkpoint


def train(
    run: Run,
    project: Project,
    *,
    from_scratch: bool = False,
    resume: bool = False,
    start: Path | None = None,
    promotes: bool = True,
) -> Outcome:
    """Train the run's method on the project until the budget is spent or the user stops it.

    Args:
        run: its ``config.json`` says everything; events, log and checkpoints go there. Voxels that a relabelling round added
            are in its folder ``pseudo``, see :mod:`SemiSupSegLib.data.pseudo`.
        project: labels and cases.
        from_scratch: begin with random weights; otherwise with the promoted model when there is one.
        resume: go on from the run's last checkpoint.
        start: folder of the model to begin with instead of the promoted one.
        promotes: whether to offer the result for promotion at the end.

    Raises:
        SemiSupSegError: it cannot work; the sentence is also in the run's FAILED event.
    """
    config = run.config()
    device, reason = choose_device(config.train.device)
    fabric = launch(device)
    reporter = Reporter(run, speaks=fabric.is_global_zero)
    try:
        return _Training(run, project, config, fabric, reporter).run_to_the_end(
            reason=reason, from_scratch=from_scratch, resume=resume, start=start, promotes=promotes
        )
    except SemiSupSegError as error:
        reporter.say(EventKind.FAILED, reason=str(error))
        raise


class _Training:
    """One call of :func:`train`: what its parts share."""

    def __init__(self, run: Run, project: Project, config: Config, fabric: Fabric, reporter: Reporter) -> None:
        self.run, self.project, self.config, self.fabric, self.reporter = run, project, config, fabric, reporter
        self.factor = 1.0
        self.rollbacks = 0
        self.elapsed = 0.0
        self.best: float | None = None

    def run_to_the_end(self, *, reason: str, from_scratch: bool, resume: bool, start: Path | None, promotes: bool) -> Outcome:
        check_trainable(self.project)
        checkpoint = load_checkpoint(self.run.checkpoints) if resume else None
        if checkpoint is not None:
            self._take_up(checkpoint)
        self.reporter.say(
            EventKind.STARTED, device=self.fabric.device.type, reason=reason, processes=self.fabric.world_size,
            resumed_from=None if checkpoint is None else checkpoint.step,
        )
        cases, holdout = self._prepare()
        if checkpoint is None:
            checkpoint = self._first_checkpoint(from_scratch=from_scratch, start=start)
        while True:
            try:
                stopped = self._loop(cases, holdout, checkpoint)
                break
            except _Again as again:
                checkpoint = again.checkpoint
        if stopped:
            return Outcome(finished=False)
        folder = self.run.folder / MODEL_FOLDER
        promoted = None
        if self.fabric.is_global_zero:
            model = self._keep(folder)
            promoted = self._promote(model) if promotes else None
        self.fabric.barrier()
        self.reporter.say(EventKind.FINISHED, step=self.state.iteration, seconds=round(self.elapsed, 1))
        return Outcome(finished=True, model_folder=folder, promoted=promoted)

    def _take_up(self, checkpoint: Checkpoint) -> None:
        self.config = Config.from_json(checkpoint.state["config"])
        self.elapsed = checkpoint.state["elapsed"]
        self.factor, self.rollbacks = checkpoint.state["factor"], checkpoint.state["rollbacks"]
        self.best = checkpoint.state["best"]

    def _prepare(self) -> tuple[list[PreparedCase], list[PreparedCase]]:
        begin = time.monotonic()
        if self.config.data.intensity == "ct" and self.config.data.ct_window is None:
            data = replace(self.config.data, ct_window=ct_statistics(self.project))
            self.config = replace(self.config, data=data)
        alive = self.reporter.alive
        pseudo = self.run.folder / PSEUDO_FOLDER
        cases = prepare(
            self.project, self.config.data, pseudo=pseudo if pseudo.is_dir() else None,
            on_progress=lambda done, of: alive(f"preparing case {done} of {of}"),
        )
        holdout = prepare_holdout(self.project, self.config.data)
        need = estimate(self.project, self.config)
        self.probed: Probe = probe(self.config, self.fabric.device)
        self.reporter.say(
            EventKind.PREPARED, cases=len(cases), holdout=len(holdout), seconds=round(time.monotonic() - begin, 1),
            spacing=self.config.data.spacing, patch_size=self.config.data.patch_size,
            batch_size=self.config.train.batch_size, memory_gb=round(need.memory_gb, 2), minutes=need.minutes,
            precision=self.probed.precision, threads=self.probed.threads, why=self.probed.reason,
        )
        return cases, holdout

    def _build(self) -> TrainingState:
        self.probed = probe(self.config, self.fabric.device)
        return TrainingState(self.config, self.project.label_set, self.fabric, self.probed)

    def _first_checkpoint(self, *, from_scratch: bool, start: Path | None) -> Checkpoint:
        """The run's very first checkpoint: random weights, or an earlier model's. It is what a resume falls back to."""
        self.state = self._build()
        folder = start or (None if from_scratch else promoted_model(self.project.models_folder))
        if folder is not None:
            model = Model.load(folder)
            new = self.state.start_from(model.weights, model.label_set.names, self.project.label_set.names)
            self.reporter.say(
                EventKind.HEARTBEAT, doing=f"starting from model {folder.name}" + (f", {len(new)} tensors new" if new else "")
            )
        return self._save("last")

    def _loop(self, cases: list[PreparedCase], holdout: list[PreparedCase], checkpoint: Checkpoint) -> bool:
        """Train to the end of the budget; True when the user stopped it."""
        self.state = self._build()
        self.state.restore(checkpoint)
        budget = Budget(self.config.train, elapsed=self.elapsed)
        saved = validated = time.monotonic()
        cost, stop = 0.0, False
        with closing(self._batches(cases)) as batches:
            while True:
                progress, stop = self._agree(budget.progress(self.state.iteration))
                self.elapsed = budget.elapsed
                if stop or progress >= 1.0:
                    break
                self._step(batches, budget, progress)
                now = time.monotonic()
                if now - saved > self.config.train.checkpoint_seconds:
                    self._save("last")
                    saved = now
                if holdout and now - validated > max(SECONDS_BETWEEN_VALIDATIONS, cost / VALIDATION_SHARE):
                    self._validate(holdout)
                    validated, cost = time.monotonic(), time.monotonic() - now
        if holdout and not stop:
            self._validate(holdout)
        self._save("last")
        if stop:
            self.reporter.say(EventKind.STOPPED, step=self.state.iteration)
        return stop

    def _batches(self, cases: list[PreparedCase]) -> Any:
        data, train = self.config.data, self.config.train
        source = PatchSource(cases, self.project.label_set, data, seed=train.seed, batch_size=train.batch_size)
        return loader(
            source, first_iteration=self.state.iteration, batch_size=train.batch_size, rank=self.fabric.global_rank,
            processes=self.fabric.world_size, workers=train.workers,
        )

    def _agree(self, progress: float) -> tuple[float, bool]:
        """Progress and whether to stop, as the first process sees them: all processes do the same number of steps."""
        if self.fabric.world_size == 1:
            return progress, self.run.stop_requested
        order = torch.tensor([progress, float(self.run.stop_requested)], dtype=torch.float64, device=self.fabric.device)
        progress, stop = self.fabric.broadcast(order).tolist()
        return progress, bool(stop)

    def _step(self, batches: Any, budget: Budget, progress: float) -> None:
        state = self.state
        rate = learning_rate(self.config.train, progress=progress, iteration=state.iteration, factor=self.factor)
        state.progress = progress
        try:
            batch: Batch = next(batches).to(self.fabric.device)
            losses = state.train_step(batch, learning_rate=rate)
        except FloatingPointError as error:
            raise _Again(self._roll_back(str(error))) from None
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or self.fabric.world_size > 1:
                raise
            raise _Again(self._back_off()) from None
        state.iteration += 1
        self.reporter.progress(
            step=state.iteration, fraction=budget.progress(state.iteration), eta=budget.eta_seconds(state.iteration),
            losses=losses, learning_rate=rate, waiting=round(batches.waiting_seconds / max(budget.elapsed, 1e-9), 4),
        )

    def _roll_back(self, reason: str) -> Checkpoint:
        self.rollbacks += 1
        checkpoint = load_checkpoint(self.run.checkpoints)
        if checkpoint is None or self.rollbacks > MOST_ROLLBACKS:
            msg = f"{reason} at step {self.state.iteration}, after {MOST_ROLLBACKS} roll-backs: look for broken images or labels"
            raise RunError(msg)
        self.factor *= 0.5
        self.reporter.say(
            EventKind.ROLLED_BACK, reason=reason, to_step=checkpoint.step, learning_rate_factor=self.factor
        )
        return checkpoint

    def _back_off(self) -> Checkpoint:
        """A smaller configuration, and the state as it is: not a step is lost."""
        checkpoint = self._snapshot()
        device, multiple = self.fabric.device.type, self.state.raw["segmentor"].multiple
        less = smaller(self.config, device=device, multiple=multiple)
        if less is None:
            msg = f"memory ran out with {self.config.train.batch_size} patch of {self.config.data.patch_size} voxels on the CPU"
            raise RunError(msg)
        self.config, what = less
        del self.state
        if device == "cuda":
            torch.cuda.empty_cache()
            if self.config.train.device == "cpu":
                self.fabric = launch("cpu")
        self.reporter.say(
            EventKind.BACKED_OFF, what=what, batch_size=self.config.train.batch_size,
            patch_size=self.config.data.patch_size, device=self.config.train.device,
        )
        return checkpoint

    def _snapshot(self) -> Checkpoint:
        return self.state.snapshot(
            config=self.config.to_json(), elapsed=self.elapsed, factor=self.factor, rollbacks=self.rollbacks, best=self.best
        )

    def _save(self, *names: str) -> Checkpoint:
        checkpoint = self._snapshot()
        if self.fabric.is_global_zero:
            save_checkpoint(self.run.checkpoints, checkpoint, names=names)
            self.reporter.say(EventKind.CHECKPOINT, step=checkpoint.step, name=names[0])
        self.fabric.barrier()
        return checkpoint

    def _validate(self, holdout: list[PreparedCase]) -> None:
        """Score the hold-out on what people annotated there; the best so far is kept as ``best``."""
        scores = validate(
            self.state.predicting(), holdout, self.project.label_set, self.config, self.probed,
            alive=lambda: self.reporter.alive("scoring the hold-out"),
        )
        better = scores.mean is not None and (self.best is None or scores.mean >= self.best)
        if better:
            self.best = scores.mean
        self.reporter.say(
            EventKind.VALIDATED, step=self.state.iteration, dice=scores.dice, mean=scores.mean, best=better
        )
        if better:
            self._save("best")

    def _keep(self, folder: Path) -> Model:
        """What was learnt, as a model: the best checkpoint on the hold-out, or the last one where there is no hold-out."""
        name = "best" if self.best is not None else "last"
        checkpoint = load_checkpoint(self.run.checkpoints, name)
        assert checkpoint is not None
        model = Model(
            weights=predicting_weights(checkpoint),
            config=Config.from_json(checkpoint.state["config"]), label_set=self.project.label_set,
            run=self.run.id, checkpoint=name, step=checkpoint.step,
        )
        shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was killed right here
        model.save(folder)
        return model

    def _promote(self, model: Model) -> str | None:
        verdict = promote(self.project, model, alive=lambda: self.reporter.alive("scoring the hold-out"))
        self.reporter.say(
            EventKind.PROMOTED if verdict.promoted else EventKind.NOT_PROMOTED,
            model=verdict.model, score=verdict.score, before=verdict.before, reason=verdict.reason,
        )
        return verdict.model
