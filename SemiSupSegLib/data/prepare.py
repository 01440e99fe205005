"""Cases to the training grid: orient RAS, resample, normalise, once; what is on disk is mapped, not computed again.

Image and labels are cached apart, so that an accepted label costs the labels of one case and no image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..config import DataConfig
from ..errors import ImageError
from ..project.annotation import Annotation, RegionKind, label_mask
from ..project.cases import Case
from ..project.geometry import Grid, array_xyz, image_from_kji, resample, to_ras, training_grid
from ..project.labels import LabelSet
from ..project.paths import inside
from ..project.project import Project
from .cache import Cache, Entry, Made, StoredArray
from .distance import with_distance
from .implied import with_implied
from .intensity import normalise
from .prepared import Foreground, PreparedCase, label_arrays, pseudo_arrays
from .pseudo import load_pseudo, pseudo_file, refuse_holdout, refuse_holdout_files
from .statistics import ct_statistics

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813  everybody's name for it

__all__ = ["PreparedCase", "ct_statistics", "prepare", "prepare_case", "prepare_holdout", "prepare_image"]

IMAGE_VERSION = 1
"""Raised when the same image would give other voxels: what older versions cached is left alone."""
LABELS_VERSION = 1
"""The same for labels."""

Progress = Callable[[int, int], None]
"""Told the number of the case that begins, from 0, and how many there are."""


def prepare(
    project: Project, config: DataConfig, *, on_progress: Progress | None = None, pseudo: Path | None = None
) -> list[PreparedCase]:
    """All training cases, in the order of their ids.

    Args:
        project: its ``cache_folder`` keeps what is computed.
        config: spacing, normalisation and distance maps.
        on_progress: told (cases done, cases in all) before each case.
        pseudo: folder of voxels that a relabelling round added, see :mod:`.pseudo`.

    Raises:
        ImageError: a volume cannot be read; the message names the case.
        ProjectError: the folder of added voxels holds some of a hold-out case.
        ConfigError: ``ct`` normalisation without a window.
    """
    if pseudo is not None:
        refuse_holdout_files(project, pseudo)
    return _prepare_all(project, project.train_cases(), config, on_progress, pseudo=pseudo, people_only=False)


def prepare_holdout(project: Project, config: DataConfig, *, on_progress: Progress | None = None) -> list[PreparedCase]:
    """All hold-out cases, with nothing but what people annotated there, without distance maps and what strokes imply,
    which only training needs; raises as :func:`prepare` does."""
    config = replace(config, distance="none")
    return _prepare_all(project, project.holdout_cases(), config, on_progress, pseudo=None, people_only=True)


def prepare_case(
    project: Project,
    case: Case,
    config: DataConfig,
    *,
    people_only: bool = False,
    pseudo: Path | None = None,
    cache: Cache | None = None,
) -> PreparedCase:
    """One case.

    Args:
        project: for its label set and cache folder.
        case: any case of it.
        config: spacing, normalisation and distance maps.
        people_only: leave out everything that came from a model, accepted or not.
        pseudo: folder of added voxels; refused for a case of the hold-out.
        cache: of the project; opened when not given.

    Raises:
        as :func:`prepare` does.
    """
    if pseudo is not None:
        refuse_holdout(case)
    own = cache or Cache(project.cache_folder)
    image = _image_entry(case, config, own)
    grid = Grid.from_json(image.meta["grid"])
    labels = _labels_entry(case, project.label_set, grid, people_only, own)
    arrays: dict[str, StoredArray | NDArray[Any]] = {"image": _needed(image, "image")}
    arrays |= {name: array for name in ("labels", "region", "ignore") if (array := labels.array(name))}
    added = None
    if pseudo is not None and pseudo_file(pseudo, case.id).is_file():
        entry = _pseudo_entry(case, pseudo, (len(project.label_set), *grid.size), own)
        arrays["pseudo"] = _needed(entry, "pseudo")
        added = Foreground(_needed(entry, "foreground"), tuple(entry.meta["counts"]))
    if cache is None:
        own.save_digests()
    prepared = PreparedCase(
        case.id,
        grid,
        project.label_set,
        np.asarray(labels.meta["annotated"], bool),
        np.asarray(labels.meta["everywhere"], bool),
        image.meta["padding"],
        arrays,
        tuple(labels.meta["region_channels"]),
        Foreground(_needed(labels, "foreground"), tuple(labels.meta["counts"])),
        added,
        labels.key,
    )
    if not people_only:
        prepared = with_implied(prepared, *_in_part(case, project.label_set), own)
    return with_distance(prepared, config.distance_mm, own) if config.distance == "volume" else prepared


def prepare_image(image: sitk.Image, config: DataConfig) -> tuple[NDArray[np.float16], Grid]:
    """Any volume as training sees it: (1, X, Y, Z) normalised, RAS+, and the training grid it lies on."""
    image = to_ras(image)
    grid = training_grid(Grid.of(image), config.spacing)
    values = array_xyz(resample(image, grid, linear=True))
    return normalise(values, config).astype(np.float16)[None], grid


def _prepare_all(
    project: Project,
    cases: Sequence[Case],
    config: DataConfig,
    on_progress: Progress | None,
    *,
    pseudo: Path | None,
    people_only: bool,
) -> list[PreparedCase]:
    cache = Cache(project.cache_folder)
    done = []
    try:
        for number, case in enumerate(cases):
            if on_progress is not None:
                on_progress(number, len(cases))
            done.append(prepare_case(project, case, config, people_only=people_only, pseudo=pseudo, cache=cache))
    finally:
        cache.save_digests()
    return done


def _image_entry(case: Case, config: DataConfig, cache: Cache) -> Entry:
    def make() -> Made:
        array, grid = prepare_image(case.image(), config)
        return {"image": array}, {"grid": grid.to_json(), "padding": float(array.min())}

    ingredients = {
        "version": IMAGE_VERSION,
        "image": _digest(case, case.image_file, cache),
        "spacing": config.spacing,
        "intensity": config.intensity,
        "window": config.ct_window if config.intensity == "ct" else None,
    }
    return cache.entry("image", ingredients, make)


def _labels_entry(case: Case, label_set: LabelSet, grid: Grid, people_only: bool, cache: Cache) -> Entry:
    said = [case.annotation(name) for name in label_set.names]
    said = [a.by_people_only() for a in said] if people_only else said

    def make() -> Made:
        return _labels_on_grid(case, label_set, said, grid, people_only)

    ingredients = {
        "version": LABELS_VERSION,
        "grid": grid.to_json(),
        "image": _digest(case, case.image_file, cache),  # its own grid is what the labels lie on
        "labels": _digest(case, case.labels_file, cache),
        "ignore": _digest(case, case.ignore_file, cache),
        "label_set": label_set.to_json(),
        "annotations": [case.annotation(name).to_json() for name in label_set.names],
        "strokes": {file: _digest(case, file, cache) for file in _stroke_files(case)},
        "people_only": people_only,
    }
    return cache.entry("labels", ingredients, make)


def _pseudo_entry(case: Case, folder: Path, shape: tuple[int, ...], cache: Cache) -> Entry:
    def make() -> Made:
        return pseudo_arrays(load_pseudo(folder, case.id, shape))

    digest = cache.digest(pseudo_file(folder, case.id))
    return cache.entry("pseudo", {"version": LABELS_VERSION, "added": digest, "shape": shape}, make)


def _labels_on_grid(
    case: Case, label_set: LabelSet, said: Sequence[Annotation], grid: Grid, people_only: bool
) -> Made:
    labels, ignore = case.labels(label_set, people_only=people_only), case.ignore()
    strokes, own = case.strokes(), case.grid()
    for what, array in (("labels", labels[0]), ("ignore mask", ignore), *strokes.items()):
        if array is not None and array.shape != own.shape:
            msg = f"case {case.id}: its image has {own.shape} voxels (k, j, i), its {what} {array.shape}"
            raise ImageError(msg)

    def on_grid(array: NDArray[Any]) -> NDArray[Any]:
        return array_xyz(resample(to_ras(image_from_kji(array, own)), grid, linear=False))

    regions = {}
    for c, annotation in enumerate(said):
        if annotation.regions:
            painted = label_mask(labels, label_set, c)
            masks = (r.mask(own.shape, painted=painted, strokes=strokes.get(r.file or "")) for r in annotation.regions)
            regions[c] = on_grid(np.logical_or.reduce(list(masks))).astype(bool)
    layers = np.stack([on_grid(layer) for layer in labels])
    layers = layers.astype(np.uint8 if layers.max(initial=0) <= 255 else np.int16)
    return label_arrays(layers, label_set, said, regions, None if ignore is None else on_grid(ignore).astype(bool))


def _in_part(case: Case, label_set: LabelSet) -> tuple[list[int], list[int]]:
    """The labels of which some region is strokes, and those of which all regions are slices."""
    kinds = [{region.kind for region in case.annotation(name).regions} for name in label_set.names]
    stroked = [c for c, found in enumerate(kinds) if RegionKind.STROKES in found]
    return stroked, [c for c, found in enumerate(kinds) if found == {RegionKind.SLICES}]


def _stroke_files(case: Case) -> list[str]:
    said = [a for annotation in case.annotations.values() for a in (annotation, annotation.by_people_only())]
    return sorted({r.file for a in said for r in a.regions if r.kind is RegionKind.STROKES and r.file})


def _digest(case: Case, file: str | None, cache: Cache) -> str | None:
    if file is None:
        return None
    path = inside(case.folder, file)
    if not path.is_file():
        msg = f"case {case.id}: {file} is missing"
        raise ImageError(msg)
    return cache.digest(path)


def _needed(entry: Entry, name: str) -> StoredArray:
    array = entry.array(name)
    assert array is not None
    return array
