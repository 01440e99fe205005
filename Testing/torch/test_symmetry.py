"""Symmetry: only bodies whose annotation and image look the same in a mirror are mirrored for training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from SemiSupSegLib.engine.plan import plan
from SemiSupSegLib.engine.symmetry import Symmetry, is_symmetric, symmetry
from SemiSupSegLib.project.annotation import Annotation, Region, RegionKind, State
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

LABELS = LabelSet.from_names(["left lung", "heart", "right lung"])
WHOLE = (True, True, True)
SIZE = (40, 12, 12)
COMPLETE = Annotation(State.COMPLETE)


def a_chest(*, heart: int = 18, right: int = 10) -> NDArray[np.uint8]:
    """(1, X, Y, Z): lungs, each 10 wide unless said, and a heart of 4; the middle of the labels is at 20."""
    labels = np.zeros((1, *SIZE), np.uint8)
    labels[0, 2:12, 2:10, 2:10], labels[0, 38 - right : 38, 2:10, 2:10] = 1, 3
    labels[0, heart : heart + 4, 4:8, 4:8] = 2
    return labels


def measured(layers: NDArray[np.uint8], labels: LabelSet = LABELS, whole: tuple[bool, ...] = WHOLE) -> Symmetry | None:
    """With an image that is brighter wherever there is a label."""
    return symmetry((layers[0] > 0).astype(float), layers, labels, whole)


def agreement(layers: NDArray[np.uint8], labels: LabelSet = LABELS, whole: tuple[bool, ...] = WHOLE) -> float | None:
    found = measured(layers, labels, whole)
    return None if found is None else found.labels


def test_a_symmetric_body_agrees_with_its_mirror_image_wherever_its_middle_lies() -> None:
    for shift in (0, 1, 2):
        found = measured(np.roll(a_chest(), shift, axis=1))
        assert found is not None
        assert found.labels == 1
        assert found.image == pytest.approx(1)


def test_what_is_elsewhere_or_larger_on_one_side_counts_against_it() -> None:
    lungs, heart = 2 * 10 * 64, 4 * 16
    assert agreement(a_chest(heart=23)) == pytest.approx(lungs / (lungs + heart))
    assert agreement(a_chest(right=5)) == pytest.approx((2 * 5 * 64) / (15 * 64 + heart), abs=0.07)


def test_lungs_that_carry_each_others_names_do_not_agree() -> None:
    found = agreement(a_chest(), LabelSet.from_names(["upper lung", "heart", "lower lung"]))
    assert found is not None
    assert found < 0.6


def test_labels_of_one_side_alone_and_labels_not_finished_say_nothing() -> None:
    assert agreement(a_chest(), LabelSet.from_names(["left a", "left b", "left c"])) is None
    assert agreement(a_chest(), LABELS, (True, False, False)) is None
    assert agreement(a_chest(heart=23), LABELS, (True, False, True)) == 1
    assert agreement(np.zeros_like(a_chest())) is None


def test_an_image_that_is_not_alike_on_both_sides_shows_around_an_organ_that_is() -> None:
    """A liver alone is as wide on one side of its own middle as on the other; what lies beside it is not."""
    liver, labels = np.zeros((1, *SIZE), np.uint8), LabelSet.from_names(["liver"])
    liver[0, 8:16, 2:10, 2:10] = 1
    image = liver[0].astype(float)
    image[16:] = 1
    image[:8] = -1
    found = symmetry(image, liver, labels, (True,))
    assert found is not None
    assert found.labels == 1
    assert found.image < 0
    blank = symmetry(np.zeros(SIZE), liver, labels, (True,))
    assert blank == Symmetry(1.0, 0.0)


def a_project(folder: Path, labels: NDArray[np.uint8], annotation: Annotation, *, shade: float = 0) -> Project:
    """Two cases that lie on their left side: X of the patient is the second axis of the image. ``shade``: how much
    brighter one end is than the other."""
    project = Project.create(folder, label_set=LABELS)
    layers = np.ascontiguousarray(labels.transpose(0, 3, 1, 2))  # (L, k, j, i) with i along Y and j along X
    values = (layers[0] > 0) + shade * np.linspace(-1, 1, SIZE[0])[:, None]
    direction = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
    grid = Grid(layers.shape[:0:-1], (2.0,) * 3, (0.0,) * 3, direction)
    for name in ("a", "b"):
        said = dict.fromkeys(LABELS.names, annotation)
        image = image_from_kji(values.astype(np.float32), grid)
        project.add_case(name, image, labels=layers, annotations=said, modality="MR", who="ann")
    return project


@pytest.mark.parametrize(
    ("labels", "shade", "expected"),
    [(a_chest(), 0, True), (a_chest(right=2, heart=26), 0, False), (a_chest(), 1, False)],
)
def test_the_plan_mirrors_symmetric_bodies_alone(
    tmp_path: Path, labels: NDArray[np.uint8], shade: float, expected: bool
) -> None:
    project = a_project(tmp_path / "study", labels, COMPLETE, shade=shade)
    assert plan(project, iterations=1, device="cpu").data.mirrored is expected
    assert plan(project, iterations=1, device="cpu", options={"data.mirrored": False}).data.mirrored is False


def test_what_follows_a_paper_is_never_mirrored(tmp_path: Path) -> None:
    project = a_project(tmp_path / "study", a_chest(), COMPLETE)
    assert plan(project, method="sassnet", iterations=1, device="cpu", options={"paper": True}).data.mirrored is False


def test_cases_of_which_nothing_is_finished_as_a_whole_are_not_mirrored(tmp_path: Path) -> None:
    slices = Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((0, 5),)),))
    project = a_project(tmp_path / "study", a_chest(), slices)
    assert not is_symmetric(project.train_cases(), LABELS)
    assert not is_symmetric([], LABELS)
