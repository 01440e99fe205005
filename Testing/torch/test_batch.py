"""Batch: the same rule of what is known as the project's, on tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from SemiSupSegLib.data.batch import Batch, known_voxels, one_hot
from SemiSupSegLib.project.annotation import Annotation, Region, RegionKind, State, known_mask, label_mask
from SemiSupSegLib.project.labels import LabelSet

PAIRS = [("a", "b"), ("a", "c"), ("b", "d")]
SHAPE = (3, 2, 2)
STATES = st.sampled_from(
    [
        Annotation(),
        Annotation(State.COMPLETE),
        Annotation(State.ABSENT),
        Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((0, 1),)),)),
        Annotation(State.PARTIAL, (Region(RegionKind.PAINTED),)),
    ]
)

UNKNOWN = st.just(Annotation())


@st.composite
def annotated_volumes(draw):
    label_set = LabelSet.from_names("abcd", overlaps=draw(st.sets(st.sampled_from(PAIRS))))
    layers = [
        draw(hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, sum(p.layer == n for p in label_set.places))))
        for n in range(label_set.n_layers)
    ]
    anything, everything = STATES, st.sampled_from([Annotation(State.COMPLETE), Annotation(State.ABSENT)])
    said = draw(st.one_of(*(st.lists(one, min_size=4, max_size=4) for one in (anything, everything, UNKNOWN))))
    return np.stack(layers), label_set, said, draw(hnp.arrays(bool, SHAPE))


def batch_of(labels: np.ndarray, label_set: LabelSet, said: list[Annotation], ignore: np.ndarray) -> Batch:
    """One patch, in the project's own axis order: the rule does not care."""
    region = np.zeros((len(label_set), *SHAPE), bool)
    for channel, annotation in enumerate(said):
        painted = label_mask(labels, label_set, channel)
        for part in annotation.regions:
            region[channel] |= part.mask(SHAPE, painted=painted, strokes=None)
    partial = any(annotation.regions for annotation in said)
    return Batch(
        image=torch.zeros(1, 1, *SHAPE),
        labels=torch.from_numpy(labels)[None],
        annotated=torch.tensor([[annotation.annotated for annotation in said]]),
        everywhere=torch.tensor([[annotation.everywhere for annotation in said]]),
        region=torch.from_numpy(region)[None] if partial else None,
        valid=torch.from_numpy(~ignore)[None, None],
        pseudo=None,
        label_set=label_set,
        case_ids=("case",),
    )


@pytest.mark.property
@settings(max_examples=60, deadline=None)
@given(annotated_volumes())
def test_the_batch_and_the_project_agree_on_what_is_known(volume):
    labels, label_set, said, ignore = volume
    batch = batch_of(labels, label_set, said, ignore)
    expected = known_mask(labels, label_set, said, ignore=ignore)
    np.testing.assert_array_equal(known_voxels(batch)[0].numpy(), expected)


def test_patches_of_one_batch_do_not_share_what_is_known():
    label_set = LabelSet.from_names(["a", "b"])
    labels = np.zeros((1, *SHAPE), np.uint8)
    none = np.zeros(SHAPE, bool)
    known = batch_of(labels, label_set, [Annotation(State.COMPLETE), Annotation()], none)
    unknown = batch_of(labels, label_set, [Annotation(), Annotation()], none)
    both = Batch(
        torch.cat([known.image, unknown.image]),
        torch.cat([known.labels, unknown.labels]),
        torch.cat([known.annotated, unknown.annotated]),
        torch.cat([known.everywhere, unknown.everywhere]),
        None,
        torch.cat([known.valid, unknown.valid]),
        None,
        label_set,
        ("x", "y"),
    )
    assert both.known.flatten(2).all(-1).tolist() == [[True, False], [False, False]]
    assert both.select(torch.tensor([False, True])).case_ids == ("y",)
    assert not both.select(torch.tensor([1])).known.any()


def test_one_hot_looks_into_the_layer_of_each_label():
    label_set = LabelSet.from_names(["liver", "tumour", "spleen"], overlaps=[("liver", "tumour")])
    labels = torch.tensor([[1, 2, 0], [1, 0, 0]])[None, :, None, None, :]
    assert one_hot(labels, label_set)[0].flatten(1).int().tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0]]
