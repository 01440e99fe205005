"""The method: which voxels get which pseudo-labels, what is logged, and what it remembers over a resume."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from SemiSupSegLib.config import Config, NetworkConfig, TrainConfig
from SemiSupSegLib.data.batch import Batch
from SemiSupSegLib.errors import ConfigError
from SemiSupSegLib.methods.embedding_matching import EmbeddingMatching
from SemiSupSegLib.methods.monte_carlo import consult
from SemiSupSegLib.networks.segmentor import Segmentor
from SemiSupSegLib.project.labels import LabelSet

ORGANS = LabelSet.from_names(["left ball", "right ball"])
OVERLAPPING = LabelSet.from_names(["body", "ball"], overlaps=[("body", "ball")])
NETWORK = NetworkConfig(backbone="dynunet", filters=8, dropout=0.3, strides=((2, 2, 2), (2, 2, 2)))
SIDE = 12


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def a_batch(annotated: list[list[bool]], label_set: LabelSet = ORGANS) -> Batch:
    """Patches with two balls; what is not annotated is not in the labels."""
    axis = torch.linspace(-1, 1, SIDE)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    truth = torch.stack([(x + s) ** 2 + y**2 + z**2 < 0.15 for s in (0.5, -0.5)])
    stated = torch.tensor(annotated)
    shown = truth[None] & stated[..., None, None, None]
    numbers = torch.tensor([place.value for place in label_set.places]).view(1, -1, 1, 1, 1)
    layers = [place.layer for place in label_set.places]
    valued = (shown * numbers).byte()
    labels = torch.stack(
        [sum(valued[:, k] for k, n in enumerate(layers) if n == layer) for layer in range(label_set.n_layers)], dim=1
    )
    image = (truth[0] + 2.0 * truth[1]).expand(len(stated), 1, -1, -1, -1) + 0.1 * torch.randn(len(stated), 1, *x.shape)
    return Batch(
        image=image,
        labels=labels,
        annotated=stated,
        everywhere=stated,
        region=None,
        valid=torch.ones_like(image, dtype=torch.bool),
        pseudo=None,
        label_set=label_set,
        case_ids=tuple(f"case{n}" for n in range(len(stated))),
    )


WHOLE, PART, NONE = [True, True], [True, False], [False, False]


class PlainStep:
    """The loop without devices and ranks; the teacher follows the student."""

    def __init__(self, method: EmbeddingMatching, progress: float = 1.0) -> None:
        self.networks: dict[str, nn.Module] = method.networks()
        self.averages = {"segmentor": method.networks()["segmentor"].eval().requires_grad_(False)}
        self.averages["segmentor"].load_state_dict(self.networks["segmentor"].state_dict())
        self.iteration, self.progress = 0, progress
        self.optimizer = torch.optim.AdamW(self.networks["segmentor"].parameters(), lr=1e-2)

    def optimize(self, network: str, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        pairs = zip(self.averages[network].parameters(), self.networks[network].parameters(), strict=True)
        for average, now in pairs:
            average.lerp_(now.detach(), 0.1)

    def frozen(self, network: str) -> Callable[..., Any]:
        raise NotImplementedError


def a_method(
    options: dict[str, Any] | None = None,
    label_set: LabelSet = ORGANS,
    activation: str = "sigmoid",
    dropout: float = 0.3,
) -> EmbeddingMatching:
    return EmbeddingMatching(options or {}, label_set, replace(NETWORK, activation=activation, dropout=dropout))


def told(method: EmbeddingMatching, batch: Batch, step: PlainStep) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return method.pseudo_labels(step.averages["segmentor"], batch, method.unknown(batch), 1.0)


@cache
def learnt(label_set: LabelSet) -> dict[str, Tensor]:
    """Weights of a network that has just learnt to find both balls where they are annotated."""
    torch.manual_seed(0)
    method = a_method(label_set=label_set)
    step, batch = PlainStep(method, progress=0.0), a_batch([WHOLE], label_set)
    for _ in range(60):
        method.training_step(batch, step)
    return step.networks["segmentor"].state_dict()


def trained(method: EmbeddingMatching, batch: Batch) -> PlainStep:
    """A step after some training, of which the last two went into the bank."""
    step = PlainStep(method)
    for network in (step.networks["segmentor"], step.averages["segmentor"]):
        network.load_state_dict(learnt(method.label_set))
    for _ in range(2):
        told(method, batch, step)
    return step


# thresholds: METHODS 4.3 (iii) --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label_set", "activation"), [(ORGANS, "sigmoid"), (ORGANS, "softmax"), (OVERLAPPING, "sigmoid")]
)
def test_threshold_1_is_the_pseudo_labels_of_a_plain_mean_teacher(label_set: LabelSet, activation: str) -> None:
    method = a_method({"threshold": [1.0, 1.0]}, label_set, activation)
    step, batch = PlainStep(method), a_batch([WHOLE, NONE], label_set)
    teacher = step.averages["segmentor"]
    nn.init.normal_(teacher.head.weight, std=3.0)
    target, weight = told(method, batch, step)
    probability = teacher.probabilities(teacher(batch.image).logits)
    if label_set.overlaps:
        expected = probability > 0.5
    elif activation == "sigmoid":
        expected = (probability == probability.amax(1, keepdim=True)) & (probability > 0.5)
    else:
        background = 1 - probability.sum(1, keepdim=True)
        expected = (probability == probability.amax(1, keepdim=True)) & (probability > background)
    assert 0.01 < expected[1].float().mean() < 0.99
    assert torch.equal(target[1], expected[1])
    assert weight[1].all()
    assert not weight[0].any()
    assert method.log["reliable_coverage"] == 1
    assert method.log["matched_coverage"] == 0


def test_threshold_0_sends_every_voxel_to_the_matching() -> None:
    method = a_method({"threshold": [0.0, 0.0], "voxels": 300, "similarity": -1.0, "margin": 0.0})
    batch = a_batch([WHOLE, NONE])
    step = trained(method, batch)
    _, weight = told(method, batch, step)
    assert method.log["reliable_coverage"] == 0
    assert "reliable_accuracy" not in method.log
    assert weight[1, 0].sum() == pytest.approx(300, abs=30)
    assert method.log["matched_coverage"] > 0.9


def test_the_threshold_rises_along_the_ramp() -> None:
    method = a_method({"warmup": 0.2, "ramp": 0.5})
    batch, found = a_batch([WHOLE, NONE]), []
    for progress in (0.2, 0.45, 0.7, 0.9):
        method.losses(batch, PlainStep(method, progress))
        found.append(method.log["threshold"])
    assert found[0] == pytest.approx(0.5, abs=0.01)
    assert found[0] < found[1] < found[2] == found[3] == 0.75


def test_a_percentile_makes_that_share_of_the_known_voxels_reliable() -> None:
    method = a_method({"percentile": 80.0})
    step, batch = PlainStep(method), a_batch([WHOLE, NONE])
    nn.init.normal_(step.averages["segmentor"].head.weight)
    told(method, batch, step)
    teacher = step.averages["segmentor"]
    torch.manual_seed(0)
    _, uncertainty = consult(teacher, teacher.features(batch.image), 64, overlaps=False)
    below = (uncertainty[0].amax(0) < method.log["threshold"]).float().mean()
    assert below == pytest.approx(0.8, abs=0.15)
    seen = method.sure_below
    told(method, a_batch([NONE, NONE]), step)
    assert method.sure_below == seen == method.log["threshold"]


def test_variance_is_another_uncertainty() -> None:
    features = torch.randn(1, 8, 4, 4, 4)
    teacher = Segmentor(NETWORK, labels=2).eval()
    for variance, passes in ((True, 8), (False, 8)):
        torch.manual_seed(3)
        _, fast = consult(teacher, features, passes, overlaps=False, variance=variance)
        torch.manual_seed(3)
        p = teacher.monte_carlo(features, passes).sigmoid()
        mean = p.mean(0)
        entropy = -(mean * mean.log2() + (1 - mean) * (1 - mean).log2())
        assert torch.allclose(fast, 4 * p.var(0, correction=0) if variance else entropy, atol=1e-5)


def test_without_dropout_passes_vary_by_nothing() -> None:
    teacher = Segmentor(replace(NETWORK, dropout=0.0), labels=2).eval()
    _, uncertainty = consult(teacher, torch.randn(2, 8, 4, 4, 4), 4, overlaps=False, variance=True)
    assert uncertainty.abs().max() < 1e-6


def test_slabs_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, features = Segmentor(NETWORK, labels=2).eval(), torch.randn(2, 8, 4, 5, 3)
    torch.manual_seed(1)
    whole = consult(teacher, features, 4, overlaps=False)
    monkeypatch.setattr("SemiSupSegLib.methods.monte_carlo.SLAB", 200)
    torch.manual_seed(1)
    pieces = consult(teacher, features.to(memory_format=torch.channels_last_3d), 4, overlaps=False)
    assert torch.equal(pieces[0], whole[0])
    assert torch.allclose(pieces[1], whole[1], atol=1e-5)


# matching -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("label_set", "vote"), [(ORGANS, "classes"), (ORGANS, "labels"), (OVERLAPPING, "auto")])
def test_an_unlabelled_twin_gets_the_labels_of_the_labelled_image(label_set: LabelSet, vote: str) -> None:
    """METHODS 4.3 (i), with a network that was trained for a moment."""
    method = a_method({"threshold": [0.0, 0.0], "vote": vote}, label_set)
    batch = a_batch([WHOLE, NONE], label_set)
    batch.image[1] = batch.image[0]
    step = trained(method, batch)
    target, weight = told(method, batch, step)
    truth = batch.target[0]
    assert weight[1].float().mean() > 0.5
    assert (target[1] == truth)[weight[1]].float().mean() >= 0.99
    assert (target[1] & weight[1])[0].any()
    assert (target[1] & weight[1])[1].any()
    assert method.log["matched_accuracy"] > 0.95


def test_without_matching_voxels_the_rest_is_not_taught() -> None:
    method = a_method({"threshold": [0.0, 0.0]})
    _, weight = told(method, a_batch([NONE, NONE]), PlainStep(method))
    assert not weight.any()


def test_what_contradicts_an_annotation_is_not_taught() -> None:
    """The teacher finds the left ball everywhere; where it is annotated and known to be absent, that is wrong."""
    method = a_method({"threshold": [1.0, 1.0]})
    step, batch = PlainStep(method), a_batch([PART])
    with torch.no_grad():
        step.averages["segmentor"].head.bias.copy_(torch.tensor([50.0, -50.0]))
    _, weight = told(method, batch, step)
    assert not weight.any()
    with torch.no_grad():
        step.averages["segmentor"].head.bias.copy_(torch.tensor([-50.0, -50.0]))
    target, weight = told(method, batch, step)
    assert torch.equal(weight[0, 1], ~batch.target[0, 0])
    assert not weight[0, 0].any()
    assert not target.any()


def test_exclusive_labels_that_are_both_found_are_not_taught_by_a_vote_for_each_label() -> None:
    method = a_method({"threshold": [1.0, 1.0], "vote": "labels"})
    step = PlainStep(method)
    with torch.no_grad():
        step.averages["segmentor"].head.bias.fill_(50.0)
    _, weight = told(method, a_batch([NONE]), step)
    assert not weight.any()


def test_overlapping_labels_may_both_be_found() -> None:
    method = a_method({"threshold": [1.0, 1.0]}, OVERLAPPING)
    step = PlainStep(method)
    with torch.no_grad():
        step.averages["segmentor"].head.bias.fill_(50.0)
    target, weight = told(method, a_batch([NONE], OVERLAPPING), step)
    assert (target & weight).all()


def test_overlapping_labels_cannot_be_classes() -> None:
    with pytest.raises(ConfigError, match=r"vote: classes exclude each other, but ball and body may overlap"):
        a_method({"vote": "classes"}, OVERLAPPING)


# where --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"everywhere_unknown": False}, {"paper": True}])
def test_partly_annotated_cases_are_taught_unless_one_says_no(options: dict[str, Any]) -> None:
    batch = a_batch([PART, NONE])
    step = PlainStep(a_method())
    _, everywhere = told(a_method({"threshold": [1.0, 1.0]}), batch, step)
    _, unannotated = told(a_method({"threshold": [1.0, 1.0], **options}), batch, step)
    assert everywhere[0, 1].any()
    assert not unannotated[0].any()
    assert torch.equal(everywhere[1], unannotated[1])


def test_ignored_and_relabelled_voxels_are_left_out() -> None:
    batch = a_batch([NONE])
    batch.valid[..., :3] = False
    pseudo = torch.zeros_like(batch.target)
    pseudo[0, 0, :2] = True
    batch = replace(batch, pseudo=pseudo)
    method = a_method({"threshold": [1.0, 1.0]})
    _, weight = told(method, batch, PlainStep(method))
    expected = (batch.valid & ~pseudo.any(1, keepdim=True)).expand_as(weight)
    assert torch.equal(weight, expected)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("vote", ["classes", "labels"])
@pytest.mark.parametrize("rows", [[WHOLE], [PART], [NONE], [PART, [False, True]], [WHOLE, WHOLE], [NONE, WHOLE, PART]])
def test_any_batch_gives_finite_terms_with_gradients(activation: str, vote: str, rows: list[list[bool]]) -> None:
    method = a_method({"vote": vote}, activation=activation)
    step, batch = PlainStep(method), a_batch(rows)
    for _ in range(2):
        terms = method.losses(batch, step)
        assert {"pseudo_label", "entropy"} <= set(terms)
        for term in terms.values():
            assert torch.isfinite(term)
            assert term.dtype == torch.float32
            assert term.requires_grad


def test_masked_out_logits_have_no_gradient_from_pseudo_labels() -> None:
    """What is known is trained by its annotation alone."""
    method = a_method({"threshold": [1.0, 1.0], "entropy_weight": 0.05})
    step, batch = PlainStep(method), a_batch([PART])
    logits = torch.randn(1, 2, SIDE, SIDE, SIDE, requires_grad=True)
    step.networks["segmentor"] = lambda _: SimpleNamespace(logits=logits)
    terms = method.losses(batch, step)
    (terms["pseudo_label"] + terms["entropy"]).backward()
    assert not logits.grad[batch.known].any()
    assert logits.grad[~batch.known].any()


# schedules ----------------------------------------------------------------------------------------------------------


def test_it_begins_with_the_supervised_terms_alone() -> None:
    method = a_method({"warmup": 0.3})
    batch = a_batch([WHOLE, NONE])
    assert set(method.losses(batch, PlainStep(method, 0.29))) == {"bce", "dice"}
    assert method.bank is None
    assert set(method.losses(batch, PlainStep(method, 0.3))) == {"bce", "dice", "pseudo_label", "entropy"}


def test_weights_scale_their_terms_along_the_ramp() -> None:
    batch = a_batch([WHOLE, NONE])

    def terms(progress: float, **options: Any) -> dict[str, float]:
        torch.manual_seed(0)
        method = a_method({"warmup": 0.0, "ramp": 0.5, "threshold": [1.0, 1.0], **options}, dropout=0.0)
        return {name: float(term.detach()) for name, term in method.losses(batch, PlainStep(method, progress)).items()}

    full = terms(0.5)
    assert terms(0.0)["pseudo_label"] == pytest.approx(full["pseudo_label"] * 0.00674, rel=1e-2)
    assert terms(0.9) == pytest.approx(full)
    assert terms(0.5, pseudo_label_weight=0.5)["pseudo_label"] == pytest.approx(full["pseudo_label"] / 2)
    assert terms(0.5, entropy_weight=0.1)["entropy"] == pytest.approx(full["entropy"] * 2)


# log, state, plan ---------------------------------------------------------------------------------------------------


def test_coverage_and_accuracy_are_logged_as_shares() -> None:
    method = a_method({"threshold": [0.3, 0.3]})
    batch = a_batch([WHOLE, NONE])
    step = trained(method, batch)
    told(method, batch, step)
    names = {"reliable_coverage", "matched_coverage", "reliable_accuracy", "matched_accuracy"}
    assert names - {"matched_accuracy"} <= set(method.log)
    assert all(0 <= method.log[name] <= 1 for name in names & set(method.log))
    assert method.log["reliable_coverage"] + method.log["matched_coverage"] <= 1


def test_accuracy_by_hand() -> None:
    method = a_method({"threshold": [1.0, 1.0]})
    step, batch = PlainStep(method), a_batch([WHOLE])
    with torch.no_grad():
        step.averages["segmentor"].head.bias.fill_(-50.0)
    told(method, batch, step)
    assert method.log["reliable_accuracy"] == pytest.approx(1 - batch.target.any(1).float().mean().item(), abs=1e-6)
    assert "reliable_coverage" not in method.log  # nothing is unknown


def test_it_goes_on_from_its_state_as_if_nothing_had_happened() -> None:
    options = {"percentile": 50.0, "threshold": [0.0, 0.0]}
    method, batch = a_method(options), a_batch([WHOLE, NONE])
    step = trained(method, batch)
    other = a_method(options)
    other.restore(method.state())
    results = []
    for one in (method, other):
        torch.manual_seed(9)
        results.append((*told(one, batch, step), *one.state().values()))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert set(method.state()) == set(other.state())


def test_a_method_that_saw_nothing_has_an_empty_state() -> None:
    method = a_method()
    assert method.state() == {}
    method.restore({})
    assert method.bank is None


def a_project(*states: list[bool]) -> Any:
    """As much of a project as the method looks at."""

    def case(annotated: list[bool]) -> Any:
        found = dict(zip(ORGANS.names, annotated, strict=True))
        return SimpleNamespace(annotation=lambda name: SimpleNamespace(annotated=found[name]))

    return SimpleNamespace(train_cases=lambda: [case(s) for s in states])


def test_labels_vote_alone_where_no_case_has_all_of_them_annotated() -> None:
    config = Config(method="embedding_matching", train=TrainConfig(iterations=1))
    method = a_method()
    assert method.adapt(config, a_project(WHOLE, NONE)).options == {}
    partial = method.adapt(config, a_project(PART, [False, True]))
    assert partial.options == {"vote": "labels"}
    assert a_method(partial.options).problems == 2
    assert a_method({"vote": "classes"}).adapt(config, a_project(PART)).options == {}
    assert partial.data.unlabelled == 0.5
    assert a_method({"unlabelled": 0.25}).adapt(config, a_project(WHOLE)).data.unlabelled == 0.25


def test_paper_mode_takes_the_recipe_of_its_comparators() -> None:
    config = Config(method="embedding_matching", options={"paper": True}, train=TrainConfig(iterations=1))
    adapted = a_method({"paper": True}).adapt(config, a_project(WHOLE, NONE))
    assert adapted.network.backbone == "vnet"
    assert adapted.network.activation == "softmax"
    assert adapted.data.unlabelled == 0.5


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"warmup": 1.5}, "warmup: 1.5 is not between 0 and 1"),
        ({"threshold": [0.5, 2.0]}, "threshold: 2.0 is not between 0 and 1"),
        ({"percentile": 120.0}, "percentile: 120.0 is not between 0 and 100"),
        ({"passes": 0}, "passes: 0 is not at least 1"),
        ({"references": 8}, "references: 8 for 16 batches"),
    ],
)
def test_a_wrong_option_is_refused_in_a_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        a_method(options)


def test_the_bank_holds_as_many_references_as_asked_for() -> None:
    method = a_method({"references": 40, "batches": 4})
    told(method, a_batch([WHOLE, NONE]), PlainStep(method))
    assert method.bank is not None
    assert method.bank.there.shape == (1, 3, 4, 10)
    assert method.bank.there.sum(dim=(2, 3)).amax() == 10


def test_many_neighbours_need_many_references() -> None:
    """A class with fewer references than neighbours takes no part."""
    method = a_method({"threshold": [0.0, 0.0], "neighbours": 200, "similarity": -1.0, "margin": 0.0})
    _, weight = told(method, a_batch([WHOLE, NONE]), PlainStep(method))
    assert not weight.any()


@pytest.mark.slow
def test_a_step_with_matching_costs_less_than_two_plain_ones() -> None:
    method = a_method({"threshold": [0.0, 0.0]})
    method.network_config = NetworkConfig(backbone="vnet", filters=16, dropout=0.5)
    step, size = PlainStep(method), (64, 64, 48)
    known = torch.tensor([WHOLE, NONE])
    labels = torch.randint(0, 3, (2, 1, *size), dtype=torch.uint8) * known[:, :1, None, None, None]
    batch = replace(
        a_batch([WHOLE, NONE]), image=torch.randn(2, 1, *size), labels=labels, valid=torch.ones(2, 1, *size).bool()
    )

    def seconds(progress: float) -> float:
        step.progress = progress
        start = time.perf_counter()
        method.training_step(batch, step)
        return time.perf_counter() - start

    seconds(1.0)
    pairs = [(seconds(0.0), seconds(1.0)) for _ in range(3)]
    assert min(b / a for a, b in pairs) < 2
