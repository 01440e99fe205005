"""Atlas: an annotated case laid over a volume says what is where, and counts by how alike the images are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from test_registration import MM, SIZE, a_head

from SemiSupSegLib.engine.atlas import Atlas, Votes, mix, vote
from SemiSupSegLib.engine.volume import Statistics
from SemiSupSegLib.project.annotation import Annotation, Region, RegionKind, State
from SemiSupSegLib.project.geometry import Grid, array_xyz, image_from_kji, image_from_xyz
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

COMPLETE = Annotation(State.COMPLETE)
LABELS = LabelSet.from_names(["left lobe", "right lobe"])
GRID = Grid((SIZE, SIZE, SIZE), (MM, MM, MM))
HALF = SIZE // 2
COARSE = Grid((HALF, HALF, HALF), (2 * MM, 2 * MM, 2 * MM), (MM / 2, MM / 2, MM / 2))
"""Whose voxels are eight of those of GRID."""


def lobes(image: sitk.Image) -> np.ndarray:
    """(X, Y, Z): 1 in one half of the head and 2 in the other."""
    inside = array_xyz(image) > 50
    half = np.where(np.arange(SIZE)[:, None, None] < np.argwhere(inside)[:, 0].mean(), 1, 2)
    return (inside * half).astype(np.uint8)


def an_atlas(image: sitk.Image, names: tuple[str, ...] = LABELS.names, case_id: str = "a") -> Atlas:
    values = {name: (0, value) for value, name in enumerate(LABELS.names, 1) if name in names}
    return Atlas(case_id, image, (image_from_xyz(lobes(image), GRID),), values)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_what_an_atlas_says_lies_where_it_is_in_the_volume() -> None:
    head, other = a_head(), a_head((6, -4, 8), 1.15)
    votes = vote(head, GRID, [an_atlas(other)])
    for value, name in enumerate(LABELS.names, 1):
        said, heard = votes.of(name)
        assert dice(said > 0.5, lobes(head) == value) > 0.9 > dice(lobes(other) == value, lobes(head) == value)
        assert heard.all() or not said[~heard].any()


def test_votes_on_a_coarser_grid_are_the_shares_of_its_voxels() -> None:
    half = np.zeros((SIZE, SIZE, SIZE), np.uint8)
    half[:13] = 1
    votes = Votes((an_atlas(a_head()),), np.ones((1, HALF, HALF, HALF), np.float32), ((half,),))
    said, _ = votes.of("left lobe")
    np.testing.assert_allclose(said[:, 3, 3], [1] * 6 + [0.5] + [0] * (HALF - 7))
    laid = vote(a_head(), COARSE, [an_atlas(a_head())]).laid[0][0]
    assert dice(laid > 0, lobes(a_head()) > 0) > 0.98


def test_the_atlas_that_looks_like_the_volume_counts_more() -> None:
    lesion = array_xyz(a_head())
    lesion[17:25, 8:16, 8:24] = 400.0
    strange = image_from_xyz(lesion, GRID)
    weights = vote(a_head(), GRID, [an_atlas(a_head()), an_atlas(strange, case_id="b")]).weights
    assert weights[0, 21, 12, 16] > 3 * weights[1, 21, 12, 16]
    assert (weights >= 0).all()
    assert (weights <= 1).all()


def test_only_atlases_that_know_a_label_vote_on_it() -> None:
    votes = vote(a_head(), GRID, [an_atlas(a_head(), ("left lobe",)), an_atlas(a_head(), ("right lobe",), "b")])
    for value, name in enumerate(LABELS.names, 1):
        said, _ = votes.of(name)
        assert dice(said > 0.99, lobes(a_head()) == value) > 0.97


def test_a_label_that_no_atlas_knows_and_places_that_none_covers_stay_as_they_were() -> None:
    half = np.zeros((1, HALF, HALF, HALF), np.float32)
    half[:, 8:] = 1
    votes = Votes((an_atlas(a_head(), ("left lobe",)),), half, ((np.ones((SIZE,) * 3, np.uint8),),))
    before = np.full((2, HALF, HALF, HALF), 0.5, np.float16)
    statistics = Statistics(before.copy(), None)
    mix(statistics, votes, LABELS.names, 0.5)
    np.testing.assert_array_equal(statistics.probability[1], before[1])
    np.testing.assert_array_equal(statistics.probability[0, :8], before[0, :8])
    np.testing.assert_array_equal(statistics.probability[0, 8:], 0.75)


def test_where_network_and_atlases_disagree_there_is_mutual_information() -> None:
    votes = Votes(
        (an_atlas(a_head()),), np.ones((1, HALF, HALF, HALF), np.float32), ((np.ones((SIZE,) * 3, np.uint8),),)
    )
    statistics = Statistics(np.zeros((2, HALF, HALF, HALF), np.float16), np.zeros((2, HALF, HALF, HALF), np.float16))
    mix(statistics, votes, LABELS.names, 0.5)
    np.testing.assert_allclose(statistics.mutual_information(0), 1, atol=1e-3)  # 0 and 1: half a chance, both sure
    np.testing.assert_allclose(statistics.mutual_information(1), 0, atol=1e-3)  # both say no
    unsure = Statistics(np.full((2, HALF, HALF, HALF), 0.5, np.float16), np.ones((2, HALF, HALF, HALF), np.float16))
    mix(unsure, votes, LABELS.names, 0.5)
    entropy = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    np.testing.assert_allclose(unsure.mutual_information(0), entropy - 0.5, atol=2e-3)  # by hand


@pytest.mark.parametrize("image", ["one slice", "three slices", "one voxel", "blank", "all the same", "elsewhere"])
def test_of_volumes_that_atlases_cannot_be_laid_over_nothing_is_claimed_and_nothing_fails(image: str) -> None:
    head = a_head()
    blank = image_from_xyz(np.zeros((SIZE, SIZE, SIZE), np.float32), GRID)
    away = sitk.Image(head)
    away.SetOrigin((5000.0, 0.0, 0.0))
    given = {
        "one slice": head[:, :, 16:17],
        "three slices": head[:, :, 14:17],
        "one voxel": head[16:17, 16:17, 16:17],
        "blank": blank,
        "all the same": blank + 7,
        "elsewhere": away,
    }[image]
    votes = vote(given, Grid.of(given), [an_atlas(head), replace(an_atlas(head, case_id="b"), image=blank)])
    for name in LABELS.names:
        said, heard = votes.of(name)
        assert np.isfinite(said).all()
        assert said.min() >= 0
        assert said.max() <= 1
        assert not said[~heard].any()


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ({"left lobe": COMPLETE, "right lobe": Annotation(State.ABSENT)}, {"left lobe", "right lobe"}),
        ({"left lobe": COMPLETE}, {"left lobe"}),
        ({"left lobe": Annotation(State.PARTIAL, regions=(Region(RegionKind.SLICES, ((3, 5),)),))}, set()),
        ({}, set()),
    ],
)
def test_of_a_case_only_what_is_known_everywhere_is_an_atlas(tmp_path: Path, said, known) -> None:
    project = Project.create(tmp_path / "study", label_set=LABELS)
    labels = lobes(a_head()).transpose(2, 1, 0)[np.newaxis]
    labels = np.where((labels == 2) & ("right lobe" not in said or said["right lobe"].state is State.ABSENT), 0, labels)
    image = image_from_kji(array_xyz(a_head()).transpose(2, 1, 0), GRID)
    project.add_case("a", image, labels=labels if said else None, annotations=said, modality="MR", who="tester")
    found = Atlas.of(project.case("a"), LABELS, LABELS.names)
    assert (set() if found is None else set(found.values)) == known
