"""A project that is read, shown and stored in no time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

__all__ = ["make_project"]


def make_project(folder: Path, called: str = "patient") -> Project:
    """Three cases of 64 x 56 x 32 voxels; one has two organs, nothing is known of the others."""
    project = Project.create(folder, label_set=LabelSet.from_names(["liver", "spleen"]))
    grid = Grid((64, 56, 32), (4.0, 4.0, 5.0), (0.0, 0.0, 0.0))
    layers = np.zeros((1, *grid.shape), np.uint8)
    k, j, i = np.indices(grid.shape)
    layers[0][((k - 15) / 9) ** 2 + ((j - 26) / 13) ** 2 + ((i - 20) / 12) ** 2 < 1] = 1
    layers[0][((k - 16) / 6) ** 2 + ((j - 32) / 8) ** 2 + ((i - 46) / 7) ** 2 < 1] = 2
    complete = {"liver": Annotation(State.COMPLETE), "spleen": Annotation(State.COMPLETE)}
    body = ((j - 28) / 26) ** 2 + ((i - 32) / 30) ** 2 < 1
    for number, said in enumerate((complete, {}, {})):
        noise = np.random.default_rng(number).normal(0, 15, grid.shape)
        image = np.where(body, 40 + 60 * (layers[0] == 1) + 110 * (layers[0] == 2), -900) + noise
        project.add_case(
            f"{called}_{number + 1}", image_from_kji(image.astype(np.int16), grid), labels=layers if said else None,
            annotations=said, modality="CT", who="ann",
        )  # fmt: skip
    return project
