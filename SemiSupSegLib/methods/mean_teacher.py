"""Mean teacher: what people did not annotate should look to the network as it looks to the average of its own past.

Tarvainen, Valpola, NIPS 2017, in the form of UA-MT's code (Yu et al., MICCAI 2019): the teacher sees the image with
noise clip(N(0, 0.1^2), -0.2, 0.2), the loss is the squared difference of probabilities, its weight is warmed up.
Ours: it counts wherever a label is unknown, in partly annotated cases too, not in cases without any annotation only;
the teacher is deterministic; the warm-up ends early and the final weight is 1, as a budget of minutes has few steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ..config import Config as RunConfig
from ..config import NetworkConfig
from ..data.batch import Batch
from ..losses.consistency import activated, masked_squared_difference
from ..networks.segmentor import Segmentor
from ..project.labels import LabelSet
from .base import Method, MethodConfig, Step, rampup

if TYPE_CHECKING:
    from ..project.project import Project

__all__ = ["MeanTeacher", "MeanTeacherConfig", "paper_recipe"]

STAIRS = 40
"""UA-MT's weight stays for 150 iterations at a time: 40 steps in 6000."""


@dataclass(frozen=True, kw_only=True)
class MeanTeacherConfig(MethodConfig):
    """Options of the mean teacher and of UA-MT."""

    weight: float = 1.0
    """Weight of the consistency once it is warmed up, >= 0 (ours; 0.1 in the paper)."""
    ramp: float = 0.4
    """Share of the budget after which the weight is full, 0 to 1 (ours; 1 in the paper)."""
    noise: float = 0.1
    """Standard deviation of the noise that the teacher's image gets, clipped at twice that; of images normalised to
    deviation 1."""
    unlabelled: float = 0.5
    """Share of each batch that is drawn from cases without any annotation, where there are such, 0 to 1."""
    unlabelled_from: float = 0.3
    """Share of the budget before which no batch has any of them, 0 to 1 (ours; 0 in the paper): what they teach has
    little weight by then, and takes the time of annotated patches."""
    paper: bool = False
    """As UA-MT's code: consistency in cases without annotation only, weight 0.1 that rises in 40 stairs to the end, a
    teacher that is in training mode (dropout, statistics of the batch), and its network, optimizer, augmentation."""


class MeanTeacher(Method):
    """Supervised terms, and consistency with a moving average of the weights."""

    name = "mean_teacher"
    summary = "Learns from unannotated images too: agrees with the average of its own past, under noise."
    Config: ClassVar[type[MeanTeacherConfig]] = MeanTeacherConfig
    config: MeanTeacherConfig
    averaged = ("segmentor",)

    def adapt(self, config: RunConfig, project: Project) -> RunConfig:
        """In paper mode the paper's recipe, and its numbers where the user gave none."""
        config = super().adapt(config, project)
        if not self.config.paper:
            return config
        return replace(paper_recipe(config, self.label_set), options={"weight": 0.1, "ramp": 1.0, **config.options})

    def losses(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """The supervised terms, and ``consistency``."""
        logits = step.networks["segmentor"](batch.image).logits
        student = activated(logits, exclusive=self.exclusive)
        teacher, mask = student.detach().clone(), self.unknown(batch).expand_as(student).clone()
        rows = mask.flatten(1).any(dim=1)
        if rows.any():  # no collective in here: another process may have no such row
            segmentor = step.averages["segmentor"]
            assert isinstance(segmentor, Segmentor)
            with torch.no_grad(), self.mode(segmentor):
                teacher[rows], believed = self.teach(segmentor, batch.image[rows], step.progress)
                self.log["believed"] = float((mask[rows] & believed).sum() / mask[rows].sum())
                mask[rows] &= believed
        weight = self.weight(step.progress)
        self.log["consistency_weight"] = weight
        consistency = weight * masked_squared_difference(student, teacher, mask)
        return {**self.supervised(logits, batch), "consistency": consistency}

    def unknown(self, batch: Batch) -> Tensor:
        """(B, K, *S) or (B, 1, *S) bool: where the teacher is asked. All channels of a softmax belong together."""
        if self.config.paper:
            return batch.valid & ~batch.annotated.any(dim=1)[(..., *(None,) * (batch.valid.ndim - 1))]
        unknown = ~batch.known & batch.valid
        return unknown.any(dim=1, keepdim=True) if self.exclusive else unknown

    def teach(self, teacher: Segmentor, image: Tensor, progress: float) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """The teacher's probabilities (B, C, *S), and which of them count: (B, C or 1, *S) bool."""
        probability = activated(teacher(self.noisy(image)).logits, exclusive=self.exclusive)
        return probability, torch.ones_like(probability, dtype=torch.bool)

    def noisy(self, image: Tensor) -> Tensor:
        """The image with clipped Gaussian noise."""
        noise = self.config.noise * torch.randn_like(image)
        return image + noise.clamp(-2 * self.config.noise, 2 * self.config.noise)

    def weight(self, progress: float) -> float:
        """Weight of the consistency at a share of the budget."""
        t = progress / self.config.ramp if progress < self.config.ramp else 1.0
        if self.config.paper:
            t = math.floor(STAIRS * t + 1e-9) / STAIRS
        return self.config.weight * rampup(t)

    @contextmanager
    def mode(self, teacher: Segmentor) -> Iterator[None]:
        """In the paper's code the teacher never leaves training mode."""
        teacher.train(self.config.paper)
        try:
            yield
        finally:
            teacher.eval()


def paper_recipe(config: RunConfig, label_set: LabelSet) -> RunConfig:
    """The recipe that UA-MT and SASSNet share: V-Net, batch normalisation, dropout 0.5 in two places, SGD 0.01 in
    steps, batch 2 + 2.

    The patch stays as planned (theirs is 112 x 112 x 80 voxels), as do intensities and grid. Labels that may overlap
    cannot have the paper's softmax and stay with sigmoids. The student predicts, with its last weights.
    """
    activation = config.network.activation if label_set.overlaps else "softmax"
    network = NetworkConfig(
        backbone="vnet", filters=16, norm="batch", activation=activation, dropout=0.5, bottleneck_dropout=0.5
    )
    data = replace(config.data, augmentation="uamt", foreground=0.0, unlabelled=0.5)
    train = replace(
        config.train,
        batch_size=4,
        optimizer="sgd",
        learning_rate=0.01,
        schedule="step",
        weight_decay=1e-4,
        ema_decay=0.0,
        gradient_clip=0.0,
    )
    return replace(config, network=network, data=data, train=train)
