"""The losses that score only what is known: six kinds of tests each, and what makes SMILE SMILE."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from SemiSupSegLib.config import NetworkConfig
from SemiSupSegLib.data.batch import Batch
from SemiSupSegLib.losses.masked import added_positives, marginal_cross_entropy, masked_bce, masked_dice
from SemiSupSegLib.methods.naive import Naive
from SemiSupSegLib.methods.smile import Smile
from SemiSupSegLib.project.labels import LabelSet

K, SIZE = 3, (3, 2, 2)


def dice_of_logits(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    return masked_dice(logits.sigmoid(), target, known)


LOSSES: dict[str, tuple[Callable[[Tensor, Tensor, Tensor], Tensor], int]] = {
    "bce": (masked_bce, K),
    "dice": (dice_of_logits, K),
    "marginal": (marginal_cross_entropy, K + 1),
}


@pytest.fixture(params=LOSSES)
def a_loss(request: pytest.FixtureRequest) -> tuple[Callable[[Tensor, Tensor, Tensor], Tensor], int]:
    return LOSSES[request.param]


def some_patches(channels: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (2, channels, *S), exclusive targets (2, K, *S) and what is known of them."""
    draw = torch.Generator().manual_seed(7)
    logits = torch.randn(2, channels, *SIZE, generator=draw, dtype=dtype)
    label = torch.randint(0, K + 1, (2, *SIZE), generator=draw)
    target = torch.stack([label == k + 1 for k in range(K)], dim=1)
    known = torch.rand(2, K, *SIZE, generator=draw) < 0.6
    return logits, target, known


# 1. by hand ---------------------------------------------------------------------------------------------------------


def test_bce_by_hand() -> None:
    # Label 0: logits 0 and ln 3 are known, targets 1 and 0: ln 2 and -ln(1 - 3/4) = ln 4. Label 1: one voxel,
    # p = 3/4, target 1.
    logits = torch.tensor([[[0.0, math.log(3), 50.0], [math.log(3), 1.0, 2.0]]])
    target = torch.tensor([[[True, False, False], [True, False, False]]])
    known = torch.tensor([[[True, True, False], [True, False, False]]])
    expected = ((math.log(2) + math.log(4)) / 2 + math.log(4 / 3)) / 2
    assert masked_bce(logits, target, known).item() == pytest.approx(expected, rel=1e-6)


def test_bce_weighs_voxels_by_hand() -> None:
    logits = torch.tensor([[[0.0, math.log(3)]]])
    target = torch.tensor([[[True, False]]])
    loss = masked_bce(logits, target, torch.tensor([[[1.0, 0.5]]]))
    assert loss.item() == pytest.approx((math.log(2) + 0.5 * math.log(4)) / 1.5, rel=1e-6)


def test_dice_by_hand() -> None:
    # Known: p = 1, 1/2 with targets 1, 0; the third voxel is not. 1 - 2 * 1 / (1.5 + 1) = 0.2. Label 1 has no positive.
    probability = torch.tensor([[[1.0, 0.5, 1.0], [0.5, 0.5, 0.5]]])
    target = torch.tensor([[[True, False, False], [False, False, True]]])
    known = torch.tensor([[[True, True, False], [True, True, False]]])
    assert masked_dice(probability, target, known).item() == pytest.approx(0.2, rel=1e-6)


def test_dice_of_a_perfect_prediction_is_0() -> None:
    target = torch.tensor([[[True, False, True, False]]])
    assert masked_dice(target.float(), target, torch.ones_like(target)).item() == pytest.approx(0, abs=1e-7)


def test_marginal_by_hand() -> None:
    # p = 1/2, 1/4, 1/4. Voxel 0: label 1 is there: -ln 1/4. Voxel 1: only known that label 0 is not there: -ln 3/4.
    logits = torch.log(torch.tensor([0.5, 0.25, 0.25])).view(1, 3, 1).expand(1, 3, 3)
    target = torch.tensor([[[False, False, True], [True, False, True]]])
    known = torch.tensor([[[False, True, False], [True, False, False]]])
    expected = (math.log(4) + math.log(4 / 3)) / 2
    assert marginal_cross_entropy(logits, target, known).item() == pytest.approx(expected, rel=1e-6)


def test_marginal_is_the_cross_entropy_when_all_is_known() -> None:
    logits, target, known = some_patches(K + 1)
    label = (target * torch.arange(1, K + 1).view(1, K, 1, 1, 1)).sum(1)
    expected = torch.nn.functional.cross_entropy(logits, label)
    assert torch.allclose(marginal_cross_entropy(logits, target, torch.ones_like(known)), expected)


# 2. nothing known ---------------------------------------------------------------------------------------------------


