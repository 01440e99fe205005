"""Mirror: a patch as it would be in the patient's mirror image, with left and right labels exchanged.

Most bodies are not symmetric, and a mirrored one teaches what no patient has. Brains nearly are: there each annotated
case teaches twice. ``engine/symmetry.py`` tells which; ``Testing/benchmarks/README.md`` says what it is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..project.labels import LabelSet
from ..project.laterality import counterparts
from .patch import Patch
from .prepared import PreparedCase

__all__ = ["Mirror", "mean_of_both", "value_tables"]

NONE = -1
"""In a table of values: what is there has no name on the other side."""


@dataclass(frozen=True)
class Mirror:
    """Exchanges sides for the labels of a project."""

    label_set: LabelSet

    @cached_property
    def others(self) -> tuple[int | None, ...]:
        """Each label's counterpart, see :func:`.counterparts`; None where that lies in another layer, too."""
        places = self.label_set.places
        return tuple(
            None if other is None or places[other].layer != places[own].layer else other
            for own, other in enumerate(counterparts(self.label_set.names))
        )

    @cached_property
    def _tables(self) -> list[NDArray[np.int16]]:
        return value_tables(self.label_set, self.others)

    def apply(self, patch: Patch) -> Patch:
        """The patch with X turned round and sides exchanged.

        A label whose other side has no label is unknown in the result: nobody annotated it there. Where it was, nothing
        is valid, for what lies there now has no name.
        """
        labels = [torch.from_numpy(t)[layer.long()] for t, layer in zip(self._tables, patch.labels, strict=True)]
        swapped = torch.stack(labels)
        return Patch(
            self._case(patch.case),
            patch.image.flip(-3),
            swapped.clamp(min=0).to(patch.labels.dtype).flip(-3),
            None if patch.region is None else patch.region[self._kept(patch.case.region_channels)].flip(-3),
            (patch.valid & (swapped != NONE).all(dim=0, keepdim=True)).flip(-3),
            self._exchanged(patch.pseudo),
            self._exchanged(patch.sdm),
            self._exchanged(patch.implied),
        )

    def _case(self, case: PreparedCase) -> PreparedCase:
        """What is said of the case's labels, said of their counterparts."""
        channels = tuple(o for c in case.region_channels if (o := self.others[c]) is not None)
        annotated, everywhere = (self._said(a) for a in (case.annotated, case.everywhere))
        return replace(case, annotated=annotated, everywhere=everywhere, region_channels=channels)

    def _said(self, of_labels: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.asarray([other is not None and bool(of_labels[other]) for other in self.others])

    def _kept(self, channels: Sequence[int]) -> list[int]:
        return [n for n, channel in enumerate(channels) if self.others[channel] is not None]

    def _exchanged(self, values: Tensor | None) -> Tensor | None:
        """(K, *S) turned round, with its channels exchanged; nothing is added or implied of what has no counterpart."""
        if values is None:
            return None
        result = values[_order(self.others)]
        if values.dtype == torch.bool:
            result[[other is None for other in self.others]] = False
        return result.flip(-3)


def mean_of_both(values: Tensor, of_mirrored: Tensor, others: Sequence[int | None]) -> Tensor:
    """What is said of a volume, and what of its mirror image, as one.

    Args:
        values: (K, X, Y, Z) of the volume.
        of_mirrored: the same of the volume with X turned round.
        others: each label's counterpart; of those without one the volume alone tells.
    """
    exchanged = of_mirrored.flip(-3)[_order(others)]
    alone = torch.tensor([other is None for other in others], device=values.device)[:, None, None, None]
    return torch.where(alone, values, (values + exchanged) / 2)


def _order(others: Sequence[int | None]) -> list[int]:
    """The channel of each one's counterpart; its own where it has none."""
    return [own if other is None else other for own, other in enumerate(others)]


def value_tables(label_set: LabelSet, others: Sequence[int | None]) -> list[NDArray[np.int16]]:
    """For each layer: the value of each value's counterpart; 0 stays 0, and -1 stands for none.

    Args:
        label_set: the project's labels.
        others: counterpart of each, in the same layer.
    """
    tables = [np.zeros(1 + sum(p.layer == n for p in label_set.places), np.int16) for n in range(label_set.n_layers)]
    for place, other in zip(label_set.places, others, strict=True):
        tables[place.layer][place.value] = NONE if other is None else label_set.places[other].value
    return tables
