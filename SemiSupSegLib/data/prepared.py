"""PreparedCase: one case on the training grid, on disk or in memory, ready to be cut into patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..project.annotation import Annotation, label_mask
from ..project.geometry import Grid
from ..project.labels import LabelSet
from .bits import Box, pack, unpack
from .cache import StoredArray

__all__ = ["MOST_POSITIVES", "Foreground", "PreparedCase", "foreground_of", "label_arrays", "pseudo_arrays"]

MOST_POSITIVES = 20_000
"""Voxels kept per label to centre patches on."""

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Foreground:
    """Voxels of labels, to centre patches on: at most :data:`MOST_POSITIVES` a label, a fixed random choice."""

    voxels: StoredArray | NDArray[np.int32]
    """(N, 3) int32 indices X, Y, Z; those of label 0 first."""
    counts: tuple[int, ...]
    """Voxels per label, K of them."""

    def voxel(self, label: int, number: int) -> NDArray[np.int64]:
        """The number-th voxel of a label, (3,)."""
        return np.asarray(_opened(self.voxels)[sum(self.counts[:label]) + number], np.int64)


@dataclass(frozen=True)
class PreparedCase:
    """A case as training sees it. Arrays are (…, X, Y, Z) on ``grid``, RAS+; those on disk are opened when asked
    for."""

    case_id: str
    grid: Grid
    label_set: LabelSet
    annotated: NDArray[np.bool_]
    """(K,): the label's state is not *unknown*."""
    everywhere: NDArray[np.bool_]
    """(K,): the label is complete or absent."""
    padding: float
    """Image value outside the volume: its lowest."""
    arrays: Mapping[str, StoredArray | NDArray[Any]]
    """``image`` (M, *S), ``labels`` (L, *S); packed bits (see :mod:`.bits`) when there are any: ``region`` (one
    channel for each of ``region_channels``), ``ignore`` (one channel), ``pseudo`` and ``implied`` (K channels each).
    ``distance``: see :attr:`distance`."""
    region_channels: tuple[int, ...]
    """Labels that are partial: the channels of ``region``."""
    foreground: Foreground
    """Known positives."""
    pseudo_foreground: Foreground | None = None
    """Voxels that a relabelling round added; None without them."""
    key: str = field(default="", compare=False)
    """Name of the labels' cache entry, for what is derived from them; empty for arrays in memory."""
    stroke_parts: Mapping[int, int] = field(default_factory=dict)
    """By label: how many parts its strokes show, see :mod:`.implied`; labels without strokes are not in it."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along X, Y, Z."""
        return self.grid.size

    @property
    def image(self) -> NDArray[np.floating[Any]]:
        """(M, X, Y, Z) normalised, float16."""
        return _opened(self.arrays["image"])

    @property
    def labels(self) -> NDArray[np.integer[Any]]:
        """(L, X, Y, Z) layers of :attr:`LabelSet.places`."""
        return _opened(self.arrays["labels"])

    @property
    def distance(self) -> NDArray[np.floating[Any]] | None:
        """(K, X, Y, Z) signed distance maps in [-1, 1], float16; None where nobody asked for them."""
        return _opened(self.arrays["distance"]) if "distance" in self.arrays else None

    @property
    def has_region(self) -> bool:
        """Whether any label is partial."""
        return bool(self.region_channels)

    @property
    def has_pseudo(self) -> bool:
        """Whether a relabelling round added voxels."""
        return "pseudo" in self.arrays

    def region(self, box: Box | None = None) -> NDArray[np.bool_]:
        """(len(region_channels), *box): the finished part of the partial labels; of the whole volume without a box."""
        return unpack(_opened(self.arrays["region"]), box or self.everything)

    def valid(self, box: Box | None = None) -> NDArray[np.bool_]:
        """(1, *box): False where the user painted *ignore*."""
        box = box or self.everything
        if "ignore" not in self.arrays:
            return np.ones((1, *(s.stop - s.start for s in box)), bool)
        return ~unpack(_opened(self.arrays["ignore"]), box)

    def pseudo(self, box: Box | None = None) -> NDArray[np.bool_] | None:
        """(K, *box): voxels that a relabelling round added; None without them."""
        return unpack(_opened(self.arrays["pseudo"]), box or self.everything) if self.has_pseudo else None

    def implied(self, box: Box | None = None) -> NDArray[np.bool_] | None:
        """(K, *box): where it is implied that a label is not, see :mod:`.implied`; None where nothing is."""
        return unpack(_opened(self.arrays["implied"]), box or self.everything) if "implied" in self.arrays else None

    @property
    def everything(self) -> Box:
        """The whole volume."""
        x, y, z = self.shape
        return slice(0, x), slice(0, y), slice(0, z)

    def known(self) -> NDArray[np.bool_]:
        """What is known, (K, X, Y, Z): the rule of :mod:`SemiSupSegLib.project.annotation` on the training grid."""
        from .patch import whole  # the rule lives with the batch

        return whole(self).known[0].numpy()

    def positives(self, label: int) -> Foreground | None:
        """Voxels to centre patches of a label on: known ones, or those a round added where there are no others."""
        if self.foreground.counts[label]:
            return self.foreground
        if self.pseudo_foreground is not None and self.pseudo_foreground.counts[label]:
            return self.pseudo_foreground
        return None

    @classmethod
    def of_arrays(
        cls,
        case_id: str,
        image: NDArray[np.floating[Any]],
        labels: NDArray[np.integer[Any]],
        label_set: LabelSet,
        annotations: Sequence[Annotation],
        *,
        spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
        regions: Mapping[int, NDArray[np.bool_]] | None = None,
        ignore: NDArray[np.bool_] | None = None,
        pseudo: NDArray[np.bool_] | None = None,
    ) -> PreparedCase:
        """A case from arrays in memory that are on the training grid already.

        Args:
            case_id: its name.
            image: (M, X, Y, Z) normalised.
            labels: (L, X, Y, Z).
            label_set: the project's labels.
            annotations: one per channel.
            spacing: mm along X, Y, Z.
            regions: (X, Y, Z) finished part of each channel that is partial.
            ignore: (X, Y, Z).
            pseudo: (K, X, Y, Z).
        """
        arrays, meta = label_arrays(labels, label_set, annotations, regions or {}, ignore)
        counts, voxels = meta["counts"], arrays.pop("foreground")
        added = None
        if pseudo is not None:
            more, its = pseudo_arrays(pseudo)
            added = Foreground(more.pop("foreground"), tuple(its["counts"]))
            arrays |= more
        return cls(
            case_id,
            Grid(image.shape[1:], spacing),
            label_set,
            np.asarray(meta["annotated"], bool),
            np.asarray(meta["everywhere"], bool),
            float(image.min()),
            {"image": image, **arrays},
            tuple(meta["region_channels"]),
            Foreground(voxels, tuple(counts)),
            added,
        )


