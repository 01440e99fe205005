"""From a project and a preset to a complete Config, and what it will cost. Planned numbers are in the run's config."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import psutil
import torch

from ..config import DEFAULT_METHOD, PRESETS, Config, DataConfig, NetworkConfig, Preset, TrainConfig
from ..errors import ConfigError, RunError
from ..methods.base import method_named
from ..networks.backbones import strides_of
from ..project.cases import Case
from ..project.project import Project
from .device import choose_device
from .symmetry import is_symmetric
from .training_grid import median_extent, training_spacing
from .training_patch import DEEPEST, covering_patch, halvings
from .wishes import split_options, with_wishes

__all__ = ["Estimate", "check_trainable", "estimate", "plan"]

Backbone = Literal["vnet", "monai_vnet", "dynunet", "segresnet", "modsegnet", "resnet2d"]


@dataclass(frozen=True)
class Estimate:
    """What a run will need."""

    minutes: float | None
    """Wall-clock minutes; None when the budget is in iterations and the step has not been timed yet."""
    memory_gb: float
    """Peak memory of training on its device, in GB (1e9 bytes)."""
    available_gb: float
    """What that device has free now."""
    device: str
    """``cpu`` or ``cuda``."""
    reason: str
    """Why that device, in words."""


def check_trainable(project: Project) -> None:
    """Refuse in one sentence a project from which nothing can be learnt.

    Raises:
        RunError: no label, no case, or no positive voxel of any organ.
    """
    if not len(project.label_set):
        msg = "this project has no labels yet: import annotated cases or add labels first"
        raise RunError(msg)
    annotated = [case for case in project.train_cases() if case.annotated]
    if not annotated:
        msg = "no training case has an annotation yet: mark at least one organ of one case as complete or partial"
        raise RunError(msg)
    if not any(_has_positive(case, project) for case in annotated):
        msg = "no organ has a single annotated voxel in the training cases, so there is nothing to learn from"
        raise RunError(msg)


def _has_positive(case: Case, project: Project) -> bool:
    if case.labels_file is None:
        return False
    labels, names = case.labels(project.label_set), project.label_set.names
    return any(
        case.annotation(names[c]).annotated and bool(np.any(labels[place.layer] == place.value))
        for c, place in enumerate(project.label_set.places)
    )


def plan(
    project: Project,
    *,
    method: str = DEFAULT_METHOD,
    preset: str = "balanced",
    minutes: float | None = None,
    iterations: int | None = None,
    spacing: tuple[float, float, float] | None = None,
    backbone: Backbone | None = None,
    activation: Literal["sigmoid", "softmax"] | None = None,
    seed: int = 1,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    options: dict[str, Any] | None = None,
    from_scratch: bool = False,
) -> Config:
    """All settings of a run, from the volumes of the project and a few wishes.

    Args:
        project: where the cases are.
        method: name of the method.
        preset: ``quick``, ``balanced`` or ``thorough``: how much work.
        minutes: budget; the preset's when neither this nor ``iterations`` is given.
        iterations: budget in optimizer steps instead.
        spacing: training grid in mm; planned when None, see :mod:`.training_grid`.
        backbone: None for the default.
        activation: ``softmax`` for exclusive labels with a background channel; None for the default.
        seed: of everything drawn.
        device: ``auto`` takes the GPU when torch can use one.
        options: the method's own, and settings of the run, see :mod:`.wishes`.
        from_scratch: training will begin with random weights, whatever model is in use.

    Raises:
        ConfigError: unknown preset, method or option, both budgets, or a value out of range.
        RunError: nothing to train on.
    """
    if preset not in PRESETS:
        msg = f"no preset {preset!r}: choose one of {', '.join(PRESETS)}"
        raise ConfigError(msg)
    check_trainable(project)
    chosen = PRESETS[preset].with_labels(len(project.label_set))
    options, wished = split_options(options or {})
    method_named(method)(options, project.label_set, NetworkConfig())  # refuses unknown options now
    if minutes is None and iterations is None:
        minutes = chosen.minutes
    cases = [case for case in project.train_cases() if case.annotated]
    grid_mm = spacing or training_spacing(cases, project.label_set, chosen)
    volume = median_extent(cases) / np.array(grid_mm)
    network = _network(backbone or NetworkConfig().backbone, chosen, grid_mm, halvings(grid_mm, volume))
    network = replace(network, activation=activation or network.activation)
    multiple = _multiple(network)
    data = DataConfig(
        spacing=grid_mm,
        patch_size=covering_patch(volume, grid_mm, multiple, chosen.patch_voxels),
        first_patch_size=covering_patch(volume, grid_mm, multiple, chosen.patch_voxels / FIRST),
        mirrored=not options.get("paper") and is_symmetric(cases, project.label_set),
        intensity="ct" if all(c.modality == "CT" for c in project.train_cases()) else "zscore",
    )
    train = TrainConfig(
        minutes=minutes,
        iterations=iterations,
        batch_size=chosen.batch_size,
        learning_rate=_learning_rate(len(project.label_set)),
        seed=seed,
        device=device,
    )
    config = Config(method=method, options=options, data=data, network=network, train=train)
    return _adapted(config, project, wished, from_scratch=from_scratch)


def _adapted(config: Config, project: Project, wished: dict[str, Any], *, from_scratch: bool) -> Config:
    """What was planned, as the method and the user want it, and as memory allows."""
    own = method_named(config.method)(config.options, project.label_set, config.network)
    own.from_scratch = from_scratch
    keeps = "data.patch_size" in wished or bool(config.options.get("paper"))
    config = with_wishes(own.adapt(config, project), wished)
    config = _divisible(config, grows=not keeps or "data.first_patch_size" in wished)
    return _fitted(project, config, _multiple(config.network))


def _learning_rate(labels: int) -> float:
    """The usual rate for a few labels, up to four times as much for many.

    Losses are means over the labels, so that the 140 of a brain pull 140 ways: at the usual rate they have learnt
    hardly anything when a CPU's minutes are over (``Testing/benchmarks/README.md``).
    """
    return TrainConfig.learning_rate * min(max(math.sqrt(labels / FEW_LABELS), 1.0), FASTEST)


FEW_LABELS, FASTEST = 8, 4.0
FIRST = 4.0
"""Times as many voxels as the first patches have those that come later."""


def estimate(project: Project, config: Config) -> Estimate:
    """Time, memory and device of a run, before it starts.

    The memory is a model fitted to measured peaks (``Testing/benchmarks/bench_memory.py`` prints both side by side).
    """
    device, reason = choose_device(config.train.device)
    voxels = config.train.batch_size * math.prod(config.data.patch_size)
    kept = KEPT_ACTIVATIONS[config.network.backbone] * config.network.filters / 16
    per_label = 4 * 8 * (len(project.label_set) + (config.network.activation == "softmax"))
    base = BASE_GB + WEIGHTS_GB.get(config.network.backbone, 0.0)
    memory = base + voxels * (4 * kept + per_label) / 1e9
    return Estimate(config.train.minutes, memory, _available_gb(device), device, reason)


BASE_GB = 0.7
"""Python, torch and its libraries, and the loader's processes."""
WEIGHTS_GB = {"monai_vnet": 0.9}
"""Weights, gradients, two moments and average of backbones in which these are no small matter: 45 million numbers."""
KEPT_ACTIVATIONS = {
    "vnet": 420.0,
    "monai_vnet": 450.0,
    "dynunet": 380.0,
    "segresnet": 520.0,
    "modsegnet": 380.0,
    "resnet2d": 630.0,
}
"""float32 numbers kept per patch voxel for the backward pass with 16 filters; measured, see :func:`estimate`."""


