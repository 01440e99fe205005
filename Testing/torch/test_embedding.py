"""Class maps, reliability, references and the vote: as METHODS 4.3 asks, with slow loops beside the fast ones."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from SemiSupSegLib.losses import embedding
from SemiSupSegLib.losses.class_map import UNKNOWN, class_map, quarrelling, targets
from SemiSupSegLib.losses.embedding import (
    draw_references,
    draw_voxels,
    match,
    near_border,
    pass_variance,
    reliable,
    unit_embeddings,
)
from SemiSupSegLib.losses.entropy import normalised_entropy


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


# class maps ---------------------------------------------------------------------------------------------------------


def test_a_voxel_is_background_only_where_every_label_is_known_to_be_absent() -> None:
    # voxels: label 0; label 1 (label 0 not asked); all absent; label 0 absent and label 1 unknown; nothing known
    target = torch.tensor([[[1, 0, 0, 0, 0], [0, 1, 0, 0, 1]]], dtype=torch.bool)
    known = torch.tensor([[[1, 0, 1, 1, 0], [1, 1, 1, 0, 0]]], dtype=torch.bool)
    assert class_map(target, known, overlaps=False).tolist() == [[[1, 2, 0, UNKNOWN, UNKNOWN]]]


def test_labels_that_may_overlap_are_maps_of_their_own() -> None:
    target = torch.tensor([[[1, 1, 0]], [[0, 1, 0]]], dtype=torch.bool).transpose(0, 1)
    known = torch.tensor([[[1, 1, 1]], [[1, 1, 0]]], dtype=torch.bool).transpose(0, 1)
    assert class_map(target, known, overlaps=True).tolist() == [[[1, 1, 0]], [[0, 1, UNKNOWN]]]


@pytest.mark.parametrize("overlaps", [False, True])
def test_targets_give_back_what_was_known(overlaps: bool) -> None:
    label = torch.randint(0, 4, (2, 3, 4, 5))
    target = torch.stack([label == k for k in (1, 2, 3)], dim=1)
    known = torch.rand(2, 3, 3, 4, 5) < 0.5 if overlaps else (torch.rand(2, 1, 3, 4, 5) < 0.5).expand(2, 3, 3, 4, 5)
    back, stated = targets(class_map(target, known, overlaps=overlaps), 3, overlaps=overlaps)
    assert torch.equal(stated, known)
    assert torch.equal(back, target & known)


def test_labels_quarrel_where_they_exclude_each_other() -> None:
    # a excludes b, c may overlap both
    excludes = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)
    found = torch.tensor([[[1, 1, 0, 1], [1, 0, 1, 0], [1, 1, 1, 0]]], dtype=torch.bool)
    assert quarrelling(found, excludes).int().tolist() == [[[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]]


# reliability --------------------------------------------------------------------------------------------------------


def test_threshold_0_trusts_nothing_and_1_everything() -> None:
    uncertainty = torch.tensor([0.0, 0.3, 1.0])
    assert reliable(uncertainty, 0.0).tolist() == [False, False, False]
    assert reliable(uncertainty, 0.5).tolist() == [True, True, False]
    assert reliable(uncertainty, 1.0).tolist() == [True, True, True]


def test_variance_of_passes_by_hand() -> None:
    # Passes 0.2 and 0.6: variance 0.04, of at most 0.25. As two classes of a softmax: 0.08, of at most 0.5.
    p = torch.tensor([0.2, 0.6]).view(2, 1, 1, 1)
    assert pass_variance(p, exclusive=False).item() == pytest.approx(0.16)
    assert pass_variance(torch.cat((p, 1 - p), dim=2), exclusive=True).item() == pytest.approx(0.16)


def test_variance_is_1_for_passes_that_are_sure_of_different_things_and_0_for_one_pass() -> None:
    p = torch.eye(3).view(3, 1, 3, 1)
    assert pass_variance(p, exclusive=True).item() == pytest.approx(1)
    assert pass_variance(p[:2, :, :1], exclusive=False).item() == pytest.approx(1)
    assert not pass_variance(p[:1], exclusive=True).any()


def test_entropy_of_passes_that_disagree_is_high_though_each_is_sure() -> None:
    p = torch.tensor([0.01, 0.99]).view(2, 1, 1, 1)
    assert normalised_entropy(p.mean(0), exclusive=False).item() == pytest.approx(1)


# references ---------------------------------------------------------------------------------------------------------


def slow_near_border(classes: Tensor, radius: int) -> Tensor:
    result = torch.zeros_like(classes, dtype=torch.bool)
    size = classes.shape[2:]
    for p, b, *s in (classes != UNKNOWN).nonzero().tolist():
        boxes = [range(max(i - radius, 0), min(i + radius + 1, n)) for i, n in zip(s, size, strict=True)]
        around = {int(classes[(p, b, *t)]) for t in product(*boxes)} - {UNKNOWN}
        result[(p, b, *s)] = len(around) > 1
    return result


@pytest.mark.parametrize("radius", [1, 2])
def test_near_the_border_is_what_a_slow_loop_finds(radius: int) -> None:
    classes = torch.zeros(2, 1, 8, 7, 3, dtype=torch.int16)
    classes[0, 0, 5:, 2:4] = 2
    classes[0, 0, 0, 0, 0] = 1
    classes[0, 0, :, 6] = UNKNOWN
    classes[1] = torch.where(torch.rand(1, 8, 7, 3) < 0.9, UNKNOWN, 1)
    classes[1, 0, 4, 4, 1] = 0
    assert torch.equal(near_border(classes, radius), slow_near_border(classes, radius))


def test_what_is_unknown_makes_no_border() -> None:
    classes = torch.tensor([1, 1, UNKNOWN, UNKNOWN], dtype=torch.int16).view(1, 1, 4, 1, 1)
    assert not near_border(classes).any()


def a_ball() -> tuple[Tensor, Tensor]:
    """Class maps (1, 2, *S) of a ball in an annotated patch beside one that nobody looked at, and what is near."""
    axis = torch.arange(24) - 11.5
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    classes = torch.full((1, 2, 24, 24, 24), UNKNOWN, dtype=torch.int16)
    classes[0, 1] = (x**2 + y**2 + z**2 < 64).short()
    return classes, near_border(classes)


def test_half_of_the_references_lie_near_the_border_and_all_in_their_class() -> None:
    classes, near = a_ball()
    drawn = draw_references(classes, torch.ones_like(near), near, 200, number=3)
    assert drawn.shape == (1, 3, 200)
    for label in (0, 1):
        voxels = drawn[0, label]
        assert (classes.flatten()[voxels] == label).all()
        assert len(set(voxels.tolist())) == 200
        share = (near & (classes == label)).sum() / (classes == label).sum()
        assert near.flatten()[voxels].float().mean() == pytest.approx(0.5 + 0.5 * share.item(), abs=0.12)
    assert (drawn[0, 2] == -1).all()


def test_references_are_where_the_teacher_agrees() -> None:
    classes, near = a_ball()
    agreeing = torch.rand(classes.shape) < 0.05
    drawn = draw_references(classes, agreeing, near, 64, number=2)
    assert (drawn >= 0).any()
    assert agreeing.flatten()[drawn[drawn >= 0]].all()


def test_a_class_with_few_voxels_gives_what_it_has() -> None:
    classes = torch.full((1, 1, 10), UNKNOWN, dtype=torch.int16)
    classes[0, 0, 3:6] = 1
    drawn = draw_references(classes, torch.ones_like(classes, dtype=torch.bool), near_border(classes), 8, number=2)
    assert sorted(drawn[0, 1].tolist()) == [-1] * 5 + [3, 4, 5]


def test_nothing_known_gives_no_reference() -> None:
    classes = torch.full((2, 1, 4), UNKNOWN, dtype=torch.int16)
    nowhere = torch.zeros_like(classes, dtype=torch.bool)
    assert (draw_references(classes, nowhere, nowhere, 4, number=2) == -1).all()


def test_voxels_are_drawn_from_the_mask_so_many_of_each_patch() -> None:
    mask = torch.rand(3, 6, 6) < 0.5
    mask[1] = False
    drawn = draw_voxels(mask, 7)
    assert mask.flatten()[drawn].all()
    assert (drawn // 36).bincount(minlength=3).tolist() == [7, 0, 7]
    assert len(set(draw_voxels(mask, 1000).tolist())) == mask.sum()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_embeddings_are_the_features_at_a_voxel_with_length_1(layout: torch.memory_format) -> None:
    features = torch.randn(2, 4, 3, 5, 2).to(memory_format=layout)
    features[0, :, 0, 0, 0] = 0
    positions = torch.tensor([[0, 7], [30, 59]])
    found = unit_embeddings(features.bfloat16(), positions)
    assert found.shape == (2, 2, 4)
    assert found.dtype == torch.float32
    assert not found[0, 0].any()
    expected = features[1, :, 2, 4, 1]
    assert torch.allclose(found[1, 1], expected / expected.norm(), atol=1e-2)


# the vote -----------------------------------------------------------------------------------------------------------


def orthogonal_classes(
    classes: int = 3, references: int = 20, voxels: int = 300, noise: float = 0.1
) -> tuple[Tensor, Tensor, Tensor]:
    """Features of classes at right angles with noise: voxels (N, F), their classes (N,), references (C, R, F)."""
    centres = torch.eye(classes, 8)
    label = torch.randint(0, classes, (voxels,))
    unit = torch.nn.functional.normalize
    voxel = unit(centres[label] + noise * torch.randn(voxels, 8), dim=1)
    return voxel, label, unit(centres[:, None] + noise * torch.randn(classes, references, 8), dim=2)


def all_of(references: Tensor) -> Tensor:
    return torch.ones(references.shape[:2], dtype=torch.bool)


def test_orthogonal_classes_are_matched_exactly() -> None:
    voxel, label, references = orthogonal_classes()
    assert torch.equal(match(voxel, references, all_of(references)).long(), label)


def slow_match(voxel: Tensor, references: Tensor, there: Tensor, k: int, least: float, margin: float) -> int:
    """The vote as the docstring tells it, for one voxel."""
    taking_part = [c for c in range(len(references)) if there[c].sum() >= k]
    near = [(float(voxel @ references[c, r]), c) for c in taking_part for r in there[c].nonzero()[:, 0].tolist()]
    near.sort(reverse=True)
    votes = {c: [s for s, d in near[:k] if d == c] for c in taking_part}
    winner = max(votes, key=lambda c: sum(votes[c]))
    lead = len(votes[winner]) - max(len(v) for c, v in votes.items() if c != winner)
    return winner if near[0][0] >= least and lead > 0 and lead >= margin * k - 1e-6 else UNKNOWN


@pytest.mark.parametrize(("k", "least", "margin"), [(5, 0.7, 0.6), (5, 0.9, 0.2), (3, 0.0, 1.0), (1, 0.8, 0.6)])
def test_the_vote_is_what_a_slow_loop_counts(k: int, least: float, margin: float) -> None:
    voxel, _, references = orthogonal_classes(voxels=150, noise=0.5)
    voxel, references = voxel.double(), references.double()
    there = torch.rand(references.shape[:2]) < 0.7
    fast = match(voxel, references, there, neighbours=k, similarity=least, margin=margin)
    assert fast.tolist() == [slow_match(v, references, there, k, least, margin) for v in voxel]
    assert UNKNOWN in fast
    assert len(fast.unique()) == 4


def test_the_order_of_the_references_does_not_matter() -> None:
    voxel, _, references = orthogonal_classes(voxels=500, noise=0.5)
    references[1, 3:9] = references[1, 3]  # the same voxel several times
    references[2, :4] = references[1, 3]  # and of two classes
    there = torch.rand(references.shape[:2]) < 0.8
    order = torch.stack([torch.randperm(references.shape[1]) for _ in references])
    shuffled = references.gather(1, order[..., None].expand_as(references))
    assert torch.equal(match(voxel, references, there), match(voxel, shuffled, there.gather(1, order)))


def test_the_order_of_the_classes_does_not_matter() -> None:
    voxel, _, references = orthogonal_classes(voxels=500, noise=0.5)
    swapped = match(voxel, references[[0, 2, 1]], all_of(references))
    assert torch.equal(torch.tensor([0, 2, 1, -1])[swapped.long()], match(voxel, references, all_of(references)).long())


def test_references_that_say_both_with_the_same_right_are_not_followed() -> None:
    references = torch.nn.functional.normalize(torch.ones(2, 6, 4), dim=2)
    assert match(references[0, :1], references, all_of(references), margin=0.0).item() == UNKNOWN


def test_a_voxel_unlike_every_reference_is_not_matched() -> None:
    _, _, references = orthogonal_classes(noise=0.01)
    stranger = torch.zeros(1, 8)
    stranger[0, 7] = 1
    assert match(stranger, references, all_of(references)).item() == UNKNOWN
    assert match(stranger, references, all_of(references), similarity=-1.0, margin=0.0).item() != UNKNOWN


def test_a_divided_vote_is_not_accepted_and_four_of_five_are() -> None:
    def cone(similarity: float) -> list[float]:
        return [similarity, (1 - similarity**2) ** 0.5]

    voxel = torch.tensor([[1.0, 0.0]])
    far = [cone(0.1)] * 4
    three_to_two = torch.tensor([[*map(cone, (0.99, 0.98, 0.97)), *far], [*map(cone, (0.96, 0.95)), *far, cone(0.2)]])
    four_to_one = torch.tensor([[*map(cone, (0.99, 0.98, 0.97, 0.9)), *far], [cone(0.96), *far, *[cone(0.2)] * 3]])
    assert match(voxel, three_to_two, all_of(three_to_two)).item() == UNKNOWN
    assert match(voxel, four_to_one, all_of(four_to_one)).item() == 0


def test_a_class_with_fewer_references_than_neighbours_takes_no_part() -> None:
    voxel, label, references = orthogonal_classes()
    there = all_of(references)
    there[2, 4:] = False
    found = match(voxel, references, there, neighbours=5, similarity=-1.0)
    assert 2 not in found
    assert torch.equal(found[label != 2].long(), label[label != 2])


def test_without_background_nothing_is_matched() -> None:
    """Every unknown voxel would become an organ."""
    voxel, _, references = orthogonal_classes()
    there = all_of(references)
    there[0] = False
    assert (match(voxel, references, there) == UNKNOWN).all()
    only_background = ~all_of(references)
    only_background[0] = True
    assert (match(voxel, references, only_background) == UNKNOWN).all()


def test_a_large_background_does_not_outvote_a_small_organ() -> None:
    """The same number of references of each class, however often it is in the image."""
    classes = torch.zeros(1, 1, 4000, dtype=torch.int16)
    classes[0, 0, :40] = 1
    features = torch.nn.functional.one_hot(classes[0].long(), 2).movedim(-1, 1) + 0.3 * torch.randn(1, 2, 4000)
    drawn = draw_references(classes, torch.ones_like(classes, dtype=torch.bool), near_border(classes), 32, number=2)
    found = match(unit_embeddings(features, torch.arange(40)), unit_embeddings(features, drawn[0]), drawn[0] >= 0)
    assert (found == 1).sum() > 30


def test_an_identical_image_gets_the_labels_of_its_twin() -> None:
    label = torch.randint(0, 3, (1, 8, 8, 8))
    features = torch.nn.functional.one_hot(label, 3).movedim(-1, 1).float() + 0.05 * torch.randn(1, 3, 8, 8, 8)
    classes = label.short()[None]
    drawn = draw_references(classes, torch.ones_like(classes, dtype=torch.bool), near_border(classes), 64, number=3)
    found = match(unit_embeddings(features, torch.arange(512)), unit_embeddings(features, drawn[0]), drawn[0] >= 0)
    assert (found == label.flatten()).float().mean() >= 0.99


def test_pieces_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    voxel, _, references = orthogonal_classes(noise=0.5)
    whole = match(voxel, references, all_of(references))
    monkeypatch.setattr(embedding, "SIMILARITIES", 500)
    assert torch.equal(match(voxel, references, all_of(references)), whole)


def test_autocast_does_not_blur_similarities() -> None:
    voxel, _, references = orthogonal_classes(noise=0.5)
    exact = match(voxel, references, all_of(references))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(match(voxel, references, all_of(references)), exact)


def test_no_voxel_is_an_empty_answer() -> None:
    _, _, references = orthogonal_classes()
    assert match(torch.zeros(0, 8), references, all_of(references)).shape == (0,)
