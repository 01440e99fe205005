"""LambdaControl: how strong the non-adjacency constraint is, from one validation to the next.

Ganaye, Sdika, Benoit-Cattin, MICCAI 2018 and Medical Image Analysis 2019, by their released code: an exterior penalty
that grows for as long as Dice stays close to the reference D0, measured before the constraint began. The numbers are
theirs. An *epoch* is the stretch between two validations (or, without a hold-out, a fixed number of steps).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields

import torch
from torch import Tensor

from ..losses.reduce import mean_over_processes
from .base import Judgement

__all__ = ["TUNING", "Epoch", "LambdaControl"]

TUNING = 0.7
"""Share of the budget after which the weight no longer grows."""
START = 0.3
"""The weight begins where the constraint is this share of the training Dice."""
CLOSE, FAR = 0.01, 0.02
"""Losses of Dice against D0: below the first the weight may grow, from the second on it has to wait."""
SELECTED = 0.005
"""Loss of Dice against D0 up to which an epoch may become the result."""
MOST_NOT_FINITE = 3
"""Losses that are not finite after which training goes back."""


@dataclass
class LambdaControl:
    """The weight lambda, and all that decides about it; plain numbers that a checkpoint can hold."""

    interval: int = 5
    """Epochs between two changes."""
    weight: float = 0.0
    """lambda; 0 until D0 is known."""
    growth: float = 1.3
    """Factor by which it grows; each failure lowers it, and below 1 the control has stopped."""
    reference: float = math.nan
    """D0; NaN before epoch 0 is over."""
    lowest: float = math.inf
    """Smallest L_NA among the epochs that may become the result."""
    close: int = 0
    """Epochs with Dice close to D0 since the weight grew or had to wait."""
    below: int = -1
    """Epochs of the tuning phase below D0 since the weight was lowered; begins one short of firing."""
    since_good: int = 0
    """Epochs since the last good one."""
    not_finite: int = 0
    """Losses that were not finite since training last went back."""

    def __post_init__(self) -> None:
        if self.below < 0:
            self.below = self.interval - 1

    @property
    def started(self) -> bool:
        """Whether D0 is known."""
        return not math.isnan(self.reference)

    @property
    def stopped(self) -> bool:
        """Whether the weight is fixed for good: its growth has been lowered to shrinking."""
        return self.growth < 1

    def start(self, dice: float, non_adjacency: float, *, train_dice: float, train_non_adjacency: float) -> Judgement:
        """End of epoch 0, which ran without the constraint (rule 1).

        Args:
            dice: mean Dice of the validation, which becomes D0.
            non_adjacency: L_NA of the validation.
            train_dice: mean Dice of the training patches of the epoch.
            train_non_adjacency: their mean L_NA, unweighted. Where it is 0 there is nothing to weigh, and the next
                epoch starts again.
        """
        if train_non_adjacency > 0:
            self.weight = START * train_dice / train_non_adjacency
            self.reference = dice
        self.lowest = non_adjacency
        return Judgement(best=True, good=True)

    def advance(self, dice: float, non_adjacency: float, *, tuning: bool) -> Judgement:
        """End of a later epoch (rules 2 to 4 and 6).

        Args:
            dice: mean Dice of the validation.
            non_adjacency: its L_NA.
            tuning: the budget is used up to :data:`TUNING`.

        Returns:
            ``good`` where Dice is at least D0 - 0.01; ``best`` where it is at least D0 - 0.005 and L_NA is the
            smallest of such epochs; ``roll_back`` after 10, 15, ... epochs without a good one.
        """
        loss = self.reference - dice
        good = dice >= self.reference - CLOSE
        best = dice >= self.reference - SELECTED and non_adjacency < self.lowest
        self.lowest = non_adjacency if best else self.lowest
        self.since_good = 0 if good else self.since_good + 1
        if self.stopped:
            return Judgement(best=best, good=good)
        if tuning:
            self._tune(loss)
        else:
            self._grow(loss)
        return Judgement(best=best, good=good, roll_back=self._relent())

    def failed(self) -> bool:
        """A loss was not finite (rule 5); True when training has to go back."""
        if not self.stopped:
            self.weight *= 0.9
            self.growth *= 0.98
        self.not_finite = (self.not_finite + 1) % MOST_NOT_FINITE
        return self.not_finite == 0

    def _grow(self, loss: float) -> None:
        """Rule 2: by the growth factor at every fifth epoch that is close to D0; one that is far starts the count."""
        if loss >= FAR:
            self.close = 0
        elif loss < CLOSE:
            self.close += 1
            if self.close >= self.interval:
                self.weight, self.close = self.weight * self.growth, 0

    def _tune(self, loss: float) -> None:
        """Rule 3: to 0.9 at every fifth epoch below D0."""
        if loss > 0:
            self.below += 1
            if self.below >= self.interval:
                self.weight, self.below = self.weight * 0.9, 0

    def _relent(self) -> bool:
        """Rule 4: five epochs after the last good one it is lowered, from ten on lowered and training goes back."""
        if self.since_good == self.interval:
            self.weight *= 0.95
            self.growth *= 0.98
        back = self.since_good > self.interval and self.since_good % self.interval == 0
        if back:
            self.weight *= 0.9
        return back

    def state(self) -> dict[str, float]:
        """All of it, as numbers; NaN and infinity are among them before epoch 0 is over."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, float]) -> LambdaControl:
        """Inverse of :meth:`state`; numbers may all be floats."""
        whole = {f.name for f in fields(cls) if f.type == "int"}
        return cls(**{name: int(value) if name in whole else float(value) for name, value in state.items()})  # type: ignore[arg-type]


