"""Connected parts: as many as people annotated, and the largest of what is predicted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from SemiSupSegLib.config import Config, TrainConfig
from SemiSupSegLib.data.prepared import Foreground, PreparedCase
from SemiSupSegLib.engine.model import Model
from SemiSupSegLib.engine.parts import agreed_parts, annotated_parts, largest_parts, most_parts, slice_parts
from SemiSupSegLib.engine.seen import Seen
from SemiSupSegLib.engine.selection import Ranked, positives
from SemiSupSegLib.project.geometry import Grid
from SemiSupSegLib.project.labels import LabelSet

KIDNEYS = LabelSet.from_names(["liver", "kidneys"])
SIZE = (20, 8, 6)


def bars(*edges: tuple[int, int]) -> NDArray[np.bool_]:
    """Parts from X to before X, in the whole plane."""
    mask = np.zeros(SIZE, bool)
    for first, last in edges:
        mask[first:last] = True
    return mask


def a_case(liver: NDArray[np.bool_], kidneys: NDArray[np.bool_], everywhere: tuple[bool, bool]) -> PreparedCase:
    labels = (liver + 2 * kidneys).astype(np.uint8)[None]
    said = np.array(everywhere)
    arrays = {"image": np.zeros((1, *SIZE), np.float16), "labels": labels}
    nothing = Foreground(np.zeros((0, 3), np.int32), (0, 0))
    return PreparedCase("a", Grid(SIZE, (1.0, 1.0, 1.0)), KIDNEYS, said, said, 0.0, arrays, (), nothing, None, "")


def test_the_largest_parts_are_kept_and_speckle_goes() -> None:
    mask = bars((0, 5), (7, 9), (12, 16))
    assert np.array_equal(largest_parts(mask, 1), bars((0, 5)))
    assert np.array_equal(largest_parts(mask, 2), bars((0, 5), (12, 16)))
    assert np.array_equal(largest_parts(mask, 9), mask)
    assert np.array_equal(largest_parts(mask, None), mask)
    assert not largest_parts(bars(), 1).any()


def test_voxels_that_meet_at_a_corner_are_one_part() -> None:
    mask = np.zeros(SIZE, bool)
    mask[1, 1, 1] = mask[2, 2, 2] = True
    assert largest_parts(mask, 1).sum() == 2


def test_an_organ_has_as_many_parts_as_people_annotated_in_any_case() -> None:
    one = a_case(bars((0, 6)), bars((8, 10), (14, 16)), (True, True))
    other = a_case(bars((0, 3)), bars((8, 10)), (True, True))
    assert most_parts(annotated_parts([other, one])) == [1, 2]


def test_a_slip_of_the_brush_is_no_part_and_an_organ_nobody_finished_has_no_number() -> None:
    liver = bars((0, 15))
    liver[19, 7, 5] = True
    assert most_parts(annotated_parts([a_case(liver, bars((16, 18)), (True, False))])) == [1, None]


def test_parts_count_in_predictions_only_where_two_cases_agree_on_them() -> None:
    one = a_case(bars((0, 6)), bars((8, 10), (14, 16)), (True, True))
    lesions = a_case(bars((0, 3)), bars((8, 10)), (True, True))
    alone = a_case(bars((0, 3)), bars((8, 10)), (True, False))
    assert agreed_parts(annotated_parts([one, lesions])) == [1, None]
    assert agreed_parts(annotated_parts([one, alone])) == [1, None]
    assert agreed_parts(annotated_parts([one, one])) == [1, 2]


def seen(proposed: NDArray[np.bool_], drawn: NDArray[np.bool_], finished: NDArray[np.bool_]) -> Seen:
    """A model that is sure of a liver where only some of it was finished; of kidneys it knows nothing."""
    near = np.ones(SIZE, bool)
    probability = np.stack([np.where(proposed, 0.9, 0.05), np.zeros(SIZE)]).reshape(2, -1)
    known = {0: finished.ravel()}
    whole = np.array([(drawn & finished).sum(), 0])
    return Seen(near, probability, drawn.astype(np.uint8).reshape(1, -1), np.array([True, False]), known, whole)


def a_trained_model(**shifts: float) -> Model:
    return Model(Config(train=TrainConfig(iterations=1)), KIDNEYS, {}, "run", "last", 1, moved=shifts)


def test_of_an_organ_that_is_finished_in_slices_those_predicted_parts_count_that_were_drawn_on() -> None:
    organ, slices = bars((0, 6)), np.zeros(SIZE, bool)
    slices[..., 2:4] = True
    one = seen(bars((0, 6), (9, 18)) & (slices | ~bars((9, 18))), organ, slices)
    sliced = a_case(organ, bars(), (False, False))
    assert slice_parts([one, one], [sliced, sliced], a_trained_model()) == {"liver": 1}
    two = seen(bars((0, 2), (4, 6)), organ, slices)
    assert slice_parts([two, two], [sliced, sliced], a_trained_model()) == {"liver": 2}
    assert slice_parts([one, two], [sliced, sliced], a_trained_model()) == {}
    assert slice_parts([one], [sliced], a_trained_model()) == {}


def test_a_model_that_misses_most_of_what_was_drawn_tells_no_parts() -> None:
    organ, slices = bars((0, 6)), np.ones(SIZE, bool)
    found = seen(bars((0, 2), (9, 18)), organ, slices)
    sliced = a_case(organ, bars(), (False, False))
    assert slice_parts([found, found], [sliced, sliced], a_trained_model()) == {}


def test_a_model_that_misses_a_small_part_of_what_was_drawn_tells_no_parts() -> None:
    """Of two kidneys in one label it has found the large one: one part is not what the label has."""
    kidneys, slices = bars((0, 6), (12, 14)), np.ones(SIZE, bool)
    sliced = a_case(kidneys, bars(), (False, False))
    both, one = seen(bars((0, 6), (12, 14)), kidneys, slices), seen(bars((0, 6)), kidneys, slices)
    assert slice_parts([both, both], [sliced, sliced], a_trained_model()) == {"liver": 2}
    assert slice_parts([one, one], [sliced, sliced], a_trained_model()) == {}
    unseen = replace(both, whole=both.whole + 50)  # some of it lies where the model sees nothing at all
    assert slice_parts([unseen, unseen], [sliced, sliced], a_trained_model()) == {}


def test_moved_thresholds_count_when_parts_are_seen() -> None:
    organ, slices = bars((0, 6)), np.ones(SIZE, bool)
    bridged = seen(bars((0, 2), (4, 6)), organ, slices)
    sliced = a_case(organ, bars(), (False, False))
    assert slice_parts([bridged] * 2, [sliced] * 2, a_trained_model()) == {"liver": 2}
    assert slice_parts([bridged] * 2, [sliced] * 2, a_trained_model(liver=3.5)) == {"liver": 1}


def test_a_case_that_shows_the_whole_organ_or_its_strokes_says_more_than_slices() -> None:
    organ, slices = bars((0, 6)), np.ones(SIZE, bool)
    one, sliced = seen(organ, organ, slices), a_case(organ, bars(), (False, False))
    for better in (a_case(organ, bars(), (True, False)), replace(sliced, stroke_parts={0: 2})):
        assert slice_parts([one, one], [sliced, sliced, better], a_trained_model()) == {}


def test_of_two_parts_the_one_with_more_probability_is_kept() -> None:
    mask, sure = bars((0, 4), (7, 10)), np.zeros(SIZE, np.float32)
    sure[bars((0, 4))], sure[bars((7, 10))] = 0.6, 0.95
    assert np.array_equal(largest_parts(mask, 1, sure), bars((7, 10)))


@pytest.mark.parametrize(("parts", "chosen"), [([1, 1], bars((0, 5))), (None, bars((0, 5), (8, 10)))])
def test_a_relabelling_chooses_from_as_many_parts_as_the_organ_has(
    parts: list[int | None] | None, chosen: NDArray[np.bool_]
) -> None:
    probability = np.zeros((2, *SIZE), np.float32)
    probability[0][bars((0, 5), (8, 10))] = 0.9
    found = positives(Ranked(probability, probability), KIDNEYS, KIDNEYS, np.zeros((2, *SIZE), bool), 1.0, parts)
    assert np.array_equal(found[0], chosen)


def test_a_part_that_people_know_of_counts_among_the_largest() -> None:
    """Known voxels are not chosen again, and hide no part: what is beside a known liver is not the liver's second."""
    probability = np.zeros((2, *SIZE), np.float32)
    probability[0][bars((0, 5), (8, 10))] = 0.9
    known = np.zeros((2, *SIZE), bool)
    known[0][bars((0, 4))] = True
    found = positives(Ranked(probability, probability), KIDNEYS, KIDNEYS, known, 1.0, [1, 1])
    assert np.array_equal(found[0], bars((4, 5)))
