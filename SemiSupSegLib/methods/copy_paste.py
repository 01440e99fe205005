"""Bidirectional copy-paste: annotated and unannotated patches swap a box; a teacher labels what people did not.

Bai, Chen, Li, Shen, Wang, "Bidirectional copy-paste for semi-supervised medical image segmentation" (BCP), CVPR 2023:
one cuboid of 2/3 of each edge of the patch, pseudo-labels from the mean teacher of the images before mixing, separate
terms for what people and what the teacher said, weights 1 and 0.5, and a first phase that mixes annotated patches only.
Ours: any batch is paired, best with least known; with partial labels each voxel and label has people's word where it is
known and else the teacher's, whose weight is warmed up; largest parts are optional, as organs may have several.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import Tensor

from ..config import Config as RunConfig
from ..config import NetworkConfig
from ..data.batch import Batch
from ..losses.consistency import activated
from ..losses.label_sums import counted
from ..losses.masked import segmentation_terms
from ..losses.mixing import Mixture, amounts, pairs, random_box
from ..losses.pseudo_label import largest_parts, pseudo_labels
from .base import Method, MethodConfig, Step, rampup

if TYPE_CHECKING:
    from ..project.project import Project

__all__ = ["CopyPaste", "Marks", "TaughtConfig", "TaughtMethod", "with_marks"]

PRETRAINING = 2000 / 17000
"""Share of BCP's iterations, 2000 and 15000, in which only annotated patches are mixed."""


@dataclass(frozen=True, kw_only=True)
class TaughtConfig(MethodConfig):
    """Options of methods in which a teacher labels what people did not."""

    teacher_weight: float = 0.5
    """Weight of what the teacher said beside 1 for what people said, once it is warmed up, >= 0."""
    side: float = 2 / 3
    """Edges of the box that is swapped, as a share of the patch's, 0 to 1."""
    warm_up: float = 0.2
    """Share of the budget in which only people teach, 0 to 1 (ours; copy-paste's paper: 2000 of 17000 iterations)."""
    ramp: float = 0.2
    """Share of the budget, after the warm-up, over which the teacher gets its full weight (ours; the paper: 0)."""
    confidence: float = 0.5
    """Smallest probability of what the teacher says, 0.5 to 1; what it is less sure of does not count."""
    largest_part: bool = False
    """Keep only the largest connected part of each of the teacher's labels, as the paper does; wrong for organs of
    several parts."""
    unlabelled: float = 0.5
    """Share of each batch that is drawn from cases without any annotation, where there are such, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class CopyPasteConfig(TaughtConfig):
    """Options of copy-paste."""

    paper: bool = False
    """As the paper: batches of 8 in four streams, of which each pair gives one mixture, in turn with the annotated and
    the other patch outside; softmax, V-Net, Adam without decay; largest parts; no ramp."""


class Marks(NamedTuple):
    """What is said about each voxel and label; unlike a batch it can be mixed."""

    target: Tensor
    """(B, K, *S) bool: where the label is."""
    weight: Tensor
    """(B, K, *S) bool or float32: of the voxel in the cross-entropy; 0 where nothing is said."""
    scored: Tensor
    """(B, K, *S) bool: what counts for Dice."""

    @property
    def said(self) -> Tensor:
        """(B, K, *S) bool: of which anything is said."""
        return counted(self.weight)


class TaughtMethod(Method):
    """What such methods share; not a method by itself."""

    Config: ClassVar[type[TaughtConfig]] = TaughtConfig
    config: TaughtConfig
    averaged = ("segmentor",)

    @property
    def unlabelled_from(self) -> float:
        """Nobody asks the teacher about unannotated cases during the warm-up."""
        return 0.0 if getattr(self.config, "paper", False) else self.config.warm_up

    def ramp(self, progress: float) -> float:
        """Share of its weight that the teacher has."""
        since = progress - self.config.warm_up
        return rampup(since / self.config.ramp) if since < self.config.ramp else 1.0

    def marks(self, batch: Batch) -> Marks:
        """What people said, as :meth:`Method.supervised` scores it, with relabelled positives at their own weight."""
        known, target, scored = batch.known, batch.target, self.scored(batch)
        if batch.pseudo is None:
            return Marks(target, known, scored)
        added = batch.pseudo & ~known & self.possible(batch)
        return Marks(target | added, known.float() + self.pseudo_weight * added, scored)

    def teacher(self, batch: Batch, human: Marks, step: Step) -> Tensor:
        """(B, C, *S) float32: the teacher's probabilities, without noise; 0 in rows of which all is known."""
        asked = (~human.said & batch.valid).flatten(1).any(dim=1)
        channels = len(self.label_set) + self.exclusive
        probability = batch.image.new_zeros(len(asked), channels, *batch.image.shape[2:], dtype=torch.float32)
        if asked.any():  # no collective in here: another process may have no such row
            with torch.no_grad():
                logits = step.averages["segmentor"](batch.image[asked]).logits
                probability[asked] = activated(logits, exclusive=self.exclusive)
        return probability

    def pseudo(self, probability: Tensor, batch: Batch, human: Marks) -> Marks:
        """What the teacher says where people said nothing. It is never *known*, and excludes no other label."""
        target, confident = pseudo_labels(probability, exclusive=self.exclusive, confidence=self.config.confidence)
        if self.config.largest_part:
            target = largest_parts(target)
        counts = confident & ~human.said & self.possible(batch)
        self.log["taught"] = float(counts.count_nonzero()) / max(counts.numel(), 1)
        return Marks(target, counts, counts)

    def taught(self, logits: Tensor, pseudo: Marks, mixture: Mixture, ramp: float) -> dict[str, Tensor]:
        """The terms of the teacher's marks; ramp: share of their weight that they have by now."""
        weight = self.config.teacher_weight * ramp
        return {f"teacher_{name}": weight * term for name, term in self.terms(logits, pseudo, mixture).items()}

    def terms(self, logits: Tensor, marks: Marks, mixture: Mixture) -> dict[str, Tensor]:
        """Cross-entropy and Dice of marks that are mixed as the image was."""
        target, weight, scored = (mixture(values) for values in marks)
        cross_entropy, dice = segmentation_terms(logits, target, weight, scored, exclusive=self.exclusive)
        terms = {"cross_entropy" if self.exclusive else "bce": cross_entropy}
        return terms | {"dice": self.config.dice_weight * dice} if self.config.dice_weight else terms


