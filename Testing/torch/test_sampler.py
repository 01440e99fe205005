"""Which case and which place: drawn from the seed and the patch's number alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from SemiSupSegLib.config import DataConfig
from SemiSupSegLib.data.prepared import PreparedCase
from SemiSupSegLib.data.sampler import Sampler
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.labels import LabelSet

LABELS = LabelSet.from_names(["liver", "spleen"])
COMPLETE, ABSENT, UNKNOWN = Annotation(State.COMPLETE), Annotation(State.ABSENT), Annotation()
PATCH = (8, 8, 4)

Make = Callable[..., PreparedCase]


@pytest.fixture
def a_case() -> Make:
    """Makes a case of 20 x 18 x 10 voxels with liver at one place and spleen at another."""

    def make(*said: Annotation, liver: Any = (4, 5, 6), spleen: Any = (15, 9, 2), **kwargs: Any) -> PreparedCase:
        labels = np.zeros((1, 20, 18, 10), np.uint8)
        for value, where in ((1, liver), (2, spleen)):
            if where is not None:
                labels[(0, *where)] = value
        image = np.zeros((1, 20, 18, 10), np.float16)
        return PreparedCase.of_arrays("a", image, labels, LABELS, said, **kwargs)

    return make


def sampler(*cases: PreparedCase, batch_size: int = 4, seed: int = 1, **kwargs: Any) -> Sampler:
    return Sampler(cases, DataConfig(patch_size=PATCH, **kwargs), batch_size=batch_size, seed=seed)


def test_a_patch_depends_on_seed_and_number_alone(a_case: Make) -> None:
    cases = [a_case(COMPLETE, COMPLETE), a_case(COMPLETE, UNKNOWN), a_case(UNKNOWN, UNKNOWN)]
    first = [sampler(*cases, unlabelled=0.25).draw(i) for i in range(30)]
    again = sampler(*cases, unlabelled=0.25)
    assert [again.draw(i) for i in reversed(range(30))] == first[::-1]
    other = sampler(*cases, unlabelled=0.25, seed=2)
    assert [other.draw(i) for i in range(30)] != first


def test_every_label_is_drawn_as_often_however_many_cases_have_it(a_case: Make) -> None:
    cases = [a_case(COMPLETE, UNKNOWN) for _ in range(9)] + [a_case(UNKNOWN, COMPLETE)]
    drawn = Counter(sampler(*cases, foreground=1).draw(i).label for i in range(400))
    assert drawn[0] + drawn[1] == 400
    assert 150 < drawn[1] < 250


def test_a_label_without_annotation_is_never_drawn(a_case: Make) -> None:
    drawn = {sampler(a_case(COMPLETE, UNKNOWN), foreground=1).draw(i).label for i in range(50)}
    assert drawn == {0}


def test_the_drawn_voxel_is_in_the_patch_and_not_always_in_its_middle(a_case: Make) -> None:
    source = sampler(a_case(COMPLETE, UNKNOWN), foreground=1)
    starts = np.array([source.draw(i).start for i in range(60)])
    inside = np.array((4, 5, 6)) - starts
    assert (inside >= 0).all()
    assert (inside < PATCH).all()
    assert len(np.unique(starts, axis=0)) > 10


def test_patches_stay_within_the_volume(a_case: Make) -> None:
    cases = [a_case(COMPLETE, COMPLETE, liver=(0, 0, 0), spleen=(19, 17, 9)), a_case(UNKNOWN, UNKNOWN)]
    source = sampler(*cases, unlabelled=0.5, foreground=0.5)
    starts = np.array([source.draw(i).start for i in range(100)])
    assert starts.min() == 0
    assert (starts + PATCH <= (20, 18, 10)).all()


def test_a_volume_smaller_than_the_patch_is_in_its_middle(a_case: Make) -> None:
    config = DataConfig(patch_size=(24, 25, 8))
    source = Sampler([a_case(COMPLETE, UNKNOWN)], config, batch_size=1, seed=1)
    starts = {source.draw(i).start[:2] for i in range(20)}
    assert starts == {(-2, -4)}


def test_foreground_is_a_share_of_the_patches(a_case: Make) -> None:
    case = a_case(COMPLETE, COMPLETE)
    by_label = [sampler(case, foreground=0.3).draw(i).label is not None for i in range(500)]
    assert np.mean(by_label) == pytest.approx(0.3, abs=0.06)
    assert all(sampler(case, foreground=0).draw(i).label is None for i in range(50))


def test_places_without_a_label_are_drawn_in_annotated_cases_absent_ones_too(a_case: Make) -> None:
    cases = [a_case(COMPLETE, UNKNOWN), a_case(UNKNOWN, UNKNOWN), a_case(ABSENT, UNKNOWN, liver=None)]
    drawn = {sampler(*cases, foreground=0).draw(i).case for i in range(60)}
    assert drawn == {0, 2}


def test_the_last_slots_of_each_batch_see_cases_without_annotation(a_case: Make) -> None:
    cases = [a_case(UNKNOWN, UNKNOWN), a_case(COMPLETE, UNKNOWN), a_case(UNKNOWN, UNKNOWN)]
    source = sampler(*cases, unlabelled=0.4, batch_size=5)
    for iteration in range(20):
        drawn = [source.draw(5 * iteration + slot).case for slot in range(5)]
        assert set(drawn[:3]) == {1}
        assert set(drawn[3:]) <= {0, 2}


def test_a_share_of_unannotated_cases_that_is_no_whole_number_is_met_on_average(a_case: Make) -> None:
    cases = [a_case(COMPLETE, UNKNOWN), a_case(UNKNOWN, UNKNOWN)]
    source = sampler(*cases, unlabelled=0.25, batch_size=2)
    drawn = np.array([[source.draw(2 * iteration + slot).case for slot in range(2)] for iteration in range(400)])
    assert set(drawn[:, 0]) == {0}  # only the last slots
    assert drawn[:, 1].mean() == pytest.approx(0.5, abs=0.07)


def test_a_batch_that_is_not_mixed_has_annotated_cases_in_every_slot(a_case: Make) -> None:
    cases = [a_case(UNKNOWN, UNKNOWN), a_case(COMPLETE, UNKNOWN), a_case(UNKNOWN, UNKNOWN)]
    source = sampler(*cases, unlabelled=0.4, batch_size=5)
    assert {source.draw(index, mixed=False).case for index in range(50)} == {1}
    for index in (5, 6, 7):  # the slots of annotated cases are the same patches either way
        assert source.draw(index, mixed=False) == source.draw(index)


def test_without_unannotated_cases_every_slot_is_labelled(a_case: Make) -> None:
    source = sampler(a_case(COMPLETE, UNKNOWN), unlabelled=0.5, foreground=1)
    assert [source.draw(i).label for i in range(8)] == [0] * 8


def test_added_voxels_count_where_a_case_has_no_others(a_case: Make) -> None:
    added = np.zeros((2, 20, 18, 10), bool)
    added[:, 10, 10, 5] = True
    known = a_case(COMPLETE, UNKNOWN, pseudo=added)
    unknown = a_case(UNKNOWN, UNKNOWN, pseudo=added)
    source = sampler(known, unknown, foreground=1)
    places = [source.draw(i) for i in range(200)]
    assert {(p.case, p.label) for p in places} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    for place in places:
        voxel = (4, 5, 6) if (place.case, place.label) == (0, 0) else (10, 10, 5)
        inside = np.subtract(voxel, place.start)
        assert (inside >= 0).all()
        assert (inside < PATCH).all()


@pytest.mark.parametrize("said", [(UNKNOWN, UNKNOWN), (ABSENT, UNKNOWN)])
def test_without_a_known_positive_voxel_there_is_nothing_to_draw(a_case: Make, said: tuple[Annotation, ...]) -> None:
    with pytest.raises(ValueError, match="none of the 1 training cases has a known voxel"):
        sampler(a_case(*said, liver=None))
    with pytest.raises(ValueError, match="none of the 0 training cases"):
        sampler()
