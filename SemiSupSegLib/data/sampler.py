"""Which case, and which part of it, for patch number i: drawn from (seed, i) alone.

So a run is the same whatever the number of loader processes and training processes, and after a resume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..config import DataConfig
from .prepared import Foreground, PreparedCase

__all__ = ["Placement", "Sampler", "generator"]

JITTER = 0.25
"""Largest distance of the drawn voxel from the patch's centre along each axis, as a share of the patch."""


def generator(seed: int, index: int, purpose: int) -> np.random.Generator:
    """Random numbers for one patch and one purpose, independent of all others."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, index, purpose))))


@dataclass(frozen=True)
class Placement:
    """A patch of a case."""

    case: int
    """Number of the case in the sampler's list."""
    start: tuple[int, int, int]
    """First voxel X, Y, Z; negative where the patch is larger than the volume."""
    label: int | None
    """The label whose voxel was drawn; None for a place drawn without one."""


class Sampler:
    """Two streams: slots of the batch that see annotated cases, and, last, those that see cases without any annotation.

    Args:
        cases: all training cases.
        config: ``patch_size``, ``foreground``, ``unlabelled``.
        batch_size: patches per step over all processes.
        seed: of the run.

    Raises:
        ValueError: no case has a known positive voxel.
    """

    def __init__(self, cases: Sequence[PreparedCase], config: DataConfig, *, batch_size: int, seed: int) -> None:
        self.cases, self.config, self.batch_size, self.seed = cases, config, batch_size, seed
        self.positives: dict[int, list[tuple[int, Foreground]]] = {}
        """Per label that has any: the cases with positive voxels of it."""
        for i, case in enumerate(cases):
            for label in range(len(case.label_set)):
                if (found := case.positives(label)) is not None:
                    self.positives.setdefault(label, []).append((i, found))
        self.people = {
            label: kept
            for label, found in self.positives.items()
            if (kept := [x for x in found if x[1] is cases[x[0]].foreground])
        }
        """The same without voxels that a relabelling round added."""
        if not self.positives:
            msg = f"none of the {len(cases)} training cases has a known voxel of any label"
            raise ValueError(msg)
        with_positives = sorted({i for found in self.positives.values() for i, _ in found})
        self.annotated = [i for i, case in enumerate(cases) if case.annotated.any()] or with_positives
        self.unannotated = [i for i, case in enumerate(cases) if not case.annotated.any()]
        self.unlabelled_slots = config.unlabelled * batch_size if self.unannotated else 0.0
        """Of a batch, on average: what is not whole is drawn batch by batch."""

    def draw(self, index: int, size: tuple[int, int, int] | None = None, *, mixed: bool = True) -> Placement:
        """The place of patch ``index`` = iteration x batch size + slot; size: voxels X, Y, Z to be cut, when they are
        not ``patch_size``; mixed: False for a batch of annotated cases alone."""
        size = size or self.config.patch_size
        random = generator(self.seed, index, 0)
        iteration, slot = divmod(index, self.batch_size)
        if mixed and slot >= self.batch_size - self._unlabelled_slots(iteration):
            return self._anywhere(self.unannotated, size, random)
        if random.random() >= self.config.foreground:
            return self._anywhere(self.annotated, size, random)
        # The first of a batch's patches is of people's labels: added positives never come without known negatives.
        first = self.batch_size > 1 and index % self.batch_size == 0
        among = self.people if self.people and first else self.positives
        label = sorted(among)[int(random.integers(len(among)))]
        case, foreground = among[label][int(random.integers(len(among[label])))]
        voxel = foreground.voxel(label, int(random.integers(foreground.counts[label])))
        reach = (JITTER * np.asarray(size)).astype(int)
        start = voxel - np.asarray(size) // 2 + random.integers(-reach, reach + 1)
        return Placement(case, self._within(start, size, case), label)

    def _unlabelled_slots(self, iteration: int) -> int:
        whole = int(self.unlabelled_slots + 1e-9)
        return whole + int(generator(self.seed, iteration, 3).random() < self.unlabelled_slots - whole - 1e-9)

    def _anywhere(self, among: Sequence[int], size: tuple[int, int, int], random: np.random.Generator) -> Placement:
        case = among[int(random.integers(len(among)))]
        room = np.maximum(np.asarray(self.cases[case].shape) - size, 0)
        return Placement(case, self._within(random.integers(0, room + 1), size, case), None)

    def _within(self, start: np.ndarray, size: tuple[int, int, int], case: int) -> tuple[int, int, int]:
        """The nearest start at which the patch lies in the volume; in its middle along axes that are too short."""
        room = np.asarray(self.cases[case].shape) - size
        x, y, z = np.where(room >= 0, np.clip(start, 0, np.maximum(room, 0)), room // 2)
        return int(x), int(y), int(z)
