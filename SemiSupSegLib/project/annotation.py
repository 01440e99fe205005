"""Annotation states and the mask of what is *known*: the heart of the project.

Partial annotation is one boolean per (case, label, voxel). A missing organ is unknown, never background (SMILE: Petit,
Thome, Soler, DLMIA 2018). A voxel is known for label c when

1. c is *complete* or *absent* in the case, everywhere;
2. c is *partial* and the voxel lies in a region marked as done;
3. the voxel carries another annotated label that excludes c (read as "its label says so", not "its weight is on", see
   the design note on the published formula);
4. and never where the user painted *ignore*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ProjectError
from .labels import LabelSet

__all__ = [
    "Acceptance",
    "Annotation",
    "Region",
    "RegionKind",
    "State",
    "known_mask",
    "known_of",
    "label_mask",
    "people_labels",
]


class State(StrEnum):
    """What is said about one label in one case. It is explicit and never inferred from an empty mask."""

    UNKNOWN = "unknown"
    PARTIAL = "partial"
    COMPLETE = "complete"
    ABSENT = "absent"


class RegionKind(StrEnum):
    """How the finished part of a partial annotation is given."""

    SLICES = "slices"
    BOX = "box"
    STROKES = "strokes"
    PAINTED = "painted"


@dataclass(frozen=True)
class Region:
    """A part of the volume in which one label is done: inside and outside of it are known there."""

    kind: RegionKind
    ranges: tuple[tuple[int, int], ...] = ()
    """SLICES: first and last slice along the array's first axis (k), both included. BOX: first and last k, j and i."""
    file: str | None = None
    """STROKES: a boolean volume on the image's grid, a path relative to the case folder."""

    def to_json(self) -> dict[str, Any]:
        """A readable JSON object without empty fields."""
        return {
            "kind": str(self.kind),
            **({"ranges": [list(r) for r in self.ranges]} if self.ranges else {}),
            **({"file": self.file} if self.file else {}),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Region:
        """Inverse of :meth:`to_json`."""
        ranges = tuple((int(a), int(b)) for a, b in data.get("ranges", ()))
        return cls(RegionKind(data["kind"]), ranges, data.get("file"))

    def mask(
        self, shape: tuple[int, ...], *, painted: NDArray[np.bool_], strokes: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_]:
        """The region as a boolean array of the given shape (k, j, i).

        Args:
            shape: the volume's shape.
            painted: where the label itself is painted; what a PAINTED region means.
            strokes: content of ``file``; needed for STROKES only.
        """
        if self.kind is RegionKind.PAINTED:
            return painted
        if self.kind is RegionKind.STROKES:
            assert strokes is not None
            return strokes
        done = np.zeros(shape, bool)
        if self.kind is RegionKind.SLICES:
            for first, last in self.ranges:
                done[first : last + 1] = True
        else:
            done[tuple(slice(first, last + 1) for first, last in self.ranges)] = True
        return done


@dataclass(frozen=True)
class Acceptance:
    """Provenance of accepted machine voxels: which model proposed them, who accepted them, when, and how much."""

    run: str
    checkpoint: str
    date: str
    """UTC, ISO 8601."""
    who: str
    what: str
    """``whole``, ``confident 0.2`` or ``slices 40:60``."""
    voxels: int


@dataclass(frozen=True)
class Annotation:
    """State of one label in one case, the regions that are done, and what was accepted from a model."""

    state: State = State.UNKNOWN
    regions: tuple[Region, ...] = ()
    accepted: tuple[Acceptance, ...] = ()
    human: Annotation | None = None
    """What a person had said before the first acceptance; None when nothing was accepted."""

    def __post_init__(self) -> None:
        if (self.state is State.PARTIAL) != bool(self.regions):
            number = len(self.regions)
            msg = f"state {self.state} with {number} finished regions: partial needs at least one, the others none"
            raise ProjectError(msg)
        if bool(self.accepted) != (self.human is not None):
            msg = "an accepted label needs both its provenance and the state before it"
            raise ProjectError(msg)
        if self.human and any(r.kind is RegionKind.PAINTED for r in (*self.regions, *self.human.regions)):
            # "where the label is painted" would take the machine's voxels for a person's (G30)
            msg = "an accepted label cannot keep a 'painted' region: its people's voxels must be given as strokes"
            raise ProjectError(msg)

    @property
    def annotated(self) -> bool:
        """Whether anything is known about the label from its own annotation."""
        return self.state is not State.UNKNOWN

    @property
    def everywhere(self) -> bool:
        """Whether the label is known in the whole volume."""
        return self.state in (State.COMPLETE, State.ABSENT)

    def by_people_only(self) -> Annotation:
        """The annotation without anything that came from a model: what the hold-out is scored on."""
        return self if self.human is None else self.human

    def accept(self, acceptance: Acceptance, *, region: Region | None) -> Annotation:
        """This annotation after an acceptance: of the whole organ (region None), or of a region."""
        human = self.human or replace(self, accepted=(), human=None)
        accepted = (*self.accepted, acceptance)
        if region is None:
            return Annotation(State.COMPLETE, (), accepted, human)
        return Annotation(State.PARTIAL, (*self.regions, region), accepted, human)

    def to_json(self) -> dict[str, Any]:
        """A readable JSON object without empty fields."""
        return {
            "state": str(self.state),
            **({"regions": [region.to_json() for region in self.regions]} if self.regions else {}),
            **({"accepted": [vars(a) for a in self.accepted]} if self.accepted else {}),
            **({"human": self.human.to_json()} if self.human else {}),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Annotation:
        """Inverse of :meth:`to_json`; unknown or missing keys raise :class:`ProjectError`."""
        try:
            human = data.get("human")
            return cls(
                State(data["state"]),
                tuple(Region.from_json(r) for r in data.get("regions", ())),
                tuple(Acceptance(**a) for a in data.get("accepted", ())),
                cls.from_json(human) if human else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            msg = f"an annotation state cannot be read: {error!r}"
            raise ProjectError(msg) from error


def label_mask(labels: NDArray[np.integer[Any]], label_set: LabelSet, channel: int) -> NDArray[np.bool_]:
    """Voxels of one label, (*S) bool, out of layers (L, *S)."""
    place = label_set.places[channel]
    return np.asarray(labels[place.layer] == place.value)


def known_of(
    channel: int,
    labels: NDArray[np.integer[Any]],
    label_set: LabelSet,
    annotations: Sequence[Annotation],
    *,
    strokes: Mapping[str, NDArray[np.bool_]] | None = None,
    ignore: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """What is known of one label.

    Args:
        channel: the label.
        labels: (L, *S) layers as ``label_set.places`` says.
        annotations: one per channel of the set.
        strokes: content of every stroke file that a region names.
        ignore: (*S) voxels that the user excluded; None for none.

    Returns:
        (*S) bool.
    """
    shape, annotation = labels.shape[1:], annotations[channel]
    if annotation.everywhere:
        return np.ones(shape, bool) if ignore is None else ~ignore
    known = np.zeros(shape, bool)
    for region in annotation.regions:
        painted = label_mask(labels, label_set, channel)
        known |= region.mask(shape, painted=painted, strokes=(strokes or {}).get(region.file or ""))
    for layer, excludes in _excluding_values(channel, labels, label_set, annotations).items():
        for k, voxels in enumerate(labels[layer]):  # slice by slice: an index array is eight times the labels' size
            known[k] |= excludes[voxels]
    if ignore is not None:
        known &= ~ignore
    return known


def _excluding_values(
    channel: int, labels: NDArray[np.integer[Any]], label_set: LabelSet, annotations: Sequence[Annotation]
) -> dict[int, NDArray[np.bool_]]:
    """Per layer, a table over its values: True where the value is an annotated label that excludes the channel."""
    tables: dict[int, NDArray[np.bool_]] = {}
    for other, place in enumerate(label_set.places):
        if other == channel or not annotations[other].annotated or label_set.may_overlap(channel, other):
            continue
        if place.layer not in tables:
            tables[place.layer] = np.zeros(max(int(labels[place.layer].max(initial=0)), len(label_set)) + 1, bool)
        tables[place.layer][place.value] = True
    return tables


def known_mask(
    labels: NDArray[np.integer[Any]],
    label_set: LabelSet,
    annotations: Sequence[Annotation],
    *,
    strokes: Mapping[str, NDArray[np.bool_]] | None = None,
    ignore: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """What is known, per label and voxel: :func:`known_of` for every channel.

    Returns:
        (K, *S) bool; all False when nothing is annotated.
    """
    known = np.zeros((len(label_set), *labels.shape[1:]), bool)
    for c in range(len(label_set)):
        known[c] = known_of(c, labels, label_set, annotations, strokes=strokes, ignore=ignore)
    return known


def people_labels(
    labels: NDArray[np.integer[Any]],
    label_set: LabelSet,
    annotations: Sequence[Annotation],
    *,
    strokes: Mapping[str, NDArray[np.bool_]] | None = None,
) -> NDArray[np.integer[Any]]:
    """The layers without the voxels that came from a model: what goes with :meth:`Annotation.by_people_only`.

    An acceptance writes only where the label was not known: within what a person had finished, all voxels are theirs.

    Returns:
        (L, *S), the given array itself when nothing was accepted.
    """
    for channel, annotation in enumerate(annotations):
        human = annotation.human
        if human is None or human.everywhere:
            continue
        theirs = label_mask(labels, label_set, channel)
        machine = theirs.copy()
        for region in human.regions:
            machine &= ~region.mask(theirs.shape, painted=theirs, strokes=(strokes or {}).get(region.file or ""))
        labels = labels.copy()
        labels[label_set.places[channel].layer][machine] = 0
    return labels
