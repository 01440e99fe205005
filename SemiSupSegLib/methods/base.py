"""Method: what one file in this folder fills in: it sees batches and networks, never ranks, devices or files."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Config as RunConfig
from ..config import NetworkConfig
from ..data.batch import Batch
from ..errors import ConfigError
from ..losses.masked import added_positives, marginal_cross_entropy, masked_bce, segmentation_terms
from ..networks.segmentor import Segmentor
from ..project.labels import LabelSet
from ..structure import structure

if TYPE_CHECKING:
    from ..project.project import Project

ADDED_WEIGHT = 3.0
"""Of a voxel that a relabelling round added, where 1 is one voxel of its patch: about what a known voxel of a label
weighs that is annotated in a third of the cases, as in the published sum (``Testing/benchmarks/README.md``)."""

__all__ = ["METHODS", "Judgement", "Method", "MethodConfig", "OptimizerSettings", "Step", "rampup"]


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """Options that every method has."""

    dice_weight: float = 1.0
    """Weight of the soft Dice term beside the cross-entropy, >= 0; 0 is SMILE as published."""
    implied_weight: float = 1.0
    """Weight of the cross-entropy where strokes or finished slices imply that a label is not (``data/implied.py``),
    >= 0; 0 is as published."""


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """An optimizer of its own for a network beside the segmentor."""

    kind: Literal["adam", "adamw", "sgd"]
    learning_rate: float
    """Constant over the run; halved by each roll-back as the run's is."""
    betas: tuple[float, float] = (0.9, 0.999)
    """For ``adam`` and ``adamw``."""
    weight_decay: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a method makes of a validation."""

    best: bool
    """Keep this moment as the run's result, in place of the one kept before."""
    good: bool = False
    """Keep it as a place to go back to."""
    roll_back: bool = False
    """Go back to the last moment that was good, with a fresh optimizer."""


class Step(Protocol):
    """One iteration of the loop, as a method sees it."""

    networks: dict[str, nn.Module]
    """What :meth:`Method.networks` returned, ready to be called on this process's device."""
    iteration: int
    """Steps done before this one."""
    progress: float
    """Share of the budget that is used up, [0, 1): by time or by iterations, as the budget is given."""

    @property
    def averages(self) -> dict[str, nn.Module]:
        """Exponential moving averages of the networks that :attr:`Method.averaged` names (mean teachers), in eval mode
        and without gradients; each is of its network's own class."""

    def optimize(self, network: str, loss: Tensor) -> None:
        """Backward pass of ``loss`` and one optimizer step of ``network``."""

    def frozen(self, network: str) -> Callable[..., Any]:
        """The network with its parameters held fixed: a loss through it has gradients for its inputs alone."""


