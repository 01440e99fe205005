"""Learning a confidence head for a relabelling round: how likely each answer of the round's segmentor is right.

Corbière et al., NeurIPS 2019 (the target), INERRANT (Petit et al., CMIG 2021: the use). The segmentor stays as it is.
Patches come from annotated training cases, augmented as in training: on what it has seen, a segmentor makes too few
mistakes. Voxels that earlier rounds added are not among what is known, so they never confirm themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..config import Config, TrainConfig
from ..data.batch import Batch
from ..data.loader import loader
from ..data.prepare import PreparedCase
from ..data.source import PatchSource
from ..errors import ModelFileError
from ..losses.confidence import confidence_loss
from ..networks.confidence import ConfidenceHead
from ..networks.segmentor import Segmentor
from ..project import atomic
from ..project.labels import LabelSet
from .budget import Budget, learning_rate
from .device import choose_device
from .model import Model
from .probe import autocast, prepare_network, probe

__all__ = ["SHARE", "head_budget", "learn_confidence", "load_head", "save_head", "segmentor_budget"]

SHARE = 0.1
"""Of a round's budget (minutes or iterations) that the head gets; the segmentor gets the rest."""
LEARNING_RATE = 1e-2
"""Peak, for Adam; it decays to 0 within the head's budget."""
FORMAT_VERSION = 1
KIND = "semisupseg-confidence"
WEIGHTS = "confidence.safetensors"
DESCRIPTION = "confidence.json"


def segmentor_budget(config: Config) -> Config:
    """A round's configuration without the head's share of its budget."""
    return replace(config, train=_scaled(config.train, 1 - SHARE))


def head_budget(train: TrainConfig) -> TrainConfig:
    """The head's share, from what :func:`segmentor_budget` left: together they are the round's."""
    return replace(_scaled(train, SHARE / (1 - SHARE)), learning_rate=LEARNING_RATE, schedule="poly")


def _scaled(train: TrainConfig, share: float) -> TrainConfig:
    minutes = None if train.minutes is None else train.minutes * share
    iterations = None if train.iterations is None else max(round(train.iterations * share), 1)
    return replace(train, minutes=minutes, iterations=iterations)


def learn_confidence(
    model: Model,
    cases: Sequence[PreparedCase],
    budget: TrainConfig,
    *,
    begin: ConfidenceHead | None = None,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[int, float], None] = lambda _step, _loss: None,
) -> ConfidenceHead | None:
    """Train a head on a frozen model; None when it was asked to stop.

    Args:
        model: the round's; it is not changed.
        cases: training cases, prepared as the model wants them and without added voxels; those without any annotation
            are left out.
        budget: how long, and the seed.
        begin: the head of the round before, to go on with where it fits.
        stop: asked before each step.
        tell: told each step and its loss.
    """
    device, _ = choose_device(model.config.train.device)
    probed = probe(model.config, device)
    segmentor = model.segmentor().requires_grad_(False)
    head = _first_head(segmentor, len(model.label_set), begin, budget.seed).to(device)
    prepare_network(segmentor, probed).to(device).eval()
    optimizer = torch.optim.Adam(head.parameters())
    clock, step = Budget(budget), 0
    source = _patches(model, cases, budget.seed)
    names, label_set = model.label_set.names, source.label_set
    with closing(loader(source, workers=0)) as batches:
        while (progress := clock.progress(step)) < 1:
            if stop():
                return None
            optimizer.param_groups[0]["lr"] = learning_rate(budget, progress=progress, iteration=step)
            with autocast(probed):
                loss = _loss(segmentor, head, next(batches).to(device), [label_set.index(name) for name in names])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
            tell(step, float(loss.detach()))
    return head.cpu().eval()


def _loss(segmentor: Segmentor, head: ConfidenceHead, batch: Batch, channels: list[int]) -> torch.Tensor:
    with torch.no_grad():
        features = segmentor.features(batch.image)
        probability = segmentor.probabilities(segmentor.head(features))
    confidence = head(features, probability)
    return confidence_loss(confidence, probability, batch.target[:, channels], batch.known[:, channels])


def _first_head(segmentor: Segmentor, labels: int, begin: ConfidenceHead | None, seed: int) -> ConfidenceHead:
    features = segmentor.head.weight.shape[1]
    if begin is not None and (begin.features, begin.labels) == (features, labels):
        return begin
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ConfidenceHead(features, labels)


def _patches(model: Model, cases: Sequence[PreparedCase], seed: int) -> PatchSource:
    annotated: list[PreparedCase] = [case for case in cases if case.annotated.any()]
    data = replace(model.config.data, unlabelled=0.0)
    label_set: LabelSet = annotated[0].label_set
    return PatchSource(annotated, label_set, data, seed=seed, batch_size=model.config.train.batch_size)


def save_head(folder: Path, head: ConfidenceHead, model: Model) -> None:
    """Write ``confidence.safetensors`` and, last, ``confidence.json``, which names the model that it was trained on."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(folder / WEIGHTS) as temp:
        save_file({name: value.detach().contiguous() for name, value in head.state_dict().items()}, temp)
    said = {
        "format": FORMAT_VERSION,
        "kind": KIND,
        "model": {"run": model.run, "checkpoint": model.checkpoint, "step": model.step},
        "labels": list(model.label_set.names),
        "features": head.features,
        "hidden": head.hidden,
        "sha256": hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest(),
    }
    atomic.write_json(folder / DESCRIPTION, said)


def load_head(folder: Path, labels: Sequence[str]) -> ConfidenceHead | None:
    """Read what :func:`save_head` wrote; None when there is none, or one for other labels.

    Raises:
        ModelFileError: it is damaged, or not what it says.
    """
    if not (folder / DESCRIPTION).is_file():
        return None
    try:
        said = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if said["kind"] != KIND or said["format"] > FORMAT_VERSION:
            msg = f"{folder.name}/{DESCRIPTION} is not of a confidence head, or of a newer version"
            raise ModelFileError(msg)
        if said["labels"] != list(labels):
            return None
        if hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest() != said["sha256"]:
            msg = f"{folder.name}/{WEIGHTS}: its checksum is not the one in {DESCRIPTION}; it is damaged"
            raise ModelFileError(msg)
        head = ConfidenceHead(said["features"], len(labels), said["hidden"])
        head.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        msg = f"{folder.name}: the confidence head cannot be read ({type(error).__name__})"
        raise ModelFileError(msg) from error
    return head.eval()
