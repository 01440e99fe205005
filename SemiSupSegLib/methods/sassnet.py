"""SASSNet: learn how far every voxel is from the surface, and that unlabelled images have the same shapes.

Li, Zhang, He, "Shape-aware semi-supervised 3D semantic segmentation for medical images", MICCAI 2020. A second head
regresses the signed distance map (SDM) of each label, and a discriminator that sees map and image has to tell labelled
from unlabelled images; segmentor and discriminator take turns. Published for one label, annotated in a case or not.

Ours, for several labels and partial annotation: a distance is scored where its label is known everywhere in the case.
An image is *labelled* when some label is, *unlabelled* when none is annotated at all, and of no use to the
discriminator in between. Of a labelled image the discriminator sees the maps of those labels that are known everywhere,
and zeros for the others; each unlabelled image is shown with the gaps of a labelled one, since gaps would give away
which is which.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from ..config import Config as RunConfig
from ..data.batch import Batch
from ..losses.adversarial import LABELLED, discriminator_cross_entropy, generator_cross_entropy
from ..losses.sdm import masked_sdm_mse
from ..losses.squared_dice import squared_dice
from ..networks.discriminator import Discriminator
from ..networks.segmentor import Segmentor, SegmentorOutput
from .base import Method, MethodConfig, OptimizerSettings, Step, rampup
from .mean_teacher import paper_recipe

if TYPE_CHECKING:
    from ..project.project import Project

__all__ = ["Sassnet", "SassnetConfig"]

STAIR, STAIRS = 150, 40
"""The paper's warm-up stays for 150 iterations at a time, and is over after 40 times as many."""
PUBLISHED_FILTERS = 64


@dataclass(frozen=True, kw_only=True)
class SassnetConfig(MethodConfig):
    """Options of SASSNet."""

    sdm_weight: float = 0.3
    """Weight of the squared error of the signed distances, >= 0; 0.3 in the paper."""
    adversarial_weight: float = 0.01
    """Weight of the adversarial term once it is warmed up, >= 0; in the paper 0.01 with 16 labelled cases, 0.015 with
    8. 0 builds no discriminator and leaves unannotated cases aside."""
    discriminator_filters: int = 16
    """Channels of the discriminator's first convolution, at least 1 (ours: at the paper's 64 it costs as much as half a
    step of the segmentor)."""
    unlabelled: float = 0.5
    """Share of each batch that is drawn from cases without any annotation, where there are such, 0 to 1."""
    unlabelled_from: float = 0.4
    """Share of the budget before which no batch has any of them, 0 to 1 (ours; 0 in the paper): what they teach has
    little weight by then, and takes the time of annotated patches."""
    paper: bool = False
    """As the authors' code: Dice with squares and no cross-entropy, distances in voxels scaled anew in each crop (0 in
    an empty one), 64 filters, a second pass of the segmentor for the discriminator's maps, a warm-up in stairs of 150
    iterations up to the 6000th, and their network, optimizer and augmentation. Patch and weights stay as they are."""


