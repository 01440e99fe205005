"""Adjacency: contacts counted voxel by voxel, the graph of partly annotated cases, and what the user says about it."""

from __future__ import annotations

import json
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.project import adjacency as adjacency_module
from SemiSupSegLib.project.adjacency import Relation, adjacency, forbidden_pairs
from SemiSupSegLib.project.adjacency_rules import change_rules, read_rules
from SemiSupSegLib.project.annotation import Annotation, Region, RegionKind, State
from SemiSupSegLib.project.contacts import count_contacts, find_contacts, measures, node, node_names
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.transactions import commit, undo

COMPLETE, ABSENT = Annotation(State.COMPLETE), Annotation(State.ABSENT)
PARTIAL = Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((0, 5),)),))
ORGANS = LabelSet.from_names(["liver", "spleen", "left kidney"])


@pytest.fixture
def a_study(tmp_path) -> Project:
    """Liver, spleen and left kidney, which exclude each other; no cases."""
    return Project.create(tmp_path / "study", label_set=ORGANS)


@pytest.fixture
def far_apart(box):
    """Liver in slice 0, spleen in slice 2, left kidney in slice 4: none touches another."""
    return {"liver": box(0), "spleen": box(2), "left kidney": box(4)}


def pairs_of(graph, relation: Relation) -> set[tuple[str, str]]:
    nodes = range(len(graph.names))
    return {(graph.names[a], graph.names[b]) for a, b in combinations(nodes, 2) if graph.relation(a, b) is relation}


