"""Painting: what is on the screen becomes layers of the project, and the other way round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, ProjectError
from ..project.annotation import label_mask
from ..project.cases import Case
from ..project.labels import LabelSet

__all__ = ["Layers", "Masks", "Painted", "Painting", "differing", "painted"]

Masks = Mapping[str, NDArray[np.bool_]]
"""By label name: (k, j, i), True where the label is painted."""
Painting = Callable[[str], Masks | None]
"""Called with a case id; gives the labels that are on the screen. None when the case is not shown; a label that is not
in it is not on the screen, and keeps its voxels."""


@dataclass(frozen=True)
class Painted:
    """The layers of a case as they are on the screen."""

    layers: NDArray[np.integer[Any]]
    """(L, k, j, i)."""
    changed: tuple[str, ...]
    """Labels whose voxels differ from the project's."""


class Layers:
    """The layers of one case, read once: label files are never overwritten, so a path stands for its content."""

    def __init__(self) -> None:
        self._key: tuple[str, str | None, LabelSet] | None = None
        self._layers: NDArray[np.integer[Any]] | None = None
        self._held: dict[int, bool] = {}

    def last_of(self, case_id: str) -> NDArray[np.integer[Any]] | None:
        """What was read last, when it was this case."""
        return self._layers if self._key is not None and self._key[0] == case_id else None

    def of(self, case: Case, label_set: LabelSet) -> NDArray[np.integer[Any]]:
        """(L, k, j, i), not to be changed; zeros when nothing was ever painted."""
        key = (case.id, case.labels_file, label_set)
        if self._layers is None or self._key != key:
            self._layers = case.labels(label_set)
            self._layers.setflags(write=False)
            self._key = key
            self._held = {}
        return self._layers

    def holds(self, case: Case, label_set: LabelSet, channel: int) -> bool:
        """Whether any voxel carries a label; looked at once, as tables ask at every redrawing."""
        layers = self.of(case, label_set)
        if channel not in self._held:
            place = label_set.places[channel]
            self._held[channel] = any(bool((part == place.value).any()) for part in layers[place.layer])
        return self._held[channel]


def painted(case: Case, label_set: LabelSet, layers: NDArray[np.integer[Any]], masks: Masks) -> Painted | None:
    """The layers with the labels of the screen in place of the project's.

    Args:
        case: for messages.
        label_set: the project's labels.
        layers: (L, k, j, i) of the project; not changed.
        masks: what is on the screen.

    Returns:
        None when nothing differs.

    Raises:
        ImageError: a mask is not boolean or of another shape than the volume.
        ProjectError: no such label; two labels share voxels and exclude each other.
    """
    shape = layers.shape[1:]
    by_channel: dict[int, NDArray[np.bool_]] = {}
    for name, mask in masks.items():
        if mask.shape != shape or mask.dtype != bool:
            found = f"{mask.dtype} {mask.shape}"
            msg = f"{name} in case {case.id}: expected a boolean volume of shape {shape}, found {found}"
            raise ImageError(msg)
        by_channel[label_set.index(name)] = mask
    changed = [c for c, mask in by_channel.items() if not np.array_equal(mask, label_mask(layers, label_set, c))]
    if not changed:
        return None
    new = layers.copy()
    for channel in changed:  # first out with all that moved, so that two labels may swap voxels
        place = label_set.places[channel]
        new[place.layer][new[place.layer] == place.value] = 0
    for channel in changed:
        _refuse_shared(case, label_set, new, channel, by_channel[channel])
        place = label_set.places[channel]
        new[place.layer][by_channel[channel]] = place.value
    return Painted(new, tuple(label_set.names[channel] for channel in sorted(changed)))


def differing(label_set: LabelSet, layers: NDArray[np.integer[Any]], masks: Masks) -> set[str]:
    """Names of labels that are on the screen otherwise than in the project."""
    return {
        name for name, mask in masks.items()
        if not np.array_equal(mask, label_mask(layers, label_set, label_set.index(name)))
    }  # fmt: skip


def _refuse_shared(
    case: Case, label_set: LabelSet, layers: NDArray[np.integer[Any]], channel: int, mask: NDArray[np.bool_]
) -> None:
    for other, name in enumerate(label_set.names):
        if label_set.may_overlap(channel, other):
            continue
        shared = int(np.count_nonzero(mask & label_mask(layers, label_set, other)))
        if shared:
            ours = label_set.names[channel]
            what = f"{ours} and {name} share {shared} voxels in case {case.id}"
            msg = f"{what}, and these two exclude each other: erase one"
            raise ProjectError(msg)
