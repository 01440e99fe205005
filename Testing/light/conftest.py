"""Small projects whose every voxel is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.images import write_unit_interval
from SemiSupSegLib.project.labelmaps import write_labels
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

GRID = Grid((4, 5, 6), (1.0, 2.0, 2.5), (10.0, -20.0, 30.0))
"""Voxels of 5 mm3; arrays on it have the shape (6, 5, 4)."""
COMPLETE = Annotation(State.COMPLETE)

Masks = Mapping[str, NDArray[np.bool_]]
AddCase = Callable[..., Any]
Predict = Callable[..., Path]


@pytest.fixture
def grid() -> Grid:
    """Grid of all volumes here."""
    return GRID


@pytest.fixture
def box() -> Callable[..., NDArray[np.bool_]]:
    """Makes a mask that is True in a box: ``box(k, j, i)`` with slices or indices."""

    def make(*where: slice | int) -> NDArray[np.bool_]:
        mask = np.zeros(GRID.shape, bool)
        mask[where] = True
        return mask

    return make


@pytest.fixture
def layers_of() -> Callable[[LabelSet, Masks], NDArray[np.uint8]]:
    """Makes layers (L, k, j, i) from one mask a label."""

    def make(label_set: LabelSet, masks: Masks) -> NDArray[np.uint8]:
        layers = np.zeros((label_set.n_layers, *GRID.shape), np.uint8)
        for name, mask in masks.items():
            place = label_set.places[label_set.index(name)]
            layers[place.layer][mask] = place.value
        return layers

    return make


@pytest.fixture
def an_empty_project(tmp_path: Path) -> Project:
    """Liver, spleen, and a tumour that may lie in the liver; no cases."""
    labels = LabelSet.from_names(["liver", "spleen", "tumour"], overlaps=[("liver", "tumour")])
    return Project.create(tmp_path / "project", label_set=labels)


@pytest.fixture
def add_case(layers_of) -> AddCase:
    """Adds a case of noise: ``add_case(project, id, masks={...}, said={...})``."""

    def add(project: Project, case_id: str, *, masks: Masks | None = None, said=None, **others: Any):
        noise = np.random.default_rng(len(case_id)).integers(-100, 100, GRID.shape).astype(np.int16)
        labels = layers_of(project.label_set, masks) if masks else None
        return project.add_case(
            case_id, image_from_kji(noise, GRID), labels=labels, annotations=said or {},
            **{"modality": "CT", "who": "ann", **others},
        )  # fmt: skip

    return add


@pytest.fixture
def a_project(an_empty_project, add_case, box) -> Project:
    """One case, ``c1``: the liver is complete and fills the slices 0 and 1; of spleen and tumour nothing is known."""
    add_case(an_empty_project, "c1", masks={"liver": box(slice(0, 2))}, said={"liver": COMPLETE})
    return an_empty_project


@pytest.fixture
def predict(layers_of) -> Predict:
    """Writes a prediction as the engine does: ``predict(project, id, masks, uncertainty=..., spleen={"parts": 2})``."""

    def write(
        project: Project, case_id: str, masks: Masks, *, uncertainty=None, model="0001", grid=GRID, **said
    ) -> Path:
        folder = project.predictions_folder / case_id
        folder.mkdir(parents=True, exist_ok=True)
        labels = layers_of(project.label_set, masks)[:, : grid.shape[0]]
        write_labels(folder / "labels.seg.nrrd", labels, project.label_set, grid)
        for name, mask in masks.items():
            certainty = np.zeros(GRID.shape) if uncertainty is None else uncertainty
            write_unit_interval(certainty[: grid.shape[0]], grid, folder / f"uncertainty_{name}.nii.gz")
            voxels = int(mask.sum())
            measured = {
                "uncertainty": f"uncertainty_{name}.nii.gz", "voxels": voxels, "volume_ml": voxels * 0.005,
                "confidence": 0.9, "uncertainty_boundary": 0.1, "mutual_information_boundary": 0.05, "parts": 1,
                "largest_part": 1.0, "worst_slice": 3, "slices": [0.1] * 6, "empty": voxels == 0,
            }  # fmt: skip
            said[name] = {**measured, **said.get(name, {})}
        head = {"format": 1, "model": model, "run": f"run of {model}", "checkpoint": "last"}
        rest = {"date": "2026-11-22T09:00:00+00:00", "passes": 8, "threshold": 0.5, "labels": said}
        (folder / "prediction.json").write_text(json.dumps({**head, **rest}))
        return folder

    return write