def slowly(layers: np.ndarray, label_set: LabelSet, reach: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Contacts, labels seen, and contour voxels, one voxel and one neighbour at a time."""
    shape = layers.shape[1:]
    has = np.zeros((len(label_set) + 1, *shape), bool)
    for channel, place in enumerate(label_set.places):
        has[channel + 1] = layers[place.layer] == place.value
    has[0] = ~has[1:].any(axis=0)
    counts, contour = np.zeros((len(has),) * 2, int), np.zeros(shape, bool)
    for here in np.ndindex(*shape):
        for step in product(range(-reach, reach + 1), repeat=3):
            there = tuple(np.add(here, step))
            if step == (0, 0, 0) or not all(0 <= x < n for x, n in zip(there, shape, strict=True)):
                continue
            one, two = has[(slice(None), *here)], has[(slice(None), *there)]
            counts += np.outer(one, two) * ~np.eye(len(has), dtype=bool)
            contour[here] |= (one != two).any()
    return counts, has.reshape(len(has), -1).any(axis=1), int(contour.sum())


# ------------------------------------------------------------------------------------------------------------ contacts


def test_contacts_of_two_half_spaces_by_hand():
    """A voxel next to the plane has nine neighbours beyond it: 3 rows x 3 columns, less at the edge of the image."""
    layers = np.ones((1, 7, 10, 12), np.uint8)
    layers[:, :, :, 6:] = 2
    found = count_contacts(layers, ORGANS)
    assert found.counts[1, 2] == found.counts[2, 1] == (3 * 7 - 2) * (3 * 10 - 2)
    assert found.contour == 2 * 7 * 10
    assert found.seen.tolist() == [False, True, True, False]


def test_a_single_voxel_touches_its_26_neighbours():
    layers = np.zeros((1, 5, 5, 5), np.uint8)
    layers[0, 2, 2, 2] = 3
    found = count_contacts(layers, ORGANS)
    assert found.counts[0, 3] == 26
    assert found.contour == 27


def test_voxels_that_meet_in_a_corner_touch_and_two_apart_only_with_reach_2():
    layers = np.zeros((1, 3, 3, 3), np.uint8)
    layers[0, 0, 0, 0], layers[0, 1, 1, 1], layers[0, 2, 2, 2] = 1, 2, 3
    near, far = (count_contacts(layers, ORGANS, reach=reach).counts for reach in (1, 2))
    assert (near[1, 2], near[2, 3], near[1, 3]) == (1, 1, 0)
    assert (far[1, 2], far[2, 3], far[1, 3]) == (1, 1, 1)


@pytest.mark.property
@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 18), st.integers(1, 4), st.integers(1, 4)),
    st.sampled_from([(), (("a", "b"),), (("a", "b"), ("b", "c"))]),
    st.sampled_from([1, 2]),
    st.sampled_from([0.02, 0.2, 0.6]),
    st.integers(0, 999),
)
def test_contacts_equal_those_counted_voxel_by_voxel(shape, overlaps, reach, density, seed):
    label_set, rng = LabelSet.from_names("abcd", overlaps), np.random.default_rng(seed)
    layers = np.zeros((label_set.n_layers, *shape), np.uint8)
    for channel, place in enumerate(label_set.places):
        mask = rng.random(shape) < density
        for other, its in enumerate(label_set.places):
            if not label_set.may_overlap(channel, other):
                mask &= layers[its.layer] != its.value
        layers[place.layer][mask & (layers[place.layer] == 0)] = place.value
    found = count_contacts(layers, label_set, reach=reach)
    counts, seen, contour = slowly(layers, label_set, reach)
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_array_equal(found.seen, seen)
    assert found.contour == contour


def test_more_labels_than_a_byte_has_values_are_counted():
    label_set = LabelSet.from_names([f"region {n}" for n in range(300)])
    layers = np.arange(1, 301, dtype=np.uint16).reshape(1, 1, 1, 300)
    found = count_contacts(layers, label_set)
    assert [found.counts[n, n + 1] for n in range(1, 300)] == [1] * 299
    assert found.counts.sum() == 2 * 299


def test_a_contact_is_listed_with_its_number_its_slice_and_a_voxel_in_it():
    layers = np.zeros((1, 20, 8, 8), np.uint8)
    layers[0, 2:18, :, :3] = 1
    layers[0, 3, 4, 3] = 2  # nine contacts, three in each of the slices 2 to 4
    layers[0, 15, 2:6, 3] = 2
    pairs = [("liver", "left kidney"), ("liver", "spleen")]
    (found,) = find_contacts(layers, ORGANS, pairs)
    assert (found.first, found.second, found.slice) == ("liver", "spleen", 15)
    assert found.contacts == 9 + 4 * 9
    k, j, i = found.voxel
    assert (k, layers[0, k, j, i]) in {(15, 1), (15, 2)}
    assert j in range(1, 7)
    assert i in (2, 3)
    assert find_contacts(layers, ORGANS, pairs[:1]) == find_contacts(layers, ORGANS, []) == []


def test_the_measures_by_hand():
    """Three single voxels in a row: two of the three pairs touch, with one contact each; the others are contour."""
    layers = np.array([1, 2, 3], np.uint8).reshape(1, 1, 1, 3)
    found = count_contacts(layers, ORGANS)
    every = list(combinations(ORGANS.names, 2))
    assert measures(found, ORGANS, every) == {"m1": pytest.approx(2 / 3), "m2": pytest.approx((1 + 2 + 1) / 3)}
    assert measures(found, ORGANS, [("liver", "left kidney")]) == {"m1": 0.0, "m2": 0.0}
    assert all(np.isnan(value) for value in measures(found, ORGANS, []).values())
    nothing = count_contacts(np.zeros((1, 2, 2, 2), np.uint8), ORGANS)
    assert measures(nothing, ORGANS, every) == {"m1": 0.0, "m2": 0.0}


def test_m2_is_over_true_contour_voxels_however_large_the_image():
    small, large = np.zeros((1, 3, 3, 4), np.uint8), np.zeros((1, 30, 30, 40), np.uint8)
    for layers in (small, large):
        layers[0, 1, 1, 1:3] = 1, 2
    one, two = (measures(count_contacts(x, ORGANS), ORGANS, [("liver", "spleen")])["m2"] for x in (small, large))
    assert one == two == pytest.approx(2 / 36)


# ----------------------------------------------------------------------------------------------------------- the graph


def test_labels_that_never_touch_in_a_case_that_shows_both_are_forbidden(a_study, add_case, far_apart, box):
    add_case(a_study, "c1", masks=far_apart | {"spleen": box(1)}, said=dict.fromkeys(ORGANS.names, COMPLETE))
    assert forbidden_pairs(a_study) == [("liver", "left kidney"), ("spleen", "left kidney")]
    graph = adjacency(a_study)
    assert graph.cases == ("c1",)
    assert pairs_of(graph, Relation.TOUCH) >= {("liver", "spleen"), ("background", "spleen")}
    np.testing.assert_array_equal(graph.forbidden, graph.forbidden.T)
    assert not graph.forbidden[0].any()
    assert not graph.forbidden.diagonal().any()


def test_no_annotated_map_breaks_the_graph_that_it_is_in(a_study, add_case):
    rng = np.random.default_rng(3)
    for number in range(3):
        values = rng.integers(0, 4, (6, 5, 4)) * (rng.random((6, 5, 4)) < 0.3)
        masks = {name: values == n for n, name in enumerate(ORGANS.names, start=1)}
        add_case(a_study, f"c{number}", masks=masks, said=dict.fromkeys(ORGANS.names, COMPLETE))
    graph = adjacency(a_study)
    for case in a_study.cases.values():
        assert not any(graph.broken(case.labels(ORGANS), ORGANS).values())


@pytest.mark.parametrize("state", [Annotation(), PARTIAL, ABSENT])
def test_a_label_that_is_not_shown_in_full_gives_no_evidence_that_it_never_touches(
    a_study, add_case, far_apart, box, state
):
    masks = {**far_apart, "spleen": box(2) & (state is not ABSENT)}
    add_case(a_study, "c1", masks=masks, said={"liver": COMPLETE, "spleen": state, "left kidney": COMPLETE})
    assert forbidden_pairs(a_study) == [("liver", "left kidney")]
    assert ("liver", "spleen") in pairs_of(adjacency(a_study), Relation.OPEN)


def test_two_labels_that_no_case_shows_together_are_not_judged(a_study, add_case, far_apart):
    for case_id, shown in (("c1", "liver"), ("c2", "spleen")):
        said = {**dict.fromkeys(ORGANS.names, ABSENT), shown: COMPLETE}
        add_case(a_study, case_id, masks={shown: far_apart[shown]}, said=said)
    assert forbidden_pairs(a_study) == []


def test_one_contact_in_a_partial_label_allows_the_pair(a_study, add_case, far_apart, box):
    add_case(a_study, "c1", masks=far_apart, said=dict.fromkeys(ORGANS.names, COMPLETE))
    assert ("liver", "spleen") in forbidden_pairs(a_study)
    masks = {"liver": box(0, 0, 0), "spleen": box(1, 1, 1)}
    add_case(a_study, "c2", masks=masks, said={"liver": PARTIAL, "spleen": COMPLETE})
    assert ("liver", "spleen") not in forbidden_pairs(a_study)


def test_voxels_that_were_painted_without_a_statement_are_no_contact(a_study, add_case, far_apart, box):
    add_case(a_study, "c1", masks=far_apart, said=dict.fromkeys(ORGANS.names, COMPLETE))
    add_case(a_study, "c2", masks={"liver": box(0), "spleen": box(1)}, said={"liver": COMPLETE})
    assert ("liver", "spleen") in forbidden_pairs(a_study)


def test_hold_out_cases_neither_forbid_nor_allow(a_study, add_case, far_apart, box):
    everything = dict.fromkeys(ORGANS.names, COMPLETE)
    add_case(a_study, "held", masks=far_apart, said=everything, split="holdout")
    assert forbidden_pairs(a_study) == []
    add_case(a_study, "c1", masks=far_apart, said=everything)
    touching = {"liver": box(0), "spleen": box(1), "left kidney": box(2)}
    add_case(a_study, "held2", masks=touching, said=everything, split="holdout")
    assert len(forbidden_pairs(a_study)) == 3
    assert adjacency(a_study).cases == ("c1",)


def test_labels_that_may_overlap_are_never_forbidden_to_touch(an_empty_project, add_case, box):
    masks = {"liver": box(0), "spleen": box(2), "tumour": box(4)}
    add_case(an_empty_project, "c1", masks=masks, said=dict.fromkeys(masks, COMPLETE))
    assert forbidden_pairs(an_empty_project) == [("liver", "spleen"), ("spleen", "tumour")]
    with pytest.raises(ProjectError, match="liver and tumour may overlap"):
        change_rules(an_empty_project, forbid=[("tumour", "liver")], who="ann")


def test_a_project_without_annotated_cases_forbids_nothing(a_study, add_case):
    add_case(a_study, "c1")
    graph = adjacency(a_study)
    assert (graph.forbidden_pairs(), graph.cases) == ([], ())
    assert forbidden_pairs(Project.create(a_study.root.parent / "empty")) == []


def test_a_label_added_later_is_allowed_and_the_others_stay_forbidden(a_study, add_case, far_apart):
    add_case(a_study, "c1", masks=far_apart, said=dict.fromkeys(ORGANS.names, COMPLETE))
    before = forbidden_pairs(a_study)
    a_study.add_labels(LabelSet.from_names(["tumour"]).labels)
    assert forbidden_pairs(a_study) == before


@pytest.mark.robustness
def test_a_case_that_cannot_be_read_is_named_and_the_others_count(a_study, add_case, far_apart):
    for case_id in ("c1", "c2"):
        add_case(a_study, case_id, masks=far_apart, said=dict.fromkeys(ORGANS.names, COMPLETE))
    case = a_study.case("c2")
    (case.folder / case.labels_file).write_bytes(b"NRRD0004\nnothing")
    graph = adjacency(a_study)
    assert graph.cases == ("c1",)
    assert list(graph.unread) == ["c2"]
    assert len(graph.forbidden_pairs()) == 3


def test_a_case_is_counted_once_and_again_when_its_labels_change(a_study, add_case, far_apart, monkeypatch):
    counted = []

    def counting(*args, **kwargs):
        counted.append(1)
        return count_contacts(*args, **kwargs)

    monkeypatch.setattr(adjacency_module, "count_contacts", counting)
    add_case(a_study, "c1", masks=far_apart, said=dict.fromkeys(ORGANS.names, COMPLETE))
    first, second = adjacency(a_study), adjacency(Project.open(a_study.root))
    np.testing.assert_array_equal(first.counts, second.counts)
    assert len(counted) == 1
    labels = a_study.case("c1").labels(ORGANS)
    labels[0, 1] = 1
    commit(a_study, "c1", action="annotate", who="ann", labels=labels)
    assert ("liver", "spleen") not in forbidden_pairs(a_study)
    assert len(counted) == 2
    next((a_study.cache_folder / "contacts").rglob("*.json")).write_text("{")
    assert len(adjacency(a_study).forbidden_pairs()) == 2


# ----------------------------------------------------------------------------------------------------------- the rules


def test_the_users_rules_outrank_what_was_counted(a_study, add_case, far_apart, box):
    masks = {**far_apart, "spleen": box(1)}
    add_case(a_study, "c1", masks=masks, said=dict.fromkeys(ORGANS.names, COMPLETE))
    change_rules(a_study, allow=[("left_kidney", "liver")], forbid=[("spleen", "Liver")], who="ann")
    assert forbidden_pairs(Project.open(a_study.root)) == [("liver", "spleen"), ("spleen", "left kidney")]
    graph = adjacency(a_study)
    assert pairs_of(graph, Relation.ALLOWED) == {("liver", "left kidney")}
    assert pairs_of(graph, Relation.FORBIDDEN) == {("liver", "spleen")}


def test_the_opposite_rule_takes_a_rule_back_and_reset_all_of_them(a_study):
    change_rules(a_study, forbid=[("liver", "spleen")], who="ann")
    rules = change_rules(a_study, allow=[("spleen", "liver")], reach=2, who="ann")
    assert (rules.forbid, rules.allow, rules.reach) == (frozenset(), {frozenset({"liver", "spleen"})}, 2)
    assert read_rules(a_study) == rules
    assert change_rules(a_study, reset=True, who="ann") == read_rules(a_study) == read_rules(Project.open(a_study.root))
    assert (read_rules(a_study).allow, read_rules(a_study).reach) == (frozenset(), 1)


def test_the_background_is_forbidden_only_when_the_user_says_so(a_study, add_case, far_apart):
    add_case(a_study, "c1", masks=far_apart, said=dict.fromkeys(ORGANS.names, COMPLETE))
    change_rules(a_study, reset=True, forbid=[("spleen", "background")], who="ann")
    assert forbidden_pairs(a_study)[0] == ("background", "spleen")
    broken = adjacency(a_study).broken(a_study.case("c1").labels(ORGANS), ORGANS)
    assert [contact["label"] for contact in broken["spleen"]] == ["background"]
    assert broken["liver"] == []


def test_reach_2_allows_what_lies_two_voxels_apart(a_study, add_case, far_apart):
    add_case(a_study, "c1", masks=far_apart, said=dict.fromkeys(ORGANS.names, COMPLETE))
    assert len(forbidden_pairs(a_study)) == 3
    change_rules(a_study, reach=2, who="ann")
    assert forbidden_pairs(a_study) == [("liver", "left kidney")]
    change_rules(a_study, reach=1, who="ann")
    assert len(forbidden_pairs(a_study)) == 3


def test_a_rule_is_in_the_journal_and_undo_passes_over_it(a_study, add_case):
    add_case(a_study, "c1", said={"liver": ABSENT})
    commit(a_study, "c1", action="annotate", who="ann", annotations={"spleen": ABSENT})
    change_rules(a_study, forbid=[("liver", "spleen")], who="bob")
    entry = a_study.journal.last()
    assert (entry.who, entry.action, entry.detail) == ("bob", "adjacency", {"forbid": [["liver", "spleen"]]})
    assert change_rules(a_study, forbid=[("liver", "spleen")], who="bob") == read_rules(a_study)
    assert a_study.journal.last() == entry, "what holds already is no change"
    assert undo(a_study, who="ann").case == "c1"
    assert forbidden_pairs(a_study) == [("liver", "spleen")]
    assert a_study.verify_journal() is None


@pytest.mark.robustness
@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ({"forbid": [("liver", "splen")]}, "no label 'splen' in this project: did you mean 'spleen'?"),
        ({"allow": [("liver", "zzz")]}, "it has liver, spleen, left kidney"),
        ({"forbid": [("liver", "Liver")]}, "always touches itself"),
        ({"forbid": [("liver", "spleen")], "allow": [("spleen", "liver")]}, "both allowed and forbidden"),
        ({"reach": 3}, "expected a reach of 1 or 2 voxels, found 3"),
    ],
)
def test_a_rule_that_makes_no_sense_changes_nothing(a_study, rules, sentence):
    before = a_study.journal.path.read_bytes()
    with pytest.raises(ProjectError) as error:
        change_rules(a_study, **rules, who="ann")
    assert sentence in str(error.value)
    assert a_study.journal.path.read_bytes() == before
    assert not (a_study.root / "adjacency.json").exists()


@pytest.mark.robustness
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"format": 1, "reach": 7, "allow": [], "forbid": []}', "cannot be read"),
        ('{"format": 1, "reach": 1, "allow": [["liver"]], "forbid": []}', "names of two labels"),
        ('{"format": 1, "reach": 1, "allow": [["liver", "lung"]], "forbid": []}', "no label 'lung'"),
        ('{"format": 9}', "please update"),
    ],
)
def test_a_damaged_file_is_said_in_one_sentence_and_reset_replaces_it(a_study, content, sentence):
    (a_study.root / "adjacency.json").write_text(content)
    for read in (read_rules, adjacency):
        with pytest.raises(ProjectError) as error:
            read(a_study)
        assert "adjacency.json of project study" in str(error.value)
        assert sentence in str(error.value)
    change_rules(a_study, reset=True, who="ann")
    assert forbidden_pairs(a_study) == []


def test_a_label_that_is_called_background_is_meant_by_this_name():
    label_set = LabelSet.from_names(["liver", "Background"])
    assert (node(label_set, "background"), node(ORGANS, "Background")) == (2, 0)
    assert node_names(ORGANS)[0] == "background"


def test_the_matrix_for_programs_has_every_pair(a_study, add_case, far_apart):
    add_case(a_study, "c1", masks=far_apart, said=dict.fromkeys(ORGANS.names, COMPLETE))
    said = json.loads(json.dumps(adjacency(a_study).to_json()))
    assert said["names"] == ["background", *ORGANS.names]
    assert said["relations"][1] == ["touch", "self", "never", "never"]
    assert said["forbidden"][0] == ["liver", "spleen"]
    assert said["contacts"] == np.transpose(said["contacts"]).tolist()
