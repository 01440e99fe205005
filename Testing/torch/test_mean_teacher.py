"""Mean teacher: agreement with the past where people said nothing, and nowhere else."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_methods_contract import NETWORK, SPHERES, PlainStep
from torch import Tensor

from SemiSupSegLib.config import Config, NetworkConfig, TrainConfig
from SemiSupSegLib.data.batch import Batch
from SemiSupSegLib.methods.mean_teacher import MeanTeacher
from SemiSupSegLib.methods.uamt import UncertaintyAwareMeanTeacher
from SemiSupSegLib.project.labels import LabelSet

SIDE = 8
QUIET = replace(NETWORK, dropout=0.0)
FOUND: Any = SimpleNamespace(train_cases=list)


def a_batch(*annotated: tuple[bool, bool]) -> Batch:
    """Noise, and one row for each pair of flags; the first label fills a corner."""
    draw = torch.Generator().manual_seed(1)
    labels = torch.zeros(len(annotated), 1, SIDE, SIDE, SIDE, dtype=torch.uint8)
    labels[:, :, :3, :3, :3] = 1
    labels[:, :, 5:, 5:, 5:] = 2
    for row, said in enumerate(annotated):
        for k, there in enumerate(said):
            if not there:
                labels[row][labels[row] == k + 1] = 0
    flags = torch.tensor(annotated)
    return Batch(
        image=labels + torch.randn(labels.shape, generator=draw),
        labels=labels,
        annotated=flags,
        everywhere=flags,
        region=None,
        valid=torch.ones_like(labels, dtype=torch.bool),
        pseudo=None,
        label_set=SPHERES,
        case_ids=tuple("abcd"[: len(annotated)]),
    )


FULL, PARTLY, NOTHING = (True, True), (True, False), (False, False)


def made(network: NetworkConfig = QUIET, progress: float = 0.5, **options: Any) -> tuple[MeanTeacher, PlainStep]:
    torch.manual_seed(0)
    method = MeanTeacher(options, SPHERES, network)
    step = PlainStep(method)
    step.progress = progress
    return method, step


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("method", [MeanTeacher, UncertaintyAwareMeanTeacher])
def test_every_term_teaches_the_student_something(activation: str, method: type[MeanTeacher]) -> None:
    made_of = method({}, SPHERES, replace(QUIET, activation=activation))
    step = PlainStep(made_of)
    step.progress = 0.9
    terms = made_of.losses(a_batch(FULL, NOTHING), step)
    assert "consistency" in terms
    for term in terms.values():
        step.networks["segmentor"].zero_grad()
        term.backward(retain_graph=True)
        assert any(p.grad is not None and p.grad.any() for p in step.networks["segmentor"].parameters())
    assert all(p.grad is None for p in step.averages["segmentor"].parameters())


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_where_all_is_known_nobody_is_asked(activation: str) -> None:
    method, step = made(replace(QUIET, activation=activation))
    step.averages = {}  # a call would fail
    assert method.losses(a_batch(FULL, FULL), step)["consistency"].item() == 0


def test_a_student_that_is_its_own_teacher_agrees() -> None:
    method, step = made(noise=0.0)
    step.averages = {"segmentor": step.networks["segmentor"]}
    assert method.losses(a_batch(PARTLY), step)["consistency"].item() == pytest.approx(0, abs=1e-9)


def test_known_voxels_do_not_count() -> None:
    method, step = made(noise=0.0)
    batch = a_batch(PARTLY, FULL)
    with torch.no_grad():
        student = step.networks["segmentor"](batch.image).logits.sigmoid()
        teacher = step.averages["segmentor"](batch.image).logits.sigmoid()
    unknown = ~batch.known
    assert unknown.any()
    assert not unknown[1].any()
    expected = ((student - teacher) ** 2)[unknown].mean() * method.weight(0.5)
    assert method.losses(batch, step)["consistency"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_paper_asks_only_about_cases_without_any_annotation() -> None:
    method, step = made(paper=True)
    assert method.losses(a_batch(PARTLY, FULL), step)["consistency"].item() == 0
    assert method.losses(a_batch(PARTLY, NOTHING), step)["consistency"].item() > 0
    assert method.unknown(a_batch(PARTLY, NOTHING)).flatten(1).all(dim=1).tolist() == [False, True]


def test_voxels_outside_the_image_do_not_count() -> None:
    method, step = made()
    batch = a_batch(NOTHING)
    outside = replace(batch, valid=torch.zeros_like(batch.valid))
    assert method.losses(outside, step)["consistency"].item() == 0


def test_the_weight_is_warmed_up_by_then_and_stays() -> None:
    method, _ = made(weight=2.0, ramp=0.4)
    assert method.weight(0.0) == pytest.approx(2 * math.exp(-5))
    assert method.weight(0.2) == pytest.approx(2 * math.exp(-5 / 4))
    assert method.weight(0.4) == method.weight(0.9) == 2.0
    assert made(ramp=0.0)[0].weight(0.0) == 1.0


def test_the_weight_of_the_paper_rises_in_forty_stairs() -> None:
    method, _ = made(paper=True, weight=0.1, ramp=1.0)
    for iteration in (0, 149, 150, 3000, 5999):
        published = 0.1 * math.exp(-5 * (1 - (iteration // 150) / 40) ** 2)
        assert method.weight(iteration / 6000) == pytest.approx(published, rel=1e-9)
    assert len({method.weight(i / 6000) for i in range(6000)}) == 40


def test_the_noise_is_clipped_at_two_deviations() -> None:
    method, _ = made(noise=0.1)
    added = method.noisy(torch.zeros(1, 1, 32, 32, 32))
    assert added.abs().max().item() == pytest.approx(0.2)
    assert added.std().item() == pytest.approx(0.096, abs=0.002)
    assert torch.equal(made(noise=0.0)[0].noisy(added), added)


@pytest.mark.parametrize("paper", [False, True])
def test_the_teacher_is_stochastic_in_the_paper_only(paper: bool) -> None:
    method, step = made(replace(NETWORK, dropout=0.5), paper=paper, noise=0.0)
    teacher = step.averages["segmentor"]
    image = a_batch(NOTHING).image

    def asked() -> Tensor:
        with torch.no_grad(), method.mode(teacher):
            return method.teach(teacher, image, 0.5)[0]

    assert torch.equal(asked(), asked()) is not paper
    assert not teacher.training


@pytest.mark.parametrize("method", [MeanTeacher, UncertaintyAwareMeanTeacher])
def test_paper_mode_is_the_recipe_of_ua_mt(method: type[MeanTeacher]) -> None:
    plan = Config(method=method.name, options={"paper": True}, train=TrainConfig(minutes=1))
    config = method(plan.options, SPHERES, plan.network).adapt(plan, FOUND)
    network, train = config.network, config.train
    assert (network.backbone, network.norm, network.activation, network.dropout) == ("vnet", "batch", "softmax", 0.5)
    assert network.bottleneck_dropout == 0.5
    assert (train.optimizer, train.learning_rate, train.schedule, train.batch_size) == ("sgd", 0.01, "step", 4)
    assert (config.data.augmentation, config.data.unlabelled) == ("uamt", 0.5)
    assert config.options == {"paper": True, "weight": 0.1, "ramp": 1.0}
    kept = replace(plan, options={"paper": True, "weight": 0.3})
    assert method(kept.options, SPHERES, plan.network).adapt(kept, FOUND).options["weight"] == 0.3


def test_labels_that_may_overlap_keep_their_sigmoids_in_paper_mode() -> None:
    nested = LabelSet.from_names(["liver", "tumour"], overlaps=[("liver", "tumour")])
    plan = Config(method="mean_teacher", options={"paper": True}, train=TrainConfig(minutes=1))
    assert MeanTeacher(plan.options, nested, plan.network).adapt(plan, FOUND).network.activation == "sigmoid"


def test_the_default_draws_half_of_the_batch_from_cases_without_annotation() -> None:
    plan = Config(method="mean_teacher", train=TrainConfig(minutes=1))
    assert MeanTeacher({}, SPHERES, plan.network).adapt(plan, FOUND).data.unlabelled == 0.5
    assert MeanTeacher({"unlabelled": 0.25}, SPHERES, plan.network).adapt(plan, FOUND).data.unlabelled == 0.25
