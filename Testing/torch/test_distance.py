"""Distance maps by hand and by brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from SemiSupSegLib.data import distance
from SemiSupSegLib.data.cache import Cache, StoredArray
from SemiSupSegLib.data.distance import crop_distance, distance_maps, inner_boundary, signed_distance
from SemiSupSegLib.data.prepare import prepare
from SemiSupSegLib.data.prepared import PreparedCase
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.labels import LabelSet

COMPLETE = Annotation(State.COMPLETE)


def line(*values: int) -> NDArray[np.bool_]:
    """A volume of one row of voxels along X."""
    return np.array(values, bool)[:, None, None]


def nearest(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Distance of every voxel from the nearest one of the mask, by looking at all of them."""
    places = np.argwhere(np.ones(mask.shape, bool)) * np.asarray(spacing)
    there = np.argwhere(mask) * np.asarray(spacing)
    return np.linalg.norm(places[:, None] - there[None], axis=-1).min(1).reshape(mask.shape)


@pytest.fixture
def a_blob() -> NDArray[np.bool_]:
    """Two touching boxes and a single voxel at the edge of 9 x 7 x 6 voxels."""
    mask = np.zeros((9, 7, 6), bool)
    mask[2:6, 1:5, 1:4] = mask[5:8, 3:6, 2:5] = mask[0, 6, 5] = True
    return mask


def test_the_papers_target_by_hand() -> None:
    found = crop_distance(line(0, 0, 1, 1, 1, 0, 0))
    # outside 2 1 . . . 1 2 over 2; inside . . 1 2 1 . . over 2; border voxels 0
    assert found.ravel().tolist() == [1, 0.5, 0, -1, 0, 0.5, 1]


def test_the_papers_target_scales_inside_and_outside_apart() -> None:
    found = crop_distance(line(1, 1, 1, 1, 1, 0, 0))
    # outside distances 1 2, inside 5 4 3 2 1: the crop's edge is no border
    assert found.ravel() == pytest.approx([-1, -0.8, -0.6, -0.4, 0, 0.5, 1])


def test_the_papers_target_by_brute_force(a_blob: NDArray[np.bool_]) -> None:
    voxels = (1.0, 1.0, 1.0)
    outside, inside = nearest(a_blob, voxels), nearest(~a_blob, voxels)
    expected = outside / outside.max() - inside / inside.max()
    expected[inner_boundary(a_blob)] = 0
    assert crop_distance(a_blob) == pytest.approx(expected, abs=1e-5)
    assert crop_distance(a_blob).min() >= -1
    assert crop_distance(a_blob).max() == 1


def test_the_papers_target_of_an_empty_and_of_a_full_crop() -> None:
    assert (crop_distance(np.zeros((3, 4, 5), bool)) == 0).all()
    assert (crop_distance(np.ones((3, 4, 5), bool)) == -1).all()


def test_the_inner_boundary_has_a_face_neighbour_outside() -> None:
    mask = np.zeros((5, 5, 1), bool)
    mask[1:4, 1:4] = True
    expected = mask.copy()
    expected[2, 2] = False
    assert np.array_equal(inner_boundary(mask), expected)
    mask[0, 0] = True  # touches a corner only: changes nothing for (1, 1), and is boundary itself
    assert inner_boundary(mask)[0, 0, 0]
    assert not inner_boundary(np.ones((3, 3, 3), bool)).any()


def test_millimetres_by_hand() -> None:
    found = signed_distance(line(0, 0, 0, 1, 1, 1, 1, 0), (2.0, 1.0, 1.0), tau=5)
    # border voxels are those at 3 and 6
    assert found.ravel() == pytest.approx([1, 0.8, 0.4, 0, -0.4, -0.4, 0, 0.4])
    at_the_edge = signed_distance(line(1, 1, 1, 0), (2.0, 1.0, 1.0), tau=10)
    assert at_the_edge.ravel() == pytest.approx([-0.4, -0.2, 0, 0.2])


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 1.4, 5.0)])
def test_millimetres_by_brute_force(a_blob: NDArray[np.bool_], spacing: tuple[float, float, float]) -> None:
    border = a_blob & (nearest(~a_blob, (1.0, 1.0, 1.0)) < 1.8)  # one of 26 neighbours is outside
    expected = np.clip(np.where(a_blob, -1, 1) * nearest(border, spacing) / 6, -1, 1)
    assert signed_distance(a_blob, spacing, tau=6) == pytest.approx(expected, abs=1e-5)


