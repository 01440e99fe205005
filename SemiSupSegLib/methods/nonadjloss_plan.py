"""What NonAdjLoss takes from a project and its names: forbidden pairs, published settings, whether it can start."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..config import Config, NetworkConfig
from ..errors import ConfigError, ProjectError
from ..project.labels import LabelSet
from ..project.models import promoted_model

if TYPE_CHECKING:
    from ..project.project import Project

__all__ = ["as_published", "forbidden_matrix", "has_start", "label_frequencies"]

BACKGROUND = "background"
"""Name of what is no label, in a forbidden pair."""
SLICES: Literal["y"] = "y"
"""Coronal slices."""
ANNOTATED, UNANNOTATED = 2, 6
"""Patches of a batch: two annotated ones, and three times as many without any annotation."""


def as_published(config: Config, project: Project) -> Config:
    """The settings of Ganaye et al.'s code for fine-tuning; what the user gave among the options stays as it is.

    ModSegNet with 32 filters and no normalisation on seven coronal slices, softmax, the 3x3 box in the slice, mean over
    pairs, weighted cross-entropy + 5 Dice, SGD with momentum 0.9, weight decay 1e-4, polynomial decay from 0.001.
    """
    alone = all(case.annotated for case in project.train_cases())
    options: dict[str, Any] = {"dice_weight": 5.0, "neighbours": SLICES, "relative": False, **config.options}
    options.setdefault("frequencies", label_frequencies(project))
    across: Literal["x", "y", "z"] = SLICES if options["neighbours"] == "3d" else options["neighbours"]
    network = replace(
        config.network,
        backbone="modsegnet",
        filters=32,
        norm="none",
        slice_axis=across,
        activation="softmax",
        dropout=0.0,
        strides=None,
    )
    train = replace(
        config.train,
        batch_size=ANNOTATED if alone else ANNOTATED + UNANNOTATED,
        optimizer="sgd",
        learning_rate=1e-3,
        schedule="poly",
        weight_decay=1e-4,
        ema_decay=0.0,
        gradient_clip=0.0,
    )
    unlabelled = options.setdefault("unlabelled", UNANNOTATED / (ANNOTATED + UNANNOTATED))
    data = replace(config.data, unlabelled=unlabelled)
    return replace(config, options=options, data=data, network=network, train=train)


def has_start(project: Project, network: NetworkConfig) -> bool:
    """Whether the model in use has this backbone, so that training begins with what it knows."""
    folder = promoted_model(project.models_folder)
    if folder is None:
        return False
    try:
        description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        earlier = description["config"]["network"]
    except (OSError, ValueError, KeyError, TypeError):  # training will say what is wrong with it
        return False
    return bool(earlier.get("backbone") == network.backbone and earlier.get("filters") == network.filters)


def label_frequencies(project: Project) -> list[float]:
    """Share of voxels of the background and of each label, over the training cases in which the label is annotated.

    0 for a label that no case annotates. Shares are of whole images: a partly annotated label seems rarer than it is.
    """
    label_set = project.label_set
    found, voxels = np.zeros(len(label_set)), np.zeros(len(label_set))
    for case in project.train_cases():
        if not case.annotated:
            continue
        labels = case.labels(label_set)
        counts = [np.bincount(layer.ravel()) for layer in labels]
        for channel, (name, place) in enumerate(zip(label_set.names, label_set.places, strict=True)):
            if case.annotation(name).annotated:
                here = counts[place.layer]
                found[channel] += here[place.value] if place.value < len(here) else 0
                voxels[channel] += labels[0].size
    shares = found / np.maximum(voxels, 1)
    return [max(1.0 - float(shares.sum()), 0.0), *(float(share) for share in shares)]


def forbidden_matrix(pairs: tuple[tuple[str, str], ...], label_set: LabelSet) -> Tensor:
    """Which classes must not touch, (K + 1, K + 1) bool, symmetric, background first.

    Raises:
        ConfigError: a name that is no label, or a pair of a label with itself.
    """
    forbidden = torch.zeros(len(label_set) + 1, len(label_set) + 1, dtype=torch.bool)
    for pair in pairs:
        try:
            a, b = (0 if name == BACKGROUND else 1 + label_set.index(name) for name in pair)
        except ProjectError as error:
            msg = f"options.forbidden: {error}"
            raise ConfigError(msg) from error
        if a == b:
            msg = f"options.forbidden: {pair[0]!r} with itself, but every label touches itself"
            raise ConfigError(msg)
        forbidden[a, b] = forbidden[b, a] = True
    return forbidden
