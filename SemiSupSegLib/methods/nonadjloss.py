"""NonAdjLoss: organs that touch in no annotated case should not touch in a prediction, in unannotated cases either.

Ganaye, Sdika, Benoit-Cattin, MICCAI 2018 and Medical Image Analysis 2019: L = L_segmentation + lambda L_NA, the first
on what is annotated, the second on all patches; lambda by :class:`~.lambda_control.LambdaControl`. L_NA alone is lowest
with one label everywhere, so it has to begin after the segmentation works: start from a promoted model (``train`` does
where there is one of the same backbone), else, and with ``--from-scratch``, the first half of the budget runs without
it. Three dimensions, sigmoids, the relative form and partly annotated cases are ours; ``paper`` gives slices, softmax,
weighted cross-entropy + 5 Dice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from ..config import Config as RunConfig
from ..config import NetworkConfig
from ..data.batch import Batch
from ..errors import ConfigError
from ..losses.distribution import exclusive_distribution, independent_distribution
from ..losses.label_sums import counted
from ..losses.nonadjacency import (
    contacts,
    non_adjacency,
    relative_non_adjacency,
    soft_adjacency,
)
from ..losses.reduce import mean_over_processes
from ..losses.weighted import batch_dice, median_frequency, weighted_cross_entropy, with_background
from ..project.labels import LabelSet
from .base import Judgement, Method, MethodConfig, Step
from .lambda_control import TUNING, Epoch, LambdaControl
from .nonadjloss_plan import as_published, forbidden_matrix, has_start

if TYPE_CHECKING:
    from ..project.project import Project

__all__ = ["NonAdjLoss"]

FROM_SCRATCH = 0.5
"""Warm-up where there is no model to start from."""


@dataclass(frozen=True, kw_only=True)
class NonAdjLossConfig(MethodConfig):
    """Defaults are ours unless they say otherwise."""

    forbidden: tuple[tuple[str, str], ...] | None = None
    """Pairs of names that must not touch, ``background`` for the background; None: the planner puts in those that
    touch in no annotated training case (``semisupseg adjacency`` shows and changes them)."""
    neighbours: Literal["3d", "x", "y", "z"] = "3d"
    """What touches: the 3x3x3 box, or the 3x3 box in slices across an axis (the paper's: coronal, ``y``)."""
    exclude_center: bool = False
    """Leave the voxel itself out of its box; the paper keeps it, which also makes voxels choose between two labels."""
    relative: bool = True
    """L_NA as the share of all contacts that is forbidden; False is the paper's mean over pairs, a tiny number. Both
    train alike, since lambda is set from L_NA."""
    unlabelled: float = 0.5
    """Share of each batch from cases without any annotation, 0 to 1; the paper's 0.75."""
    warmup: float | None = None
    """Share of the budget before the constraint, 0 to below 1. None: the planner puts in 0 with a model to start from,
    else 0.5."""
    control: Literal["holdout", "training"] | None = None
    """What lambda follows: validations on the hold-out (the paper), or Dice and L_NA of the training patches, which
    cannot roll back or select. None: the planner puts in ``holdout`` where there is one, else ``training``."""
    window: int = 50
    """Steps that make an epoch when lambda follows the training patches."""
    interval: int = 5
    """Epochs between two changes of lambda (the paper's)."""
    frequencies: tuple[float, ...] = ()
    """Share of voxels of the background and of each label, for ``paper``; the planner puts it in. Empty: all alike."""
    paper: bool = False
    """As published: coronal slices of ModSegNet with softmax, median-frequency cross-entropy + 5 Dice over all classes,
    SGD at 0.001, three unannotated patches for each annotated one. It too wants a model to start from."""

    def __post_init__(self) -> None:
        for name, fits, wanted in (
            ("unlabelled", 0 <= self.unlabelled <= 1, "between 0 and 1"),
            ("warmup", 0 <= (self.warmup or 0) < 1, "at least 0 and below 1"),
            ("window", self.window >= 1, "at least 1"),
            ("interval", self.interval >= 1, "at least 1"),
        ):
            if not fits:
                msg = f"nonadjloss.{name}: {getattr(self, name)} is not {wanted}"
                raise ConfigError(msg)


class NonAdjLoss(Method):
    """The segmentation losses of every method, and the constraint at the weight that its control gives it."""

    name = "nonadjloss"
    summary = "Forbids contacts between organs that never touch in the annotated cases, also in unannotated ones."
    Config = NonAdjLossConfig
    config: NonAdjLossConfig

    def __init__(
        self, options: dict[str, Any], label_set: LabelSet, network: NetworkConfig, modalities: int = 1
    ) -> None:
        super().__init__(options, label_set, network, modalities)
        self.forbidden = forbidden_matrix(self.config.forbidden or (), label_set)
        self.constrained = bool(self.forbidden.any())
        self.control = LambdaControl(interval=self.config.interval)
        self.epoch = Epoch(len(label_set))
        self._progress = 0.0
        frequencies = self.config.frequencies
        if frequencies and len(frequencies) != len(label_set) + 1:
            msg = f"nonadjloss.frequencies: {len(frequencies)} for the background and {len(label_set)} labels"
            raise ConfigError(msg)
        self._frequency = median_frequency(torch.tensor(frequencies or (1.0,) * (len(label_set) + 1)))

    def adapt(self, config: RunConfig, project: Project) -> RunConfig:
        """Fill in the pairs, the warm-up and what lambda follows from the project; the paper's settings if asked."""
        own = self.config
        config = replace(config, data=replace(config.data, unlabelled=own.unlabelled))
        config = as_published(config, project) if own.paper else config
        options = dict(config.options)
        if own.forbidden is None:
            from ..project.adjacency import forbidden_pairs

            options["forbidden"] = [list(pair) for pair in forbidden_pairs(project)]
        if own.control is None:
            scored = any(case.annotated for case in project.holdout_cases())
            options["control"] = "holdout" if scored else "training"
        if own.warmup is None:
            starts = not self.from_scratch and has_start(project, config.network)
            options["warmup"] = 0.0 if starts else FROM_SCRATCH
        return replace(config, options=options)

    @property
    def unlabelled_from(self) -> float:
        """Unannotated cases know the constraint alone."""
        return self.config.warmup or 0.0

    def losses(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """The segmentation's terms; after the warm-up ``non_adjacency`` too, where any pair is forbidden."""
        self._progress = step.progress
        logits = step.networks["segmentor"](batch.image).logits
        if not self.constrained or self._constrained_progress < 0:
            return self._segmentation(logits, None, batch)
        distribution = self._distribution(logits)
        terms = self._segmentation(logits, distribution, batch)
        box = {"slice_axis": self._slice_axis, "exclude_center": self.config.exclude_center}
        adjacency = soft_adjacency(distribution, batch.valid, **box)  # type: ignore[arg-type]
        self.forbidden = self.forbidden.to(adjacency.device)
        value = (relative_non_adjacency if self.config.relative else non_adjacency)(adjacency, self.forbidden)
        self._observe(distribution, value, batch)
        return {**terms, "non_adjacency": self.control.weight * value}

    def training_step(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """One optimizer step; a loss that is not finite lowers lambda and is left out, the third one goes back."""
        terms = self.losses(batch, step)
        total = sum(terms.values(), start=next(iter(terms.values())).new_zeros(()))
        agreed = mean_over_processes(total)  # a process must not step alone
        if not torch.isfinite(agreed):
            if not self.control.weight or self.control.failed():
                step.optimize("segmentor", agreed)  # refused by the loop, which goes back to its last checkpoint
            return {name: term.nan_to_num(posinf=0.0, neginf=0.0) for name, term in terms.items()}
        step.optimize("segmentor", total)
        if self.config.control != "holdout" and self.epoch.steps >= self.config.window:
            self._end_of_window()
        return terms

    def measure(self, probability: Tensor) -> dict[str, float]:
        """L_NA of a hold-out case, in the unit of the training loss. (K, *S) probabilities of the whole volume."""
        if not self.constrained:
            return {}
        box = {"slice_axis": self._slice_axis, "exclude_center": self.config.exclude_center}
        with torch.no_grad():
            distribution = self._whole(probability)
            adjacency = contacts(distribution[None], **box) / max(distribution[0].numel(), 1)  # type: ignore[arg-type]
        forbidden = self.forbidden.to(adjacency.device)
        norm = adjacency.sum() if self.config.relative else forbidden.sum()
        return {"non_adjacency": float(adjacency[forbidden].sum() / norm)}

    def judge(self, score: float | None, measures: dict[str, float]) -> Judgement | None:
        """An epoch is over: lambda for the next one, and whether this is the result so far."""
        value = measures.get("non_adjacency")
        if self.config.control != "holdout" or score is None or value is None or self._constrained_progress < 0:
            return None
        if self.control.started:
            return self.control.advance(score, value, tuning=self._constrained_progress >= TUNING)
        if not self.epoch.steps:
            return None
        dice, trained = self.epoch.end()
        return self.control.start(score, value, train_dice=score if dice is None else dice, train_non_adjacency=trained)

    def state(self) -> dict[str, Tensor]:
        """lambda and all that decides about it, and what the epoch has seen."""
        control = {f"control.{k}": torch.tensor(v, dtype=torch.float64) for k, v in self.control.state().items()}
        return {**control, "epoch": self.epoch.sums.clone()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Inverse of :meth:`state`."""
        own = {k.removeprefix("control."): v.item() for k, v in state.items() if k.startswith("control.")}
        self.control = LambdaControl.from_state(own)
        self.epoch.sums = state["epoch"].to("cpu", torch.float64, copy=True)

    @property
    def _constrained_progress(self) -> float:
        """Progress after the warm-up, up to 1; negative during it."""
        warmup = self.config.warmup or 0.0
        return (self._progress - warmup) / (1 - warmup)

    @property
    def _slice_axis(self) -> int | None:
        return None if self.config.neighbours == "3d" else "xyz".index(self.config.neighbours)

    def _distribution(self, logits: Tensor) -> Tensor:
        """(B, K + 1, *S), background first."""
        if self.label_set.overlaps and not self.exclusive:
            return independent_distribution(logits)
        return exclusive_distribution(logits, background=self.exclusive)

    def _whole(self, probability: Tensor) -> Tensor:
        """(K + 1, *S) from a volume's (K, *S), as :meth:`_distribution` is from logits, with one copy in memory."""
        whole = torch.cat((torch.ones_like(probability[:1]), probability))
        if self.exclusive:
            whole[0] = (1 - probability.sum(dim=0)).clamp(min=0)
        elif self.label_set.overlaps:
            for one in probability:
                whole[0] *= 1 - one
        else:
            for one in whole[1:]:
                one /= (1 - one).clamp(min=1e-6)
            whole /= whole.sum(dim=0)
        return whole

    def _segmentation(self, logits: Tensor, distribution: Tensor | None, batch: Batch) -> dict[str, Tensor]:
        if not self.config.paper:
            return self.supervised(logits, batch)
        if not self.exclusive:
            logits = torch.cat((torch.zeros_like(logits[:, :1]), logits), dim=1)
        target, weight = batch.target, batch.known
        scored = batch.known & batch.annotated[(..., *(None,) * (target.ndim - 2))]
        if batch.pseudo is not None:
            added = batch.pseudo & ~batch.known & batch.valid
            target, scored = target | added, scored | added
            weight = batch.known.float() + self.pseudo_weight * added
        truth, known = with_background(target, counted(weight))
        probability = logits.float().softmax(dim=1) if distribution is None else distribution
        dice = batch_dice(probability, truth, torch.cat((known[:, :1], scored), dim=1))
        return {
            "cross_entropy": weighted_cross_entropy(logits, target, weight, self._frequency.to(logits.device)),
            "dice": self.config.dice_weight * dice,
        }

    @torch.no_grad()
    def _observe(self, distribution: Tensor, value: Tensor, batch: Batch) -> None:
        """What the curves show, and what the control needs to know of these patches."""
        self.log = {"non_adjacency": float(value), "lambda": self.control.weight}
        if self.control.started and self.config.control == "holdout":
            return
        scored = batch.known & batch.annotated[(..., None, None, None)]
        self.epoch.add(distribution, batch.target, scored, value)

    def _end_of_window(self) -> None:
        """An epoch of training patches; one without an annotated voxel says nothing about Dice."""
        dice, value = self.epoch.end()
        if dice is None:
            return
        if self.control.started:
            self.control.advance(dice, value, tuning=self._constrained_progress >= TUNING)
        else:
            self.control.start(dice, value, train_dice=dice, train_non_adjacency=value)
