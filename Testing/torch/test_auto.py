"""The default method: what it is made of, when each part speaks, and that a fully annotated project pays nothing."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_mean_teacher import FULL, NOTHING, PARTLY, QUIET, a_batch
from test_methods_contract import SPHERES, PlainStep

from SemiSupSegLib.config import Config, TrainConfig
from SemiSupSegLib.data.batch import Batch
from SemiSupSegLib.methods.auto import Auto
from SemiSupSegLib.methods.copy_paste import CopyPaste
from SemiSupSegLib.methods.smile import Smile
from SemiSupSegLib.project.annotation import Annotation, State

LATE = 10_000
"""A step after every warm-up."""


def made(progress: float = 0.9, activation: str = "sigmoid", **options: Any) -> tuple[Auto, PlainStep]:
    torch.manual_seed(0)
    method = Auto(options, SPHERES, replace(QUIET, activation=activation))
    step = PlainStep(method)
    step.progress, step.iteration = progress, LATE
    method.dice_loss = 0.0  # it knows all that people said
    return method, step


def calls_of(network: Any) -> list[int]:
    """Filled with the number of rows of each call."""
    rows: list[int] = []
    network.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    return rows


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("progress", [0.0, 0.9])
def test_where_all_is_known_it_is_plain_supervision(progress: float, activation: str) -> None:
    method, step = made(progress, activation, mixing=1.0)
    step.averages = {}  # nobody is asked
    batch = a_batch(FULL, FULL)
    plain = Smile({}, SPHERES, method.network_config)
    plain_step = PlainStep(plain)
    plain_step.networks["segmentor"].load_state_dict(step.networks["segmentor"].state_dict())
    ours, theirs = method.losses(batch, step), plain.losses(batch, plain_step)
    assert {name: ours[name].item() for name in theirs} == {name: term.item() for name, term in theirs.items()}
    assert all(ours[name].item() == 0 for name in set(ours) - set(theirs))


@pytest.mark.parametrize("rows", [(PARTLY, FULL), (PARTLY, PARTLY), (PARTLY,), (FULL, NOTHING)])
def test_in_the_warm_up_it_is_smile(rows: tuple) -> None:
    method, step = made(0.1, mixing=1.0)
    step.averages = {}
    batch = a_batch(*rows)
    logits = step.networks["segmentor"](batch.image).logits
    expected = method.supervised(logits, batch)
    assert {k: v.item() for k, v in method.losses(batch, step).items()} == pytest.approx(
        {k: v.item() for k, v in expected.items()}, rel=1e-5
    )


def test_people_alone_teach_in_the_first_steps_too_and_then_the_teacher_gets_its_weight_step_by_step() -> None:
    batch, weights = a_batch(FULL, NOTHING), []
    for iteration in (249, 250, 325, 400, LATE):
        method, step = made()
        with torch.no_grad():
            step.averages["segmentor"].head.bias.fill_(0.0)  # the teacher finds something
        step.iteration = iteration
        weights.append(method.losses(batch, step).get("teacher_bce", torch.tensor(-1.0)).item())
        assert method.wants_unlabelled(0.9, iteration) == (iteration >= 250)
    assert weights[0] == -1
    assert 0 < weights[1] < weights[2] < weights[3]
    assert not made()[0].wants_unlabelled(0.1, LATE)


def test_no_teacher_is_asked_before_what_people_drew_is_found_by_half() -> None:
    method, step = made()
    method.dice_loss = 1.0
    batch = a_batch(FULL, NOTHING)
    with torch.no_grad():
        step.networks["segmentor"].head.bias.fill_(-20.0)  # nothing is found
    for _ in range(100):
        assert "teacher_bce" not in method.losses(batch, step)
    segmentor = step.networks["segmentor"]
    logits = torch.where(batch.target, 7.0, -7.0)[:1]
    segmentor.register_forward_hook(lambda *_: SimpleNamespace(logits=logits, features=None, sdm=None))
    asked = []
    for _ in range(50):  # everything is found
        method.losses(batch, step)
        asked.append(method.wants_unlabelled(0.9, LATE))
        if asked[-1]:
            break
    assert 30 < len(asked) < 40  # 0.98 ** 35 = 0.5
    assert asked[-1]


def test_how_well_people_are_followed_survives_a_stop() -> None:
    method, again = made()[0], made()[0]
    method.dice_loss, again.dice_loss = 0.3, 1.0
    again.restore(method.state())
    assert again.dice_loss == pytest.approx(0.3)


@pytest.mark.parametrize("options", [{"teaches_below": 1.0}, {"dice_weight": 0.0}])
def test_the_teacher_can_be_asked_whatever_it_knows(options: dict[str, float]) -> None:
    method, _ = made(**options)
    method.dice_loss = 1.0
    assert method.wants_unlabelled(0.9, LATE)


def test_in_the_warm_up_patches_without_a_mark_cost_nothing() -> None:
    method, step = made(0.1)
    rows = calls_of(step.networks["segmentor"])
    method.losses(a_batch(FULL, NOTHING), step)
    assert rows == [1]


def test_a_step_is_one_pass_of_the_student_over_the_batch_and_one_of_the_teacher_over_what_has_unknowns() -> None:
    method, step = made(mixing=1.0)
    student, teacher = calls_of(step.networks["segmentor"]), calls_of(step.averages["segmentor"])
    method.losses(a_batch(FULL, PARTLY, NOTHING), step)
    assert student == [3]
    assert teacher == [2]


@pytest.mark.parametrize("mixing", [0.0, 1.0])
@pytest.mark.parametrize("rows", [(FULL, FULL, NOTHING), (FULL, PARTLY, FULL, FULL)])
def test_patches_of_which_all_is_known_change_nothing_in_what_the_teacher_says(rows: tuple, mixing: float) -> None:
    """The same terms as if the whole batch had gone through them."""
    method, step = made(0.9, mixing=mixing)
    with torch.no_grad():
        step.averages["segmentor"].head.bias.fill_(0.0)  # the teacher finds something
    batch = a_batch(*rows)
    human = method.marks(batch)
    mixture = method.mixture(batch, human, taught=True)
    logits = step.networks["segmentor"](mixture(batch.image)).logits
    probability, ramp = method.teacher(batch, human, step), method.ramp_at(step)
    expected = method.taught(logits, method.pseudo(probability, batch, human), mixture, ramp)
    expected |= method.consistency(logits, probability, batch, human, mixture, ramp)
    found = method.teachers_terms(logits, batch, human, mixture, step)
    assert {name: term.item() for name, term in found.items()} == pytest.approx(
        {name: term.item() for name, term in expected.items()}, rel=1e-5
    )
    assert all(term.item() > 0 for term in found.values())


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("rows", [(FULL, NOTHING), (PARTLY, PARTLY), (PARTLY,)])
def test_every_term_teaches_the_student_something(rows: tuple, activation: str) -> None:
    method, step = made(0.9, activation)
    with torch.no_grad():
        step.averages["segmentor"].head.bias.fill_(0.0)  # the teacher finds something
    terms = method.losses(a_batch(*rows), step)
    assert len(terms) == 5
    for term in terms.values():
        step.networks["segmentor"].zero_grad()
        term.backward(retain_graph=True)
        assert any(p.grad is not None and p.grad.any() for p in step.networks["segmentor"].parameters())


def test_an_unknown_label_gets_the_teachers_word_in_its_own_patch_without_mixing() -> None:
    method, _step = made(mixing=0.0, consistency_weight=0.0)
    batch = a_batch(PARTLY)
    human = method.marks(batch)
    mixture = method.mixture(batch, human, taught=True)
    assert mixture.partner is None
    logits = torch.zeros(1, 2, 8, 8, 8, requires_grad=True)
    probability = torch.zeros(1, 2, 8, 8, 8)
    probability[0, 1, 5:] = 1.0
    terms = method.taught(logits, method.pseudo(probability, batch, human), mixture, 1.0)
    terms["teacher_bce"].backward()
    unknown = ~batch.known[0, 1]
    assert (logits.grad[0, 1][unknown & (probability[0, 1] > 0)] < 0).all()
    assert (logits.grad[0, 1][unknown & (probability[0, 1] == 0)] > 0).all()
    assert not logits.grad[0][batch.known[0]].any()


def test_mixing_says_how_many_pairs_swap() -> None:
    batch = a_batch(FULL, NOTHING, PARTLY, NOTHING)
    shares = {}
    for mixing in (0.0, 0.5, 1.0):
        method, _ = made(mixing=mixing)
        human = method.marks(batch)
        mixtures = [method.mixture(batch, human, taught=True) for _ in range(100)]
        drawn = [torch.arange(4) if m.partner is None else m.partner for m in mixtures]
        assert all(torch.equal(p[p], torch.arange(4)) for p in drawn)
        shares[mixing] = float(torch.stack([p != torch.arange(4) for p in drawn]).float().mean())
    assert shares[0.0] == 0
    assert 0.3 < shares[0.5] < 0.7
    assert shares[1.0] == 1


def test_consistency_can_be_switched_off_and_confidence_can_silence_the_teacher() -> None:
    method, step = made(consistency_weight=0.0, confidence=1.0)
    terms = method.losses(a_batch(FULL, NOTHING), step)
    assert terms["teacher_bce"].item() == terms["consistency"].item() == 0


# optional terms -----------------------------------------------------------------------------------------------------


def test_distances_are_learnt_only_when_switched_on_and_where_a_label_is_known_everywhere() -> None:
    batch = a_batch(PARTLY, FULL)
    distance = torch.zeros(2, 2, 8, 8, 8)
    distance[0, 1] = torch.nan  # of a label that nobody annotated in that case
    method, step = made(sdm=True, mixing=0.0)
    terms = method.losses(replace(batch, sdm=distance), step)
    assert torch.isfinite(terms["sdm"])
    terms["sdm"].backward()
    assert step.networks["segmentor"].sdm_head.weight.grad.any()
    assert "sdm" not in made()[0].losses(batch, made()[1])


def test_a_batch_without_distances_trains_on() -> None:
    method, step = made(sdm=True)
    terms = method.training_step(a_batch(NOTHING, NOTHING), step)
    assert terms["sdm"].item() == 0
    assert step.networks["segmentor"].sdm_head.weight.grad is not None


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_contacts_are_forbidden_in_the_second_half_of_the_budget(activation: str) -> None:
    options = {"nonadjacency": True, "forbidden": [["left ball", "right ball"]], "mixing": 0.0}
    early, early_step = made(0.4, activation, **options)
    assert "non_adjacency" not in early.losses(a_batch(FULL, FULL), early_step)
    late, step = made(0.9, activation, **options)
    terms = late.losses(a_batch(FULL, FULL), step)
    assert 0 < terms["non_adjacency"].item() <= 1
    terms["non_adjacency"].backward()
    assert step.networks["segmentor"].head.weight.grad.any()
    assert "non_adjacency" not in made(0.9)[0].losses(a_batch(FULL, FULL), made(0.9)[1])


def test_contacts_count_by_hand_and_not_in_patches_with_a_box() -> None:
    """Two half-spaces that touch: all contacts of two labels are the forbidden ones."""
    method, _ = made(nonadjacency=True, forbidden=[["left ball", "right ball"]], mixing=1.0)
    logits = torch.full((2, 2, 8, 8, 8), -40.0)
    logits[:, 0, :4] = logits[:, 1, 4:] = 40.0
    batch = a_batch(FULL, NOTHING)
    mixed = method.mixture(batch, method.marks(batch), taught=True)
    assert method.contacts(logits, batch, mixed).item() == 0
    assert method.contacts(logits, batch, mixed._replace(partner=torch.arange(2))).item() == pytest.approx(1, rel=1e-4)


def project(annotated: int, bare: int, state: State = State.UNKNOWN) -> Any:
    """``state``: of all labels in the annotated cases."""
    cases = [SimpleNamespace(annotated=True, annotation=lambda _: Annotation(state))] * annotated
    cases += [SimpleNamespace(annotated=False, annotation=lambda _: Annotation())] * bare
    return SimpleNamespace(train_cases=lambda: cases)


@pytest.mark.parametrize(
    ("bare", "state", "asks"), [(0, State.COMPLETE, False), (0, State.UNKNOWN, True), (1, State.COMPLETE, True)]
)
def test_no_teacher_is_asked_where_people_said_everything(bare: int, state: State, asks: bool) -> None:
    plan = Config(method="auto", train=TrainConfig(minutes=1))
    config = Auto({}, SPHERES, plan.network).adapt(plan, project(3, bare, state))
    method = Auto(config.options, SPHERES, plan.network)
    method.dice_loss = 0.0
    assert method.wants_unlabelled(0.99, LATE) is asks
    wished = replace(plan, options={"warm_up": 0.2})
    assert Auto({}, SPHERES, plan.network).adapt(wished, project(3, bare, state)).options["warm_up"] == 0.2


@pytest.mark.parametrize(("annotated", "bare", "expected"), [(8, 24, 0.25), (3, 0, 0.0), (7, 1, 0.125)])
def test_unannotated_cases_get_no_more_of_the_batch_than_their_share(
    annotated: int, bare: int, expected: float
) -> None:
    plan = Config(method="auto", train=TrainConfig(minutes=1))
    config = Auto({}, SPHERES, plan.network).adapt(plan, project(annotated, bare))
    assert config.data.unlabelled == expected
    assert config.data.distance == "none"
    assert config.options == {}


def test_distance_maps_are_made_when_they_are_learnt() -> None:
    plan = Config(method="auto", options={"sdm": True}, train=TrainConfig(minutes=1))
    assert Auto(plan.options, SPHERES, plan.network).adapt(plan, project(1, 0)).data.distance == "volume"


def test_the_planner_puts_in_the_forbidden_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("SemiSupSegLib.project.adjacency.forbidden_pairs", lambda _: [("left ball", "right ball")])
    plan = Config(method="auto", options={"nonadjacency": True}, train=TrainConfig(minutes=1))
    config = Auto(plan.options, SPHERES, plan.network).adapt(plan, project(1, 0))
    again = Auto(Config.from_json(config.to_json()).options, SPHERES, plan.network)
    assert again.forbidden[1, 2]
    assert again.forbidden[2, 1]


def stroked(batch: Batch) -> Batch:
    """The same patches; strokes imply that the second label is not in the lower half of what is unknown."""
    implied = torch.zeros_like(batch.known)
    implied[:, 1, :4] = True
    return replace(batch, implied=implied & ~batch.known)


@pytest.mark.parametrize("method", [Auto, CopyPaste])
def test_what_strokes_imply_is_taught_and_no_teacher_is_believed_against_it(method: type[Auto | CopyPaste]) -> None:
    made_of = method({}, SPHERES, QUIET)
    step = PlainStep(made_of)
    step.progress = 0.9
    batch = stroked(a_batch(PARTLY, NOTHING))
    assert made_of.losses(batch, step)["implied"] > 0
    human = made_of.marks(batch)
    found_everywhere = torch.ones_like(batch.known, dtype=torch.float32)
    believed = made_of.pseudo(found_everywhere, batch, human).scored
    assert batch.implied is not None
    assert believed.any()
    assert not (believed & batch.implied).any()


def test_what_strokes_imply_is_taught_in_the_warm_up_as_smile_does() -> None:
    method, step = made(0.1, mixing=1.0)
    batch = stroked(a_batch(PARTLY, FULL))
    expected = method.supervised(step.networks["segmentor"](batch.image).logits, batch)
    assert method.losses(batch, step)["implied"].item() == pytest.approx(expected["implied"].item(), rel=1e-5)
