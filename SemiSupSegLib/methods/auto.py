"""SMILE's supervision, a mean teacher and copy-paste, in one pass of the network: the default. All is ours.

* First share of the budget, and at least the first 250 steps: people alone teach, from the patches of which they said
  something. This is ``smile``: until a network has seen that much, a step on what people said is worth more than one on
  what a teacher believes (``Testing/benchmarks/README.md``).
* And until it finds what people drew by half: what a teacher who cannot do that says is wrong more often than right.
* Then the moving average of the weights, without noise or dropout, looks at each patch in which a label is unknown
  anywhere. What it says there counts, with a weight that grows, as pseudo-labels (BCP, CVPR 2023) and as probabilities
  to agree with (mean teacher, NIPS 2017); it never excludes another label and never is *known*.
* Of such patches every second pair, by a coin, swaps a box (copy-paste): no voxel of either is lost by that.
* Where all is known nothing is mixed and nobody is asked: plain supervision. So a fully annotated project pays nothing.

Signed distance maps (SASSNet's shape term) and forbidden contacts (NonAdjLoss) can be switched on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..config import Config as RunConfig
from ..config import NetworkConfig
from ..data.batch import Batch
from ..losses.consistency import activated, masked_squared_difference
from ..losses.distribution import exclusive_distribution, independent_distribution
from ..losses.mixing import Mixture, amounts, pairs, random_box
from ..losses.nonadjacency import relative_non_adjacency, soft_adjacency
from ..losses.sdm import masked_sdm_mse
from ..networks.segmentor import SegmentorOutput
from ..project.labels import LabelSet
from .base import Step, rampup
from .copy_paste import Marks, TaughtConfig, TaughtMethod, with_marks
from .nonadjloss_plan import forbidden_matrix

if TYPE_CHECKING:
    from ..project.project import Project

__all__ = ["Auto"]

RAMP_STEPS = 150
"""After the warm-up, until the teacher has its full weight."""
REMEMBERED = 0.98
"""Decay per step of the moving average of the Dice loss."""
CONSTRAINED = 0.5
"""Share of the budget after which contacts are forbidden: the constraint alone is lowest with one label everywhere."""


@dataclass(frozen=True, kw_only=True)
class AutoConfig(TaughtConfig):
    """Options of the combination. All numbers are ours."""

    unlabelled: float = 0.25
    """Share of each batch that is drawn from cases without any annotation, where there are such, 0 to 1."""
    warm_up: float = 0.4
    """Share of the budget in which only people teach, 0 to 1."""
    warm_up_steps: int = 250
    """Steps in which only people teach, however long the budget is, >= 0."""
    teaches_below: float = 0.5
    """Soft Dice loss of what people said, as a moving average, below which the teacher is asked, 0 to 1; 1: always."""
    mixing: float = 0.5
    """Share of the pairs of patches that swap a box, 0 to 1; the others stay as they are."""
    consistency_weight: float = 1.0
    """Weight of the squared difference to the teacher's probabilities, once it is warmed up, >= 0."""
    sdm: bool = False
    """Also learn the signed distance to each label's surface, where the label is known everywhere."""
    sdm_weight: float = 0.3
    """Weight of that, >= 0 (SASSNet's)."""
    nonadjacency: bool = False
    """Also forbid contacts that no annotated case has, from the middle of the budget on; see ``nonadjloss``."""
    nonadjacency_weight: float = 1.0
    """Weight of the share that such contacts have among all contacts of two labels, >= 0."""
    forbidden: tuple[tuple[str, str], ...] | None = None
    """For that: pairs of names, ``background`` for the background. None: the planner puts in what it finds."""


