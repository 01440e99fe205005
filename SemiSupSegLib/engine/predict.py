"""Predicting: volumes to labels, probabilities and uncertainties on each volume's own grid."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..data.prepare import prepare_image
from ..errors import ImageError, RunError, SemiSupSegError
from ..project import atomic
from ..project.adjacency import adjacency
from ..project.cases import Case
from ..project.folders import Pair, find_pairs
from ..project.geometry import Grid
from ..project.images import read_volume
from ..project.paths import safe_id
from ..project.project import Project
from .model import Model
from .prediction import Prediction
from .prediction_files import Layout, Maps, replace_prediction, write_files
from .volume import Inference

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813  everybody's name for it

__all__ = [
    "PASSES",
    "Predicted",
    "cases_to_predict",
    "predict_case",
    "predict_cases",
    "predict_folder",
    "predict_volume",
    "predictor",
    "read_names",
]

PASSES = 8
"""Dropout passes unless told otherwise."""
NAMES_FILE = "labels.json"

T = TypeVar("T")
Progress = Callable[[float], None]
"""Told the share that is done, [0, 1]."""


def predictor(model: Model, *, device: str = "auto", memory_gb: float | None = None) -> Inference:
    """The model's network, made ready once for any number of volumes; arguments as of :class:`~.volume.Inference`."""
    return Inference(model.segmentor(), model.config, device=device, memory_gb=memory_gb)


def predict_volume(
    model: Model,
    image: sitk.Image,
    *,
    passes: int = PASSES,
    device: str = "auto",
    on_progress: Progress | None = None,
    memory_gb: float | None = None,
    inference: Inference | None = None,
    scratch: Path | None = None,
    all_parts: bool = False,
) -> Prediction:
    """Predict one volume.

    Args:
        model: what predicts.
        image: any 3D scalar volume, in any orientation.
        passes: dropout passes; 0 for one deterministic pass, without mutual information.
        device: ``auto``, ``cpu`` or ``cuda``.
        on_progress: told the share of the windows that is done.
        memory_gb: what inference may take; None: a share of what is free.
        inference: from :func:`predictor`, where several volumes are predicted.
        scratch: folder for temporary files of very large volumes.
        all_parts: propose all that is above one half, not only as many connected parts of each label as all annotated
            cases have (:attr:`.Model.parts`).

    Returns:
        The prediction, on the grid of ``image``.

    Raises:
        RunError: no device, no memory, or no finite numbers.
    """
    inference = inference or predictor(model, device=device, memory_gb=memory_gb)
    values, training = prepare_image(image, model.config.data)
    own = Grid.of(image)
    del image

    def say(done: int, of: int) -> None:
        if on_progress is not None:
            on_progress(done / of)

    statistics = inference.run(values, len(model.label_set), passes=passes, on_progress=say, scratch=scratch)
    passes = passes if statistics.entropy is not None else 0
    parts = () if all_parts else tuple(model.parts.get(name) for name in model.label_set.names)
    return Prediction(statistics, training, own, model.label_set, passes, parts)


def predict_case(
    project: Project,
    case: Case,
    model: Model,
    *,
    passes: int = PASSES,
    maps: Maps = "auto",
    all_parts: bool = False,
    inference: Inference | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Predict a case and put the result into ``predictions/<case>``; returns the content of its ``prediction.json``.

    Labels that touch though they never do in the annotated cases are listed with each label.

    Raises:
        ImageError: the image cannot be read.
        ProjectError: the project's adjacency rules cannot be read.
        RunError: as :func:`predict_volume`.
    """
    graph = adjacency(project)
    scratch = project.cache_folder
    scratch.mkdir(parents=True, exist_ok=True)
    half = _halves(on_progress)
    prediction = predict_volume(
        model,
        case.image(),
        passes=passes,
        inference=inference,
        on_progress=half(0.0),
        scratch=scratch,
        all_parts=all_parts,
    )
    folder = project.predictions_folder / case.id
    checked = graph if graph.forbidden.any() else None
    return replace_prediction(
        prediction, folder, model, scratch=scratch, maps=maps, graph=checked, on_progress=half(0.5)
    )


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
    all_parts: bool = False,
    inference: Inference | None = None,
    on_progress: Callable[[float, str], None] | None = None,
) -> Predicted:
    """:func:`predict_case` for several; one that cannot be read does not stop the others.

    Raises:
        RunError: none could be predicted.
    """
    inference = inference or predictor(model)

    def work(case: Case, say: Progress) -> dict[str, Any]:
        said = predict_case(
            project, case, model, passes=passes, maps=maps, all_parts=all_parts, inference=inference, on_progress=say
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
    all_parts: bool = False,
    inference: Inference | None = None,
    on_progress: Callable[[float, str], None] | None = None,
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
        all_parts: as of :func:`predict_volume`.
        inference: from :func:`predictor`.
        on_progress: told the share that is done and the name of the volume.

    Raises:
        ProjectError: there is no image in the folder.
        RunError: ``output`` lies where the images lie, or none of the images could be predicted.
    """
    pairs = find_pairs(images)
    if output.resolve() in {images.resolve(), *(pair.image.resolve().parent for pair in pairs)}:
        msg = f"{output} holds the images themselves: give another folder for what is predicted"
        raise RunError(msg)
    output.mkdir(parents=True, exist_ok=True)
    inference = inference or predictor(model)
    ready = inference or predictor(model)

    def work(pair: Pair, say: Progress) -> dict[str, Any]:
        if pair.problem:
            raise ImageError(pair.problem)
        half = _halves(say)
        prediction = predict_volume(
            model,
            read_volume(pair.image),
            passes=passes,
            inference=ready,
            on_progress=half(0.0),
            scratch=output,
            all_parts=all_parts,
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


def _halves(on_progress: Progress | None) -> Callable[[float], Progress]:
    """Progress of the two halves of the work: the network, then the files."""

    def half(start: float) -> Progress:
        return lambda share: None if on_progress is None else on_progress(start + share / 2)

    return half