class Sassnet(Method):
    """Supervised terms, ``sdm`` and ``adversarial`` for the segmentor; ``discriminator`` for its opponent."""

    name = "sassnet"
    summary = "Learns distances to the surface too, and from unannotated images that shapes there look alike (SASSNet)."
    Config = SassnetConfig
    config: SassnetConfig
    heads = ("logits", "sdm")

    @property
    def unlabelled(self) -> float:
        """None without the discriminator: distances are learnt from annotated cases alone."""
        return super().unlabelled if self.config.adversarial_weight else 0.0

    def adapt(self, config: RunConfig, project: Project) -> RunConfig:
        """Distance maps of whole cases; in paper mode the paper's recipe, with those of crops."""
        config = super().adapt(config, project)
        if not self.config.paper:
            return replace(config, data=replace(config.data, distance="volume"))
        config = paper_recipe(config, self.label_set)
        return replace(
            config,
            network=replace(config.network, activation="sigmoid"),
            data=replace(config.data, distance="crop", unlabelled=self.unlabelled),
        )

    def networks(self) -> dict[str, nn.Module]:
        """The segmentor, and the discriminator unless its weight is 0."""
        made = super().networks()
        if self.config.adversarial_weight:
            filters = PUBLISHED_FILTERS if self.config.paper else self.config.discriminator_filters
            made["discriminator"] = Discriminator(len(self.label_set), self.modalities, filters=filters)
        return made

    def optimizer(self, network: str) -> OptimizerSettings | None:
        """Adam at 1e-4 for the discriminator, as published."""
        if network != "discriminator":
            return None
        return OptimizerSettings(kind="adam", learning_rate=1e-4, betas=(0.9, 0.99))

    def losses(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """The segmentor's terms."""
        return self.segmentor_terms(step.networks["segmentor"](batch.image), batch, step)

    def training_step(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """One step of the segmentor, then one of the discriminator."""
        output = step.networks["segmentor"](batch.image)
        terms = self.segmentor_terms(output, batch, step)
        step.optimize("segmentor", sum(terms.values(), start=output.features.new_zeros(())))
        if not self.config.adversarial_weight:
            return terms
        shown = self.maps_without_gradient(output, batch, step) * gaps(batch)
        scores = step.networks["discriminator"](shown, batch.image)
        loss = discriminator_cross_entropy(scores, labelled(batch), unlabelled(batch))
        step.optimize("discriminator", loss)
        self._log_accuracy(scores.detach(), batch)
        return {**terms, "discriminator": loss}

    def segmentor_terms(self, output: SegmentorOutput, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Named terms whose sum trains the segmentor."""
        assert output.sdm is not None
        everywhere = batch.everywhere[(..., *(None,) * (output.sdm.ndim - 2))] & batch.valid
        if batch.sdm is None:  # no case of the batch is annotated, or nobody asked for distances
            everywhere = torch.zeros_like(everywhere)
        distance = torch.zeros_like(output.sdm) if batch.sdm is None else batch.sdm
        mse = masked_sdm_mse(output.sdm, distance, everywhere)
        terms = {**self.segmentation(output.logits, batch), "sdm": self.config.sdm_weight * mse}
        if self.config.adversarial_weight:
            self.log["adversarial_weight"] = weight = self.config.adversarial_weight * self.warmup(step)
            terms["adversarial"] = weight * self.adversarial(output.sdm, batch, step)
        return terms

    def segmentation(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The supervised terms; in paper mode Dice with squares alone."""
        if not self.config.paper:
            return self.supervised(logits, batch)
        probability = logits.float().softmax(dim=1)[:, 1:] if self.exclusive else logits.float().sigmoid()
        scored = batch.known & batch.annotated[(..., *(None,) * (batch.known.ndim - 2))]
        return {"dice": squared_dice(probability, batch.target, scored)}

    def adversarial(self, sdm: Tensor, batch: Batch, step: Step) -> Tensor:
        """How far unlabelled images are from being taken for labelled ones."""
        rows = unlabelled(batch).nonzero()[:, 0]
        if not len(rows):  # no scores, but another process, which waits for the count, may have some
            return generator_cross_entropy(sdm.flatten(1)[:0, :1].expand(-1, 2))
        step.networks["discriminator"].eval()
        scores = step.frozen("discriminator")((sdm * gaps(batch))[rows], batch.image[rows])
        step.networks["discriminator"].train()
        return generator_cross_entropy(scores)

    def maps_without_gradient(self, output: SegmentorOutput, batch: Batch, step: Step) -> Tensor:
        """What the discriminator learns from: the segmentor's maps without dropout, after its step, (B, K, *S).

        In paper mode that is another pass over the image in eval mode, with the running statistics of batch
        normalisation. Ours repeats the head over the features that are there, at no cost: with instance normalisation
        they are what another pass would have given before the step.
        """
        network = step.networks["segmentor"].eval()
        with torch.no_grad():
            if self.config.paper:
                sdm = step.frozen("segmentor")(batch.image).sdm
            else:
                sdm = cast("Segmentor", network).sdm_head(output.features.detach()).tanh()  # type: ignore[misc]
        network.train()
        return cast("Tensor", sdm)

    def warmup(self, step: Step) -> float:
        """Share of the adversarial weight that counts, 0 to 1."""
        return rampup(step.iteration // STAIR / STAIRS if self.config.paper else step.progress)

    def _log_accuracy(self, scores: Tensor, batch: Batch) -> None:
        """``discriminator_accuracy``: share of the labelled and unlabelled images that it told apart."""
        counted, said = labelled(batch) | unlabelled(batch), scores.argmax(dim=1) == LABELLED
        if counted.any():
            self.log["discriminator_accuracy"] = float((said == labelled(batch))[counted].float().mean())


def labelled(batch: Batch) -> Tensor:
    """(B,) bool: some label is known everywhere in the case."""
    return batch.everywhere.any(dim=1)


def unlabelled(batch: Batch) -> Tensor:
    """(B,) bool: no label is annotated in the case."""
    return ~batch.annotated.any(dim=1)


def gaps(batch: Batch) -> Tensor:
    """(B, K, 1, 1, 1) float32, what to multiply maps with before they are shown: 0 for the labels that are not known
    everywhere in a labelled image. The other images take the gaps of the labelled ones in turn, and none where there is
    no labelled one."""
    shown = batch.everywhere.float()
    own = labelled(batch)
    others = (~own).nonzero()[:, 0]
    patterns = shown[own] if own.any() else torch.ones_like(shown)
    shown[others] = patterns[torch.arange(len(others), device=shown.device) % len(patterns)]
    return shown[..., None, None, None]
