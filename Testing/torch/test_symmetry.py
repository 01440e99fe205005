"""Symmetry: only bodies whose annotation looks the same in a mirror are mirrored for training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from SemiSupSegLib.engine.plan import plan
from SemiSupSegLib.engine.symmetry import agreement, is_symmetric
from SemiSupSegLib.project.annotation import Annotation, Region, RegionKind, State
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

LABELS = LabelSet.from_names(["left lung", "heart", "right lung"])
WHOLE = (True, True, True)
SIZE = (40, 12, 12)


def a_chest(*, heart: int = 18, right: int = 10) -> np.ndarray:
    """(1, X, Y, Z): lungs, each 10 wide unless said, and a heart of 4; the middle of the labels is at 20."""
    labels = np.zeros((1, *SIZE), np.uint8)
    labels[0, 2:12, 2:10, 2:10], labels[0, 38 - right : 38, 2:10, 2:10] = 1, 3
    labels[0, heart : heart + 4, 4:8, 4:8] = 2
    return labels


def test_a_symmetric_body_agrees_with_its_mirror_image_wherever_its_middle_lies() -> None:
    assert agreement(a_chest(), LABELS, WHOLE) == 1
    assert agreement(np.roll(a_chest(), 2, axis=1), LABELS, WHOLE) == 1


def test_what_is_elsewhere_or_larger_on_one_side_counts_against_it() -> None:
    lungs, heart = 2 * 10 * 64, 4 * 16
    assert agreement(a_chest(heart=23), LABELS, WHOLE) == pytest.approx(lungs / (lungs + heart))
    half = agreement(a_chest(right=5), LABELS, WHOLE)
    assert half == pytest.approx((2 * 5 * 64) / (15 * 64 + heart), abs=0.07)


def test_lungs_that_carry_each_others_names_do_not_agree() -> None:
    both = LabelSet.from_names(["upper lung", "heart", "lower lung"])
    found = agreement(a_chest(), both, WHOLE)
    assert found is not None
    assert found < 0.6


def test_labels_of_one_side_alone_and_labels_not_finished_say_nothing() -> None:
    assert agreement(a_chest(), LabelSet.from_names(["left a", "left b", "left c"]), WHOLE) is None
    assert agreement(a_chest(), LABELS, (True, False, False)) is None
    assert agreement(a_chest(heart=23), LABELS, (True, False, True)) == 1
    assert agreement(np.zeros_like(a_chest()), LABELS, WHOLE) is None


def a_project(folder: Path, labels: np.ndarray, annotation: Annotation) -> Project:
    """Two cases that lie on their left side: X of the patient is the second axis of the image."""
    project = Project.create(folder, label_set=LABELS)
    layers = np.ascontiguousarray(labels.transpose(0, 3, 1, 2))  # (L, k, j, i) with i along Y and j along X
    direction = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
    image = image_from_kji(
        np.zeros(layers.shape[1:], np.float32), Grid(layers.shape[:0:-1], (2.0,) * 3, (0.0,) * 3, direction)
    )
    for name in ("a", "b"):
        said = dict.fromkeys(LABELS.names, annotation)
        project.add_case(name, image, labels=layers, annotations=said, modality="MR", who="ann")
    return project


@pytest.mark.parametrize(("labels", "expected"), [(a_chest(), True), (a_chest(right=2, heart=26), False)])
def test_the_plan_mirrors_symmetric_bodies_alone(tmp_path: Path, labels: np.ndarray, expected: bool) -> None:
    project = a_project(tmp_path / "study", labels, Annotation(State.COMPLETE))
    assert plan(project, iterations=1, device="cpu").data.mirrored is expected
    assert plan(project, iterations=1, device="cpu", options={"data.mirrored": False}).data.mirrored is False


def test_what_follows_a_paper_is_never_mirrored(tmp_path: Path) -> None:
    project = a_project(tmp_path / "study", a_chest(), Annotation(State.COMPLETE))
    assert plan(project, method="sassnet", iterations=1, device="cpu", options={"paper": True}).data.mirrored is False


def test_cases_of_which_nothing_is_finished_as_a_whole_are_not_mirrored(tmp_path: Path) -> None:
    slices = Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((0, 5),)),))
    project = a_project(tmp_path / "study", a_chest(), slices)
    assert not is_symmetric(project.train_cases(), LABELS)
    assert not is_symmetric([], LABELS)
