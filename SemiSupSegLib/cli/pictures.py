"""Pictures of a case: the slice of which the model is least sure, with its proposal, and with its uncertainty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ProjectError
from ..project.cases import Case
from ..project.geometry import Grid
from ..project.labelmaps import load_labels
from ..project.labels import LabelSet
from ..project.project import Project

__all__ = ["write_picture"]

THRESHOLD = 0.2
"""Uncertainty below which the image shows through: what is sure needs no colour."""


def write_picture(project: Project, case: Case, path: Path, *, reference: Path | None = None) -> None:
    """Write a PNG: image with annotations, proposal, uncertainty; and the reference, where there is one.

    Args:
        project: open.
        case: one that was predicted.
        path: of the PNG.
        reference: a label file with the project's label order as values, or a ``.seg.nrrd``.

    Raises:
        ProjectError: the case has no prediction, or matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        msg = "pictures need matplotlib: pip install matplotlib"
        raise ProjectError(msg) from error
    folder = project.predictions_folder / case.id
    if not (folder / "prediction.json").is_file():
        msg = f"case {case.id} has no prediction yet: run predict first"
        raise ProjectError(msg)
    labels = project.label_set
    proposed, _ = load_labels(folder / "labels.seg.nrrd", labels)
    uncertainty = _array(folder / "uncertainty.nii.gz")
    k = int(np.argmax(uncertainty.reshape(len(uncertainty), -1).mean(1)))
    panels: list[tuple[str, NDArray[Any] | None]] = [("annotated", case.labels(labels)), ("proposed", proposed)]
    if reference is not None and reference.is_file():
        panels.append(("reference", _array(reference)[None].astype(int)))
    figure = Figure(figsize=(3.6 * (len(panels) + 1), 3.9), layout="constrained")
    axes = figure.subplots(1, len(panels) + 1)
    image, aspect = _slice(case, k)
    for axis, (title, layers) in zip(axes, panels, strict=False):
        _show(axis, image, aspect, title)
        if layers is not None:
            _outline(axis, layers[:, k], labels, aspect)
    _show(axes[-1], image, aspect, f"uncertainty, slice {k + 1} of {len(uncertainty)}")
    shown = axes[-1].imshow(
        np.ma.masked_less(uncertainty[k], THRESHOLD),
        cmap="inferno",
        vmin=0,
        vmax=1,
        alpha=0.6,
        aspect=aspect,
        interpolation="nearest",
        origin="lower",
    )
    figure.colorbar(shown, ax=axes[-1], shrink=0.8, label="normalised entropy")
    model = json.loads((folder / "prediction.json").read_text(encoding="utf-8"))["model"]
    figure.suptitle(f"{case.id}, model {model}", fontsize=11)
    figure.savefig(path, dpi=110)


def _array(path: Path) -> NDArray[Any]:
    import SimpleITK as sitk  # noqa: N813

    return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))


def _slice(case: Case, k: int) -> tuple[NDArray[Any], float]:
    import SimpleITK as sitk  # noqa: N813

    volume = case.image()
    i, j, _ = Grid.of(volume).spacing
    return np.asarray(sitk.GetArrayViewFromImage(volume)[k], float), j / i


def _show(axis: Any, image: NDArray[Any], aspect: float, title: str) -> None:
    low, high = np.percentile(image, (1, 99))
    axis.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1), aspect=aspect, origin="lower")
    axis.set_title(title, fontsize=10)
    axis.set_axis_off()


def _outline(axis: Any, layers: NDArray[Any], label_set: LabelSet, aspect: float) -> None:
    for label, place in zip(label_set.labels, label_set.places, strict=True):
        mask = layers[place.layer] == place.value if place.layer < len(layers) else np.zeros(layers.shape[1:], bool)
        if mask.any():
            axis.contour(mask, levels=[0.5], colors=[np.array(label.colour) / 255], linewidths=1.4)
            axis.set_aspect(aspect)
