"""What is known, rule by rule, on arrays written by hand; then against a slow loop over voxels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.project.annotation import (
    Acceptance,
    Annotation,
    Region,
    RegionKind,
    State,
    known_mask,
    known_of,
    label_mask,
    people_labels,
)
from SemiSupSegLib.project.labels import LabelSet

UNKNOWN = Annotation()
COMPLETE = Annotation(State.COMPLETE)
ABSENT = Annotation(State.ABSENT)
FROM_MODEL = Acceptance("2026-11-22_0915_smile", "last", "2026-11-22T10:00:00+00:00", "ann", "whole", 3)
ORGANS = LabelSet.from_names(["liver", "spleen"])
NESTED = LabelSet.from_names(["liver", "tumour", "spleen"], overlaps=[("liver", "tumour")])


def partial(*regions: Region) -> Annotation:
    return Annotation(State.PARTIAL, regions)


def slices(*ranges: tuple[int, int]) -> Region:
    return Region(RegionKind.SLICES, ranges)


def line(*values: int) -> np.ndarray:
    """Layers (1, 1, 1, i) of one row of voxels."""
    return np.array(values, np.uint8).reshape(1, 1, 1, -1)


def row(known: np.ndarray) -> list[list[int]]:
    return known.reshape(len(known), -1).astype(int).tolist()


def test_nothing_annotated_knows_nothing():
    assert not known_mask(line(0, 1, 2), ORGANS, [UNKNOWN, UNKNOWN]).any()


def test_a_complete_label_is_known_everywhere_and_its_voxels_settle_the_other():
    assert row(known_mask(line(0, 1, 2), ORGANS, [COMPLETE, UNKNOWN])) == [[1, 1, 1], [0, 1, 0]]


def test_g15_an_absent_label_is_known_everywhere_although_its_mask_is_empty():
    assert row(known_mask(line(0, 1, 0), ORGANS, [UNKNOWN, ABSENT])) == [[0, 0, 0], [1, 1, 1]]


def test_g15_an_empty_mask_without_a_statement_stays_unknown():
    assert row(known_mask(line(0, 0, 0), ORGANS, [UNKNOWN, UNKNOWN])) == [[0, 0, 0], [0, 0, 0]]


def test_g15_a_voxel_of_another_organ_only_counts_when_that_organ_is_annotated():
    assert row(known_mask(line(0, 1, 2), ORGANS, [UNKNOWN, UNKNOWN])) == [[0, 0, 0], [0, 0, 0]]
    assert row(known_mask(line(0, 1, 2), ORGANS, [UNKNOWN, COMPLETE])) == [[0, 0, 1], [1, 1, 1]]


def test_g15_label_values_above_255_are_labels_like_others():
    many = LabelSet.from_names([f"region {n}" for n in range(300)])
    labels = np.array([0, 299, 300], np.uint16).reshape(1, 1, 1, 3)
    said = [UNKNOWN] * 299 + [COMPLETE]
    assert row(known_mask(labels, many, said)[[0, 298, 299]]) == [[0, 0, 1], [0, 0, 1], [1, 1, 1]]


def test_partial_slices_include_both_ends():
    labels = np.zeros((1, 5, 1, 1), np.uint8)
    assert row(known_mask(labels, ORGANS, [partial(slices((1, 2), (4, 4))), UNKNOWN])) == [[0, 1, 1, 0, 1], [0] * 5]


def test_a_partial_box_is_known_inside_only():
    labels = np.zeros((1, 3, 3, 3), np.uint8)
    box = Region(RegionKind.BOX, ((0, 0), (1, 2), (2, 2)))
    known = known_mask(labels, ORGANS, [partial(box), UNKNOWN])
    assert {tuple(v) for v in np.argwhere(known[0]).tolist()} == {(0, 1, 2), (0, 2, 2)}
    assert not known[1].any()


def test_partial_strokes_are_known_where_they_were_drawn_and_nowhere_else():
    strokes = {"s": np.array([1, 1, 0, 0], bool).reshape(1, 1, 4)}
    said = [partial(Region(RegionKind.STROKES, file="s")), UNKNOWN]
    assert row(known_mask(line(1, 0, 1, 0), ORGANS, said, strokes=strokes)) == [[1, 1, 0, 0], [1, 0, 1, 0]]


def test_a_painted_region_knows_only_what_is_painted():
    said = [partial(Region(RegionKind.PAINTED)), UNKNOWN]
    assert row(known_mask(line(1, 0, 2), ORGANS, said)) == [[1, 0, 0], [1, 0, 0]]


def test_regions_of_one_label_add_up():
    labels = np.array([0, 1, 0, 0], np.uint8).reshape(1, 4, 1, 1)
    said = [partial(slices((0, 0)), Region(RegionKind.PAINTED)), UNKNOWN]
    assert row(known_mask(labels, ORGANS, said))[0] == [1, 1, 0, 0]


def test_a_voxel_of_a_partial_label_settles_others_even_outside_its_finished_region():
    labels = np.array([1, 1, 0], np.uint8).reshape(1, 3, 1, 1)
    assert row(known_mask(labels, ORGANS, [partial(slices((0, 0))), UNKNOWN])) == [[1, 0, 0], [1, 1, 0]]


def test_a_label_that_may_overlap_settles_nothing():
    labels = np.array([[1, 0, 2], [0, 1, 0]], np.uint8).reshape(2, 1, 1, 3)
    said = [COMPLETE, UNKNOWN, UNKNOWN]
    assert row(known_mask(labels, NESTED, said)) == [[1, 1, 1], [0, 0, 0], [1, 0, 0]]


def test_a_label_in_another_layer_that_excludes_settles_too():
    labels = np.array([[1, 0, 2], [0, 1, 0]], np.uint8).reshape(2, 1, 1, 3)
    assert row(known_mask(labels, NESTED, [UNKNOWN, UNKNOWN, COMPLETE])) == [[0, 0, 1], [0, 0, 1], [1, 1, 1]]


def test_ignored_voxels_are_never_known():
    ignore = np.array([1, 0, 0], bool).reshape(1, 1, 3)
    assert row(known_mask(line(1, 1, 0), ORGANS, [COMPLETE, UNKNOWN], ignore=ignore)) == [[0, 1, 1], [0, 1, 0]]


STATES = st.sampled_from(
    [
        UNKNOWN,
        COMPLETE,
        ABSENT,
        partial(slices((0, 1))),
        partial(slices((2, 2)), Region(RegionKind.PAINTED)),
        partial(Region(RegionKind.BOX, ((0, 1), (1, 2), (0, 0)))),
        partial(Region(RegionKind.STROKES, file="s")),
    ]
)
PAIRS = [("a", "b"), ("a", "c"), ("b", "c"), ("a", "d"), ("c", "d")]
SHAPE = (3, 3, 2)


def known_by_loop(labels, label_set, said, strokes, ignore):
    """The rule of the design note, voxel by voxel."""
    known = np.zeros((len(label_set), *SHAPE), bool)

    def carries(channel, voxel):
        place = label_set.places[channel]
        return labels[(place.layer, *voxel)] == place.value

    for c in range(len(label_set)):
        for voxel in np.ndindex(*SHAPE):
            its = said[c].everywhere
            for region in said[c].regions:
                if region.kind is RegionKind.SLICES:
                    its |= any(a <= voxel[0] <= b for a, b in region.ranges)
                elif region.kind is RegionKind.BOX:
                    its |= all(a <= v <= b for v, (a, b) in zip(voxel, region.ranges, strict=True))
                elif region.kind is RegionKind.PAINTED:
                    its |= carries(c, voxel)
                else:
                    its |= strokes[region.file][voxel]
            for other in range(len(label_set)):
                excludes = other != c and not label_set.may_overlap(c, other)
                its |= excludes and said[other].annotated and carries(other, voxel)
            known[(c, *voxel)] = its and not ignore[voxel]
    return known


@st.composite
def annotated_volumes(draw):
    label_set = LabelSet.from_names("abcd", overlaps=draw(st.sets(st.sampled_from(PAIRS))))
    layers = [
        draw(hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, sum(p.layer == n for p in label_set.places))))
        for n in range(label_set.n_layers)
    ]
    said = [draw(STATES) for _ in range(4)]
    mask = hnp.arrays(bool, SHAPE)
    return np.stack(layers), label_set, said, {"s": draw(mask)}, draw(mask)


@pytest.mark.property
@settings(max_examples=60, deadline=None)
@given(annotated_volumes())
def test_known_agrees_with_a_loop_over_voxels(volume):
    labels, label_set, said, strokes, ignore = volume
    known = known_mask(labels, label_set, said, strokes=strokes, ignore=ignore)
    np.testing.assert_array_equal(known, known_by_loop(labels, label_set, said, strokes, ignore))
    one = known_of(2, labels, label_set, said, strokes=strokes, ignore=ignore)
    np.testing.assert_array_equal(one, known[2])


def test_accepting_the_whole_label_makes_it_complete_and_keeps_what_the_person_said():
    before = partial(slices((0, 1)))
    after = before.accept(FROM_MODEL, region=None)
    assert (after.state, after.regions, after.accepted) == (State.COMPLETE, (), (FROM_MODEL,))
    assert after.by_people_only() == before


def test_accepting_twice_keeps_what_was_said_before_the_first_time():
    once = UNKNOWN.accept(FROM_MODEL, region=slices((0, 0)))
    twice = once.accept(FROM_MODEL, region=slices((1, 1)))
    assert twice.state is State.PARTIAL
    assert twice.regions == (slices((0, 0)), slices((1, 1)))
    assert len(twice.accepted) == 2
    assert twice.by_people_only() == UNKNOWN


@pytest.mark.parametrize(
    "annotation",
    [
        UNKNOWN,
        COMPLETE,
        ABSENT,
        partial(slices((0, 3), (5, 5)), Region(RegionKind.PAINTED)),
        partial(Region(RegionKind.STROKES, file="regions/0002_0.nii.gz"), Region(RegionKind.BOX, ((0, 1),) * 3)),
        partial(slices((0, 1))).accept(FROM_MODEL, region=None),
    ],
)
def test_an_annotation_survives_json(annotation):
    assert Annotation.from_json(annotation.to_json()) == annotation


@pytest.mark.robustness
@pytest.mark.parametrize(
    "data",
    [{}, {"state": "done"}, {"state": "partial"}, {"state": "complete", "regions": [{"kind": "slices"}]},
     {"state": "partial", "regions": [{"kind": "circle"}]}, {"state": "complete", "accepted": [{"run": "x"}]}],
)  # fmt: skip
def test_a_damaged_annotation_is_refused(data):
    with pytest.raises(ProjectError):
        Annotation.from_json(data)


def test_accepted_voxels_without_the_state_before_are_refused():
    with pytest.raises(ProjectError, match="provenance"):
        Annotation(State.COMPLETE, accepted=(FROM_MODEL,))


def test_g30_an_accepted_label_cannot_keep_a_painted_region():
    with pytest.raises(ProjectError, match="painted"):
        partial(Region(RegionKind.PAINTED)).accept(FROM_MODEL, region=None)


def test_g30_people_labels_drop_machine_voxels_and_keep_those_in_the_persons_region():
    labels = np.array([1, 1, 0, 1, 2], np.uint8).reshape(1, 5, 1, 1)
    said = [partial(slices((0, 2))).accept(FROM_MODEL, region=None), COMPLETE]
    assert people_labels(labels, ORGANS, said)[0].ravel().tolist() == [1, 1, 0, 0, 2]
    assert labels[0].ravel().tolist() == [1, 1, 0, 1, 2], "the given array must not change"


def test_g30_people_labels_drop_all_voxels_of_a_label_that_only_a_model_made():
    labels = line(1, 2, 1)
    said = [UNKNOWN.accept(FROM_MODEL, region=None), COMPLETE]
    assert people_labels(labels, ORGANS, said)[0].ravel().tolist() == [0, 2, 0]


def test_people_labels_are_the_labels_when_nothing_was_accepted():
    labels = line(1, 2, 1)
    assert people_labels(labels, ORGANS, [COMPLETE, replace(ABSENT)]) is labels


def test_label_mask_finds_the_label_in_its_layer():
    labels = np.array([[1, 2], [1, 0]], np.uint8).reshape(2, 1, 1, 2)
    assert [label_mask(labels, NESTED, c).ravel().tolist() for c in range(3)] == [
        [True, False],
        [True, False],
        [False, True],
    ]