class CopyPaste(TaughtMethod):
    """Terms of people and of the teacher over swapped patches."""

    name = "copy_paste"
    summary = "Learns from unannotated images too: pastes boxes of annotated patches into them and back (BCP)."
    Config = CopyPasteConfig
    config: CopyPasteConfig

    def adapt(self, config: RunConfig, project: Project) -> RunConfig:
        """In paper mode the paper's recipe, and its numbers where the user gave none."""
        config = super().adapt(config, project)
        if not self.config.paper:
            return config
        options = {"warm_up": PRETRAINING, "ramp": 0.0, "largest_part": True, **config.options}
        activation = config.network.activation if self.label_set.overlaps else "softmax"
        network = NetworkConfig(
            backbone="vnet", filters=16, norm="instance", activation=activation, dropout=0.5, bottleneck_dropout=0.5
        )
        data = replace(config.data, augmentation="uamt", foreground=0.0, unlabelled=0.5)
        train = replace(config.train, batch_size=8, optimizer="adamw", learning_rate=1e-3, weight_decay=0.0)
        return replace(config, options=options, network=network, data=data, train=train)

    def losses(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """``bce`` (or ``cross_entropy``) and ``dice``; after the warm-up ``teacher_bce`` and ``teacher_dice`` too."""
        taught = step.progress >= self.config.warm_up
        batch = batch if taught else with_marks(batch)
        human = self.marks(batch)
        mixture = self.mixture(batch, human)
        logits = step.networks["segmentor"](mixture(batch.image)).logits
        terms = self.terms(logits, human, mixture)
        if (implied := self.implied(batch)) is not None:
            terms["implied"] = self.absence(logits, mixture(implied))
        if taught:
            pseudo = self.pseudo(self.teacher(batch, human, step), batch, human)
            terms |= self.taught(logits, pseudo, mixture, self.ramp(step.progress))
        return terms

    def mixture(self, batch: Batch, human: Marks) -> Mixture:
        """Draw a box, and pair the rows; ``human`` is what people said."""
        known = amounts(human.said)
        partner = pairs(known)
        box = random_box(tuple(batch.image.shape[2:]), self.config.side, device=str(batch.image.device))
        if not self.config.paper:
            return Mixture(partner, box)
        first = known.argsort(descending=True, stable=True)[: (len(known) + 1) // 2]  # one row of each pair
        turn = torch.arange(len(first), device=first.device) % 2 == 0
        return Mixture(partner, box, torch.where(turn, first, partner[first]))


def with_marks(batch: Batch) -> Batch:
    """The patches of which anything is said; all when there is none, as a network must be called."""
    said = batch.known.flatten(1).any(dim=1)
    for hints in (batch.pseudo, batch.implied):
        if hints is not None:
            said |= hints.flatten(1).any(dim=1)
    return batch.select(said) if said.any() and not said.all() else batch
