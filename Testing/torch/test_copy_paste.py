"""Copy-paste: the same box swaps in images and in what is said; the teacher speaks where people did not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_mean_teacher import FULL, NOTHING, PARTLY, QUIET, a_batch
from test_methods_contract import SPHERES, PlainStep
from torch import Tensor, nn

from SemiSupSegLib.config import Config, TrainConfig
from SemiSupSegLib.methods.copy_paste import PRETRAINING, CopyPaste

FOUND: Any = SimpleNamespace(train_cases=list)


class Reader(nn.Module):
    """A network that reads the labels off an image without noise, and remembers what it was shown."""

    def __init__(self, answer: float = 30.0) -> None:
        super().__init__()
        self.answer = nn.Parameter(torch.tensor(answer))
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor) -> Any:
        self.seen.append(image)
        there = torch.cat((image.round() == 1, image.round() == 2), dim=1)
        return SimpleNamespace(logits=torch.where(there, self.answer, -self.answer))


def made(progress: float = 0.9, **options: Any) -> tuple[CopyPaste, PlainStep, Reader, Reader]:
    """A method whose student and teacher read well."""
    torch.manual_seed(0)
    method = CopyPaste(options, SPHERES, QUIET)
    step, student, teacher = PlainStep(method), Reader(), Reader()
    step.networks, step.averages = {"segmentor": student}, {"segmentor": teacher}
    step.progress = progress
    return method, step, student, teacher


def clean(*annotated: tuple[bool, bool]) -> Any:
    """A batch whose image shows both labels, whatever people said of them."""
    batch = a_batch(*annotated)
    return replace(batch, image=a_batch(*(FULL,) * len(annotated)).labels.float())


@pytest.mark.parametrize("rows", [(FULL, NOTHING), (NOTHING, FULL), (FULL, PARTLY, NOTHING), (PARTLY, PARTLY)])
def test_images_and_all_that_is_said_are_mixed_alike(rows: tuple) -> None:
    """A reader of mixed images is right about mixed marks only if every voxel kept its own."""
    method, step, student, _ = made()
    batch = clean(*rows)
    shift = range(len(rows))  # so that no two rows show the same
    image = torch.stack([batch.image[n].roll(n, dims=1) for n in shift])
    labels = torch.stack([batch.labels[n].roll(n, dims=1) for n in shift])
    batch = replace(batch, image=image, labels=labels)
    terms = method.losses(batch, step)
    assert not torch.equal(student.seen[0], batch.image)
    assert set(terms) == {"bce", "dice", "teacher_bce", "teacher_dice"}
    assert all(term.item() == pytest.approx(0, abs=1e-5) for term in terms.values())


def test_every_term_teaches_the_student_something() -> None:
    torch.manual_seed(0)
    for activation in ("sigmoid", "softmax"):
        method = CopyPaste({"confidence": 0.5}, SPHERES, replace(QUIET, activation=activation))
        step = PlainStep(method)
        step.progress = 0.9
        with torch.no_grad():
            step.averages["segmentor"].head.bias.fill_(0.0)  # the teacher finds something
        terms = method.losses(a_batch(FULL, NOTHING), step)
        assert len(terms) == 4
        for term in terms.values():
            step.networks["segmentor"].zero_grad()
            term.backward(retain_graph=True)
            assert any(p.grad is not None and p.grad.any() for p in step.networks["segmentor"].parameters())


def test_annotated_and_unannotated_rows_meet_in_every_mixture() -> None:
    method, step, student, _ = made()
    rows = (NOTHING, FULL, NOTHING, FULL)
    batch = clean(*rows)
    batch = replace(batch, image=torch.arange(4.0).view(4, 1, 1, 1, 1).expand_as(batch.image).clone())
    method.losses(batch, step)
    met = [set(row.unique().tolist()) for row in student.seen[0]]
    assert all(len(m) == 2 and len(m & {1.0, 3.0}) == 1 for m in met)


def test_people_are_never_overruled() -> None:
    """A teacher that finds both labels everywhere has no say where anything is known."""
    method, _, _, _ = made()
    batch = clean(PARTLY, FULL)
    human = method.marks(batch)
    pseudo = method.pseudo(torch.ones(2, 2, 8, 8, 8), batch, human)
    assert not (pseudo.weight.bool() & batch.known).any()
    assert torch.equal(pseudo.scored, ~batch.known & batch.valid)
    assert not (human.weight.bool() & pseudo.weight.bool()).any()


def test_voxels_that_a_relabelling_round_added_are_not_the_teachers_either() -> None:
    method, _, _, _ = made()
    batch = clean(NOTHING)
    added = torch.zeros(1, 2, 8, 8, 8, dtype=torch.bool)
    added[0, 1, 0, 0, 0] = True
    batch = replace(batch, pseudo=added)
    method.pseudo_weight = 0.5
    human = method.marks(batch)
    assert human.weight[added].item() == 0.5
    assert human.target[added].item()
    pseudo = method.pseudo(torch.ones(1, 2, 8, 8, 8), batch, human)
    assert torch.equal(pseudo.scored, ~added)


def test_marks_are_those_of_plain_supervision() -> None:
    method, _, _, _ = made()
    batch = a_batch(PARTLY, FULL)
    logits = torch.randn(2, 2, 8, 8, 8)
    nobody = method.mixture(batch, method.marks(batch))._replace(partner=torch.arange(2))
    ours = method.terms(logits, method.marks(batch), nobody)
    assert {k: v.item() for k, v in ours.items()} == {k: v.item() for k, v in method.supervised(logits, batch).items()}


def test_in_the_warm_up_people_alone_teach_and_only_patches_they_marked_are_shown() -> None:
    method, step, student, teacher = made(progress=0.1)
    terms = method.losses(clean(NOTHING, FULL, NOTHING, PARTLY), step)
    assert set(terms) == {"bce", "dice"}
    assert len(student.seen[0]) == 2
    assert teacher.seen == []
    method.losses(clean(NOTHING, NOTHING), step)  # nothing to show is no error
    assert len(student.seen[1]) == 2


def test_the_student_runs_once_and_the_teacher_only_over_rows_with_something_unknown() -> None:
    method, step, student, teacher = made()
    method.losses(clean(FULL, PARTLY, NOTHING), step)
    assert [len(seen) for seen in student.seen] == [3]
    assert [len(seen) for seen in teacher.seen] == [2]
    assert teacher.seen[0].unique().tolist() == [0, 1, 2]  # before mixing
    method.losses(clean(FULL, FULL), step)
    assert len(teacher.seen) == 1


def test_the_teachers_weight_grows_after_the_warm_up() -> None:
    method, _, _, _ = made(warm_up=0.2, ramp=0.2)
    assert method.ramp(0.2) == pytest.approx(0.0067, abs=1e-4)
    assert method.ramp(0.2) < method.ramp(0.3) < method.ramp(0.4) == method.ramp(0.9) == 1
    assert made(warm_up=0.0, ramp=0.0)[0].ramp(0.0) == 1


def test_what_the_teacher_is_less_sure_of_than_asked_does_not_count() -> None:
    method, _, _, _ = made(confidence=0.9)
    batch = clean(NOTHING)
    doubtful = method.pseudo(torch.full((1, 2, 8, 8, 8), 0.8), batch, method.marks(batch))
    assert not doubtful.weight.any()
    assert method.log["taught"] == 0


def test_only_the_largest_part_when_asked() -> None:
    probability = torch.zeros(1, 2, 8, 8, 8)
    probability[0, 0, 0, 0, 0] = probability[0, 0, 4:6] = 1.0
    batch = clean(NOTHING)
    for asked in (False, True):
        method, _, _, _ = made(largest_part=asked)
        target = method.pseudo(probability, batch, method.marks(batch)).target
        assert target[0, 0, 0, 0, 0].item() is not asked
        assert target[0, 0, 4:6].all()


def test_the_paper_keeps_one_mixture_of_each_pair_in_turn() -> None:
    method, step, student, _ = made(paper=True)
    batch = clean(FULL, FULL, NOTHING, NOTHING)
    batch = replace(batch, image=torch.arange(4.0).view(4, 1, 1, 1, 1).expand_as(batch.image).clone())
    method.losses(batch, step)
    (seen,) = student.seen
    outside = [int(row.flatten().mode().values) for row in torch.cat((seen[:, :, :1], seen[:, :, -1:]), dim=2)]
    assert len(seen) == 2
    assert sorted(set(seen[0].unique().tolist()) | set(seen[1].unique().tolist())) == [0, 1, 2, 3]
    assert sum(row < 2 for row in outside) == 1  # one with the annotated patch outside, one with the other


def test_no_dice_when_it_has_no_weight() -> None:
    method, step, _, _ = made(dice_weight=0.0)
    assert set(method.losses(clean(FULL, NOTHING), step)) == {"bce", "teacher_bce"}


def test_one_row_is_its_own_partner() -> None:
    method, step, student, _ = made()
    batch = clean(PARTLY)
    method.losses(batch, step)
    assert torch.equal(student.seen[0], batch.image)


def test_paper_mode_plans_the_papers_recipe() -> None:
    plan = Config(method="copy_paste", options={"paper": True, "ramp": 0.1}, train=TrainConfig(minutes=1))
    config = CopyPaste(plan.options, SPHERES, plan.network).adapt(plan, FOUND)
    assert (config.train.batch_size, config.data.unlabelled) == (8, 0.5)
    assert (config.network.backbone, config.network.activation, config.network.norm) == ("vnet", "softmax", "instance")
    assert config.options == {"paper": True, "warm_up": PRETRAINING, "ramp": 0.1, "largest_part": True}
