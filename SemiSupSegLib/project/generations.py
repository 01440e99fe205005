"""Files that a change leaves in a case's folder. Each is new: its name begins with the number of its generation.

Nothing here is ever overwritten or removed, so an earlier case.json always finds what it points to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .annotation import Annotation, Region, label_mask
from .atomic import write_bytes
from .cases import Case, write_mask
from .checks import check_annotations, check_layers, check_mask
from .geometry import Grid
from .journal import content_hash
from .labels import LabelSet

__all__ = ["earlier_bytes", "next_generation", "remember", "write_pixels"]


def write_pixels(
    case: Case,
    label_set: LabelSet,
    *,
    labels: NDArray[np.integer[Any]] | None,
    ignore: NDArray[np.bool_] | None,
    annotations: Mapping[str, Annotation],
    strokes: Mapping[str, NDArray[np.bool_]],
) -> Case:
    """Check what is given, write it, and return the case that points to it.

    Args:
        case: the case, already with the generation that the files belong to.
        label_set: the project's labels.
        labels: layers (L, k, j, i), or None to keep the file.
        ignore: (k, j, i) bool; all False removes the mask; None keeps it.
        annotations: by label name; labels that it does not name keep theirs.
        strokes: new stroke regions (k, j, i) bool, by the name under which ``annotations`` refer to them.

    Raises:
        ProjectError: an annotation fits no label or region.
        ImageError: an array does not fit the image.
    """
    from .labelmaps import write_labels

    if labels is None and ignore is None and not annotations:
        return case
    where, grid = f"case {case.id}", case.grid()
    if labels is not None:
        check_layers(labels, label_set, grid, where=where)
    for mask in (*strokes.values(), *(() if ignore is None else (ignore,))):
        check_mask(mask, grid, where=where)
    renamed = {name: f"regions/{case.generation:04d}_{n}.nii.gz" for n, name in enumerate(strokes)}
    said = {name: _with_files(annotation, renamed) for name, annotation in annotations.items()}

    def painted(name: str) -> int:
        layers = case.labels(label_set) if labels is None else labels
        return int(np.count_nonzero(label_mask(layers, label_set, label_set.index(name))))

    files = {*renamed.values(), *(f"regions/{file.name}" for file in (case.folder / "regions").glob("*"))}
    check_annotations(said, label_set, grid, painted=painted, files=files, where=where)
    for name, mask in strokes.items():
        _write_new_mask(mask, grid, case.folder / renamed[name])
    case = replace(case, annotations={**case.annotations, **said})
    if ignore is not None:
        file = f"regions/{case.generation:04d}_ignore.nii.gz" if ignore.any() else None
        if file:
            _write_new_mask(ignore, grid, case.folder / file)
        case = replace(case, ignore_file=file)
    if labels is not None:
        file = f"labels/{case.generation:04d}.seg.nrrd"
        (case.folder / "labels").mkdir(exist_ok=True)
        write_labels(case.folder / file, labels, label_set, grid)
        case = replace(case, labels_file=file)
    return case


def _write_new_mask(mask: NDArray[np.bool_], grid: Grid, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    write_mask(mask, grid, path)


def _with_files(annotation: Annotation, renamed: Mapping[str, str]) -> Annotation:
    """The annotation with its new stroke regions under the names they get."""

    def region(r: Region) -> Region:
        return replace(r, file=renamed.get(r.file or "", r.file))

    human = None if annotation.human is None else _with_files(annotation.human, renamed)
    return replace(annotation, regions=tuple(region(r) for r in annotation.regions), human=human)


def next_generation(case: Case) -> int:
    """A number that no file of the case has used, whether or not a case.json ever pointed to it."""
    names = [path.name for folder in ("labels", "regions", "history") for path in (case.folder / folder).glob("*")]
    numbers = [int(match[0]) for name in names if (match := re.match(r"\d+", name))]
    return 1 + max([case.generation, *numbers])


def remember(folder: Path, generation: int, content: bytes) -> None:
    """Keep the bytes of a case.json; one edited by hand, whose number is there already, gets a name of its own."""
    (folder / "history").mkdir(exist_ok=True)
    if earlier_bytes(folder, generation, content_hash(content)) is not None:
        return
    path = folder / "history" / f"{generation:04d}.json"
    write_bytes(path.with_stem(f"{path.stem}_{content_hash(content)[:8]}") if path.exists() else path, content)


def earlier_bytes(folder: Path, generation: int, wanted: str | None) -> bytes | None:
    """The remembered case.json of a generation with that SHA-256; None when it is missing or was changed."""
    contents = (path.read_bytes() for path in sorted((folder / "history").glob(f"{generation:04d}*.json")))
    return next((content for content in contents if content_hash(content) == wanted), None)
