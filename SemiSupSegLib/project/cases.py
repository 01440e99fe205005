"""Case: one volume of a project, its labels, and what is said about each of them.

A case is a folder whose ``case.json`` is the one commit point: label files, regions and ignore masks get new names with
every change and are never overwritten, so what case.json points to is always whole.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, ProjectError
from .annotation import Annotation, RegionKind, known_mask, known_of, people_labels
from .geometry import Grid, image_from_kji
from .labels import LabelSet
from .paths import inside

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813  everybody's name for it

__all__ = ["CASE_FILE", "SPLITS", "Case", "read_mask", "write_mask"]

FORMAT_VERSION = 1
CASE_FILE = "case.json"
SPLITS = ("train", "holdout")
_UNKNOWN = Annotation()


@dataclass(frozen=True)
class Case:
    """What ``case.json`` says; pixels are read when asked for. All arrays are (k, j, i) on the image's own grid."""

    id: str
    folder: Path
    generation: int
    """Number of the change that made this state; 1 when the case was added."""
    image_file: str
    labels_file: str | None
    ignore_file: str | None
    modality: str
    """``CT``, ``MR``, ...: free text."""
    split: str
    """``train`` or ``holdout``."""
    annotations: dict[str, Annotation] = field(default_factory=dict)
    """By label name; a label that is not in it is *unknown*."""
    reviewed: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By label name: ``{"decision": "rejected" | "flagged", "model": ...}``."""
    entry: int = 0
    """Id of the journal entry that made this state."""

    @property
    def annotated(self) -> bool:
        """Whether anything is known about any label."""
        return any(annotation.annotated for annotation in self.annotations.values())

    def annotation(self, name: str) -> Annotation:
        """What is said about a label; *unknown* when nothing is."""
        return self.annotations.get(name, _UNKNOWN)

    def image(self) -> sitk.Image:
        """The volume."""
        from .images import read_volume

        return read_volume(inside(self.folder, self.image_file))

    def grid(self) -> Grid:
        """Size, spacing, origin and direction, from the image's header alone.

        Raises:
            ImageError: the image is missing or its header cannot be read.
        """
        from .images import grid_of_file

        try:
            return grid_of_file(inside(self.folder, self.image_file))
        except ImageError as error:
            msg = f"case {self.id}: {error}"
            raise ImageError(msg) from error

    def labels(self, label_set: LabelSet, *, people_only: bool = False) -> NDArray[np.integer[Any]]:
        """The layers (L, k, j, i) of ``label_set.places``; zeros when nothing was ever painted.

        Args:
            label_set: the project's labels.
            people_only: without the voxels that came from a model.
        """
        from .labelmaps import load_labels

        if self.labels_file is None:
            kind = np.min_scalar_type(max((place.value for place in label_set.places), default=0))
            return np.zeros((label_set.n_layers, *self.grid().shape), kind)
        labels: NDArray[np.integer[Any]] = load_labels(inside(self.folder, self.labels_file), label_set)[0]
        if people_only and any(a.human for a in self.annotations.values()):
            labels = people_labels(labels, label_set, self._channels(label_set), strokes=self.strokes())
        return labels

    def ignore(self) -> NDArray[np.bool_] | None:
        """Voxels that the user excluded; None for none."""
        return None if self.ignore_file is None else read_mask(inside(self.folder, self.ignore_file))

    def strokes(self) -> dict[str, NDArray[np.bool_]]:
        """Content of every stroke file that an annotation names, those of the people's earlier statements included."""
        said = [a for annotation in self.annotations.values() for a in (annotation, annotation.by_people_only())]
        files = {r.file for a in said for r in a.regions if r.kind is RegionKind.STROKES and r.file}
        return {file: read_mask(inside(self.folder, file)) for file in sorted(files)}

    def known(self, label_set: LabelSet, *, people_only: bool = False) -> NDArray[np.bool_]:
        """What is known, (K, k, j, i): the rule of :func:`SemiSupSegLib.project.annotation.known_mask`.

        Args:
            label_set: the project's labels.
            people_only: count nothing that came from a model, accepted or not: what a hold-out case is scored on (G30).
        """
        labels = self.labels(label_set, people_only=people_only)
        said = self._channels(label_set, people_only=people_only)
        return known_mask(labels, label_set, said, strokes=self.strokes(), ignore=self.ignore())

    def known_of(self, name: str, labels: NDArray[np.integer[Any]], label_set: LabelSet) -> NDArray[np.bool_]:
        """What is known of one label, (k, j, i), with the case's layers at hand."""
        said = self._channels(label_set)
        channel = label_set.index(name)
        return known_of(channel, labels, label_set, said, strokes=self.strokes(), ignore=self.ignore())

    def _channels(self, label_set: LabelSet, *, people_only: bool = False) -> list[Annotation]:
        said = [self.annotation(name) for name in label_set.names]
        return [a.by_people_only() for a in said] if people_only else said

    def to_json(self) -> dict[str, Any]:
        """The content of ``case.json``."""
        return {
            "format": FORMAT_VERSION,
            "id": self.id,
            "generation": self.generation,
            "image": self.image_file,
            "labels": self.labels_file,
            "ignore": self.ignore_file,
            "modality": self.modality,
            "split": self.split,
            "annotations": {name: a.to_json() for name, a in self.annotations.items()},
            "reviewed": self.reviewed,
            "entry": self.entry,
        }

    def to_bytes(self) -> bytes:
        """What is written as ``case.json``."""
        return (json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes, folder: Path) -> Case:
        """Inverse of :meth:`to_bytes`.

        Raises:
            ProjectError: not a case, a newer format, or the case of another folder; one sentence that names the file.
        """
        where = f"{folder.parent.name}/{folder.name}/{CASE_FILE}"
        try:
            data = json.loads(content)
            if data["format"] > FORMAT_VERSION:
                msg = f"{where} has format {data['format']}; this program knows {FORMAT_VERSION}: please update it"
                raise ProjectError(msg)
            found = (data["id"], data["split"])
            if found[0] != folder.name or found[1] not in SPLITS:
                msg = f"{where}: expected case {folder.name!r} in one of the splits {SPLITS}, found {found}"
                raise ProjectError(msg)
            return cls(
                data["id"],
                folder,
                int(data["generation"]),
                data["image"],
                data["labels"],
                data["ignore"],
                data["modality"],
                data["split"],
                {name: Annotation.from_json(a) for name, a in data["annotations"].items()},
                data["reviewed"],
                data["entry"],
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            cure = "put back the newest file of its history folder, or move the case away"
            msg = f"{where} cannot be read ({error!r}): {cure}"
            raise ProjectError(msg) from error


def read_mask(path: Path) -> NDArray[np.bool_]:
    """A boolean volume (k, j, i) that :func:`write_mask` wrote."""
    import SimpleITK as sitk  # noqa: N813

    from .images import read_volume

    image = read_volume(path)  # a view does not keep its image alive
    return np.asarray(sitk.GetArrayViewFromImage(image) != 0)


def write_mask(mask: NDArray[np.bool_], grid: Grid, path: Path) -> None:
    """Write a boolean volume (k, j, i) as 0 and 1 on the given grid."""
    from .images import write_volume

    write_volume(image_from_kji(mask, grid), path)
