"""Checkpoint: everything a run needs to go on, as safetensors + JSON. Nothing is ever unpickled.

A checkpoint is a folder ``checkpoints/step-<n>/`` that appears whole or not at all (written beside, then renamed).
``last.json`` or ``best.json``, which points to it, is replaced atomically. Kill -9 at any moment leaves the one before.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..errors import ModelFileError
from ..project import atomic

__all__ = ["Checkpoint", "load_checkpoint", "optimizer_tensors", "restore_optimizer", "save_checkpoint"]

FORMAT_VERSION = 1
KEEP = 2
"""Generations kept besides the ones that ``last`` and ``best`` point to."""


@dataclass
class Checkpoint:
    """A moment of a run."""

    step: int
    networks: dict[str, dict[str, Tensor]]
    """State of each network and, as ``name@average``, of its moving average."""
    optimizers: dict[str, dict[str, Tensor]]
    """Flat optimizer state, see :func:`optimizer_tensors`."""
    state: dict[str, Any] = field(default_factory=dict)
    """Plain JSON: elapsed seconds, learning-rate factor, configuration after back-offs, scores."""


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, names: tuple[str, ...] = ("last",)) -> Path:
    """Write a checkpoint and point the given names to it.

    Args:
        folder: the run's ``checkpoints`` folder; made when missing.
        checkpoint: what to write.
        names: pointers to move, ``last`` and/or ``best``.

    Returns:
        The checkpoint's folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = _free_name(folder, checkpoint.step)
    temp = folder / f".{final.name}.{os.getpid()}"
    shutil.rmtree(temp, ignore_errors=True)
    temp.mkdir()
    try:
        _save_tensors(checkpoint.networks, temp / "networks.safetensors")
        _save_tensors(checkpoint.optimizers, temp / "optimizers.safetensors")
        atomic.write_json(temp / "state.json", {"format": FORMAT_VERSION, "step": checkpoint.step, **checkpoint.state})
        temp.rename(final)
        atomic.fsync_folder(folder)
    except BaseException:
        shutil.rmtree(temp, ignore_errors=True)
        raise
    for name in names:
        atomic.write_json(folder / f"{name}.json", {"checkpoint": final.name})
    _prune(folder)
    return final


def load_checkpoint(folder: Path, name: str = "last", *, optimizers: bool = True) -> Checkpoint | None:
    """Read the checkpoint that a name points to; None when there is none yet.

    The run may go on meanwhile: a checkpoint that it removes under the reader is given up for the newer one.

    Args:
        folder: the run's ``checkpoints`` folder.
        name: ``last`` or ``best``.
        optimizers: whether to read their state, which only training needs; empty otherwise.

    Raises:
        ModelFileError: it is damaged or was not made by this program.
    """
    pointed = _pointed(folder, name)
    while pointed is not None:
        try:
            return _read(folder / pointed, optimizers=optimizers)
        except ModelFileError:
            before, pointed = pointed, _pointed(folder, name)
            if pointed == before:
                raise
    return None


def _pointed(folder: Path, name: str) -> str | None:
    try:
        text = (folder / f"{name}.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return Path(json.loads(text)["checkpoint"]).name


def _read(found: Path, *, optimizers: bool) -> Checkpoint:
    try:
        state = json.loads((found / "state.json").read_text(encoding="utf-8"))
        networks = _load_tensors(found / "networks.safetensors")
        flat = _load_tensors(found / "optimizers.safetensors") if optimizers else {}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        msg = f"checkpoint {found.name} cannot be read ({type(error).__name__}); remove it to go back to an earlier one"
        raise ModelFileError(msg) from error
    if state.pop("format", 0) > FORMAT_VERSION:
        msg = f"checkpoint {found.name} was made by a newer version of this program: please update it"
        raise ModelFileError(msg)
    return Checkpoint(step=int(state.pop("step")), networks=networks, optimizers=flat, state=state)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as flat tensors, ``<parameter index>.<name>``; empty before the first step."""
    flat: dict[str, Tensor] = {}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if value is not None:
                flat[f"{index}.{key}"] = value if isinstance(value, Tensor) else torch.tensor(float(value))
    return flat


def restore_optimizer(optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    """Inverse of :func:`optimizer_tensors`; learning rates are the loop's business and stay as they are."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in flat.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value.clone()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def network_tensors(network: nn.Module) -> dict[str, Tensor]:
    """A network's state on the CPU, contiguous, as safetensors wants it."""
    return {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}


def _free_name(folder: Path, step: int) -> Path:
    # The same step may come twice (stopped right after a resume); what `last` points to is never removed first.
    return next(p for n in range(1000) if not (p := folder / (f"step-{step:07d}" + (f"-{n}" if n else ""))).exists())


def _save_tensors(groups: dict[str, dict[str, Tensor]], path: Path) -> None:
    flat = {
        f"{group}/{name}": v.detach().cpu().contiguous().clone()
        for group, ts in groups.items()
        for name, v in ts.items()
    }
    save_file(flat, path, metadata={"format": "pt", "groups": json.dumps(sorted(groups))})
    atomic.fsync_file(path)


def _load_tensors(path: Path) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in load_file(path).items():
        group, name = key.split("/", 1)
        groups.setdefault(group, {})[name] = value
    return groups


def _prune(folder: Path) -> None:
    pointed = {json.loads(p.read_text(encoding="utf-8"))["checkpoint"] for p in folder.glob("*.json")}
    steps = sorted(p for p in folder.glob("step-*") if p.is_dir())
    for old in steps[:-KEEP]:
        if old.name not in pointed:
            shutil.rmtree(old, ignore_errors=True)