class Epoch:
    """Dice and L_NA of the training patches since the last validation, the same numbers in all processes.

    Args:
        labels: Number K of labels, without background.
    """

    def __init__(self, labels: int) -> None:
        self.labels = labels
        self.sums = torch.zeros(2 * labels + 2, dtype=torch.float64)
        """Per label |P and Y|, then |P| + |Y|; at the end the sum of L_NA, and the steps."""

    @property
    def steps(self) -> int:
        """Steps that were added since :meth:`end`."""
        return round(float(self.sums[-1]))

    def add(self, distribution: Tensor, truth: Tensor, scored: Tensor, non_adjacency: Tensor) -> None:
        """One step's patches, and L_NA. A step that is not finite in any process is left out.

        Args:
            distribution: (B, K + 1, *S) probabilities, background first; the likeliest label is what was found.
            truth: (B, K, *S) bool: where labels are.
            scored: (B, K, *S) bool: where that is known.
            non_adjacency: scalar.
        """
        both, either = torch.zeros(2, self.labels, dtype=torch.float64, device=truth.device)
        for probability, y, known in zip(distribution, truth, scored, strict=True):
            if not known.any():
                continue
            row = probability.argmax(dim=0)
            label = (row - 1).clamp(min=0)  # K masks of the volume would take longer than the rest of the loss
            counts = known.gather(0, label[None])[0] & (row > 0)
            right = y.gather(0, label[None])[0] & counts
            both += torch.bincount(label[right], minlength=self.labels)
            either += torch.bincount(label[counts], minlength=self.labels)
            either += torch.stack([one.count_nonzero() for one in y & known])
        last = torch.stack((non_adjacency.detach().double(), non_adjacency.new_ones((), dtype=torch.float64)))
        sums = mean_over_processes(torch.cat((both, either, last)))
        if torch.isfinite(sums).all():
            self.sums += sums.cpu()

    def end(self) -> tuple[float | None, float]:
        """Mean Dice of the labels that were seen, None for none, and mean L_NA; the next epoch begins empty."""
        both, either = self.sums[: self.labels], self.sums[self.labels : -2]
        dice = (2 * both / either)[either > 0]
        mean = float(self.sums[-2] / self.sums[-1])
        self.sums = torch.zeros_like(self.sums)
        return (float(dice.mean()) if len(dice) else None), mean