def label_arrays(
    labels: NDArray[np.integer[Any]],
    label_set: LabelSet,
    annotations: Sequence[Annotation],
    regions: Mapping[int, NDArray[np.bool_]],
    ignore: NDArray[np.bool_] | None,
) -> tuple[Arrays, dict[str, Any]]:
    """What is stored of a case's labels, and what is written beside it; see :meth:`PreparedCase.of_arrays`."""
    annotated = [a.annotated for a in annotations]
    everywhere = [a.everywhere for a in annotations]
    known = []
    for c, annotation in enumerate(annotations):
        positive = label_mask(labels, label_set, c) if annotation.annotated else np.zeros(labels.shape[1:], bool)
        if not annotation.everywhere and annotation.annotated:
            positive = positive & regions[c]
        known.append(positive & ~ignore if ignore is not None else positive)
    voxels, counts = foreground_of(known, labels.shape[1:])
    partial = sorted(regions)
    arrays: Arrays = {"labels": labels, "foreground": voxels}
    if partial:
        arrays["region"] = pack(np.stack([regions[c] for c in partial]))
    if ignore is not None:
        arrays["ignore"] = pack(ignore[None])
    return arrays, {"annotated": annotated, "everywhere": everywhere, "region_channels": partial, "counts": counts}


def pseudo_arrays(pseudo: NDArray[np.bool_]) -> tuple[Arrays, dict[str, Any]]:
    """What is stored of added voxels (K, X, Y, Z), and what is written beside it."""
    voxels, counts = foreground_of(list(pseudo), pseudo.shape[1:])
    return {"pseudo": pack(pseudo), "foreground": voxels}, {"counts": counts}


def foreground_of(masks: Sequence[NDArray[np.bool_]], shape: tuple[int, ...]) -> tuple[NDArray[np.int32], list[int]]:
    """(N, 3) int32 voxels of all masks (*S) one after the other, and how many of each; a choice where there are many.

    The choice is the same in every process and on every machine.
    """
    found = []
    for mask in masks:
        flat = np.flatnonzero(mask)
        if len(flat) > MOST_POSITIVES:
            flat = np.sort(np.random.Generator(np.random.PCG64(len(flat))).choice(flat, MOST_POSITIVES, replace=False))
        found.append(np.stack(np.unravel_index(flat, shape), axis=1).astype(np.int32))
    return np.concatenate([np.zeros((0, 3), np.int32), *found]), [len(f) for f in found]


def _opened(array: StoredArray | NDArray[Any]) -> NDArray[Any]:
    return array.open() if isinstance(array, StoredArray) else array
