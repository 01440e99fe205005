"""What strokes imply: where a label is not, though nobody said so there."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from SemiSupSegLib.config import DataConfig, NetworkConfig
from SemiSupSegLib.data.implied import what_strokes_say, with_implied
from SemiSupSegLib.data.patch import collate, whole
from SemiSupSegLib.data.prepare import prepare
from SemiSupSegLib.data.prepared import PreparedCase
from SemiSupSegLib.data.source import PatchSource
from SemiSupSegLib.engine.parts import annotated_parts
from SemiSupSegLib.methods.naive import Naive
from SemiSupSegLib.methods.smile import Smile
from SemiSupSegLib.project.annotation import Annotation, Region, RegionKind, State
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

LABELS = LabelSet.from_names(["liver", "spleen"])
STROKES = Annotation(State.PARTIAL, (Region(RegionKind.STROKES, file="strokes.nii.gz"),))


def by_definition(
    positive: NDArray[np.bool_], negative: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """The rule, voxel by voxel."""
    mm = np.asarray(spacing)
    ours, theirs = np.argwhere(positive) * mm, np.argwhere(negative) * mm

    def nearest(point: NDArray[np.float64], among: NDArray[np.float64]) -> float:
        return float(np.sqrt(((among - point) ** 2).sum(1)).min())

    reach = max(nearest(point, theirs) for point in ours)
    inside, beyond = np.argwhere(positive), np.argwhere(negative)
    low = np.where(beyond.min(0) < inside.min(0), 0, inside.min(0))
    high = np.where(beyond.max(0) > inside.max(0), np.asarray(positive.shape) - 1, inside.max(0))
    result = np.zeros(positive.shape, bool)
    for voxel in np.ndindex(*positive.shape):
        if ((voxel >= low) & (voxel <= high)).all() and not negative[voxel]:
            to_ours, to_theirs = nearest(np.asarray(voxel) * mm, ours), nearest(np.asarray(voxel) * mm, theirs)
            result[voxel] = to_ours > to_theirs and to_ours > reach
    return result


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.5, 4.0)])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_implied_is_the_rule_voxel_by_voxel(seed: int, spacing: tuple[float, float, float]) -> None:
    random = np.random.default_rng(seed)
    positive, negative = np.zeros((2, 14, 12, 5), bool)
    positive[4:7, 5:7, 2] = True
    negative[tuple(random.integers(0, 5, 6)), tuple(random.integers(0, 12, 6)), tuple(random.integers(1, 4, 6))] = True
    negative &= ~positive
    found = what_strokes_say(positive, negative, spacing)[0]
    assert np.array_equal(found, by_definition(positive, negative, spacing))


def test_strokes_in_a_row_imply_by_hand() -> None:
    """Label at 5, something else at 8 of 12 voxels of 2 mm: T is 6 mm, and nothing is stroked below 5."""
    positive, negative = np.zeros((2, 12, 1, 1), bool)
    positive[5], negative[8] = True, True
    assert np.flatnonzero(what_strokes_say(positive, negative, (2.0, 1.0, 1.0))[0]).tolist() == [9, 10, 11]


def test_strokes_in_one_slice_say_nothing_of_the_slices_beside_it() -> None:
    positive, negative = np.zeros((2, 20, 20, 9), bool)
    positive[8:12, 8:12, 4] = True
    negative[4:16, 4, 4] = negative[4:16, 16, 4] = True
    found = what_strokes_say(positive, negative, (1.0, 1.0, 2.0))[0]
    assert found.any()
    assert not found[..., [0, 1, 2, 3, 5, 6, 7, 8]].any()


@pytest.mark.parametrize("which", ["positive", "negative"])
def test_nothing_is_implied_by_strokes_of_one_kind(which: str) -> None:
    some, none = np.zeros((2, 6, 6, 6), bool)
    some[2:4] = True
    one, other = (some, none) if which == "positive" else (none, some)
    assert not what_strokes_say(one, other, (1.0, 1.0, 1.0))[0].any()


@pytest.fixture
def stroked() -> PreparedCase:
    """A liver of which one column is stroked, and a wall around it; nothing is said of the spleen."""
    labels = np.zeros((1, 24, 24, 6), np.uint8)
    labels[0, 12, 12] = 1
    region = labels[0] == 1
    region[8, 6:18], region[16, 6:18], region[8:17, 6], region[8:17, 17] = True, True, True, True
    image = np.random.default_rng(0).normal(size=(1, 24, 24, 6)).astype(np.float16)
    return PreparedCase.of_arrays(
        "a", image, labels, LABELS, [STROKES, Annotation(State.UNKNOWN)], regions={0: region}
    )  # fmt: skip


def test_what_is_implied_is_never_known_and_never_said_of_another_label(stroked: PreparedCase) -> None:
    case = with_implied(stroked, [0])
    implied = case.implied()
    assert implied is not None
    assert implied[0].any()
    assert not implied[1].any()
    assert not (implied & case.known()).any()
    assert np.array_equal(case.known(), stroked.known())
    assert with_implied(stroked, []) is stroked


def test_what_looks_otherwise_than_the_strokes_is_implied_next_to_them_but_not_beyond_their_slices() -> None:
    labels = np.zeros((1, 24, 24, 6), np.uint8)
    labels[0, 11:13, 6:18, 2:5] = 1  # 72 voxels of liver are stroked, and a wall on either side, in three slices
    region = labels[0] == 1
    region[[2, 21], :, 2:5] = True
    image = np.zeros((1, 24, 24, 6), np.float16)
    image[0, 14] = -3.0  # a rim of lung
    image[0, 21] = -3.0  # which is known not to be liver
    case = PreparedCase.of_arrays(
        "a", image, labels, LABELS, [STROKES, Annotation(State.UNKNOWN)], regions={0: region}
    )
    implied = with_implied(case, [0]).implied()
    assert implied is not None
    assert implied[0, 14, :, 2:5].all()
    assert not implied[0, 14, :, [0, 1, 5]].any()
    assert not implied[0, 13].any()
    assert not implied[0, 21].any()
    assert not implied[1].any()


SLICES = Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((3, 3),)),))


def sliced() -> PreparedCase:
    """A liver through all slices, darker beyond a rim; one slice along Z is finished."""
    labels = np.zeros((1, 24, 24, 6), np.uint8)
    labels[0, 8:16, 6:18, 3] = 1
    region = np.zeros((24, 24, 6), bool)
    region[..., 3] = True
    image = np.zeros((1, 24, 24, 6), np.float16)
    image[0, 18:] = -3.0
    said = [SLICES, Annotation(State.UNKNOWN)]
    return PreparedCase.of_arrays("a", image, labels, LABELS, said, regions={0: region})


def test_what_looks_otherwise_than_a_finished_slice_is_implied_in_all_of_the_volume() -> None:
    case = with_implied(sliced(), [], [0])
    implied = case.implied()
    assert implied is not None
    assert implied[0, 18:, :, [0, 1, 2, 4, 5]].all()
    assert not implied[0, :18].any()
    assert not implied[0, ..., 3].any()  # what is known needs no hint
    assert not implied[1].any()
    assert case.stroke_parts == {}


def test_a_stored_case_knows_what_its_slices_imply_and_strokes_beside_them_tell_by_place(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "study", label_set=LABELS)
    labels = np.zeros((1, 6, 24, 24), np.uint8)
    labels[0, 3, 6:18, 8:16] = 1
    values = np.random.default_rng(0).uniform(90, 110, (6, 24, 24)).astype(np.float32)
    values[..., 18:] -= 60
    image = image_from_kji(values, Grid((24, 24, 6), (1.0, 1.0, 1.0)))
    drawn = np.zeros((6, 24, 24), bool)
    drawn[3, 6:18, 8:16] = True
    both = Annotation(State.PARTIAL, (*SLICES.regions, *STROKES.regions))
    add: dict[str, Any] = {"labels": labels, "modality": "MR", "who": "ann"}
    project.add_case("a", image, annotations={"liver": SLICES}, **add)
    project.add_case("b", image, annotations={"liver": both}, strokes={"strokes.nii.gz": drawn}, **add)
    first, second = (case.implied() for case in prepare(project, DataConfig(spacing=(1.0, 1.0, 1.0))))
    assert first is not None
    assert first[0, :6, :, [0, 1, 2, 4, 5]].all()  # X runs from right to left
    assert not first[0, 6:].any()
    assert second is not None
    assert not second[0, :6, :, [0, 1, 2, 4, 5]].any()  # one slice says nothing of those beside it


def test_a_case_without_strokes_implies_nothing_beside_one_with(stroked: PreparedCase) -> None:
    batch = collate([whole_patch(with_implied(stroked, [0])), whole_patch(stroked)])
    assert batch.implied is not None
    assert batch.implied[0].any()
    assert not batch.implied[1].any()
    assert whole(stroked).implied is None


def test_every_batch_of_a_run_with_strokes_has_the_tensor(stroked: PreparedCase) -> None:
    """A loss that one of two processes leaves out lets the other wait for ever."""
    config = DataConfig(patch_size=(8, 8, 4))
    source = PatchSource([with_implied(stroked, [0]), stroked], LABELS, config, seed=1, batch_size=1)
    assert all(source[index].implied is not None for index in range(8))


def test_the_loss_is_lower_where_a_label_is_not_found_beyond_its_strokes(stroked: PreparedCase) -> None:
    batch = whole(with_implied(stroked, [0]))
    assert batch.implied is not None
    method = Smile({}, LABELS, NetworkConfig())
    everywhere = torch.full((1, 2, 24, 24, 6), 2.0, requires_grad=True)
    nowhere_else = torch.where(batch.implied, -2.0, 2.0)
    found, less = (method.supervised(logits, batch)["implied"] for logits in (everywhere, nowhere_else))
    assert found.item() == pytest.approx(math.log1p(math.exp(2)))
    assert less.item() == pytest.approx(math.log1p(math.exp(-2)))
    found.backward()
    assert everywhere.grad is not None
    assert torch.equal(everywhere.grad != 0, batch.implied)


def test_strokes_that_are_nearer_to_each_other_than_to_anything_else_show_one_part(stroked: PreparedCase) -> None:
    labels = np.array(stroked.labels)
    labels[0, 12, 12, 2] = 0  # a gap in the column
    with_gap = replace(stroked, arrays={**stroked.arrays, "labels": labels})
    assert annotated_parts([with_implied(case, [0]) for case in (stroked, with_gap)]) == [[1, 1], []]


def test_strokes_of_two_parts_with_something_else_between_them_show_two() -> None:
    labels = np.zeros((1, 40, 12, 4), np.uint8)
    labels[0, 8, 6] = labels[0, 30, 6] = 1
    region = labels[0] == 1
    region[[4, 12, 26, 34]] = True
    case = PreparedCase.of_arrays(
        "a", np.zeros((1, 40, 12, 4), np.float16), labels, LABELS, [STROKES, Annotation(State.UNKNOWN)],
        regions={0: region},
    )  # fmt: skip
    assert annotated_parts([with_implied(case, [0])]) == [[2], []]
    assert annotated_parts([case]) == [[], []]


def test_dice_counts_what_is_found_beyond_the_strokes(stroked: PreparedCase) -> None:
    batch = whole(with_implied(stroked, [0]))
    assert batch.implied is not None
    known, there, beyond = (int(mask[0, 0].sum()) for mask in (batch.known, batch.target, batch.implied))
    dice = Smile({}, LABELS, NetworkConfig()).supervised(torch.zeros(1, 2, 24, 24, 6), batch)["dice"]
    by_hand = 1 - 2 * 0.5 * there / (0.5 * (known + beyond) + there)
    assert dice.item() == pytest.approx(by_hand)


def test_what_is_painted_outside_of_the_strokes_is_not_taught_to_be_absent(stroked: PreparedCase) -> None:
    batch = whole(with_implied(stroked, [0]))
    assert batch.implied is not None
    painted = batch.labels.clone()
    painted[0, 0][batch.implied[0, 0]] = 1
    implied = Smile({}, LABELS, NetworkConfig()).implied(replace(batch, labels=painted))
    assert implied is not None
    assert not implied.any()


def test_with_exclusive_labels_what_is_implied_leaves_the_others_possible(stroked: PreparedCase) -> None:
    batch = whole(with_implied(stroked, [0]))
    method = Smile({}, LABELS, NetworkConfig(activation="softmax"))
    liver, spleen = torch.zeros(2, 1, 3, 24, 24, 6)
    liver[:, 1] = spleen[:, 2] = 20.0
    assert method.supervised(spleen, batch)["implied"] == pytest.approx(0, abs=1e-6)
    assert method.supervised(liver, batch)["implied"] > 10


def test_it_is_left_out_at_weight_0_and_by_the_naive_method(stroked: PreparedCase) -> None:
    batch, logits = whole(with_implied(stroked, [0])), torch.zeros(1, 2, 24, 24, 6)
    assert "implied" not in Smile({"implied_weight": 0.0}, LABELS, NetworkConfig()).supervised(logits, batch)
    assert "implied" not in Naive({}, LABELS, NetworkConfig()).supervised(logits, batch)


def whole_patch(case: PreparedCase):  # type: ignore[no-untyped-def]
    """The whole case as one patch."""
    from SemiSupSegLib.data.augment import Deformation
    from SemiSupSegLib.data.patch import cut

    return cut(case, (0, 0, 0), case.shape, Deformation(None, None, (False, False, False)))
