"""Painting: what is on the screen becomes layers of the project, and the other way round."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, ProjectError
from ..project.annotation import label_mask
from ..project.cases import Case
from ..project.labels import LabelSet

__all__ = [
    "Layers", "Masks", "Painted", "Painting", "Snapshot", "differing", "held_channels", "newly_painted", "painted",
]  # fmt: skip

Masks = Mapping[str, NDArray[np.bool_]]
"""By label name: (k, j, i), True where the label is painted."""
Painting = Callable[[str], Masks | None]
"""Called with a case id; gives the labels that are on the screen. None when the case is not shown; a label that is not
in it is not on the screen, and keeps its voxels."""


class Snapshot(Mapping[str, NDArray[np.bool_]]):
    """What a screen showed at one moment. It may be read in a thread: no screen is asked any more.

    Its names are those of the project's labels. The same object stands for the same strokes.
    """

    @abstractmethod
    def holds(self, name: str) -> bool:
        """Whether a label has any voxel; quick."""


@dataclass(frozen=True)
class Painted:
    """The layers of a case as they are on the screen."""

    case: str
    """Its id."""
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

    def has(self, case: Case, label_set: LabelSet) -> bool:
        """Whether :meth:`of` answers at once."""
        return self._layers is not None and self._key == (case.id, case.labels_file, label_set)

    def keep(
        self,
        case: Case,
        label_set: LabelSet,
        layers: NDArray[np.integer[Any]],
        held: Mapping[int, bool] | None = None,
    ) -> None:
        """Take over what somebody else read or wrote; the array is not to be changed any more.

        Args:
            case: the case.
            label_set: the project's labels.
            layers: (L, k, j, i).
            held: what :func:`held_channels` gives of them, where that was found out beside the front end.
        """
        if not self.has(case, label_set):
            layers.setflags(write=False)
            self._layers, self._key, self._held = layers, (case.id, case.labels_file, label_set), dict(held or {})

    def last_of(self, case_id: str) -> NDArray[np.integer[Any]] | None:
        """What was read last, when it was this case."""
        return self._layers if self._key is not None and self._key[0] == case_id else None

    def of(self, case: Case, label_set: LabelSet) -> NDArray[np.integer[Any]]:
        """(L, k, j, i), not to be changed; zeros when nothing was ever painted."""
        if not self.has(case, label_set):
            self.keep(case, label_set, case.labels(label_set))
        assert self._layers is not None
        return self._layers

    def holds(self, case: Case, label_set: LabelSet, channel: int) -> bool:
        """Whether any voxel carries a label; looked at once, as tables ask at every redrawing."""
        layers = self.of(case, label_set)
        if channel not in self._held:
            place = label_set.places[channel]
            self._held[channel] = any(bool((part == place.value).any()) for part in layers[place.layer])
        return self._held[channel]


def held_channels(label_set: LabelSet, layers: NDArray[np.integer[Any]]) -> dict[int, bool]:
    """Whether any voxel of layers (L, k, j, i) carries a label, by channel; each voxel is looked at once."""
    seen = np.zeros((len(layers), np.iinfo(layers.dtype).max + 1), bool)
    for layer, planes in enumerate(layers):
        for plane in planes:  # slice by slice, as an index array is eight times as large
            seen[layer][plane] = True
    return {channel: bool(seen[place.layer, place.value]) for channel, place in enumerate(label_set.places)}


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
        if not np.array_equal(mask, label_mask(layers, label_set, label_set.index(name))):
            by_channel[label_set.index(name)] = mask
    changed = list(by_channel)
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
    return Painted(case.id, new, tuple(label_set.names[channel] for channel in sorted(changed)))


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


def newly_painted(
    case: Case, label_set: LabelSet, layers: NDArray[np.integer[Any]], masks: Masks, unseen: frozenset[str]
) -> tuple[Painted | None, frozenset[str]]:
    """What is painted, without the labels that were written and that the screen still does not show."""
    if not masks:
        return None, unseen
    still = frozenset(differing(label_set, layers, {name: masks[name] for name in unseen if name in masks}))
    seen: Masks = _Without(masks, still) if still else masks
    return painted(case, label_set, layers, seen), still


class _Without(Mapping[str, NDArray[np.bool_]]):
    """Masks without some of them; none is made before it is asked for, as each is as large as the volume."""

    def __init__(self, masks: Masks, names: frozenset[str]) -> None:
        self._masks, self._names = masks, names

    def __getitem__(self, name: str) -> NDArray[np.bool_]:
        if name in self._names:
            raise KeyError(name)
        return self._masks[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._masks if name not in self._names)

    def __len__(self) -> int:
        return sum(1 for _ in self)
