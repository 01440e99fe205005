"""Predicting one volume: labels, probabilities and uncertainties on its own grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.prepare import prepare_image
from ..project.adjacency import adjacency
from ..project.cases import Case
from ..project.geometry import Grid
from ..project.project import Project
from .atlas import Atlas, mix, vote
from .atlases import atlases_of
from .decision import takes_likeliest
from .model import Model
from .prediction import Prediction
from .prediction_files import Maps, replace_prediction
from .propagation import Finished, finished_of, propagate
from .volume import Inference

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813  everybody's name for it

__all__ = ["PASSES", "Progress", "halves", "predict_case", "predict_volume", "predictor"]

PASSES = 8
"""Dropout passes unless told otherwise."""

Progress = Callable[[float], None]
"""Told the share that is done, [0, 1]."""


def predictor(model: Model, *, device: str = "auto", memory_gb: float | None = None) -> Inference:
    """The model's network, made ready once for any number of volumes; arguments as of :class:`~.volume.Inference`."""
    names = model.label_set.names
    return Inference(model.segmentor(), model.config, device=device, memory_gb=memory_gb, names=names)


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
    atlases: Sequence[Atlas] = (),
    finished: Sequence[Finished] = (),
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
        atlases: of the model, from :func:`.atlases.atlases_of`, without the volume's own case; with none the network
            predicts alone.
        finished: what people finished in slices of the volume, from :func:`.propagation.finished_of`: what is predicted
            beside them follows.

    Returns:
        The prediction, on the grid of ``image``: of each label as many connected parts as :attr:`.Model.parts` says.

    Raises:
        RunError: no device, no memory, or no finite numbers.
    """
    inference = inference or predictor(model, device=device, memory_gb=memory_gb)
    values, training = prepare_image(image, model.config.data)
    own, names = Grid.of(image), model.label_set.names
    half = halves(on_progress) if atlases else lambda _: on_progress or _silent
    votes = vote(image, training, atlases, on_progress=half(0.0)) if atlases else None
    del image

    def say(done: int, of: int) -> None:
        half(0.5)(done / of)

    statistics = inference.run(values, len(names), passes=passes, on_progress=say, scratch=scratch)
    if votes is not None:
        mix(statistics, votes, names, model.atlas_share)
    propagate(statistics, training, own, finished, names)
    passes = passes if statistics.entropy is not None else 0
    parts = tuple(model.parts.get(name) for name in names)
    likeliest, voters = takes_likeliest(model.config), tuple(atlas.case_id for atlas in atlases)
    counts = {each.name: len(each.slices) for each in finished}
    return Prediction(statistics, training, own, model.label_set, passes, parts, likeliest, voters, counts)


def predict_case(
    project: Project,
    case: Case,
    model: Model,
    *,
    passes: int = PASSES,
    maps: Maps = "auto",
    inference: Inference | None = None,
    on_progress: Progress | None = None,
    atlases: Sequence[Atlas] | None = None,
) -> dict[str, Any]:
    """Predict a case and put the result into ``predictions/<case>``; returns the content of its ``prediction.json``.

    Labels that touch though they never do in the annotated cases are listed with each label. Where people finished
    some slices of a label, what is proposed beside them follows.

    Args:
        project: whose.
        case: of it; it never votes on itself.
        model: what predicts.
        passes: dropout passes.
        maps: which labels get maps.
        inference: from :func:`predictor`.
        on_progress: told the share that is done.
        atlases: from :func:`.atlases.atlases_of`; None reads them.

    Raises:
        ImageError: the image, or what was drawn in it, cannot be read.
        ProjectError: the project's adjacency rules cannot be read.
        RunError: as :func:`predict_volume`.
    """
    graph = adjacency(project)
    scratch = project.cache_folder
    scratch.mkdir(parents=True, exist_ok=True)
    half = halves(on_progress)
    others = [a for a in (atlases_of(project, model) if atlases is None else atlases) if a.case_id != case.id]
    prediction = predict_volume(
        model,
        case.image(),
        passes=passes,
        inference=inference,
        on_progress=half(0.0),
        scratch=scratch,
        atlases=others,
        finished=finished_of(case, project.label_set, model.label_set.names),
    )
    folder = project.predictions_folder / case.id
    checked = graph if graph.forbidden.any() else None
    return replace_prediction(
        prediction, folder, model, scratch=scratch, maps=maps, graph=checked, on_progress=half(0.5)
    )


def halves(on_progress: Progress | None) -> Callable[[float], Progress]:
    """Progress of the two halves of the work: the network, then the files."""

    def half(start: float) -> Progress:
        return lambda share: None if on_progress is None else on_progress(start + share / 2)

    return half


def _silent(_share: float) -> None:
    pass
