"""Predicting many volumes: the cases of a project, or a folder; one that cannot be read does not stop the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ImageError, RunError, SemiSupSegError
from ..project import atomic
from ..project.cases import Case
from ..project.folders import Pair, find_pairs
from ..project.images import read_volume
from ..project.paths import safe_id
from ..project.project import Project
from .atlas import Atlas
from .atlases import atlases_of
from .model import Model
from .predict import PASSES, Progress, halves, predict_case, predict_volume, predictor
from .prediction_files import Layout, Maps, write_files
from .volume import Inference

__all__ = ["Predicted", "cases_to_predict", "predict_cases", "predict_folder", "read_names"]

NAMES_FILE = "labels.json"

T = TypeVar("T")


@dataclass(frozen=True)
class Predicted:
    """What became of several volumes."""

    volumes: dict[str, dict[str, Any]]
    """By case or name of the volume: per label its files and numbers."""
    refused: dict[str, str]
    """By case or name of the file: the sentence that says why."""


def predict_cases(
    project: Project,
    cases: Sequence[Case],
    model: Model,
    *,
    passes: int = PASSES,
    maps: Maps = "auto",
    inference: Inference | None = None,
    on_progress: Callable[[float, str], None] | None = None,
) -> Predicted:
    """:func:`predict_case` for several; one that cannot be read does not stop the others.

    Raises:
        RunError: none could be predicted.
    """
    inference, atlases = inference or predictor(model), atlases_of(project, model)

    def work(case: Case, say: Progress) -> dict[str, Any]:
        """Predict one of them and write its files."""
        said = predict_case(
            project, case, model, passes=passes, maps=maps, inference=inference, on_progress=say, atlases=atlases
        )
        labels: dict[str, Any] = said["labels"]
        return labels

    return _each({case.id: case for case in cases}, work, on_progress)


def predict_folder(
    model: Model,
    images: Path,
    output: Path,
    *,
    passes: int = PASSES,
    maps: Maps = "auto",
    inference: Inference | None = None,
    on_progress: Callable[[float, str], None] | None = None,
    atlases: Sequence[Atlas] = (),
) -> Predicted:
    """Predict all volumes of a folder that belong to no project. One that cannot be read does not stop the others.

    Args:
        model: what predicts.
        images: NIfTI, NRRD or MHA files, or folders with one DICOM series each; see
            :func:`~SemiSupSegLib.project.folders.find_pairs`. Label files among them are not predicted.
        output: gets NAME.seg.nrrd, NAME.nii.gz (values in the order of the labels, named in ``labels.json``; not where
            labels overlap), NAME_uncertainty.nii.gz and the maps of each label in ``maps/``.
        passes: dropout passes.
        maps: which labels get maps.
        inference: from :func:`predictor`.
        on_progress: told the share that is done and the name of the volume.
        atlases: of the model's project, from :func:`.atlases.atlases_of`.

    Raises:
        ProjectError: there is no image in the folder.
        RunError: ``output`` lies where the images lie, or none of the images could be predicted.
    """
    pairs = find_pairs(images)
    if output.resolve() in {images.resolve(), *(pair.image.resolve().parent for pair in pairs)}:
        msg = f"{output} holds the images themselves: give another folder for what is predicted"
        raise RunError(msg)
    output.mkdir(parents=True, exist_ok=True)
    ready = inference or predictor(model)

    def work(pair: Pair, say: Progress) -> dict[str, Any]:
        """Predict one of them and write its files."""
        if pair.problem:
            raise ImageError(pair.problem)
        half = halves(say)
        prediction = predict_volume(
            model,
            read_volume(pair.image),
            passes=passes,
            inference=ready,
            on_progress=half(0.0),
            scratch=output,
            atlases=atlases,
        )
        return write_files(prediction, Layout.outside(output, names[pair.image]), maps=maps, on_progress=half(0.5))

    names: dict[Path, str] = {}
    for pair in pairs:
        names[pair.image] = safe_id(pair.stem, names.values())
    result = _each({names[pair.image]: pair for pair in pairs}, work, on_progress)
    values = {str(place.value): name for name, place in zip(model.label_set.names, model.label_set.places, strict=True)}
    said = {"format": 1, "model": model.name, "run": model.run, "overlaps": len(values) < len(model.label_set)}
    atomic.write_json(output / NAMES_FILE, {**said, "labels": {} if said["overlaps"] else values})
    return result


def read_names(folder: Path) -> dict[int, str]:
    """Name of each value of the label maps that :func:`predict_folder` wrote; empty where it did not."""
    try:
        said = json.loads((folder / NAMES_FILE).read_text(encoding="utf-8"))
        return {int(value): str(name) for value, name in said["labels"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f'{NAMES_FILE} of {folder.name} cannot be read as {{"labels": {{"1": "liver", ...}}}}: {error}'
        raise ImageError(msg) from error


def cases_to_predict(project: Project, ids: Sequence[str]) -> list[Case]:
    """The named cases; all of them when none is named (complete ones too: the hold-out is compared with them)."""
    return [project.case(case_id) for case_id in dict.fromkeys(ids)] or list(project.cases.values())


def _each(
    volumes: dict[str, T],
    work: Callable[[T, Progress], dict[str, Any]],
    on_progress: Callable[[float, str], None] | None,
) -> Predicted:
    result = Predicted({}, {})
    for number, (name, volume) in enumerate(volumes.items()):

        def say(share: float, number: int = number, name: str = name) -> None:
            if on_progress is not None:
                on_progress((number + share) / len(volumes), name)

        try:
            result.volumes[name] = work(volume, say)
        except SemiSupSegError as error:
            result.refused[name] = str(error)
        say(1.0)
    if not result.volumes:
        msg = "nothing could be predicted: " + ("; ".join(result.refused.values()) or "there is no case yet")
        raise RunError(msg)
    return result