class Auto(TaughtMethod):
    """SMILE + mean teacher + copy-paste."""

    name = "auto"
    summary = "Learns from annotated, partly annotated and unannotated cases alike: smile + mean teacher + copy-paste."
    Config = AutoConfig
    config: AutoConfig

    def __init__(
        self, options: dict[str, Any], label_set: LabelSet, network: NetworkConfig, modalities: int = 1
    ) -> None:
        super().__init__(options, label_set, network, modalities)
        self.forbidden = forbidden_matrix(self.config.forbidden or (), label_set)
        self.heads = ("logits", "sdm") if self.config.sdm else ("logits",)
        self.dice_loss = 1.0
        """Of what people said, as a moving average, until the teacher is asked; the same in all processes."""

    def adapt(self, config: RunConfig, project: Project) -> RunConfig:
        """Unannotated cases get at most their share of the cases; what the optional terms need is put in."""
        cases = project.train_cases()
        bare = sum(not case.annotated for case in cases) / max(len(cases), 1)
        config = super().adapt(config, project)
        data = replace(config.data, unlabelled=min(config.data.unlabelled, bare))
        options = dict(config.options)
        if all(case.annotation(name).everywhere for case in cases for name in self.label_set.names):
            options.setdefault("warm_up", 1.0)  # people have said everything: there is nothing to ask the teacher
        if self.config.sdm and data.distance == "none":
            data = replace(data, distance="volume")
        if self.config.nonadjacency and self.config.forbidden is None:
            from ..project.adjacency import forbidden_pairs

            options["forbidden"] = [list(pair) for pair in forbidden_pairs(project)]
        return replace(config, options=options, data=data)

    def losses(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """As copy-paste; ``consistency`` after the warm-up; ``sdm`` and ``non_adjacency`` when they are switched on."""
        taught = self.wants_unlabelled(step.progress, step.iteration)
        batch = batch if taught else with_marks(batch)
        human = self.marks(batch)
        mixture = self.mixture(batch, human, taught=taught)
        output = step.networks["segmentor"](mixture(batch.image))
        terms = self.terms(output.logits, human, mixture)
        if not taught and "dice" in terms:
            self.follow(float(terms["dice"].detach()) / self.config.dice_weight)
        if (implied := self.implied(batch)) is not None:
            terms["implied"] = self.absence(output.logits, mixture(implied))
        if taught:
            terms |= self.teachers_terms(output.logits, batch, human, mixture, step)
        if self.config.sdm:
            terms["sdm"] = self.config.sdm_weight * self.distances(output, batch, mixture)
        if self.config.nonadjacency and self.forbidden.any() and step.progress >= CONSTRAINED:
            weight = self.config.nonadjacency_weight * rampup((step.progress - CONSTRAINED) / (1 - CONSTRAINED))
            terms["non_adjacency"] = weight * self.contacts(output.logits, batch, mixture)
        return terms

    def follow(self, dice_loss: float) -> None:
        """Take a step's Dice loss into the average; 0 is one of patches without any label."""
        if dice_loss:
            self.dice_loss += (1 - REMEMBERED) * (dice_loss - self.dice_loss)

    def wants_unlabelled(self, progress: float, iteration: int) -> bool:
        """After both warm-ups, once there is something that a teacher could know."""
        below = self.config.teaches_below
        knows = self.dice_loss < below or below == 1 or not self.config.dice_weight
        return knows and iteration >= self.config.warm_up_steps and super().wants_unlabelled(progress, iteration)

    def state(self) -> dict[str, Tensor]:
        """How well what people said is found."""
        return {"dice_loss": torch.tensor(self.dice_loss, dtype=torch.float64)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Inverse of :meth:`state`; a checkpoint of before has none, and begins anew."""
        self.dice_loss = float(state.get("dice_loss", 1.0))

    def ramp_at(self, step: Step) -> float:
        """Share of its weight that the teacher has: it rises in its share of the budget, and in a number of steps."""
        return self.ramp(step.progress) * rampup((step.iteration - self.config.warm_up_steps) / RAMP_STEPS)

    def mixture(self, batch: Batch, human: Marks, *, taught: bool) -> Mixture:
        """Some pairs swap a box: none before the teacher is asked, none in which people said everything."""
        box = random_box(tuple(batch.image.shape[2:]), self.config.side, device=str(batch.image.device))
        coin = torch.rand(len(batch.image)) < self.config.mixing if taught else torch.zeros(1)
        if not coin.any():
            return Mixture(None, box)
        known, coin = human.said, coin.to(human.target.device)
        itself, partner = torch.arange(len(known), device=known.device), pairs(amounts(known))
        complete = (known | ~batch.valid).flatten(1).all(dim=1)
        mixes = coin[torch.minimum(itself, partner)] & ~(complete & complete[partner])
        return Mixture(torch.where(mixes, partner, itself), box)

    def teachers_terms(
        self, logits: Tensor, batch: Batch, human: Marks, mixture: Mixture, step: Step
    ) -> dict[str, Tensor]:
        """``teacher_...`` and ``consistency``, of the mixtures in which anything is unknown: perhaps of none."""
        rows = (~human.said & batch.valid).flatten(1).any(dim=1)
        if mixture.partner is not None:
            rows = rows | rows[mixture.partner]
        if not rows.all():  # no collective in here: another process may have other rows
            batch, human, mixture = batch.select(rows), Marks(*(part[rows] for part in human)), mixture.among(rows)
            logits = logits[rows]
        probability, ramp = self.teacher(batch, human, step), self.ramp_at(step)
        return {
            **self.taught(logits, self.pseudo(probability, batch, human), mixture, ramp),
            **self.consistency(logits, probability, batch, human, mixture, ramp),
        }

    def consistency(
        self, logits: Tensor, probability: Tensor, batch: Batch, human: Marks, mixture: Mixture, ramp: float
    ) -> dict[str, Tensor]:
        """The mean teacher's term on the same mixtures, where people said nothing; ramp: share of its weight."""
        unknown = ~human.said & batch.valid
        if self.exclusive:
            unknown = unknown.any(dim=1, keepdim=True)
        student = activated(logits, exclusive=self.exclusive)
        difference = masked_squared_difference(student, mixture(probability), mixture(unknown))
        return {"consistency": self.config.consistency_weight * ramp * difference}

    def distances(self, output: SegmentorOutput, batch: Batch, mixture: Mixture) -> Tensor:
        """Regression of the distance maps, mixed as the image is."""
        assert output.sdm is not None
        known = batch.everywhere[(..., *(None,) * (batch.image.ndim - 2))] & batch.valid
        if batch.sdm is None:  # no patch of this process is annotated
            return masked_sdm_mse(output.sdm, torch.zeros_like(output.sdm), mixture(known & False))
        return masked_sdm_mse(output.sdm, mixture(batch.sdm), mixture(known))

    def contacts(self, logits: Tensor, batch: Batch, mixture: Mixture) -> Tensor:
        """Share of the contacts between different labels that is forbidden; in patches without a box alone, as a box
        puts organs where they do not belong."""
        if self.exclusive:
            distribution = activated(logits, exclusive=True)
        else:
            distribution = (independent_distribution if self.label_set.overlaps else exclusive_distribution)(logits)
        counts = batch.valid
        if mixture.partner is not None:
            as_it_is = mixture.partner == torch.arange(len(mixture.partner), device=logits.device)
            counts = counts & as_it_is.view(-1, 1, 1, 1, 1)
        adjacency = soft_adjacency(distribution, counts)
        different = ~torch.eye(len(adjacency), dtype=torch.bool, device=adjacency.device)
        self.forbidden = self.forbidden.to(adjacency.device)
        return relative_non_adjacency(torch.where(different, adjacency, 0.0), self.forbidden)
