"""What to do when memory runs out: a smaller batch, then a smaller patch, then the CPU. Progress is never lost."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..config import Config

__all__ = ["is_out_of_memory", "smaller"]

SMALLEST_PATCH = 32
"""Voxels per axis below which a patch shows too little to learn from."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on the GPU or the CPU."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "not enough memory" in text)


def smaller(
    config: Config, *, device: str, multiple: tuple[int, int, int], processes: int = 1
) -> tuple[Config, str] | None:
    """The next smaller configuration and what changed, in words; None when nothing is left to give up.

    Args:
        config: what ran out of memory.
        device: ``cpu`` or ``cuda``: where it ran.
        multiple: what each patch axis must be a multiple of (the segmentor's ``multiple``).
        processes: a batch is never smaller than one patch a process.
    """
    data, train = config.data, config.train
    if train.batch_size >= 2 * processes:
        size = train.batch_size // 2
        return replace(config, train=replace(train, batch_size=size)), f"batch of {train.batch_size} -> {size} patches"
    patch = list(data.patch_size)
    axis = max(range(3), key=lambda a: patch[a] / multiple[a])
    half = max(patch[axis] // 2 // multiple[axis], 1) * multiple[axis]
    if half < patch[axis] and half >= min(SMALLEST_PATCH, patch[axis]):
        before, patch[axis] = tuple(patch), half
        after = (patch[0], patch[1], patch[2])
        data = replace(data, patch_size=after, first_patch_size=None)
        return replace(config, data=data), f"patch of {before} -> {after} voxels"
    if device != "cpu":
        return replace(config, train=replace(train, device="cpu")), "GPU -> CPU"
    return None
