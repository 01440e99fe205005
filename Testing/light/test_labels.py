"""LabelSet: names are the key, overlapping labels never share a layer."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.project.labels import Label, LabelSet, Place, distinct_colour


def test_labels_without_overlaps_share_one_layer_with_values_from_one():
    label_set = LabelSet.from_names(["liver", "spleen", "aorta"])
    assert label_set.places == (Place(0, 1), Place(0, 2), Place(0, 3))
    assert label_set.n_layers == 1


def test_an_empty_set_still_has_one_layer():
    assert LabelSet(()).n_layers == 1
    assert LabelSet(()).places == ()


def test_overlapping_labels_lie_in_different_layers():
    label_set = LabelSet.from_names(["liver", "tumour", "spleen"], overlaps=[("liver", "tumour")])
    assert label_set.places == (Place(0, 1), Place(1, 1), Place(0, 2))
    assert label_set.exclusive_pairs() == ((0, 2), (1, 2))


def test_three_nested_labels_need_three_layers():
    pairs = [("body", "liver"), ("body", "tumour"), ("liver", "tumour")]
    assert LabelSet.from_names(["body", "liver", "tumour"], overlaps=pairs).n_layers == 3


@pytest.mark.property
@given(st.data())
def test_no_two_labels_ever_share_a_place_and_no_overlapping_ones_a_layer(data):
    names = [f"label {n}" for n in range(data.draw(st.integers(1, 8)))]
    pairs = data.draw(st.sets(st.sampled_from(list(combinations(names, 2))))) if len(names) > 1 else set()
    label_set = LabelSet.from_names(names, overlaps=pairs)
    assert len(set(label_set.places)) == len(names)
    for a, b in pairs:
        assert label_set.places[label_set.index(a)].layer != label_set.places[label_set.index(b)].layer
    assert LabelSet.from_json(label_set.to_json()) == label_set


@pytest.mark.property
@given(st.data())
def test_adding_labels_never_moves_those_that_are_there(data):
    names = [f"label {n}" for n in range(7)]
    pairs = data.draw(st.sets(st.sampled_from(list(combinations(names[:4], 2)))))
    label_set = LabelSet.from_names(names[:4], overlaps=pairs)
    longer = label_set.with_labels(Label(name) for name in names[2:])
    assert longer.names == tuple(names)
    assert longer.places[:4] == label_set.places


def test_a_name_is_found_without_regard_to_case_and_blanks():
    label_set = LabelSet.from_names(["Left Kidney", "liver"])
    assert label_set.index("left_kidney") == 0
    assert label_set.index(" LIVER ") == 1


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(ProjectError, match="no label 'heart' in this project: it has liver, spleen"):
        LabelSet.from_names(["liver", "spleen"]).index("heart")


@pytest.mark.robustness
@pytest.mark.parametrize("names", [["liver", "Liver"], ["left kidney", "Left_Kidney"], [""], ["  "], ["a\nb"]])
def test_ambiguous_or_invisible_names_are_refused(names):
    with pytest.raises(ProjectError):
        LabelSet.from_names(names)


@pytest.mark.robustness
def test_an_overlap_with_itself_or_a_stranger_is_refused():
    for pair in [("liver", "liver"), ("liver", "heart")]:
        with pytest.raises(ProjectError, match="two different labels"):
            LabelSet.from_names(["liver", "spleen"], overlaps=[pair])


@pytest.mark.robustness
@pytest.mark.parametrize("data", [{}, {"labels": [{"name": "liver"}]}, {"labels": [{"name": "x", "colour": "red"}]}])
def test_a_damaged_label_set_is_refused_in_one_sentence(data):
    with pytest.raises(ProjectError, match="the label set cannot be read"):
        LabelSet.from_json(data)


def test_with_labels_does_not_repeat_what_differs_in_case_only():
    label_set = LabelSet.from_names(["liver"])
    assert label_set.with_labels([Label("LIVER"), Label("spleen")]).names == ("liver", "spleen")


def test_terminology_survives_json():
    label = Label("liver", (1, 2, 3), "Segmentation~SCT^123037004")
    assert LabelSet.from_json(LabelSet((label,)).to_json()).labels == (label,)


def test_neighbouring_colours_differ_clearly():
    for n in range(20):
        a, b = distinct_colour(n), distinct_colour(n + 1)
        assert sum(abs(x - y) for x, y in zip(a, b, strict=True)) > 100
