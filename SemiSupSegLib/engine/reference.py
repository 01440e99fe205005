"""LabelFolder: a folder of label files that predictions are compared with. Labels are matched by name wherever there
are names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ProjectError
from ..project.folders import read_dataset, stem_of
from ..project.geometry import Grid
from ..project.images import VOLUME_ENDINGS, file_reader, volume_grid
from ..project.label_source import LabelSource
from ..project.paths import safe_id
from .predict_many import read_names

__all__ = ["LabelFile", "LabelFolder", "common_names", "folded"]

SEGMENTS = ".seg.nrrd"


@dataclass(frozen=True)
class LabelFile:
    """Labels of one case."""

    source: LabelSource
    names: tuple[str, ...] | None
    """Labels that the file makes a statement about: its segments, or all of ``dataset.json`` (an organ may be
    absent); None for a label map without names, which is taken to be about every label."""
    grid: Grid

    def mask(self, name: str) -> NDArray[np.bool_]:
        """(k, j, i) voxels of a label, found without regard to case and blanks; all False where it has none."""
        for known, (layer, value) in self.source.places.items():
            if folded(known) == folded(name):
                return np.asarray(self.source.layers[layer] == value)
        return np.zeros(self.grid.shape, bool)

    def known(self) -> NDArray[np.bool_] | None:
        """(k, j, i) where somebody made a statement; None: everywhere."""
        return self.source.annotated


class LabelFolder:
    """Label files of a folder, or of its ``labels/``, named by ``dataset.json`` or ``labels.json`` where it has one.

    Args:
        folder: the folder.
        numbers: names for the values of label maps that nothing names; None: a number is its own name.

    Raises:
        ProjectError: no such folder, no label file in it, or a file of names that cannot be read.
    """

    def __init__(self, folder: Path, numbers: Mapping[int, str] | None = None) -> None:
        where = next((folder / n for n in ("labels", "labelsTr") if (folder / n).is_dir()), folder)
        if not where.is_dir():
            msg = f"{folder} is not a folder: expected one with a label file for each case"
            raise ProjectError(msg)
        dataset = read_dataset(folder) or (read_dataset(folder.parent) if where == folder else None)
        self.said = dict(dataset.names) if dataset else read_names(folder)
        """Name of each value as the folder says; empty when it does not."""
        self._blank = dataset.not_annotated if dataset else None
        self._numbers = numbers or {value: f"value {value}" for value in range(1, 65536)}
        self.matched_by_number = False
        """Whether any file that was read had no names at all."""
        self._files = _label_files(where)

    @property
    def stems(self) -> list[str]:
        """Names of the files without endings, sorted."""
        return sorted(stem_of(path) for path in self._files.values())

    def has(self, case_id: str) -> bool:
        """Whether there is a file for a case."""
        return self._path(case_id) is not None

    def read(self, case_id: str, grid: Grid | None = None) -> LabelFile:
        """The labels of a case.

        Args:
            case_id: the case.
            grid: of its image; None for the file's own.

        Raises:
            ProjectError: there is no file for it, or a value in it has no name.
            ImageError: it cannot be read, or does not lie on the grid.
        """
        path = self._path(case_id)
        if path is None:
            msg = f"no label file for case {case_id}"
            raise ProjectError(msg)
        grid = grid or volume_grid(file_reader(path), path.name, layers=True)
        source = LabelSource.read(path, self.said or self._numbers, grid, not_annotated=self._blank)
        if path.name.lower().endswith(SEGMENTS):
            return LabelFile(source, tuple(source.places), grid)
        if self.said:
            return LabelFile(source, tuple(self.said.values()), grid)
        self.matched_by_number = True
        return LabelFile(source, None, grid)

    def _path(self, case_id: str) -> Path | None:
        wanted = case_id.casefold()
        if wanted in self._files:
            return self._files[wanted]
        return next((p for stem, p in self._files.items() if safe_id(stem, ()).casefold() == wanted), None)


def folded(name: str) -> str:
    """A name as names are compared: without case, ``_`` as a blank."""
    return " ".join(name.casefold().replace("_", " ").split())


def common_names(ours: Sequence[str] | None, theirs: Sequence[str] | None) -> list[str] | None:
    """Names that both make a statement about, as ``ours`` spells them; None stands for every name."""
    if ours is None or theirs is None:
        said = theirs if ours is None else ours
        return None if said is None else list(said)
    known = {folded(name) for name in theirs}
    return [name for name in ours if folded(name) in known]


def _label_files(where: Path) -> dict[str, Path]:
    """By name without ending; where a case has several files, the one that names its segments."""
    files = sorted(p for p in where.iterdir() if p.name.lower().endswith(VOLUME_ENDINGS) and p.name[0] != ".")
    if not files:
        msg = f"{where} holds no label file: expected one of {' '.join(VOLUME_ENDINGS)} for each case"
        raise ProjectError(msg)
    found: dict[str, Path] = {}
    for path in sorted(files, key=lambda p: p.name.lower().endswith(SEGMENTS)):
        found[stem_of(path).casefold()] = path
    return found
