"""Method: what one file in this folder fills in: it sees batches and networks, never ranks, devices or files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from ..config import NetworkConfig, structure
from ..data.batch import Batch
from ..errors import ConfigError
from ..losses.masked import marginal_cross_entropy, masked_bce, masked_dice
from ..networks.segmentor import Segmentor
from ..project.labels import LabelSet

__all__ = ["METHODS", "Method", "MethodConfig", "Step", "rampup"]


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """Options that every method has."""

    dice_weight: float = 1.0
    """Weight of the soft Dice term beside the cross-entropy, >= 0; 0 is SMILE as published."""


class Step(Protocol):
    """One iteration of the loop, as a method sees it."""

    networks: dict[str, nn.Module]
    """What :meth:`Method.networks` returned, ready to be called on this process's device."""
    averages: dict[str, nn.Module]
    """Exponential moving averages of the networks that :attr:`Method.averaged` names (mean teachers), in eval mode."""
    iteration: int
    """Steps done before this one."""
    progress: float
    """Share of the budget that is used up, [0, 1): by time or by iterations, as the budget is given."""

    def optimize(self, network: str, loss: Tensor) -> None:
        """Backward pass of ``loss`` and one optimizer step of ``network``."""


class Method:
    """Base class. A subclass sets ``name`` and ``Config``, and writes ``losses`` (or ``training_step``)."""

    name: ClassVar[str] = ""
    """What ``--method`` takes; a subclass without a name is not registered."""
    summary: ClassVar[str] = ""
    """One line for people who choose."""
    Config: ClassVar[type[MethodConfig]] = MethodConfig
    heads: ClassVar[tuple[str, ...]] = ("logits",)
    """Heads of the segmentor that the losses use; no other is built, so that no parameter is unused."""
    averaged: ClassVar[tuple[str, ...]] = ()
    """Networks of which the method needs an exponential moving average."""
    missing_is_background: ClassVar[bool] = False
    """Treat labels that are not annotated as absent: the naive baseline, never right."""
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

    def networks(self) -> dict[str, nn.Module]:
        """The networks to train, by name; ``segmentor`` is the one that predicts."""
        network, labels = self.network_config, len(self.label_set)
        return {"segmentor": Segmentor(network, labels=labels, modalities=self.modalities, heads=self.heads)}

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
        known, target = batch.known, batch.target
        scored = known & batch.annotated[(..., *(None,) * (known.ndim - 2))]
        if self.missing_is_background:
            known = scored = batch.valid.expand_as(known)
        weight = known.float()
        if batch.pseudo is not None:  # relabelled positives: a weight of their own, never known, never excluding others
            added = batch.pseudo & ~known & batch.valid
            target, weight = target | added, weight + self.pseudo_weight * added
            scored = scored | added
        if self.network_config.activation == "softmax":
            terms = {"cross_entropy": marginal_cross_entropy(logits, target, weight)}
            probability = logits.float().softmax(dim=1)[:, 1:]
        else:
            terms = {"bce": masked_bce(logits, target, weight)}
            probability = logits.float().sigmoid()
        if self.config.dice_weight:
            terms["dice"] = self.config.dice_weight * masked_dice(probability, target, scored)
        return terms


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
