"""Prediction on disk: labels, maps and the numbers of each label, streamed one label at a time.

A map of one label is written as soon as it is there and then forgotten, so that memory does not grow with the number
of labels. Maps are bytes that every reader sees as 0 to 1.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..project import atomic
from ..project.adjacency import Adjacency
from ..project.annotation import label_mask
from ..project.geometry import image_from_kji
from ..project.images import write_unit_interval, write_volume
from ..project.labelmaps import write_labels
from ..project.paths import slug
from ..project.predictions import FORMAT_VERSION, LABELS_FILE, PREDICTION_FILE
from .decision import HALF
from .model import Model
from .prediction import Prediction, Proposed
from .rank import Numbers, numbers

__all__ = ["Layout", "Maps", "replace_prediction", "write_files"]

Maps = Literal["auto", "all", "none"]
"""Which labels get maps of their own. ``auto``: all of them up to :data:`MANY_LABELS` labels, none beyond."""
MANY_LABELS = 30

Progress = Callable[[float], None]
"""Told the share that is done, [0, 1]."""


@dataclass(frozen=True)
class Layout:
    """Where the files of one prediction go; all names are relative to ``folder``."""

    folder: Path
    labels: str = LABELS_FILE.removesuffix(".seg.nrrd")
    """Without ending: ``.seg.nrrd``, and ``.nii.gz`` where no labels overlap."""
    uncertainty: str = "uncertainty.nii.gz"
    """Largest uncertainty over the labels."""
    maps: str = ""
    """What the names of the labels' maps begin with, perhaps with a folder."""

    @classmethod
    def outside(cls, folder: Path, name: str) -> Layout:
        """For a volume outside of a project: NAME.nii.gz, NAME.seg.nrrd, NAME_uncertainty.nii.gz, maps/NAME_..."""
        return cls(folder, labels=name, uncertainty=f"{name}_uncertainty.nii.gz", maps=f"maps/{name}_")

    def map_file(self, kind: str, label: str) -> str:
        """File of one map of one label."""
        return f"{self.maps}{kind}_{slug(label)}.nii.gz"