class Method:
    """Base class. A subclass sets ``name`` and ``Config``, and writes ``losses`` (or ``training_step``)."""

    name: ClassVar[str] = ""
    """What ``--method`` takes; a subclass without a name is not registered."""
    summary: ClassVar[str] = ""
    """One line for people who choose."""
    Config: ClassVar[type[MethodConfig]] = MethodConfig
    heads: tuple[str, ...] = ("logits",)
    """Heads of the segmentor that the losses use; no other is built, so that no parameter is unused."""
    averaged: ClassVar[tuple[str, ...]] = ()
    """Networks of which the method needs an exponential moving average."""
    missing_is_background: ClassVar[bool] = False
    """Treat labels that are not annotated as absent: the naive baseline, never right."""
    from_scratch: bool = False
    """While :meth:`adapt` plans: whether training will begin with random weights, whatever model is in use."""
    pseudo_weight: float = 1.0
    """Weight of voxels that a relabelling round added."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.name:
            return
        if cls.name in METHODS:
            msg = f"two methods are called {cls.name!r}: {METHODS[cls.name].__module__} and {cls.__module__}"
            raise TypeError(msg)
        METHODS[cls.name] = cls

    def __init__(
        self, options: dict[str, Any], label_set: LabelSet, network: NetworkConfig, modalities: int = 1
    ) -> None:
        self.config = structure(options, self.Config)
        self.label_set, self.network_config, self.modalities = label_set, network, modalities
        self.log: dict[str, float] = {}
        """Numbers of the last step for the curves that are no losses: coverage, accuracy, a weight."""

    @property
    def unlabelled(self) -> float:
        """Share of each batch from cases without any annotation: the option of that name, 0 for methods without it."""
        return float(getattr(self.config, "unlabelled", 0.0))

    @property
    def unlabelled_from(self) -> float:
        """Share of the budget before which batches are of annotated cases alone: the option of that name; 0 for methods
        without it, and as published."""
        return 0.0 if getattr(self.config, "paper", False) else float(getattr(self.config, "unlabelled_from", 0.0))

    def wants_unlabelled(self, progress: float, iteration: int) -> bool:  # noqa: ARG002  for methods that count steps
        """Whether batches have their share of unannotated cases from now on; asked before each step until it is so.

        Args:
            progress: share of the budget that is used up.
            iteration: steps done.
        """
        return progress >= self.unlabelled_from

    @property
    def exclusive(self) -> bool:
        """Whether labels exclude each other in a softmax with a background channel."""
        return self.network_config.activation == "softmax"

    def adapt(self, config: RunConfig, project: Project) -> RunConfig:  # noqa: ARG002  for methods that look at the cases
        """The planned configuration as this method wants it; called once, before the run is made."""
        return replace(config, data=replace(config.data, unlabelled=self.unlabelled))

    def networks(self) -> dict[str, nn.Module]:
        """The networks to train, by name; ``segmentor`` is the one that predicts."""
        network, labels = self.network_config, len(self.label_set)
        return {"segmentor": Segmentor(network, labels=labels, modalities=self.modalities, heads=self.heads)}

    def optimizer(self, network: str) -> OptimizerSettings | None:  # noqa: ARG002  for methods with several networks
        """The optimizer of one of :meth:`networks`; None for the run's."""
        return None

    def state(self) -> dict[str, Tensor]:
        """What the method itself remembers from step to step; it is saved with each checkpoint."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Inverse of :meth:`state`."""

    def measure(self, probability: Tensor) -> dict[str, float]:  # noqa: ARG002  for methods that have a measure
        """Measures of one hold-out case, beside its Dice; probability: (K, *S) float32."""
        return {}

    def judge(self, score: float | None, measures: dict[str, float]) -> Judgement | None:  # noqa: ARG002
        """Called after each validation; None leaves it to the loop, for which the highest score is best.

        Args:
            score: mean Dice of the hold-out, None without one.
            measures: means of :meth:`measure` over its cases.
        """
        return None

    def losses(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Named scalar terms whose sum trains the segmentor."""
        return self.supervised(step.networks["segmentor"](batch.image).logits, batch)

    def training_step(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """One optimizer step (more, for methods with several networks); returns the terms for the curves."""
        terms = self.losses(batch, step)
        step.optimize("segmentor", sum(terms.values(), start=next(iter(terms.values())).new_zeros(())))
        return terms

    def supervised(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """SMILE's masked cross-entropy over what is known, and soft Dice over labels that are annotated.

        logits: (B, K, *S); with exclusive labels (softmax) (B, K + 1, *S), and the cross-entropy is the marginal one.
        """
        known, target, scored = batch.known, batch.target, self.scored(batch)
        if self.missing_is_background:
            known = scored = batch.valid.expand_as(known)
        cross_entropy, dice = segmentation_terms(logits, target, known, scored, exclusive=self.exclusive)
        terms = {"cross_entropy" if self.exclusive else "bce": cross_entropy}
        if self.config.dice_weight:
            terms["dice"] = self.config.dice_weight * dice
        if batch.pseudo is not None:  # relabelled positives: a weight of their own, never known, never excluding others
            added = batch.pseudo & ~known & self.possible(batch)
            exact = logits.float()
            log_probability = exact.log_softmax(dim=1)[:, 1:] if self.exclusive else F.logsigmoid(exact)
            positives = added_positives(log_probability, added, batch.valid)
            terms["added"] = ADDED_WEIGHT * self.pseudo_weight * positives
        if (implied := self.implied(batch)) is not None and not self.missing_is_background:
            terms["implied"] = self.absence(logits, implied)
        return terms

    def scored(self, batch: Batch) -> Tensor:
        """(B, K, *S) bool: what counts for Dice: what is known of annotated labels, and where it is implied that they
        are not, as the few voxels of strokes say little of how large a label is."""
        scored = batch.known & batch.annotated[(..., *(None,) * (batch.known.ndim - 2))]
        implied = self.implied(batch)
        return scored if implied is None else scored | implied

    def implied(self, batch: Batch) -> Tensor | None:
        """(B, K, *S) bool: where it is implied that a label is not; None where nothing is, or when that has no
        weight."""
        return batch.ruled_out if self.config.implied_weight else None

    def possible(self, batch: Batch) -> Tensor:
        """(B, K, *S) bool, or one channel for all: voxels of the image where nothing implies that a label is not."""
        implied = self.implied(batch)
        return batch.valid if implied is None else batch.valid & ~implied

    def absence(self, logits: Tensor, implied: Tensor) -> Tensor:
        """The weighted cross-entropy of implied absence; logits as in :meth:`supervised`, implied: (B, K, *S)."""
        cross_entropy = marginal_cross_entropy if self.exclusive else masked_bce
        return self.config.implied_weight * cross_entropy(logits, torch.zeros_like(implied), implied)


METHODS: dict[str, type[Method]] = {}
"""All methods by name; filled by :meth:`Method.__init_subclass__`."""


def rampup(progress: float) -> float:
    """Gaussian warm-up exp(-5 (1 - t)^2) of Laine & Aila, ICLR 2017, used by UA-MT and SASSNet; t in [0, 1]."""
    return math.exp(-5.0 * (1.0 - min(max(progress, 0.0), 1.0)) ** 2)


def method_named(name: str) -> type[Method]:
    """The method's class.

    Raises:
        ConfigError: there is none of that name; the message lists those there are.
    """
    if name not in METHODS:
        msg = f"no method {name!r}: choose one of {', '.join(sorted(METHODS))}"
        raise ConfigError(msg)
    return METHODS[name]
