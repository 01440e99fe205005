"""Fabric for the device at hand: one process, or as many as torchrun started."""

from __future__ import annotations

import os

from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

__all__ = ["launch"]


def launch(device: str) -> Fabric:
    """A launched Fabric on ``cpu`` or ``cuda``; under torchrun it joins the other processes (gloo on CPU, nccl on
    GPU)."""
    here, all_ = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), int(os.environ.get("WORLD_SIZE", "1"))
    strategy: DDPStrategy | str = "auto"
    if all_ > 1:
        strategy = DDPStrategy(process_group_backend="gloo" if device == "cpu" else "nccl")
    fabric = Fabric(
        accelerator=device, devices=here, num_nodes=max(all_ // here, 1), strategy=strategy, precision="32-true"
    )
    fabric.launch()
    return fabric
