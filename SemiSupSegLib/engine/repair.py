"""Repair: what a training does when memory runs out, a loss is not finite, or its method takes a step back.

Each function changes the loop so that it can go on, and returns the checkpoint from which it does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ..errors import RunError
from ..jobs.protocol import EventKind
from .backoff import smaller
from .checkpoint import Checkpoint, load_checkpoint
from .launch import launch
from .state import METHOD_STATE

if TYPE_CHECKING:
    from .loop import Loop

__all__ = ["back_off", "back_to_good", "roll_back"]

MOST_ROLLBACKS = 3
"""Roll-backs after which a run gives up."""


def roll_back(loop: Loop, reason: str) -> Checkpoint:
    """The last checkpoint, with half the learning rate.

    Raises:
        RunError: there is none, or it went back three times already.
    """
    loop.rollbacks += 1
    checkpoint = load_checkpoint(loop.run.checkpoints)
    if checkpoint is None or loop.rollbacks > MOST_ROLLBACKS:
        where = f"at step {loop.state.iteration}, after {MOST_ROLLBACKS} roll-backs"
        msg = f"{reason} {where}: look for broken images or labels"
        raise RunError(msg)
    loop.factor *= 0.5
    loop.reporter.say(EventKind.ROLLED_BACK, reason=reason, to_step=checkpoint.step, learning_rate_factor=loop.factor)
    return checkpoint


def back_off(loop: Loop) -> Checkpoint:
    """A smaller configuration, and the state as it is: not a step is lost.

    Raises:
        RunError: there is nothing left to give up.
    """
    checkpoint = loop.snapshot()
    device = loop.fabric.device.type
    x, y, z = loop.state.segmentor.multiple
    less = smaller(loop.config, device=device, multiple=(x, y, z))
    if less is None:
        msg = f"memory ran out with one patch of {loop.config.data.patch_size} voxels on the CPU"
        raise RunError(msg)
    loop.config, what = less
    del loop.state
    if device == "cuda":
        torch.cuda.empty_cache()
        if loop.config.train.device == "cpu":
            loop.fabric = launch("cpu")
    loop.reporter.say(
        EventKind.BACKED_OFF,
        what=what,
        batch_size=loop.config.train.batch_size,
        patch_size=loop.config.data.patch_size,
        device=loop.config.train.device,
    )
    return checkpoint


def back_to_good(loop: Loop) -> Checkpoint:
    """The last moment that the method called good, at the step count of now and with fresh optimizers; now, when it
    never called one so.
    """
    good, now = load_checkpoint(loop.run.checkpoints, "good"), loop.snapshot()
    if good is None:
        return now
    reason = f"{loop.config.method}: its constraint has cost too much"
    loop.reporter.say(EventKind.ROLLED_BACK, reason=reason, to_step=good.step, learning_rate_factor=loop.factor)
    own = {name: tensors for name, tensors in now.networks.items() if name == METHOD_STATE}
    return replace(now, networks=good.networks | own, optimizers={})
