"""UA-MT: the teacher counts where repeated passes leave little doubt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from test_mean_teacher import FULL, NOTHING, PARTLY, a_batch
from test_methods_contract import NETWORK, SPHERES, PlainStep
from torch import Tensor

from SemiSupSegLib.losses.consistency import activated
from SemiSupSegLib.methods import uamt
from SemiSupSegLib.methods.uamt import UncertaintyAwareMeanTeacher

DROPPING = replace(NETWORK, dropout=0.5)


def made(activation: str = "sigmoid", **options: Any) -> tuple[UncertaintyAwareMeanTeacher, PlainStep]:
    torch.manual_seed(0)
    method = UncertaintyAwareMeanTeacher(options, SPHERES, replace(DROPPING, activation=activation))
    step = PlainStep(method)
    step.progress = 0.5
    return method, step


def say(teacher: Any, logit: float) -> None:
    """Make a teacher answer the same everywhere: a logit for each label."""
    with torch.no_grad():
        teacher.head.weight.zero_()
        teacher.head.bias.fill_(logit)
        if teacher.exclusive:
            teacher.head.bias[0] = 0.0


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("paper", [False, True])
def test_a_teacher_in_doubt_is_not_believed_and_a_sure_one_is(activation: str, paper: bool) -> None:
    method, step = made(activation, paper=paper, passes=2)
    say(step.averages["segmentor"], 0.0)
    assert method.losses(a_batch(NOTHING), step)["consistency"].item() == 0
    assert method.log["believed"] == 0
    say(step.averages["segmentor"], -5.0)
    assert method.losses(a_batch(NOTHING), step)["consistency"].item() > 0
    assert method.log["believed"] == 1


def test_what_is_known_does_not_count_however_sure_the_teacher_is() -> None:
    method, step = made()
    say(step.averages["segmentor"], -5.0)
    assert method.losses(a_batch(FULL), step)["consistency"].item() == 0
    assert method.losses(a_batch(PARTLY), step)["consistency"].item() > 0


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("at_once", [1, 7, 100])
def test_the_mean_is_that_of_the_passes_however_many_are_held_at_a_time(
    activation: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, step = made(activation, passes=5)
    teacher: Any = step.averages["segmentor"]
    monkeypatch.setattr(uamt, "AT_ONCE", at_once)
    with torch.no_grad():
        features = teacher.features(a_batch(NOTHING, NOTHING).image)
        torch.manual_seed(3)
        mean = method.mean_of_passes(teacher, features, channels=2)
        torch.manual_seed(3)
        masks = teacher.dropout_masks(5)
        one_by_one = [
            activated(teacher.monte_carlo(features, 1, masks=m[None])[0], exclusive=activation == "softmax")
            for m in masks
        ]
    assert torch.allclose(mean, torch.stack(one_by_one).mean(dim=0), atol=1e-6)


@pytest.mark.parametrize(("paper", "expected"), [(False, 1), (True, 5)])
def test_the_backbone_of_the_teacher_runs_once_and_in_the_paper_once_a_pass(paper: bool, expected: int) -> None:
    method, step = made(passes=4, paper=paper)
    calls: list[Tensor] = []
    step.averages["segmentor"].backbone.register_forward_hook(lambda *_: calls.append(torch.zeros(())))
    method.losses(a_batch(NOTHING), step)
    assert len(calls) == expected


def test_paper_mode_is_the_published_loss() -> None:
    """Without noise and dropout all passes agree, so that the formula can be written down."""
    torch.manual_seed(0)
    method = UncertaintyAwareMeanTeacher(
        {"paper": True, "noise": 0.0, "weight": 0.1, "ramp": 1.0},
        SPHERES,
        replace(NETWORK, dropout=0.0, activation="softmax"),
    )
    step, batch = PlainStep(method), a_batch(FULL, NOTHING)
    step.progress = 4500 / 6000
    with torch.no_grad():
        p = step.networks["segmentor"](batch.image).logits.softmax(dim=1)[1:]
        q = step.averages["segmentor"](batch.image).logits.softmax(dim=1)[1:]
        entropy = -(q * torch.log(q + 1e-6)).sum(dim=1, keepdim=True)
        largest = torch.log(torch.tensor(3.0))
        threshold = (0.75 + 0.25 * torch.exp(torch.tensor(-5 * 0.25**2))) * largest
        mask = entropy < threshold
        published = 0.1 * torch.exp(torch.tensor(-5 * 0.25**2)) * (mask * (p - q) ** 2).sum() / (3 * mask.sum() + 1e-16)
    assert mask.any()
    assert method.losses(batch, step)["consistency"].item() == pytest.approx(published.item(), rel=1e-3)
