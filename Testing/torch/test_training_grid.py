"""The training grid: as coarse as the labels allow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from SemiSupSegLib.config import COSTLY, Preset
from SemiSupSegLib.engine.training_grid import training_spacing
from SemiSupSegLib.project.annotation import Annotation, Region, RegionKind, State
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

PRESET = Preset(minutes=1, voxels=8_000, most_voxels=64_000, patch_voxels=4_096, batch_size=2, filters=8)
SIZE = 100
"""Voxels of 2 mm along each axis: 200 mm, 8,000 ml."""


def a_project(folder: Path, edge: int, slices: tuple[int, ...] = ()) -> Project:
    """One case with a cube of ``edge`` voxels; with slices, these alone are done."""
    project = Project.create(folder / "study", label_set=LabelSet.from_names(["cube"]))
    labels = np.zeros((1, SIZE, SIZE, SIZE), np.uint8)
    labels[0, :edge, :edge, :edge] = 1
    image = image_from_kji(np.zeros(labels.shape[1:], np.float32), Grid((SIZE,) * 3, (2.0, 2.0, 2.0)))
    regions = (Region(RegionKind.SLICES, tuple((k, k) for k in slices)),) if slices else ()
    labels[0, [k for k in range(SIZE) if slices and k not in slices]] = 0
    said = {"cube": Annotation(State.PARTIAL if slices else State.COMPLETE, regions)}
    project.add_case("c1", image, labels=labels, annotations=said, modality="CT", who="ann")
    return project


def spacing(project: Project) -> tuple[float, float, float]:
    return training_spacing(project.train_cases(), project.label_set, PRESET)


@pytest.mark.parametrize(
    ("edge", "expected"),
    [
        (60, 10.0),  # 120 mm: 1000 voxels would be 12 mm each; the preset's 8,000 are 10 mm
        (40, 8.0),  # 80 mm across: ten voxels along each axis
        (20, 5.0),  # 40 mm: would be 4 mm, which is more voxels than the preset allows
    ],
)
def test_a_large_label_is_learnt_on_a_coarse_grid_and_a_small_one_on_a_finer(
    tmp_path: Path, edge: int, expected: float
) -> None:
    assert spacing(a_project(tmp_path, edge)) == pytest.approx((expected,) * 3, rel=0.01)


def test_as_many_labels_as_cost_what_the_network_costs_halve_every_number_of_voxels(tmp_path: Path) -> None:
    assert PRESET.with_labels(1) == PRESET
    half = PRESET.with_labels(1 + COSTLY)
    assert (half.voxels, half.most_voxels, half.patch_voxels, half.minutes) == (4_000, 32_000, 2_048, PRESET.minutes)
    cases = a_project(tmp_path, 20).train_cases()
    spacing = training_spacing(cases, LabelSet.from_names(["cube"]), half)
    assert spacing == pytest.approx((5.0 * 2 ** (1 / 3),) * 3, rel=0.01)


def test_a_few_finished_slices_tell_about_how_large_an_organ_is(tmp_path: Path) -> None:
    """Of the slices 0 to 39: the area of the first times 39, and twice half of 13 beyond the outermost."""
    expected = (2.0**3 * 40 * 40 * 52 / 1000) ** (1 / 3)
    assert spacing(a_project(tmp_path, 40, (0, 13, 26, 39))) == pytest.approx((expected,) * 3, rel=0.01)


def test_one_finished_slice_does_not_tell_how_large_an_organ_is(tmp_path: Path) -> None:
    assert spacing(a_project(tmp_path, 60, (30,))) == pytest.approx((5.0,) * 3, rel=0.01)


def test_an_axis_that_is_coarser_already_stays_and_no_axis_gets_finer_than_the_images(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "thick", label_set=LabelSet.from_names(["cube"]))
    labels = np.zeros((1, 10, 50, 50), np.uint8)
    labels[0, :6, :30, :30] = 1
    image = image_from_kji(np.zeros(labels.shape[1:], np.float32), Grid((50, 50, 10), (4.0, 4.0, 20.0)))
    said = {"cube": Annotation(State.COMPLETE)}
    project.add_case("c1", image, labels=labels, annotations=said, modality="MR", who="ann")
    x, y, z = spacing(project)
    assert z == 20.0
    assert x == y == pytest.approx(7.07, abs=0.02)  # 8,000 voxels of 7.07 x 7.07 x 20 mm
    few = Preset(minutes=1, voxels=10**6, most_voxels=10**7, patch_voxels=4_096, batch_size=2, filters=8)
    assert training_spacing(project.train_cases(), project.label_set, few) == (4.0, 4.0, 20.0)
