"""Loop: from a checkpoint to the end of the budget, and back to work after what goes wrong.

Memory that runs out makes the batch smaller, then the patch, then moves to the CPU, and not a step is lost. A loss that
is not finite takes the run back to its last checkpoint with a lower learning rate, at most three times.
"""

from __future__ import annotations

import time
from contextlib import closing

import torch
from lightning_fabric import Fabric

from ..config import Config
from ..data.loader import Batches, loader
from ..data.prepare import PreparedCase
from ..data.source import PatchSource
from ..jobs.protocol import EventKind
from ..jobs.run import Run
from ..methods.base import Judgement
from ..project.project import Project
from .backoff import is_out_of_memory
from .budget import Budget, learning_rate
from .checkpoint import Checkpoint, save_checkpoint
from .parts import agreed_parts, annotated_parts
from .probe import Probe, probe
from .repair import back_off, back_to_good, roll_back
from .reporter import Reporter
from .state import TrainingState
from .validate import validate

__all__ = ["Loop"]

SECONDS_BETWEEN_VALIDATIONS = 20.0
"""Shortest time between two scorings of the hold-out."""
VALIDATION_SHARE = 0.08
"""Largest share of the time that scoring the hold-out may take."""


class _RepairedError(Exception):
    """Something was repaired; the loop starts again from this checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.checkpoint = checkpoint


class Loop:
    """The training of one run in one process.

    Args:
        run: where checkpoints go, and whose stop file is looked for.
        project: for its labels.
        config: what to train; smaller after a back-off, see :attr:`config`.
        fabric: launched.
        reporter: of this process.
    """

    def __init__(self, run: Run, project: Project, config: Config, fabric: Fabric, reporter: Reporter) -> None:
        self.run, self.project, self.config, self.fabric, self.reporter = run, project, config, fabric, reporter
        self.factor = 1.0
        """Of the learning rate; halved by each roll-back."""
        self.rollbacks = 0
        self.mixed_from: int | None = None
        """Iteration from which batches have unannotated cases; None: it is not time for them yet."""
        self.grown_from: int | None = None
        """Iteration from which patches have their full size; None: not yet."""
        self.elapsed = 0.0
        """Seconds of training, interruptions left out."""
        self.early = False
        """Whether the user ended it before its time and wants to keep what was learnt."""
        self.best: float | None = None
        """Highest score of the hold-out so far."""
        self.parts: dict[str, int] = {}
        """How many connected parts the labels have in all annotated cases, where these agree; kept with what is
        learnt."""
        self.probed: Probe
        self.state: TrainingState

    def count_parts(self, cases: list[PreparedCase]) -> None:
        """Set :attr:`parts` from the cases that people annotated."""
        counts = zip(self.project.label_set.names, agreed_parts(annotated_parts(cases)), strict=True)
        self.parts = {name: count for name, count in counts if count is not None}

    def build(self) -> None:
        """Make networks and optimizers as :attr:`config` says now."""
        self.probed = probe(self.config, self.fabric.device)
        self.state = TrainingState(self.config, self.project.label_set, self.fabric, self.probed)

    def take_up(self, checkpoint: Checkpoint) -> None:
        """Go on with the configuration and the counters of a checkpoint."""
        self.config = Config.from_json(checkpoint.state["config"])
        self.elapsed, self.best = checkpoint.state["elapsed"], checkpoint.state["best"]
        self.factor, self.rollbacks = checkpoint.state["factor"], checkpoint.state["rollbacks"]
        self.mixed_from = checkpoint.state.get("mixed_from", 0)
        self.grown_from = checkpoint.state.get("grown_from", 0)

    def go(self, cases: list[PreparedCase], holdout: list[PreparedCase], checkpoint: Checkpoint) -> bool:
        """Train from a checkpoint to the end of the budget, or until the user wants to keep what there is
        (:attr:`early`); True when the user stopped it to go on later, or before it learnt anything.

        Raises:
            RunError: there is nothing left to give up, or too many roll-backs.
        """
        while True:
            try:
                return self._until_the_end(cases, holdout, checkpoint)
            except _RepairedError as repaired:
                checkpoint = repaired.checkpoint

    def _until_the_end(self, cases: list[PreparedCase], holdout: list[PreparedCase], checkpoint: Checkpoint) -> bool:
        self.build()
        self.state.restore(checkpoint)
        if self.mixed_from is None and self.state.method.wants_unlabelled(0.0, 0):
            self.mixed_from = 0
        if self.grown_from is None and self.config.data.first_patch_size is None:
            self.grown_from = 0
        budget = Budget(self.config.train, elapsed=self.elapsed)
        saved = validated = time.monotonic()
        cost, stop = 0.0, False
        with closing(self._batches(cases)) as batches:
            while True:
                progress, stop, keep = self._agree(budget.progress(self.state.iteration))
                self.elapsed = budget.elapsed
                if stop or progress >= 1.0:
                    self.early = keep and self.state.iteration > 0
                    break
                if self.mixed_from is None and self.state.method.wants_unlabelled(progress, self.state.iteration):
                    self.mixed_from = batches.mix(self.state.iteration)
                if self.grown_from is None and progress >= self.config.data.grows_at:
                    self.grown_from = batches.grow(self.state.iteration)
                self._step(batches, budget, progress)
                now = time.monotonic()
                if now - saved > self.config.train.checkpoint_seconds:
                    self.save("last")
                    saved = now
                if holdout and now - validated > max(SECONDS_BETWEEN_VALIDATIONS, cost / VALIDATION_SHARE):
                    self._validate(holdout)
                    validated, cost = time.monotonic(), time.monotonic() - now
        if holdout and not stop:
            self._validate(holdout)
        self.save("last")
        if stop and not self.early:
            self.reporter.say(EventKind.STOPPED, step=self.state.iteration)
        return stop and not self.early

    def _batches(self, cases: list[PreparedCase]) -> Batches:
        data, train = self.config.data, self.config.train
        source = PatchSource(cases, self.project.label_set, data, seed=train.seed, batch_size=train.batch_size)
        return loader(
            source,
            first_iteration=self.state.iteration,
            mixed_from=self.mixed_from,
            grown_from=self.grown_from,
            batch_size=train.batch_size,
            rank=self.fabric.global_rank,
            processes=self.fabric.world_size,
            workers=train.workers,
        )

    def _agree(self, progress: float) -> tuple[float, bool, bool]:
        """Progress, whether to stop, and whether to keep the best then, as the first process sees them: all processes
        do the same number of steps."""
        stop = self.run.stop_requested
        progress, stopped, kept = self.first_says(progress, stop, stop and self.run.keep_requested)
        return progress, bool(stopped), bool(kept)

    def first_says(self, *numbers: float) -> list[float]:
        """The numbers that the first process has, in all of them; every process must call it."""
        if self.fabric.world_size == 1:
            return list(numbers)
        order = torch.tensor(numbers, dtype=torch.float64, device=self.fabric.device)
        told: list[float] = self.fabric.broadcast(order).tolist()
        return told

    def _step(self, batches: Batches, budget: Budget, progress: float) -> None:
        state = self.state
        rate = learning_rate(self.config.train, progress=progress, iteration=state.iteration, factor=self.factor)
        state.progress, state.factor = progress, self.factor
        try:
            batch = next(batches).to(self.fabric.device)
            losses = state.train_step(batch, learning_rate=rate)
        except FloatingPointError as error:
            raise _RepairedError(roll_back(self, str(error))) from None
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or self.fabric.world_size > 1:
                raise
            raise _RepairedError(back_off(self)) from None
        state.iteration += 1
        self.reporter.progress(
            step=state.iteration,
            fraction=budget.progress(state.iteration),
            eta=budget.eta_seconds(state.iteration),
            losses=losses,
            log=state.method.log,
            learning_rate=rate,
            waiting=round(batches.waiting_seconds / max(budget.elapsed, 1e-9), 4),
        )

    def snapshot(self) -> Checkpoint:
        """All that is needed to go on from here."""
        return self.state.snapshot(
            config=self.config.to_json(),
            elapsed=self.elapsed,
            factor=self.factor,
            rollbacks=self.rollbacks,
            mixed_from=self.mixed_from,
            grown_from=self.grown_from,
            best=self.best,
            parts=self.parts,
            label_set=self.project.label_set.to_json(),
        )

    def save(self, *names: str) -> Checkpoint:
        """Write a checkpoint and point the given names to it; events name the first."""
        checkpoint = self.snapshot()
        if self.fabric.is_global_zero:
            save_checkpoint(self.run.checkpoints, checkpoint, names=names)
            self.reporter.say(EventKind.CHECKPOINT, step=checkpoint.step, name=names[0])
        self.fabric.barrier()
        return checkpoint

    def _validate(self, holdout: list[PreparedCase]) -> None:
        """Score the hold-out on what people annotated there; the best so far is kept as ``best``.

        A method may judge otherwise, and may ask to go back to the last moment that it called good.
        """
        method = self.state.method
        scores = validate(
            self.state.predicting(),
            holdout,
            self.project.label_set,
            self.config,
            self.probed,
            alive=lambda: self.reporter.alive("scoring the hold-out"),
            measure=method.measure,
        )
        higher = scores.mean is not None and (self.best is None or scores.mean >= self.best)
        judgement = method.judge(scores.mean, scores.measures) or Judgement(best=higher)
        if judgement.best:
            self.best = scores.mean
        said = {"dice": scores.dice, "mean": scores.mean, "measures": scores.measures, "best": judgement.best}
        self.reporter.say(EventKind.VALIDATED, step=self.state.iteration, **said)
        names = [name for name, kept in (("best", judgement.best), ("good", judgement.good)) if kept]
        if names:
            self.save("last", *names)  # whoever goes on or takes a preview wants the newest
        if judgement.roll_back:
            raise _RepairedError(back_to_good(self))