def replace_prediction(
    prediction: Prediction,
    folder: Path,
    model: Model,
    *,
    scratch: Path,
    maps: Maps = "auto",
    graph: Adjacency | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the prediction of a case; it takes the place of an earlier one as a whole, or not at all.

    Args:
        prediction: of the case's image.
        folder: ``predictions/<case>``.
        model: who predicted.
        scratch: a folder of the same disk whose content may be deleted at any time, for what is not finished.
        maps: which labels get maps.
        graph: which labels must not touch; None where any may.
        on_progress: told the share that is done.

    Returns:
        The content of ``prediction.json``.
    """
    token = secrets.token_hex(8)
    new, old = scratch / f"prediction-{token}", scratch / f"replaced-{token}"
    new.mkdir(parents=True)
    try:
        entries = write_files(prediction, Layout(new), maps=maps, graph=graph, on_progress=on_progress)
        said = describe(prediction, model, entries)
        atomic.write_json(new / PREDICTION_FILE, said)
        folder.parent.mkdir(exist_ok=True)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)
    return said


def describe(prediction: Prediction, model: Model, entries: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The content of ``prediction.json``."""
    return {
        "format": FORMAT_VERSION,
        "model": model.name,
        "run": model.run,
        "checkpoint": model.checkpoint,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "passes": prediction.passes,
        "threshold": HALF,
        **({"atlases": list(prediction.atlases), "atlas_share": model.atlas_share} if prediction.atlases else {}),
        **({"preview": True} if model.preview else {}),
        "labels": entries,
    }


def write_files(
    prediction: Prediction,
    layout: Layout,
    *,
    maps: Maps = "auto",
    graph: Adjacency | None = None,
    on_progress: Progress | None = None,
) -> dict[str, dict[str, Any]]:
    """Write labels and maps, one label after the other.

    Returns:
        Per label name: file names relative to the layout's folder, and the :class:`~.rank.Numbers`. Without maps of
        its own a label names the combined uncertainty and no other map. With a graph, ``contacts``: which labels it
        touches and must not, as :meth:`.Adjacency.broken` gives them. ``finished_slices``: how many
        the slices beside them follow, where there were any. ``left_out``, where it is not nothing: parts and ml that
        are not proposed, and how many parts are.
    """
    names = prediction.label_set.names
    with_maps = maps == "all" or (maps == "auto" and len(names) <= MANY_LABELS)
    if with_maps and "/" in layout.maps:
        (layout.folder / layout.maps).parent.mkdir(parents=True, exist_ok=True)
    say = on_progress or _silent
    writer = _Writer(prediction, layout, with_maps)

    def probability(channel: int, values: NDArray[np.float32]) -> None:
        writer.write("probability", channel, values)
        say((channel + 1) / (3 * len(names)))

    proposed = prediction.propose(probability)
    writer.write_labels(proposed)
    entries = {}
    for channel, name in enumerate(names):
        entries[name] = writer.finish(channel, proposed)
        say(1 / 3 + 2 / 3 * (channel + 1) / len(names))
    if graph is not None:
        for name, contacts in graph.broken(proposed.labels, prediction.label_set).items():
            entries[name]["contacts"] = contacts
    write_unit_interval(writer.largest, prediction.grid, layout.folder / layout.uncertainty)
    return entries


class _Writer:
    def __init__(self, prediction: Prediction, layout: Layout, with_maps: bool) -> None:
        self.prediction, self.layout, self.with_maps = prediction, layout, with_maps
        self.largest = np.zeros(prediction.grid.shape, np.float32)

    def write(self, kind: str, channel: int, values: NDArray[np.float32]) -> None:
        """One map of one label, where maps are wanted."""
        if self.with_maps:
            file = self.layout.map_file(kind, self.prediction.label_set.names[channel])
            write_unit_interval(values, self.prediction.grid, self.layout.folder / file)

    def write_labels(self, proposed: Proposed) -> None:
        """With names as ``.seg.nrrd``; also as a plain label map where a voxel has one label at most."""
        prediction, stem = self.prediction, self.layout.folder / self.layout.labels
        segments = stem.with_name(f"{stem.name}.seg.nrrd")
        write_labels(segments, proposed.labels, prediction.label_set, prediction.grid)
        if len(proposed.labels) == 1:
            write_volume(image_from_kji(proposed.labels[0], prediction.grid), stem.with_name(f"{stem.name}.nii.gz"))

    def finish(self, channel: int, proposed: Proposed) -> dict[str, Any]:
        """Uncertainty maps of a label, and its entry."""
        prediction, label_set = self.prediction, self.prediction.label_set
        uncertainty, mutual = prediction.uncertainty(channel), prediction.mutual_information(channel)
        self.write("uncertainty", channel, uncertainty)
        self.write("mutual_information", channel, mutual)
        np.maximum(self.largest, uncertainty, out=self.largest)
        found: Numbers = numbers(
            label_mask(proposed.labels, label_set, channel),
            prediction.probability(channel),
            uncertainty,
            mutual,
            prediction.grid,
        )
        name = label_set.names[channel]
        kinds = ("probability", "uncertainty", "mutual_information")
        files = {k: self.layout.map_file(k, name) if self.with_maps else None for k in kinds}
        if not self.with_maps:
            files["uncertainty"] = self.layout.uncertainty
        entry = {**files, **found.to_json()}
        if count := prediction.finished.get(name):
            entry["finished_slices"] = count
        if left := proposed.left_out.get(channel):
            volume = left.voxels * prediction.grid.voxel_mm3 / 1000
            entry["left_out"] = {"parts": left.parts, "volume_ml": volume, "kept": prediction.parts[channel]}
        return entry


def _silent(_share: float) -> None:
    pass
