"""Embedding matching: where the teacher is not sure, a voxel gets the label of annotated voxels that look like it.

Xie, Willems, Lessmann, Gibbons, De Massari, "Semi-supervised segmentation via embedding matching", MIDL 2024. From the
abstract: a teacher's predictions are pseudo-labels where Monte Carlo dropout says that they are reliable; other voxels
take the label of reference voxels of labelled images that match in the space of embeddings; the entropy of predictions
is made small. **Everything else is ours, every number included**: network, uncertainty, thresholds, how references are
drawn, the vote and the schedules could not be read. Teacher: average of the segmentor's weights; embedding of a voxel:
what the teacher's last convolution sees, without dropout. See ``losses.embedding`` and ``methods.reference_bank``.

Labels that exclude each other are matched as classes, with the background as one more. Labels that may overlap are
matched one by one, there or absent, each against its own references: a voxel may get several of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..config import Config as RunConfig
from ..config import NetworkConfig
from ..data.batch import Batch
from ..errors import ConfigError
from ..losses.class_map import UNKNOWN, class_map, quarrelling, targets
from ..losses.embedding import draw_references, draw_voxels, near_border, reliable, unit_embeddings
from ..losses.entropy import mean_entropy
from ..losses.masked import marginal_cross_entropy, masked_bce
from ..losses.reduce import mean_over_processes
from ..networks.segmentor import Segmentor
from ..project.labels import LabelSet
from .base import Method, Step, rampup
from .embedding_matching_config import EmbeddingMatchingConfig
from .mean_teacher import paper_recipe
from .monte_carlo import consult
from .reference_bank import ReferenceBank

if TYPE_CHECKING:
    from ..project.project import Project

__all__ = ["EmbeddingMatching"]

CHECKED = 500
"""Known voxels a patch of which the teacher is not sure, matched to see how often matching is right."""
SIMILARITIES = 1 << 23
"""Most similarities a patch: with many labels, fewer voxels are matched."""
INERTIA = 0.9
"""Of the threshold that follows a percentile, from one step to the next."""


class EmbeddingMatching(Method):
    """Supervised terms, cross-entropy with pseudo-labels of two kinds, and entropy."""

    name = "embedding_matching"
    summary = "Learns from unannotated images: from sure predictions, and by likeness to annotated voxels elsewhere."
    Config = EmbeddingMatchingConfig
    config: EmbeddingMatchingConfig
    averaged = ("segmentor",)

    def __init__(
        self, options: dict[str, Any], label_set: LabelSet, network: NetworkConfig, modalities: int = 1
    ) -> None:
        super().__init__(options, label_set, network, modalities)
        vote = self.config.vote
        if vote == "classes" and label_set.overlaps:
            pair = " and ".join(sorted(next(iter(label_set.overlaps))))
            msg = f"vote: classes exclude each other, but {pair} may overlap: take auto or labels"
            raise ConfigError(msg)
        self.overlaps = vote == "labels" or bool(label_set.overlaps)
        """Whether each label is a problem of its own."""
        self.classes = 2 if self.overlaps else len(label_set) + 1
        """C, of each problem."""
        self.problems = len(label_set) if self.overlaps else 1
        self.excludes = torch.zeros(len(label_set), len(label_set), dtype=torch.bool)
        for one, other in label_set.exclusive_pairs():
            self.excludes[one, other] = self.excludes[other, one] = True
        self.bank: ReferenceBank | None = None
        """Made when the first batch tells the number of features."""
        self.sure_below: float | None = None
        """Threshold that follows a percentile; None before anything known was seen."""

    def adapt(self, config: RunConfig, project: Project) -> RunConfig:
        """Decides how to vote, from what is annotated; in paper mode the recipe of UA-MT."""
        config = super().adapt(config, project)
        if self.config.paper:
            config = paper_recipe(config, self.label_set)
        names = self.label_set.names
        whole = any(all(case.annotation(name).annotated for name in names) for case in project.train_cases())
        if self.config.vote == "auto" and not whole:
            config = replace(config, options={**config.options, "vote": "labels"})
        return config

    @property
    def unlabelled_from(self) -> float:
        """Unannotated cases teach nothing during the warm-up."""
        return 0.0 if self.config.paper else self.config.warmup

    @property
    def votes(self) -> dict[str, Any]:
        """What ``losses.embedding.match`` is asked for."""
        return {name: getattr(self.config, name) for name in ("neighbours", "similarity", "margin")}

    def state(self) -> dict[str, Tensor]:
        """The bank, and the threshold that follows a percentile."""
        state = {} if self.bank is None else self.bank.state()
        if self.sure_below is not None:
            state["sure_below"] = torch.tensor(self.sure_below, dtype=torch.float64)
        return state

    def restore(self, state: dict[str, Tensor]) -> None:
        """Inverse of :meth:`state`."""
        self.bank = ReferenceBank.from_state(state) if "embedding" in state else None
        self.sure_below = float(state["sure_below"]) if "sure_below" in state else None

    def losses(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """The supervised terms; after the warm-up ``pseudo_label`` and ``entropy`` too."""
        logits = step.networks["segmentor"](batch.image).logits
        terms = self.supervised(logits, batch)
        self.log.clear()
        if step.progress < self.config.warmup:
            return terms
        done = min((step.progress - self.config.warmup) / max(self.config.ramp, 1e-9), 1.0)
        teacher = step.averages["segmentor"]
        assert isinstance(teacher, Segmentor)
        unknown = self.unknown(batch)
        with torch.no_grad():
            target, weight = self.pseudo_labels(teacher, batch, unknown, rampup(done))
        cross_entropy = marginal_cross_entropy if self.exclusive else masked_bce
        terms["pseudo_label"] = self.config.pseudo_label_weight * rampup(done) * cross_entropy(logits, target, weight)
        asked = unknown.any(dim=1, keepdim=True) if self.exclusive else unknown
        entropy = mean_entropy(logits, asked, exclusive=self.exclusive)
        terms["entropy"] = self.config.entropy_weight * rampup(done) * entropy
        return terms

    def unknown(self, batch: Batch) -> Tensor:
        """(B, K, *S) bool: which labels the teacher may give, and where."""
        unknown = batch.valid & ~batch.known
        if self.config.paper or not self.config.everywhere_unknown:
            unknown = unknown & ~batch.annotated.any(dim=1)[(..., *(None,) * (unknown.ndim - 1))]
        if batch.pseudo is not None:  # relabelled by an earlier round: supervised() has them
            relabelled = batch.pseudo if self.overlaps else batch.pseudo.any(dim=1, keepdim=True)
            unknown = unknown & ~relabelled
        return unknown

    def pseudo_labels(self, teacher: Segmentor, batch: Batch, unknown: Tensor, ramp: float) -> tuple[Tensor, Tensor]:
        """What the student is told: targets (B, K, *S) bool, and where they count, (B, K, *S) bool.

        Reliable predictions where they are, else matched labels, else nothing; nothing either where that would
        contradict an annotation.

        Args:
            teacher: the average segmentor, in eval mode.
            batch: known voxels of it go into the bank; every process must call this in each step.
            unknown: (B, K, *S) bool of :meth:`unknown`.
            ramp: 0 to 1, of the threshold.
        """
        features, passes = teacher.features(batch.image), self.config.passes
        variance = self.config.uncertainty == "variance"
        predicted, uncertainty = consult(teacher, features, passes, overlaps=self.overlaps, variance=variance)
        uncertainty = self._by_problem(uncertainty, unknown)
        known = class_map(batch.target, batch.known, overlaps=self.overlaps)
        sure = reliable(uncertainty, self._threshold(uncertainty, known, ramp))
        bank = self._bank(features.shape[1])
        self._check(bank, features, known, predicted, sure)
        self._remember(bank, features, known, predicted)
        asked = unknown.transpose(0, 1) if self.overlaps else unknown.any(dim=1)[None]
        classes = torch.where(asked & sure, predicted, UNKNOWN).contiguous()
        self._match_rest(bank, features, asked & ~sure, classes)
        return self._told(classes, batch, unknown)

    def _bank(self, features: int) -> ReferenceBank:
        if self.bank is None:
            batches = self.config.batches
            per_batch = self.config.references // batches
            self.bank = ReferenceBank(self.problems, self.classes, features, batches=batches, per_batch=per_batch)
        return self.bank

    def _by_problem(self, uncertainty: Tensor, unknown: Tensor) -> Tensor:
        """(P, B, *S): each label's own, or the largest of the labels that are asked for (of all, where none is)."""
        if self.overlaps:
            return uncertainty.expand_as(unknown).transpose(0, 1)
        if self.exclusive:
            return uncertainty.transpose(0, 1)
        counts = unknown | ~unknown.any(dim=1, keepdim=True)
        return torch.where(counts, uncertainty, 0.0).amax(dim=1)[None]

    def _threshold(self, uncertainty: Tensor, known: Tensor, ramp: float) -> float:
        first, last = self.config.threshold
        threshold = first + (last - first) * ramp
        if self.config.percentile is not None:
            seen = uncertainty[known != UNKNOWN]
            level, some = mean_over_processes(_quantile(seen, self.config.percentile / 100)).tolist()
            if some:
                before = level / some if self.sure_below is None else self.sure_below
                self.sure_below = INERTIA * before + (1 - INERTIA) * level / some
            threshold = threshold if self.sure_below is None else self.sure_below
        self.log["threshold"] = threshold
        return threshold

    def _check(self, bank: ReferenceBank, features: Tensor, known: Tensor, predicted: Tensor, sure: Tensor) -> None:
        """Log how often the teacher is right where it is sure, and matching where it is not: on known voxels.

        Matching is tried with references of earlier batches alone. Those may be of the same case, and the network
        was trained with these voxels: what is unknown will be wrong more often than this says.
        """
        annotated = known != UNKNOWN
        counted = torch.stack([(annotated & sure & (predicted == known)).sum(), (annotated & sure).sum()]).tolist()
        _share(self.log, "reliable_accuracy", *counted)
        right = accepted = 0
        for problem, (own, unsure) in enumerate(zip(known, annotated & ~sure, strict=True)):
            positions = draw_voxels(unsure, max(CHECKED // self.problems, 1))
            found = bank.match(problem, unit_embeddings(features, positions), **self.votes)
            accepted += int((found != UNKNOWN).sum())
            right += int((found == own.flatten()[positions]).sum())
        _share(self.log, "matched_accuracy", right, accepted)

    def _remember(self, bank: ReferenceBank, features: Tensor, known: Tensor, predicted: Tensor) -> None:
        """Put references of this batch into the bank."""
        count = self.config.references // self.config.batches
        rows = (known != UNKNOWN).flatten(2).any(dim=2).any(dim=0)  # the others have no border
        near = torch.zeros_like(known, dtype=torch.bool)
        near[:, rows] = near_border(known[:, rows])
        positions = draw_references(known, known == predicted, near, count, number=self.classes)
        bank.add(unit_embeddings(features, positions.clamp(min=0)), positions >= 0)

    def _match_rest(self, bank: ReferenceBank, features: Tensor, unsure: Tensor, classes: Tensor) -> None:
        """Write matched labels into the class maps (P, B, *S), and log which share of what was asked for has which.

        Not all unsure voxels are tried, so the coverage of matching is estimated from those that are.
        """
        tried = matched = 0
        most = min(self.config.voxels, SIMILARITIES // (self.classes * self.config.references)) // self.problems
        answered = int((classes != UNKNOWN).sum())
        for problem, (own, mask) in enumerate(zip(classes, unsure, strict=True)):
            positions = draw_voxels(mask, max(most, 1))
            found = bank.match(problem, unit_embeddings(features, positions), **self.votes)
            own.view(-1)[positions] = found
            tried, matched = tried + len(found), matched + int((found != UNKNOWN).sum())
        rest = int(unsure.sum())
        _share(self.log, "reliable_coverage", answered, answered + rest)
        _share(self.log, "matched_coverage", rest * matched / max(tried, 1), answered + rest)

    def _told(self, classes: Tensor, batch: Batch, unknown: Tensor) -> tuple[Tensor, Tensor]:
        """Class maps as targets and weights, without those that contradict an annotation or each other."""
        target, stated = targets(classes, len(self.label_set), overlaps=self.overlaps)
        if self.overlaps:
            return target, stated & unknown & ~quarrelling(target, self.excludes.to(target.device))
        wrong = (stated & batch.known & (target != batch.target)).any(dim=1, keepdim=True)
        stated = stated & ~wrong
        return target, stated if self.exclusive else stated & unknown  # a softmax is told the class, all of it


def _quantile(values: Tensor, share: float) -> Tensor:
    """(2,): quantile of (N,) values, from 4096 of them, and 1; both 0 where there are none."""
    if not len(values):
        return values.new_zeros(2)
    some = values[torch.randint(len(values), (4096,), device=values.device)]
    return torch.stack([torch.quantile(some, share), values.new_ones(())])


def _share(log: dict[str, float], name: str, part: float, whole: float) -> None:
    """Log a share, where there is a whole."""
    if whole:
        log[name] = part / whole
