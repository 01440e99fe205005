"""TrainingState: the networks of a method with their optimizers and averages; what a checkpoint saves and restores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim.swa_utils import AveragedModel

from ..config import Config, TrainConfig
from ..methods.base import Method, OptimizerSettings, method_named
from ..networks.segmentor import Segmentor
from ..project.labels import LabelSet
from .checkpoint import Checkpoint, network_tensors, optimizer_tensors, restore_optimizer
from .probe import Probe, autocast, prepare_network

__all__ = ["TrainingState", "predicting_weights"]

TEACHER_DECAY = 0.99
"""Of a method's moving averages where the run's own, ``train.ema_decay``, is off (UA-MT, SASSNet's comparators)."""
METHOD_STATE = "@method"
"""What :meth:`Method.state` gives, among a checkpoint's networks."""


class TrainingState:
    """Also the :class:`~SemiSupSegLib.methods.base.Step` that a method sees."""

    def __init__(self, config: Config, label_set: LabelSet, fabric: Fabric, probe: Probe) -> None:
        torch.manual_seed(config.train.seed)  # the same start in every process
        self.config, self.fabric, self.probe = config, fabric, probe
        self.method: Method = method_named(config.method)(config.options, label_set, config.network)
        raw = self.method.networks()
        self.raw = {name: prepare_network(net, probe).to(fabric.device) for name, net in raw.items()}
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        for name, net in self.raw.items():
            optimizer = _optimizer(net, config.train, self.method.optimizer(name))
            self.networks[name], self.optimizers[name] = fabric.setup(net, optimizer)
        self._averaging = self._averages()
        self.iteration = 0
        self.progress = 0.0
        self.factor = 1.0
        """Of constant learning rates; halved by each roll-back."""

    def _averages(self) -> dict[str, AveragedModel]:
        wanted = set(self.method.averaged) | ({"segmentor"} if self.config.train.ema_decay else set())
        average = _warm_average(self.config.train.ema_decay or TEACHER_DECAY)
        return {
            name: AveragedModel(self.raw[name], multi_avg_fn=average, use_buffers=True).eval().requires_grad_(False)
            for name in sorted(wanted)
        }

    @property
    def averages(self) -> dict[str, nn.Module]:
        """Moving averages by the name of their network, each of that network's class, in eval mode."""
        return {name: average.module for name, average in self._averaging.items()}

    def train_step(self, batch: Any, *, learning_rate: float) -> dict[str, float]:
        """One step of the method; returns its terms as numbers.

        Raises:
            FloatingPointError: a term is not finite; nothing was changed by that term.
        """
        for name, optimizer in self.optimizers.items():
            own = self.method.optimizer(name)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate if own is None else own.learning_rate * self.factor
        # Dropout and noise follow from (seed, step, process) alone, so that a resumed run draws what it would have
        # drawn.
        torch.manual_seed((self.config.train.seed * 1_000_003 + self.iteration) * 64 + self.fabric.global_rank)
        for net in self.networks.values():
            net.train()
        with autocast(self.probe):
            terms = self.method.training_step(batch, self)
        for name, average in self._averaging.items():
            average.update_parameters(self.raw[name])
        return {name: float(term.detach()) for name, term in terms.items()}

    def optimize(self, network: str, loss: Tensor) -> None:
        """Backward pass and one optimizer step; see :class:`~SemiSupSegLib.methods.base.Step`.

        Raises:
            FloatingPointError: the loss or a gradient is not finite; no weight was changed.
        """
        if not torch.isfinite(loss):
            msg = f"the loss of {network} is {float(loss.detach())}"
            raise FloatingPointError(msg)
        optimizer = self.optimizers[network]
        optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        limit = self.config.train.gradient_clip or math.inf
        norm = self.fabric.clip_gradients(self.networks[network], optimizer, max_norm=limit, error_if_nonfinite=False)
        # One number that is none would get into the norm, and by it into all weights.
        if norm is None or not torch.isfinite(norm):
            msg = f"the gradient of {network} is not finite"
            raise FloatingPointError(msg)
        optimizer.step()

    def frozen(self, network: str) -> Callable[..., Any]:
        """A network with its parameters held fixed; see :class:`~SemiSupSegLib.methods.base.Step`."""
        raw = self.raw[network]
        fixed = {name: parameter.detach() for name, parameter in raw.named_parameters()}
        return lambda *args: functional_call(raw, fixed, args)

    @property
    def segmentor(self) -> Segmentor:
        """The network that learns to predict, as it is now."""
        return cast("Segmentor", self.raw["segmentor"])

    def predicting(self) -> Segmentor:
        """The segmentor that predicts: its moving average when there is one."""
        return cast("Segmentor", self.averages["segmentor"]) if self.config.train.ema_decay else self.segmentor

    def snapshot(self, **state: Any) -> Checkpoint:
        """Everything, copied to the CPU."""
        networks = {name: network_tensors(net) for name, net in self.raw.items()}
        networks |= {f"{name}@average": network_tensors(net) for name, net in self._averaging.items()}
        if own := self.method.state():
            networks[METHOD_STATE] = own
        optimizers = {name: optimizer_tensors(optimizer) for name, optimizer in self.optimizers.items()}
        return Checkpoint(step=self.iteration, networks=networks, optimizers=optimizers, state=state)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Inverse of :meth:`snapshot`; the networks must have been built from the same configuration."""
        for name, net in self.raw.items():
            net.load_state_dict(checkpoint.networks[name])
            restore_optimizer(self.optimizers[name], checkpoint.optimizers.get(name, {}))
        for name, average in self._averaging.items():
            average.load_state_dict(checkpoint.networks[f"{name}@average"])
        if METHOD_STATE in checkpoint.networks:
            self.method.restore(checkpoint.networks[METHOD_STATE])
        self.iteration = checkpoint.step

    def expect(self, shares: Sequence[float | None]) -> None:
        """Tell the segmentor how large labels are, before it has learnt anything; see :meth:`.Segmentor.expect`."""
        if shares:
            self.segmentor.expect(shares)
            self._averaging = self._averages()

    @torch.no_grad()
    def start_from(self, weights: dict[str, Tensor], old: Sequence[str], new: Sequence[str]) -> list[str]:
        """Begin with an earlier model's segmentor. Labels are matched by name, so that added ones start afresh.

        Args:
            weights: the earlier segmentor's.
            old: its labels in channel order.
            new: the labels now.

        Returns:
            Names of tensors that did not fit at all and stay random: all of them when the network is another one.
        """
        own = self.raw["segmentor"].state_dict()
        untouched = []
        for name, value in own.items():
            found = weights.get(name)
            if found is None or found.shape[1:] != value.shape[1:]:
                untouched.append(name)
            elif "head" in name.split(".")[0]:
                for row, earlier in _rows(value, found, old, new):
                    value[row] = found[earlier]
            elif found.shape == value.shape:
                value.copy_(found)
            else:
                untouched.append(name)
        self._averaging = self._averages()
        return untouched


def _rows(value: Tensor, found: Tensor, old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Rows of a head, and those of an earlier one that go there; a softmax head has the background first."""
    ahead, behind = len(value) - len(new), len(found) - len(old)
    pairs = [(0, 0)] if ahead and behind else []
    return pairs + [(ahead + new.index(name), behind + i) for i, name in enumerate(old) if name in new]


def predicting_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Weights of the segmentor that predicts, out of a checkpoint: the averaged ones when there are any."""
    averaged = checkpoint.networks.get("segmentor@average")
    if averaged is None or not checkpoint.state["config"]["train"]["ema_decay"]:  # a teacher that only teaches
        return checkpoint.networks["segmentor"]
    return {name.removeprefix("module."): value for name, value in averaged.items() if name != "n_averaged"}


def _optimizer(network: nn.Module, config: TrainConfig, own: OptimizerSettings | None) -> torch.optim.Optimizer:
    if own is not None and own.kind != "sgd":
        adam = torch.optim.Adam if own.kind == "adam" else torch.optim.AdamW
        return adam(network.parameters(), lr=own.learning_rate, betas=own.betas, weight_decay=own.weight_decay)
    if own is not None:
        return torch.optim.SGD(network.parameters(), lr=own.learning_rate, momentum=0.9, weight_decay=own.weight_decay)
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(), lr=config.learning_rate, momentum=0.9, weight_decay=config.weight_decay
        )
    # fused: one pass over the weights instead of a dozen, a twentieth of a step on the CPU
    return torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )


def _warm_average(decay: float) -> Any:
    """Exponential moving average whose decay grows to its value, so that the random start is soon forgotten."""

    @torch.no_grad()
    def average(averages: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        """Move all averages towards the current weights; ``count``: steps that they are of."""
        keep = min(decay, (1.0 + int(count)) / (10.0 + int(count)))
        real = [(a, c) for a, c in zip(averages, current, strict=True) if a.is_floating_point()]
        if real:
            torch._foreach_lerp_([a for a, _ in real], [c for _, c in real], 1.0 - keep)
        for a, c in zip(averages, current, strict=True):
            if not a.is_floating_point():  # counters of batch normalisation
                a.copy_(c)

    return average
