"""What is planned for a run, as a user sees it in its config."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from SemiSupSegLib.engine.plan import plan
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.synthetic import ORGANS, synthetic_case

pytestmark = pytest.mark.unit


def a_project(folder: Path, labels: int) -> Project:
    """One annotated case, with so many labels in all."""
    names = [*ORGANS, *(f"region {n}" for n in range(labels - len(ORGANS)))]
    project = Project.create(folder, label_set=LabelSet.from_names(names))
    made = synthetic_case(1, size=(36, 30, 24))
    complete = {name: Annotation(State.COMPLETE) for name in ORGANS}
    image = image_from_kji(made.image, made.grid)
    project.add_case("c1", image, labels=made.labels[None], annotations=complete, modality="MR", who="me")
    return project


@pytest.mark.parametrize(("labels", "rate"), [(5, 0.001), (32, 0.002), (140, 0.004)])
def test_many_labels_are_learnt_at_a_higher_rate(tmp_path: Path, labels: int, rate: float) -> None:
    assert plan(a_project(tmp_path / "p", labels), iterations=1).train.learning_rate == pytest.approx(rate)


def test_many_labels_are_learnt_in_smaller_patches_on_a_coarser_grid(tmp_path: Path) -> None:
    few, many = (plan(a_project(tmp_path / str(n), n), preset="quick", iterations=1).data for n in (5, 2000))
    assert np.prod(many.patch_size) < np.prod(few.patch_size)
    assert np.prod(many.spacing) > np.prod(few.spacing)


def test_papers_keep_their_rate_however_many_labels_there_are(tmp_path: Path) -> None:
    project = a_project(tmp_path / "p", 140)
    assert plan(project, method="uamt", iterations=1, options={"paper": True}).train.learning_rate == 0.01


def test_the_first_patches_are_a_quarter_of_the_later_ones(tmp_path: Path) -> None:
    data = plan(a_project(tmp_path / "p", 5), iterations=1, spacing=(2.5, 2.5, 2.5)).data
    assert data.first_patch_size is not None
    assert 0.1 < np.prod(data.first_patch_size) / np.prod(data.patch_size) <= 0.25


@pytest.mark.parametrize("options", [{"data.patch_size": [32, 32, 32]}, {"paper": True}])
def test_a_patch_that_somebody_chose_or_published_is_there_from_the_start(
    tmp_path: Path, options: dict[str, object]
) -> None:
    found = plan(a_project(tmp_path / "p", 5), method="uamt", iterations=1, spacing=(2.5, 2.5, 2.5), options=options)
    assert found.data.first_patch_size is None


def test_first_patches_that_somebody_chose_fit_the_network_and_the_later_ones(tmp_path: Path) -> None:
    wished = {"data.first_patch_size": [20, 500, 16], "data.patch_size": [64, 64, 32]}
    data = plan(a_project(tmp_path / "p", 5), iterations=1, spacing=(2.5, 2.5, 2.5), options=wished).data
    assert data.first_patch_size == (32, 64, 16)
