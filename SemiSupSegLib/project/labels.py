"""LabelSet: the organs of a project. Names are the key, never numbers; numbers exist only inside one array."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any

from ..errors import ProjectError

__all__ = ["Label", "LabelSet", "Place", "distinct_colour"]


@dataclass(frozen=True)
class Label:
    """One organ (or lesion, or region): its name, its colour, and what it means in a terminology."""

    name: str
    colour: tuple[int, int, int] = (255, 0, 0)
    """Red, green, blue, each 0 to 255."""
    terminology: str | None = None
    """Slicer's serialized terminology entry (category~type~modifier~...), None when not known."""

    def __post_init__(self) -> None:
        if not self.name.strip() or any(ord(c) < 32 for c in self.name):
            msg = f"label name {self.name!r}: a name needs at least one visible character and no control characters"
            raise ProjectError(msg)


@dataclass(frozen=True)
class Place:
    """Where a label lives in an array of layers (L, *S): voxels of layer ``layer`` that equal ``value`` (1 or more)."""

    layer: int
    value: int


@dataclass(frozen=True)
class LabelSet:
    """The ordered labels of a project and which of them may overlap.

    Channel c of any tensor (B, K, *S) is ``labels[c]``; there is no background channel. Labels exclude each other
    unless their pair is in ``overlaps``. Arrays hold labels in layers: labels that may overlap never share a layer, so
    nothing is ever flattened; a set without overlaps has one layer, in which label c has the value c + 1.
    """

    labels: tuple[Label, ...]
    overlaps: frozenset[frozenset[str]] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        folded = [_folded(label.name) for label in self.labels]
        for name in folded:
            if folded.count(name) > 1:
                msg = f"label {name!r} appears twice: names must differ in more than case, blanks and underscores"
                raise ProjectError(msg)
        for pair in self.overlaps:
            if len(pair) != 2 or not pair <= set(self.names):
                msg = f"overlap {sorted(pair)}: name two different labels out of {list(self.names)}"
                raise ProjectError(msg)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names in channel order."""
        return tuple(label.name for label in self.labels)

    def index(self, name: str) -> int:
        """Channel of a label, found by its name, without regard to case and with ``_`` for blanks.

        Raises:
            ProjectError: no such label; the message lists those there are.
        """
        wanted = _folded(name)
        for channel, known in enumerate(self.names):
            if _folded(known) == wanted:
                return channel
        msg = f"no label {name!r} in this project: it has {', '.join(self.names) or 'none yet'}"
        raise ProjectError(msg)

    def may_overlap(self, a: int, b: int) -> bool:
        """Whether channels a and b may both hold at one voxel; a label always may with itself."""
        return a == b or frozenset((self.names[a], self.names[b])) in self.overlaps

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Layer and value of each channel, in channel order: first layer in which no other label may overlap it."""
        layers: list[list[int]] = []
        places: list[Place] = []
        for channel in range(len(self)):
            free = (n for n, m in enumerate(layers) if not any(self.may_overlap(channel, other) for other in m))
            layer = next(free, len(layers))
            if layer == len(layers):
                layers.append([])
            layers[layer].append(channel)
            places.append(Place(layer, len(layers[layer])))
        return tuple(places)

    @cached_property
    def n_layers(self) -> int:
        """Number of layers that arrays of this set need; at least 1."""
        return max((place.layer for place in self.places), default=0) + 1

    def with_labels(self, new: Iterable[Label]) -> LabelSet:
        """This set with further labels at its end; labels that are there already are not repeated."""
        known = {_folded(name) for name in self.names}
        added = tuple(label for label in new if _folded(label.name) not in known)
        return LabelSet((*self.labels, *added), self.overlaps)

    def to_json(self) -> dict[str, Any]:
        """A readable JSON object; :meth:`from_json` is its inverse."""
        return {
            "labels": [
                {"name": x.name, "colour": list(x.colour), **({"terminology": x.terminology} if x.terminology else {})}
                for x in self.labels
            ],
            "overlaps": sorted(sorted(pair) for pair in self.overlaps),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LabelSet:
        """Inverse of :meth:`to_json`.

        Raises:
            ProjectError: a key is missing or a value is of the wrong kind.
        """
        try:
            labels = tuple(
                Label(str(x["name"]), tuple(int(v) for v in x["colour"]), x.get("terminology"))  # type: ignore[arg-type]
                for x in data["labels"]
            )
            return cls(labels, frozenset(frozenset(map(str, pair)) for pair in data.get("overlaps", ())))
        except (KeyError, TypeError, ValueError) as error:
            msg = f"the label set cannot be read: {error!r}"
            raise ProjectError(msg) from error

    @classmethod
    def from_names(cls, names: Iterable[str], overlaps: Iterable[tuple[str, str]] = ()) -> LabelSet:
        """A set with colours spread over the hue circle, in the order given."""
        labels = tuple(Label(name, distinct_colour(i)) for i, name in enumerate(names))
        return cls(labels, frozenset(frozenset(pair) for pair in overlaps))

    def exclusive_pairs(self) -> tuple[tuple[int, int], ...]:
        """All pairs of channels (a < b) that exclude each other."""
        return tuple((a, b) for a, b in combinations(range(len(self)), 2) if not self.may_overlap(a, b))


def _folded(name: str) -> str:
    """What two spellings of one name have in common: ``Left_Kidney`` and ``left kidney``."""
    return " ".join(name.casefold().replace("_", " ").split())


def distinct_colour(index: int) -> tuple[int, int, int]:
    """The index-th of a sequence of colours in which neighbours differ clearly (golden-angle hues)."""
    red, green, blue = colorsys.hsv_to_rgb((0.02 + 0.618034 * index) % 1.0, 0.75 if index % 2 == 0 else 0.55, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)