def test_nothing_known_gives_0_and_a_finite_zero_gradient(a_loss: tuple) -> None:
    loss, channels = a_loss
    logits, target, known = some_patches(channels)
    logits[0, 0, 0, 0, 0] = 1e30  # must not become inf * 0
    logits.requires_grad_()
    value = loss(logits, target, torch.zeros_like(known))
    value.backward()
    assert value.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


# 3. logits outside known --------------------------------------------------------------------------------------------


def test_logits_outside_known_change_nothing(a_loss: tuple) -> None:
    loss, channels = a_loss
    logits, target, known = some_patches(channels)
    # For exclusive labels the channels of a voxel belong together: whole voxels are unknown.
    unknown = ~known if channels == K else (~known.any(1, keepdim=True)).expand_as(logits)
    assert unknown.any()
    assert torch.equal(loss(logits, target, known), loss(torch.where(unknown, 1e4, logits), target, known))


# 4. gradient --------------------------------------------------------------------------------------------------------


def test_gradient_is_the_derivative(a_loss: tuple) -> None:
    loss, channels = a_loss
    logits, target, known = some_patches(channels)
    assert torch.autograd.gradcheck(lambda x: loss(x, target, known), (logits.requires_grad_(),))


# 5. wrong shape -----------------------------------------------------------------------------------------------------


def test_a_wrong_shape_is_refused_with_both_shapes(a_loss: tuple) -> None:
    loss, channels = a_loss
    logits, target, known = some_patches(channels)
    with pytest.raises(ValueError, match=r"shapes must agree: .*\(2, 3, 3, 2, 1\)"):
        loss(logits, target, known[..., :1])
    with pytest.raises(ValueError, match="shapes must agree"):
        loss(logits[:, :, :1], target, known)


# 6. slow loops ------------------------------------------------------------------------------------------------------


def voxels(x: Tensor) -> list[tuple[int, ...]]:
    return list(product(range(x.shape[0]), *(range(n) for n in x.shape[2:])))


def slow_bce(logits: Tensor, target: Tensor, weight: Tensor) -> float:
    terms = []
    for k in range(K):
        total = count = 0.0
        for b, *s in voxels(logits):
            p = 1 / (1 + math.exp(-logits[(b, k, *s)].item()))
            w = float(weight[(b, k, *s)])
            total -= w * math.log(p if target[(b, k, *s)] else 1 - p)
            count += w
        if count:
            terms.append(total / count)
    return sum(terms) / len(terms)


def slow_dice(logits: Tensor, target: Tensor, known: Tensor) -> float:
    terms = []
    for k in range(K):
        overlap = total = positives = 0.0
        for b, *s in voxels(logits):
            if known[(b, k, *s)]:
                p, y = 1 / (1 + math.exp(-logits[(b, k, *s)].item())), float(target[(b, k, *s)])
                overlap, total, positives = overlap + p * y, total + p + y, positives + y
        if positives:
            terms.append(1 - 2 * overlap / total)
    return sum(terms) / len(terms)


