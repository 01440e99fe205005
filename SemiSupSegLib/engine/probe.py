"""Probe: how this machine computes fastest, found by a few small training steps instead of by tables of processors.

``probed = probe(config, device)`` once a process; ``network = prepare_network(network, probed)`` before the optimizer
is made; ``with autocast(probed):`` around every forward pass and loss. Parameters and optimizer state stay float32.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

import torch
from torch import distributed as dist
from torch import nn

from ..config import Config
from ..networks.norm import norm_activation

__all__ = ["Probe", "autocast", "available_threads", "prepare_network", "probe", "probe_here"]

SECONDS = 3.0
"""What trying may cost."""
_WORTH_IT = 1.15
"""bfloat16 has to be faster by this factor, or the numbers stay exact."""
_FORMATS: dict[tuple[str, bool], str] = {
    ("bfloat16", True): "bfloat16, channels-last",
    ("float32", True): "float32, channels-last",
    ("float32", False): "float32, contiguous",
}


@dataclass(frozen=True)
class Probe:
    """How networks are computed on one device."""

    device: str
    """``cpu`` or ``cuda``."""
    precision: Literal["float32", "bfloat16"]
    """What activations are computed in; weights, losses and optimizer are float32 in both cases."""
    channels_last: bool
    """Whether all channels of a voxel lie side by side in memory."""
    threads: int
    """Threads on the CPU."""
    reason: str
    """Why, in words, with the times that were measured."""


def probe(config: Config, device: torch.device | str) -> Probe:
    """The fastest way to train the configured network on a device; measured once a process, in at most about 3 s.

    All processes of a distributed run follow the first one's findings, as they must compute the same.

    Args:
        config: its network, and ``train.precision``: anything but ``auto`` settles the precision.
        device: where to train or predict.
    """
    found = probe_here(config, device)
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        chosen = torch.tensor([found.precision == "bfloat16", found.channels_last], dtype=torch.uint8, device=device)
        dist.broadcast(chosen, src=0)
        reduced, last = (bool(answer) for answer in chosen.tolist())
        found = replace(found, precision="bfloat16" if reduced else "float32", channels_last=last)
    return found


def probe_here(config: Config, device: torch.device | str) -> Probe:
    """The same for work that one process of a distributed run does alone: no other is waited for."""
    return _probed(torch.device(device).type, config.train.precision, config.network.filters)


def prepare_network(network: nn.Module, probed: Probe) -> nn.Module:
    """The network, in place, in the memory format that was found; also sets up threads and memory of the process."""
    if probed.device == "cpu":
        torch.set_num_threads(probed.threads)
        _keep_freed_memory()
    if probed.channels_last:
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return network


def autocast(probed: Probe) -> AbstractContextManager[None]:
    """Context in which networks compute in the precision that was found."""
    return torch.autocast(probed.device, torch.bfloat16, enabled=probed.precision == "bfloat16")


def available_threads() -> int:
    """Threads that help: torch's own number, but no more than the processors that this process may use."""
    allowed = [float(torch.get_num_threads())]
    if hasattr(os, "sched_getaffinity"):
        allowed.append(len(os.sched_getaffinity(0)))
    limit = Path("/sys/fs/cgroup/cpu.max")  # a container's share; torch counts the whole machine's processors
    if limit.is_file():
        quota, period = limit.read_text(encoding="ascii").split()
        if quota != "max":
            allowed.append(math.ceil(int(quota) / int(period)))
    return max(1, int(min(allowed)))


@cache
def _keep_freed_memory() -> None:
    """Let glibc reuse what a step freed, up to 2 GB, for the next step.

    It would give the memory back to the system after every step and be given zeroed pages anew: up to a tenth of its
    time, and with many labels, whose tensors have hundreds of MB, up to half of it. Without glibc nothing happens.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        trim_threshold, mmap_max = -1, -4  # malloc.h
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)


@lru_cache(maxsize=8)
def _probed(device: str, precision: str, filters: int) -> Probe:
    threads = available_threads()
    if device == "cuda":
        reduced = precision == "bfloat16" or (precision == "auto" and torch.cuda.is_bf16_supported())
        words = "the GPU computes in bfloat16" if reduced else "the GPU has no bfloat16, or float32 was asked for"
        return Probe(device, "bfloat16" if reduced else "float32", True, threads, words)
    if precision == "float32":  # who asks for it wants exact numbers that repeat, not what is fastest at the moment
        return Probe(device, "float32", False, threads, "float32 was asked for, so nothing was timed")
    if precision == "bfloat16":
        return Probe(device, "bfloat16", True, threads, "bfloat16 was asked for")
    candidates = list(_FORMATS)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = _measure(filters, candidates)
    finally:
        torch.set_num_threads(before)
    best = exact = min((f for f in times if f[0] == "float32"), key=times.__getitem__)
    if times.get(("bfloat16", True), math.inf) * _WORTH_IT < times[exact]:
        best = ("bfloat16", True)
    took = "; ".join(f"{_FORMATS[f]} {1000 * t:.0f} ms" for f, t in times.items())
    return Probe(device, *best, threads, f"a small training step in one thread took: {took}")  # type: ignore[arg-type]


def _measure(filters: int, candidates: list[tuple[str, bool]]) -> dict[tuple[str, bool], float]:
    """Processor seconds of a small training step in one thread, the least of a few.

    Time that other programs take does not count so: on a busy machine several threads wait for each other most of the
    time, which says nothing about the arithmetic.
    """
    end = time.perf_counter() + SECONDS
    times = dict.fromkeys(candidates, math.inf)
    with torch.random.fork_rng(devices=[]):
        block = _block(filters)
        image = torch.rand(2, filters, 32, 32, 32)
        for turn in range(6):
            for candidate in candidates:
                slow = times[candidate] > 3 * min(times.values())
                if turn == 0 or (time.perf_counter() < end and not slow):
                    took = _step(block, image, candidate)
                    times[candidate] = took if turn < 2 else min(took, times[candidate])  # the first one warms up
    return times


def _block(filters: int) -> nn.Module:
    """The kinds of layers that training spends its time in, of every backbone: full resolution, halved, deep."""
    return nn.Sequential(
        nn.Conv3d(filters, filters, 3, padding=1, bias=False),
        norm_activation("instance", filters),
        nn.Conv3d(filters, 2 * filters, 2, 2, bias=False),
        norm_activation("instance", 2 * filters),
        nn.Conv3d(2 * filters, 2 * filters, 3, padding=1, bias=False),
        norm_activation("instance", 2 * filters),
        nn.Conv3d(2 * filters, 4 * filters, 2, 2, bias=False),
        nn.Conv3d(4 * filters, 4 * filters, 3, padding=1, bias=False),
        norm_activation("instance", 4 * filters),
    )


def _step(block: nn.Module, image: torch.Tensor, candidate: tuple[str, bool]) -> float:
    precision, channels_last = candidate
    memory_format = torch.channels_last_3d if channels_last else torch.contiguous_format
    block.to(memory_format=memory_format).zero_grad()  # type: ignore[call-overload]
    image = image.to(memory_format=memory_format)
    start = time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        loss = block(image).float().square().mean()
    loss.backward()
    return time.process_time() - start