def test_the_distance_of_a_small_label_is_that_of_the_whole_volume() -> None:
    """Only the label's surroundings are computed; at the edges, and where tau reaches beyond them, nothing changes."""
    random = np.random.default_rng(0)
    for tau in (0.5, 3.0, 50.0):
        for _ in range(10):
            mask = np.zeros((14, 12, 10), bool)
            low = random.integers(0, 9, 3)
            x, y, z = (slice(a, a + n) for a, n in zip(low, random.integers(1, 6, 3), strict=True))
            mask[x, y, z] = random.random(mask[x, y, z].shape) < 0.7
            mask[tuple(low)] = True
            spacing = (1.0, 1.5, 2.5)
            expected = np.clip(distance._maurer(mask, spacing) / tau, -1, 1)
            assert np.array_equal(signed_distance(mask, spacing, tau), expected)


def test_an_absent_label_is_far_away_everywhere_and_a_full_one_deep_inside() -> None:
    assert (signed_distance(np.zeros((3, 4, 5), bool), (1, 1, 1), 5) == 1).all()
    assert (signed_distance(np.ones((3, 4, 5), bool), (1, 1, 1), 5) == -1).all()


def test_every_label_of_a_case_has_its_map(a_blob: NDArray[np.bool_]) -> None:
    label_set = LabelSet.from_names(["a", "b", "c"])
    labels = a_blob[None].astype(np.uint8)
    labels[0, 0, 0, 0] = 3
    image = np.zeros((1, 9, 7, 6), np.float16)
    case = PreparedCase.of_arrays("x", image, labels, label_set, [COMPLETE] * 3, spacing=(1.0, 2.0, 3.0))
    maps = distance_maps(case, tau=8)
    assert isinstance(maps, np.ndarray)
    assert maps.shape == (3, 9, 7, 6)
    assert maps[0] == pytest.approx(signed_distance(a_blob, (1.0, 2.0, 3.0), 8), abs=1e-3)
    assert (maps[1] == 1).all()
    assert maps[2, 0, 0, 0] == 0


def test_maps_are_made_once_a_case_and_anew_for_new_labels(
    tmp_path: Path, a_blob: NDArray[np.bool_], monkeypatch: pytest.MonkeyPatch
) -> None:
    from SemiSupSegLib.config import DataConfig
    from SemiSupSegLib.project.geometry import Grid, image_from_kji
    from SemiSupSegLib.project.project import Project
    from SemiSupSegLib.project.transactions import commit

    config = DataConfig(spacing=(1.0, 1.0, 1.0))
    project = Project.create(tmp_path / "p", label_set=LabelSet.from_names(["liver"]))
    image = image_from_kji(np.arange(a_blob.size, dtype=np.float32).reshape(a_blob.shape), Grid((6, 7, 9), (1, 1, 1)))
    labels = a_blob[None].astype(np.uint8)
    project.add_case("x", image, labels=labels, annotations={"liver": COMPLETE}, modality="MR", who="me")
    (case,) = prepare(project, config)
    first = distance_maps(case, 5, Cache(project.cache_folder))
    assert isinstance(first, StoredArray)

    calls: list[int] = []
    original = distance.signed_distance
    monkeypatch.setattr(distance, "signed_distance", lambda *a: calls.append(1) or original(*a))
    again = distance_maps(prepare(project, config)[0], 5, Cache(project.cache_folder))
    assert again == first
    assert not calls
    labels[0, 4, 3, 2] = 0
    commit(project, "x", action="edited", who="me", labels=labels)
    assert distance_maps(prepare(project, config)[0], 5, Cache(project.cache_folder)) != first
    assert calls
