"""Patches become batches: what is known on the training grid is what the case says."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from SemiSupSegLib.data.augment import Deformation
from SemiSupSegLib.data.bits import pack, unpack
from SemiSupSegLib.data.distance import with_distance
from SemiSupSegLib.data.patch import Patch, collate, cut, whole
from SemiSupSegLib.data.prepared import PreparedCase
from SemiSupSegLib.project.annotation import Annotation, Region, RegionKind, State, known_mask
from SemiSupSegLib.project.labels import LabelSet

LABELS = LabelSet.from_names(["liver", "spleen", "tumour"], overlaps=[("liver", "tumour")])
SHAPE = (5, 4, 9)
CROP = Deformation(None, None, (False, False, False))
COMPLETE, UNKNOWN = Annotation(State.COMPLETE), Annotation()
SLICES = Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((1, 2),)),))


def some_labels(seed: int = 0) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    return np.stack([random.integers(0, 3, SHAPE), random.integers(0, 2, SHAPE)]).astype(np.uint8)


def a_case(*said: Annotation, case_id: str = "a", labels: NDArray[Any] | None = None, **kwargs: Any) -> PreparedCase:
    regions = {}
    for c, annotation in enumerate(said):
        if annotation.regions:
            regions[c] = annotation.regions[0].mask(SHAPE, painted=np.zeros(SHAPE, bool), strokes=None)
    image = np.random.default_rng(1).normal(size=(1, *SHAPE)).astype(np.float16)
    layers = some_labels() if labels is None else labels
    return PreparedCase.of_arrays(case_id, image, layers, LABELS, said, regions=regions, **kwargs)


def a_patch(case: PreparedCase) -> Patch:
    return cut(case, (1, 0, 2), (4, 4, 4), CROP)


def test_known_is_the_rule_of_the_project() -> None:
    said = (SLICES, COMPLETE, UNKNOWN)
    ignore = np.random.default_rng(5).random(SHAPE) < 0.2
    case = a_case(*said, ignore=ignore)
    expected = known_mask(some_labels(), LABELS, said, ignore=ignore)
    assert 0 < expected.mean() < 1
    assert np.array_equal(case.known(), expected)
    batch = collate([a_patch(case)])
    assert np.array_equal(batch.known[0].numpy(), expected[:, 1:5, 0:4, 2:6])


def test_region_and_pseudo_are_left_out_when_no_patch_has_them() -> None:
    batch = collate([a_patch(a_case(COMPLETE, UNKNOWN, UNKNOWN)), a_patch(a_case(UNKNOWN, UNKNOWN, UNKNOWN))])
    assert batch.region is None
    assert batch.pseudo is None
    assert batch.annotated.tolist() == [[True, False, False], [False] * 3]
    assert batch.everywhere.tolist() == batch.annotated.tolist()


def test_one_partial_case_gives_the_whole_batch_a_region() -> None:
    whole_one, partial = a_case(COMPLETE, COMPLETE, COMPLETE), a_case(COMPLETE, SLICES, UNKNOWN)
    batch = collate([a_patch(whole_one), a_patch(partial)])
    assert batch.region is not None
    assert batch.region.shape == (2, 3, 4, 4, 4)
    assert not batch.region[0].any()
    assert batch.region[1].flatten(1).any(1).tolist() == [False, True, False]
    assert batch.everywhere[1].tolist() == [True, False, False]
    assert batch.annotated[1].tolist() == [True, True, False]


def test_added_voxels_travel_beside_the_labels_and_are_not_known() -> None:
    added = np.random.default_rng(2).random((3, *SHAPE)) < 0.5
    with_added, without = a_case(COMPLETE, UNKNOWN, UNKNOWN, pseudo=added), a_case(COMPLETE, UNKNOWN, UNKNOWN)
    batch = collate([a_patch(with_added), a_patch(without)])
    assert batch.pseudo is not None
    assert np.array_equal(batch.pseudo[0].numpy(), added[:, 1:5, 0:4, 2:6])
    assert not batch.pseudo[1].any()
    assert torch.equal(batch.known[0], batch.known[1])


def test_distances_travel_with_the_patch_and_mean_nothing_where_nobody_annotated() -> None:
    labels = np.stack([some_labels()[0], np.zeros(SHAPE, np.uint8)])
    case = a_case(COMPLETE, UNKNOWN, Annotation(State.ABSENT), labels=labels)
    unknown = a_case(UNKNOWN, UNKNOWN, UNKNOWN)
    with_maps = with_distance(case, tau=4)
    assert with_maps.distance is not None
    assert with_distance(unknown, tau=4) is unknown
    batch = collate([a_patch(with_maps), a_patch(unknown)])
    assert batch.sdm is not None
    assert batch.sdm.dtype == torch.float32
    assert batch.sdm.shape == batch.target.shape
    assert np.array_equal(batch.sdm[0].numpy(), with_maps.distance[:, 1:5, 0:4, 2:6].astype(np.float32))
    assert (batch.sdm[0, 0][batch.target[0, 0]] <= 0).all()
    assert (batch.sdm[0, 2] == 1).all()
    assert (batch.sdm[1] == 1).all()
    assert collate([a_patch(case), a_patch(unknown)]).sdm is None


def test_distances_are_selected_and_moved_with_the_rest() -> None:
    case = with_distance(a_case(COMPLETE, COMPLETE, COMPLETE), tau=4)
    other = cut(case, (0, 0, 3), (4, 4, 4), CROP)
    batch = collate([a_patch(case), other])
    assert batch.sdm is not None
    for rows in (torch.tensor([1]), torch.tensor([False, True])):
        chosen = batch.select(rows)
        assert chosen.sdm is not None
        assert torch.equal(chosen.sdm, batch.sdm[1:])
    assert batch.to("meta").sdm.device.type == "meta"  # type: ignore[union-attr]


def test_distances_beyond_the_volume_are_those_of_its_edge() -> None:
    case = with_distance(a_case(COMPLETE, COMPLETE, COMPLETE), tau=4)
    assert case.distance is not None
    patch = cut(case, (-2, 0, 0), (4, 4, 4), CROP)
    assert patch.sdm is not None
    assert np.array_equal(patch.sdm[:, 0].numpy(), case.distance[:, 0, :4, :4].astype(np.float32))
    assert torch.equal(patch.sdm[:, 0], patch.sdm[:, 2])
    assert not patch.valid[:, :2].any()


def test_a_batch_has_the_kinds_and_shapes_that_methods_expect() -> None:
    batch = collate([a_patch(a_case(COMPLETE, UNKNOWN, UNKNOWN, case_id=name)) for name in "xy"])
    assert batch.image.shape == (2, 1, 4, 4, 4)
    assert batch.image.dtype == torch.float32
    assert batch.labels.shape == (2, 2, 4, 4, 4)
    assert batch.labels.dtype == torch.uint8
    assert batch.valid.shape == (2, 1, 4, 4, 4)
    assert batch.target.shape == batch.known.shape == (2, 3, 4, 4, 4)
    assert batch.case_ids == ("x", "y")


def test_labels_of_different_kinds_share_a_batch() -> None:
    many = some_labels().astype(np.int16)
    batch = collate([a_patch(a_case(COMPLETE, UNKNOWN, UNKNOWN, labels=x)) for x in (some_labels(), many)])
    assert batch.labels.dtype == torch.int16
    assert torch.equal(batch.labels[0], batch.labels[1])


def test_a_whole_case_is_a_batch_of_one() -> None:
    case = a_case(COMPLETE, UNKNOWN, UNKNOWN)
    batch = whole(case)
    assert np.array_equal(batch.image[0].numpy(), case.image.astype(np.float32))
    assert np.array_equal(batch.labels[0].numpy(), case.labels)


def test_any_box_can_be_read_out_of_packed_bits() -> None:
    mask = np.random.default_rng(0).random((2, 3, 4, 21)) < 0.5
    bits = pack(mask)
    assert bits.nbytes == 2 * 3 * 4 * 3
    for first, last in ((0, 21), (3, 19), (8, 16), (20, 21), (7, 9), (5, 5)):
        found = unpack(bits, (slice(1, 3), slice(0, 2), slice(first, last)))
        assert np.array_equal(found, mask[:, 1:3, 0:2, first:last])