def slow_marginal(logits: Tensor, target: Tensor, known: Tensor) -> float:
    terms = []
    for b, *s in voxels(logits):
        z = [math.exp(logits[(b, c, *s)].item()) for c in range(K + 1)]
        here = [k for k in range(K) if known[(b, k, *s)] and target[(b, k, *s)]]
        gone = [k for k in range(K) if known[(b, k, *s)]]
        if gone:
            possible = [k + 1 for k in here] or [0, *(k + 1 for k in range(K) if k not in gone)]
            terms.append(-math.log(sum(z[c] for c in possible) / sum(z)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("name", LOSSES)
def test_agrees_with_a_slow_loop(name: str) -> None:
    loss, channels = LOSSES[name]
    logits, target, known = some_patches(channels)
    slow = {"bce": slow_bce, "dice": slow_dice, "marginal": slow_marginal}[name]
    assert loss(logits, target, known).item() == pytest.approx(slow(logits, target, known), rel=1e-9)


# further ------------------------------------------------------------------------------------------------------------


def test_bfloat16_is_computed_in_float32(a_loss: tuple) -> None:
    loss, channels = a_loss
    logits, target, known = some_patches(channels, torch.float32)
    low = logits.bfloat16()
    value = loss(low, target, known)
    assert value.dtype == torch.float32
    expected = loss(low.float(), target, known)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6 if loss is not dice_of_logits else 1e-2)


def test_a_label_that_is_known_in_few_voxels_counts_as_much_as_one_known_everywhere() -> None:
    logits = torch.zeros(1, 2, 100)
    target = torch.zeros(1, 2, 100, dtype=torch.bool)
    known = torch.ones_like(target)
    known[:, 1, 1:] = False
    logits[:, 1] = 3.0
    expected = (math.log(2) + math.log(1 + math.exp(3))) / 2
    assert masked_bce(logits, target, known).item() == pytest.approx(expected, rel=1e-5)


# SMILE --------------------------------------------------------------------------------------------------------------


def a_batch(labels: Tensor, annotated: Tensor, label_set: LabelSet, everywhere: Tensor | None = None) -> Batch:
    size = labels.shape[2:]
    return Batch(
        image=torch.zeros(len(labels), 1, *size),
        labels=labels,
        annotated=annotated,
        everywhere=annotated if everywhere is None else everywhere,
        region=None,
        valid=torch.ones(len(labels), 1, *size, dtype=torch.bool),
        pseudo=None,
        label_set=label_set,
        case_ids=tuple(f"case{n}" for n in range(len(labels))),
    )


ORGANS = LabelSet.from_names(["liver", "spleen", "kidney"])


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_g31_unknown_organ_gives_zero_gradient(activation: str) -> None:
    """The kidney is in the image, and nobody annotated it: nothing of it may train the network."""
    labels = torch.zeros(1, 1, 2, 2, 2, dtype=torch.uint8)
    labels[0, 0, 0] = 1  # half of the patch is liver, which is annotated; the spleen is annotated and absent here
    batch = a_batch(labels, torch.tensor([[True, True, False]]), ORGANS)
    method = Smile({}, ORGANS, NetworkConfig(activation=activation))
    logits = torch.randn(1, 3 + (activation == "softmax"), 2, 2, 2, requires_grad=True)
    sum(method.supervised(logits, batch).values()).backward()
    kidney, outside_liver = logits.grad[0, -1], labels[0, 0] == 0
    if activation == "sigmoid":
        assert torch.equal(kidney[outside_liver], torch.zeros(4))
        assert (kidney[~outside_liver] > 0).all()  # where the liver is, the kidney is known not to be
    else:  # exclusive: background and kidney are one until somebody says which; only their sum is trained
        p = logits.detach().softmax(1)[0][:, outside_liver]
        ratio = logits.grad[0][:, outside_liver] / p
        assert torch.allclose(ratio[0], ratio[3], atol=1e-6)
    naive = Naive({}, ORGANS, NetworkConfig(activation=activation))
    logits.grad = None
    sum(naive.supervised(logits, batch).values()).backward()
    assert (logits.grad[0, -1] > 0).all()  # the baseline learns that there is no kidney, which is why it fails


@pytest.mark.parametrize("method", [Smile, Naive])
def test_a_batch_with_nothing_annotated_gives_finite_terms(method: type[Smile | Naive]) -> None:
    labels = torch.zeros(2, 1, 2, 2, 2, dtype=torch.uint8)
    batch = a_batch(labels, torch.zeros(2, 3, dtype=torch.bool), ORGANS)
    logits = torch.randn(2, 3, 2, 2, 2, requires_grad=True)
    total = sum(method({}, ORGANS, NetworkConfig()).supervised(logits, batch).values())
    total.backward()
    assert torch.isfinite(logits.grad).all()
    if method is Smile:
        assert total.item() == 0
        assert not logits.grad.any()


def test_dice_leaves_out_what_is_known_only_because_another_label_is_there() -> None:
    labels = torch.zeros(1, 1, 2, 2, 2, dtype=torch.uint8)
    labels[0, 0, 0] = 1
    batch = a_batch(labels, torch.tensor([[True, False, False]]), ORGANS)
    logits = torch.randn(1, 3, 2, 2, 2, requires_grad=True)
    Smile({}, ORGANS, NetworkConfig()).supervised(logits, batch)["dice"].backward()
    assert logits.grad[0, 0].any()
    assert not logits.grad[0, 1:].any()


def test_relabelled_voxels_count_with_their_weight_and_are_never_known() -> None:
    labels = torch.zeros(1, 1, 2, 2, 2, dtype=torch.uint8)
    batch = a_batch(labels, torch.zeros(1, 3, dtype=torch.bool), ORGANS)
    pseudo = torch.zeros(1, 3, 2, 2, 2, dtype=torch.bool)
    pseudo[0, 1, 0, 0, 0] = True
    batch = Batch(**{**{f: getattr(batch, f) for f in batch.__dataclass_fields__}, "pseudo": pseudo})
    method = Smile({"dice_weight": 0.0}, ORGANS, NetworkConfig())
    logits = torch.zeros(1, 3, 2, 2, 2, requires_grad=True)
    terms = method.supervised(logits, batch)
    assert terms["bce"] == 0
    terms["added"].backward()
    assert logits.grad[pseudo].item() < 0
    assert not logits.grad[~pseudo].any()
    assert not batch.known.any()
    method.pseudo_weight = 0.0
    assert method.supervised(logits, batch)["added"].item() == 0


def test_dice_weight_0_is_smile_as_published() -> None:
    labels = torch.ones(1, 1, 2, 2, 2, dtype=torch.uint8)
    batch = a_batch(labels, torch.ones(1, 3, dtype=torch.bool), ORGANS)
    terms = Smile({"dice_weight": 0.0}, ORGANS, NetworkConfig()).supervised(torch.zeros(1, 3, 2, 2, 2), batch)
    assert set(terms) == {"bce"}


def test_used_labels_are_the_fractions_of_the_paper() -> None:
    """METHODS 5.1: true positives (1-a) b, no wrong label, true negatives (1-a)(1-b) + a (1-a) sum of the others' b."""
    alpha, beta, cases, side = 0.7, (0.05, 0.02, 0.03), 4000, 10
    draw = torch.Generator().manual_seed(3)
    labels = torch.zeros(side**3, dtype=torch.uint8)
    start = 0
    for k, share in enumerate(beta):
        count = round(share * side**3)
        labels[start : start + count] = k + 1
        start += count
    label_set = LabelSet.from_names("abc")
    annotated = torch.rand(cases, 3, generator=draw) >= alpha
    truth = labels.view(1, 1, side, side, side)
    expected_target = torch.stack([truth[0, 0] == k + 1 for k in range(3)])
    positive, negative = torch.zeros(3), torch.zeros(3)
    for rows in annotated.split(500):
        stated = torch.cat((torch.ones(len(rows), 1, dtype=torch.bool), rows), 1)[:, labels.long()]
        kept = torch.where(stated, labels, 0)
        batch = a_batch(kept.view(len(rows), 1, side, side, side), rows, label_set)
        assert not (batch.known & (batch.target != expected_target)).any()  # no false negative, no false positive
        positive += (batch.known & batch.target).sum(dim=(0, 2, 3, 4))
        negative += (batch.known & ~batch.target).sum(dim=(0, 2, 3, 4))
    voxel_count = cases * side**3
    for k, share in enumerate(beta):
        epsilon = alpha * (1 - alpha) * (sum(beta) - share)
        assert positive[k].item() / voxel_count == pytest.approx((1 - alpha) * share, rel=0.1)
        assert negative[k].item() / voxel_count == pytest.approx((1 - alpha) * (1 - share) + epsilon, rel=0.05)
    # For the first organ alone: what rule 2 adds where the organ is not annotated.
    unannotated = ~annotated[:, 0]
    by_rule_2 = (unannotated[:, None] & annotated[:, 1:]).float().mean(0) @ torch.tensor(beta[1:])
    assert by_rule_2.item() == pytest.approx(alpha * (1 - alpha) * (beta[1] + beta[2]), rel=0.1)


def test_an_added_positive_counts_as_one_voxel_of_its_patch() -> None:
    log_probability = torch.full((1, 2, 2, 2, 2), 0.25).log()
    added = torch.zeros(1, 2, 2, 2, 2, dtype=torch.bool)
    added[0, 1, 0, 0] = True  # two of eight voxels, of the second label alone
    valid = torch.ones(1, 1, 2, 2, 2, dtype=torch.bool)
    assert added_positives(log_probability, added, valid) == pytest.approx(2 * math.log(4) / 8)
    valid[0, 0, 1] = False
    assert added_positives(log_probability, added, valid) == pytest.approx(2 * math.log(4) / 4)
    valid[0, 0, 0, 0, 0] = False  # one of the two is outside the image
    assert added_positives(log_probability, added, valid) == pytest.approx(math.log(4) / 3)


def test_nothing_added_is_0_with_gradient_0() -> None:
    logits = torch.randn(2, 3, 4, 4, 4, requires_grad=True)
    nothing, everywhere = torch.zeros(2, 3, 4, 4, 4, dtype=torch.bool), torch.ones(2, 1, 4, 4, 4, dtype=torch.bool)
    loss = added_positives(logits.log_softmax(1), nothing, everywhere)
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_an_added_positive_with_probability_0_elsewhere_does_not_spoil_the_sum() -> None:
    log_probability = torch.zeros(1, 1, 2, 1, 1)
    log_probability[0, 0, 1] = -math.inf
    added = torch.tensor([True, False]).view(1, 1, 2, 1, 1)
    assert added_positives(log_probability, added, added | True) == 0


def test_the_gradient_of_added_positives_is_the_derivative() -> None:
    logits = torch.randn(2, 2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    added, valid = torch.rand(2, 2, 3, 2, 2) < 0.3, torch.rand(2, 1, 3, 2, 2) < 0.9
    assert torch.autograd.gradcheck(lambda z: added_positives(F.logsigmoid(z), added, valid), (logits,))


def test_added_positives_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes must agree"):
        added_positives(torch.zeros(1, 2, 2, 2, 2), torch.zeros(1, 1, 2, 2, 2) > 0, torch.zeros(1, 1, 2, 2, 2) > 0)