def _available_gb(device: str) -> float:
    if device == "cuda":
        return float(torch.cuda.mem_get_info()[0]) / 1e9
    return float(psutil.virtual_memory().available) / 1e9


def _divisible(config: Config, *, grows: bool) -> Config:
    """The configuration with patches that the backbone can halve as often as it wants to; ``grows``: the first ones
    are smaller, where that was planned."""
    data = config.data

    def rounded(patch: tuple[int, int, int]) -> tuple[int, int, int]:
        x, y, z = (math.ceil(n / m) * m for n, m in zip(patch, _multiple(config.network), strict=True))
        return x, y, z

    full, first = rounded(data.patch_size), data.first_patch_size if grows else None
    if first is not None:
        a, b, c = map(min, rounded(first), full)
        first = None if (a, b, c) == full else (a, b, c)
    return replace(config, data=replace(data, patch_size=full, first_patch_size=first))


def _fitted(project: Project, config: Config, multiple: tuple[int, int, int]) -> Config:
    """The configuration made smaller until it fits into the memory that is free."""
    from .backoff import smaller

    need = estimate(project, config)
    while need.memory_gb > 0.9 * need.available_gb:
        step = smaller(config, device=need.device, multiple=multiple)
        if step is None:
            break
        config, _ = step
        need = estimate(project, config)
    return config


def _network(
    backbone: Backbone,
    preset: Preset,
    spacing: tuple[float, float, float],
    strides: tuple[tuple[int, int, int], ...],
) -> NetworkConfig:
    if backbone == "modsegnet":
        return NetworkConfig(backbone=backbone, filters=32, norm="none", slice_axis=_slice_axis(spacing))
    if backbone == "resnet2d":
        return NetworkConfig(backbone=backbone, filters=preset.filters, slice_axis=_slice_axis(spacing))
    if backbone == "monai_vnet":
        return NetworkConfig(backbone=backbone, filters=16)
    if backbone == "segresnet":
        return NetworkConfig(backbone=backbone, filters=preset.filters)
    if backbone == "vnet":  # four levels, whatever the volume: what does not need halving stays
        strides = (*strides, *((1, 1, 1),) * (DEEPEST - len(strides)))
    return NetworkConfig(backbone=backbone, filters=preset.filters, strides=strides)


def _slice_axis(spacing: tuple[float, float, float]) -> Literal["x", "y", "z"]:
    """Across the slices in which the volumes were acquired, the coarsest axis; z where all are alike."""
    axes: tuple[Literal["x", "y", "z"], ...] = ("z", "y", "x")
    return max(axes, key=lambda axis: spacing["xyz".index(axis)])


def _multiple(network: NetworkConfig) -> tuple[int, int, int]:
    x, y, z = (math.prod(stride[axis] for stride in strides_of(network)) for axis in range(3))
    return x, y, z
