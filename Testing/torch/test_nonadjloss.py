"""NonAdjLoss as a method: what is constrained and when, who decides, what is planned, and the paper's form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from SemiSupSegLib.config import Config, DataConfig, NetworkConfig, TrainConfig
from SemiSupSegLib.data.batch import Batch
from SemiSupSegLib.errors import ConfigError
from SemiSupSegLib.losses.nonadjacency import non_adjacency, relative_non_adjacency, soft_adjacency
from SemiSupSegLib.losses.weighted import batch_dice, weighted_cross_entropy, with_background
from SemiSupSegLib.methods.base import Judgement
from SemiSupSegLib.methods.nonadjloss import NonAdjLoss
from SemiSupSegLib.methods.nonadjloss_plan import label_frequencies
from SemiSupSegLib.methods.smile import Smile
from SemiSupSegLib.networks.segmentor import Segmentor, SegmentorOutput
from SemiSupSegLib.project import adjacency, models
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

ORGANS = LabelSet.from_names(["liver", "spleen", "kidney"])
FORBIDDEN = [["liver", "kidney"]]
NETWORK = NetworkConfig(backbone="dynunet", filters=8, dropout=0.0, strides=((2, 2, 2), (2, 2, 2)))


@pytest.fixture
def a_batch() -> Batch:
    """A fully annotated case, one of which only the liver is annotated, and one of which nothing is."""
    labels = torch.zeros(3, 1, 8, 8, 8, dtype=torch.uint8)
    labels[:, :, :3], labels[:, :, 3:5], labels[:, :, 5:7] = 1, 2, 3
    image = labels.float() + 0.1 * torch.randn(labels.shape, generator=torch.Generator().manual_seed(0))
    annotated = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
    labels[1][labels[1] > 1] = 0
    labels[2] = 0
    return Batch(
        image=image,
        labels=labels,
        annotated=annotated,
        everywhere=annotated,
        region=None,
        valid=torch.ones_like(labels, dtype=torch.bool),
        pseudo=None,
        label_set=ORGANS,
        case_ids=("a", "b", "c"),
    )


class Answer(nn.Module):
    """A segmentor whose logits are its parameters."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, image: Tensor) -> SegmentorOutput:
        return SegmentorOutput(self.logits, image, None)


class PlainStep:
    """The loop without anything, which refuses losses that are not finite as the loop does."""

    def __init__(self, segmentor: nn.Module) -> None:
        self.networks: dict[str, nn.Module] = {"segmentor": segmentor}
        self.averages: dict[str, nn.Module] = {}
        self.iteration, self.progress, self.steps = 0, 0.0, 0
        self.optimizer = torch.optim.SGD(segmentor.parameters(), lr=1.0)

    def optimize(self, network: str, loss: Tensor) -> None:  # noqa: ARG002  the protocol's
        if not torch.isfinite(loss):
            raise FloatingPointError(str(loss))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.steps += 1

    def frozen(self, network: str) -> Callable[..., Any]:
        raise NotImplementedError(network)


def a_step(channels: int = 3, scale: float = 1.0) -> PlainStep:
    draw = torch.Generator().manual_seed(5)
    return PlainStep(Answer(scale * torch.randn(3, channels, 8, 8, 8, generator=draw)))


def a_method(label_set: LabelSet = ORGANS, network: NetworkConfig = NETWORK, **options: Any) -> NonAdjLoss:
    return NonAdjLoss({"forbidden": FORBIDDEN, **options}, label_set, network)


def started(method: NonAdjLoss, weight: float) -> NonAdjLoss:
    method.control.reference, method.control.weight = 0.8, weight
    return method


# what is constrained ------------------------------------------------------------------------------------------------


def test_without_forbidden_pairs_it_is_smile(a_batch: Batch) -> None:
    step = a_step()
    terms = NonAdjLoss({}, ORGANS, NETWORK).losses(a_batch, step)
    expected = Smile({}, ORGANS, NETWORK).losses(a_batch, step)
    assert terms.keys() == expected.keys()
    assert all(torch.equal(terms[name], expected[name]) for name in terms)


def test_the_constraint_has_no_weight_until_the_reference_is_known(a_batch: Batch) -> None:
    method, step = a_method(), a_step()
    terms = method.losses(a_batch, step)
    assert terms["non_adjacency"].item() == 0
    assert method.log["non_adjacency"] > 0  # but it is measured
    assert method.log["lambda"] == 0
    terms["non_adjacency"].backward()
    assert not step.networks["segmentor"].logits.grad.any()


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_it_is_the_constraint_of_all_rows_annotated_or_not_times_its_weight(a_batch: Batch, activation: str) -> None:
    network = replace(NETWORK, activation=activation)
    step = a_step(4 if activation == "softmax" else 3)
    logits = step.networks["segmentor"].logits
    value = started(a_method(network=network), 7.0).losses(a_batch, step)["non_adjacency"]
    with_zero = logits if activation == "softmax" else torch.cat((torch.zeros(3, 1, 8, 8, 8), logits), 1)
    a = soft_adjacency(with_zero.softmax(1))
    expected = 7 * (a[1, 3] + a[3, 1]) / a.sum()
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    value.backward()
    assert all(logits.grad[row].any() for row in range(3))


def test_its_options_choose_the_form(a_batch: Batch) -> None:
    logits = a_step().networks["segmentor"].logits.detach()
    p = torch.cat((torch.zeros(3, 1, 8, 8, 8), logits), 1).softmax(1)
    forbidden = a_method().forbidden
    forms = {
        "default": ({}, relative_non_adjacency(soft_adjacency(p), forbidden)),
        "published": ({"relative": False}, non_adjacency(soft_adjacency(p), forbidden)),
        "slices": ({"neighbours": "y"}, relative_non_adjacency(soft_adjacency(p, slice_axis=1), forbidden)),
        "ring": ({"exclude_center": True}, relative_non_adjacency(soft_adjacency(p, exclude_center=True), forbidden)),
    }
    values = []
    for options, expected in forms.values():
        method = started(a_method(**options), 1.0)
        values.append(method.losses(a_batch, a_step())["non_adjacency"].item())
        assert values[-1] == pytest.approx(expected.item(), rel=1e-5)
    assert len({f"{value:.6g}" for value in values}) == 4


def test_voxels_that_the_user_ignores_are_not_constrained(a_batch: Batch) -> None:
    valid = a_batch.valid.clone()
    valid[:, :, 4:] = False
    step = a_step()
    method = started(a_method(), 1.0)
    method.losses(replace(a_batch, valid=valid), step)["non_adjacency"].backward()
    grad = step.networks["segmentor"].logits.grad
    assert grad[:, :, :4].any()
    assert not grad[:, :, 4:].any()


def test_labels_that_may_overlap_are_taken_as_they_are() -> None:
    nested = LabelSet.from_names(ORGANS.names, overlaps=[("liver", "spleen")])
    step = a_step()
    value = started(a_method(nested), 1.0)._distribution(step.networks["segmentor"].logits)
    assert torch.allclose(value[:, 1:], step.networks["segmentor"].logits.sigmoid())


def test_training_with_it_takes_a_forbidden_contact_away_in_a_case_without_annotation(a_batch: Batch) -> None:
    label = torch.zeros(8, 8, 8).long()
    label[:3], label[3:] = 1, 3  # liver against kidney, everywhere
    logits = 2 * torch.nn.functional.one_hot(label, 4).movedim(-1, 0)[None, 1:].float().repeat(3, 1, 1, 1, 1)
    step = PlainStep(Answer(logits))
    nothing = torch.zeros_like(a_batch.annotated)
    batch = replace(a_batch, annotated=nothing, everywhere=nothing)
    method = started(a_method(control="holdout"), 1000.0)
    found = []
    for _ in range(30):
        method.training_step(batch, step)
        found.append(method.log["non_adjacency"])
    assert found[-1] < 0.5 * found[0]


def test_pairs_are_found_by_name_and_the_background_is_one_of_them() -> None:
    found = NonAdjLoss({"forbidden": [["Spleen", "background"], ["liver", "kidney"]]}, ORGANS, NETWORK).forbidden
    expected = torch.zeros(4, 4, dtype=torch.bool)
    expected[0, 2] = expected[2, 0] = expected[1, 3] = expected[3, 1] = True
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forbidden": [["liver", "heart"]]}, r"options\.forbidden: no label 'heart' in this project"),
        ({"forbidden": [["liver", "Liver"]]}, "'liver' with itself, but every label touches itself"),
        ({"window": 0}, r"nonadjloss\.window: 0 is not at least 1"),
        ({"interval": 0}, r"nonadjloss\.interval: 0 is not at least 1"),
        ({"unlabelled": 1.5}, r"nonadjloss\.unlabelled: 1\.5 is not between 0 and 1"),
        ({"warmup": 1.0}, r"nonadjloss\.warmup: 1\.0 is not at least 0 and below 1"),
        ({"frequencies": [0.5, 0.5]}, r"nonadjloss\.frequencies: 2 for the background and 3 labels"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NonAdjLoss(options, ORGANS, NETWORK)


# who decides --------------------------------------------------------------------------------------------------------


def test_validations_set_the_weight_and_choose_the_result(a_batch: Batch) -> None:
    method, step = a_method(control="holdout"), a_step()
    assert method.judge(0.8, {"non_adjacency": 1e-2}) is None  # nothing was trained yet
    method.training_step(a_batch, step)
    trained = method.log["non_adjacency"]
    assert method.judge(0.8, {"non_adjacency": 1e-2}) == Judgement(best=True, good=True)
    assert method.control.reference == 0.8
    assert 0 < method.control.weight * trained <= 0.3 * 1.0  # 0.3 of the Dice of these patches
    assert method.training_step(a_batch, step)["non_adjacency"].item() > 0
    assert method.judge(0.796, {"non_adjacency": 5e-3}) == Judgement(best=True, good=True)
    assert method.judge(0.9, {"non_adjacency": 6e-3}) == Judgement(best=False, good=True)
    assert [method.judge(0.7, {"non_adjacency": 1e-3}).roll_back for _ in range(10)] == [False] * 9 + [True]


def test_the_weight_begins_at_three_tenths_of_the_training_dice(a_batch: Batch) -> None:
    method, step = a_method(control="holdout"), a_step()
    method.training_step(a_batch, step)
    value = method.log["non_adjacency"]
    dice, _ = method.epoch.end()
    method, step = a_method(control="holdout"), a_step()
    method.training_step(a_batch, step)
    method.judge(0.8, {"non_adjacency": 1e-2})
    assert 0 < dice < 1
    assert method.control.weight == pytest.approx(0.3 * dice / value, rel=1e-5)


def test_training_dice_counts_annotated_labels_alone(a_batch: Batch) -> None:
    right = torch.full((3, 4, 8, 8, 8), -5.0)
    right.scatter_(1, a_batch.labels.long(), 5.0)
    right[1:, 2:, 5:] = 9.0  # whatever is found where nobody looked
    method = a_method(network=replace(NETWORK, activation="softmax"), control="holdout")
    method.training_step(a_batch, PlainStep(Answer(right)))
    assert method.epoch.end()[0] == pytest.approx(1.0)


def test_the_last_three_tenths_of_the_budget_only_tune(a_batch: Batch) -> None:
    for progress, expected in ((0.69, 1.3), (0.71, 1.0)):
        method, step = started(a_method(control="holdout"), 1.0), a_step()
        step.progress = progress
        method.training_step(a_batch, step)
        for _ in range(5):
            method.judge(0.8, {"non_adjacency": 1e-3})
        assert method.control.weight == pytest.approx(expected)


def test_a_run_from_scratch_warms_up_first(a_batch: Batch) -> None:
    method, step = a_method(control="holdout", warmup=0.5), a_step()
    step.progress = 0.4
    method.training_step(a_batch, step)
    assert method.judge(0.6, {"non_adjacency": 1e-3}) is None  # the loop's own rule holds
    assert not method.epoch.steps
    step.progress = 0.5
    method.training_step(a_batch, step)
    assert method.judge(0.7, {"non_adjacency": 1e-3}) == Judgement(best=True, good=True)
    assert method.control.reference == 0.7
    step.progress = 0.84  # 0.68 of what is left
    method.training_step(a_batch, step)
    assert method._constrained_progress == pytest.approx(0.68)


def test_without_a_holdout_windows_of_training_patches_decide(a_batch: Batch) -> None:
    method, step = a_method(window=3, interval=1), a_step()
    weights = []
    for _ in range(9):
        method.training_step(a_batch, step)
        weights.append(method.control.weight)
    assert weights[:2] == [0, 0]
    assert weights[2] == weights[4] > 0
    assert weights[5] == pytest.approx(1.3 * weights[2])  # Dice has not fallen
    assert method.judge(0.8, {"non_adjacency": 1e-3}) is None


def test_windows_without_annotation_leave_the_weight_alone(a_batch: Batch) -> None:
    nothing = torch.zeros_like(a_batch.annotated)
    batch = replace(a_batch, annotated=nothing, everywhere=nothing)
    method, step = a_method(window=1), a_step()
    for _ in range(3):
        method.training_step(batch, step)
    assert not method.control.started


def test_a_loss_that_is_not_finite_is_left_out_and_the_third_goes_back(a_batch: Batch) -> None:
    method, step = started(a_method(control="holdout"), 1.0), a_step()
    with torch.no_grad():
        step.networks["segmentor"].logits[0, 0, 0, 0, 0] = math.nan
    for count in (1, 2):
        terms = method.training_step(a_batch, step)
        assert all(torch.isfinite(term) for term in terms.values())
        assert method.control.weight == pytest.approx(0.9**count)
    with pytest.raises(FloatingPointError):
        method.training_step(a_batch, step)
    assert step.steps == 0
    first = a_method(control="holdout")  # without the constraint it is the loop's affair
    with pytest.raises(FloatingPointError):
        first.training_step(a_batch, step)


def test_a_resumed_method_goes_on_as_an_uninterrupted_one(a_batch: Batch) -> None:
    method, step = a_method(window=4, interval=1), a_step()
    for _ in range(6):
        method.training_step(a_batch, step)
    resumed = a_method(window=4, interval=1)
    resumed.restore({name: value.clone() for name, value in method.state().items()})
    assert resumed.control == method.control
    assert torch.equal(resumed.epoch.sums, method.epoch.sums)
    assert resumed.control.started
    fresh = a_method()
    fresh.restore(a_method().state())
    assert not fresh.control.started


# the measure --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["sigmoid", "softmax", "overlaps"])
@pytest.mark.parametrize("relative", [True, False])
def test_the_measure_of_a_case_is_the_loss_of_its_logits(form: str, relative: bool) -> None:
    labels = LabelSet.from_names(ORGANS.names, overlaps=[("liver", "spleen")] if form == "overlaps" else [])
    network = replace(NETWORK, activation="softmax" if form == "softmax" else "sigmoid")
    method = a_method(labels, network, relative=relative)
    logits = 2 * torch.randn(1, 3 + (form == "softmax"), 6, 5, 7, generator=torch.Generator().manual_seed(3))
    a = soft_adjacency(method._distribution(logits))
    expected = (relative_non_adjacency if relative else non_adjacency)(a, method.forbidden)
    probability = logits.softmax(1)[0, 1:] if form == "softmax" else logits.sigmoid()[0]
    before = probability.clone()
    measured = method.measure(probability)
    assert measured["non_adjacency"] == pytest.approx(expected.item(), rel=1e-4)
    assert torch.equal(probability, before)


def test_certain_probabilities_are_measured_as_the_map_they_are() -> None:
    label = torch.zeros(1, 6, 6, 6)
    label[:, 3:] = 1
    apart = torch.cat((1 - label, torch.zeros_like(label), torch.zeros_like(label)))
    touching = torch.cat((1 - label, torch.zeros_like(label), label))
    assert a_method().measure(apart)["non_adjacency"] == pytest.approx(0, abs=1e-5)
    share = 2 * 16 * 16 / (27 * 216) / (16**3 / (27 * 216))  # METHODS 1.7, both orders, of all contacts
    assert a_method().measure(touching)["non_adjacency"] == pytest.approx(share, rel=1e-3)


def test_nothing_forbidden_measures_and_judges_nothing() -> None:
    method = NonAdjLoss({"control": "holdout"}, ORGANS, NETWORK)
    assert method.measure(torch.rand(3, 4, 4, 4)) == {}
    assert method.judge(0.8, {}) is None


# the planner --------------------------------------------------------------------------------------------------------


@pytest.fixture
def a_project(tmp_path: Path) -> Project:
    """Two annotated cases, of which one says nothing of the kidney, and one without any annotation."""
    project = Project.create(tmp_path / "project", label_set=ORGANS)
    grid = Grid((10, 8, 8), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    labels = torch.zeros(8, 8, 10, dtype=torch.uint8)
    labels[:, :, :2], labels[:, :, 2:4], labels[:, :, 4:5] = 1, 2, 3
    for name, organs in (("a", ORGANS.names), ("b", ORGANS.names[:2]), ("c", ())):
        kept = labels * (labels <= len(organs))
        project.add_case(
            name,
            image_from_kji(labels.short().numpy(), grid),
            labels=kept[None].numpy(),
            annotations={organ: Annotation(State.COMPLETE) for organ in organs},
            modality="MR",
            who="test",
        )
    return project


def planned(project: Project, **options: Any) -> Config:
    config = Config(method="nonadjloss", options=options, network=NETWORK, train=TrainConfig(iterations=10))
    return NonAdjLoss(options, project.label_set, config.network).adapt(config, project)


def test_the_planner_fills_in_the_graph_of_the_project(a_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adjacency, "forbidden_pairs", lambda project: [("liver", "kidney")])  # noqa: ARG005
    config = planned(a_project)
    assert config.options["forbidden"] == FORBIDDEN
    assert config.options["control"] == "training"
    assert config.options["warmup"] == 0.5
    assert config.data.unlabelled == 0.5
    assert Config.from_json(config.to_json()).options == config.options
    assert NonAdjLoss(config.options, ORGANS, NETWORK).constrained


def test_organs_that_never_touch_in_the_cases_are_forbidden(a_project: Project) -> None:
    assert planned(a_project).options["forbidden"] == FORBIDDEN


def test_what_the_user_gave_stays(a_project: Project) -> None:
    given = {"forbidden": [["spleen", "kidney"]], "control": "holdout", "warmup": 0.1, "unlabelled": 0.25}
    config = planned(a_project, **given)
    assert config.options == given
    assert config.data.unlabelled == 0.25


def test_a_model_of_the_same_backbone_needs_no_warm_up(a_project: Project) -> None:
    from SemiSupSegLib.engine.model import Model

    for filters, expected in ((16, 0.5), (8, 0.0)):
        config = Config(network=replace(NETWORK, filters=filters), data=DataConfig(), train=TrainConfig(iterations=1))
        model = Model(
            weights=Segmentor(config.network, labels=3).state_dict(), config=config, label_set=ORGANS, run="r",
            checkpoint="last", step=1,
        )  # fmt: skip
        folder = models.new_model_folder(a_project.models_folder)
        model.save(folder)
        models.add_promoted(a_project.models_folder, folder.name)
        assert planned(a_project).options["warmup"] == expected
    method = NonAdjLoss({}, a_project.label_set, NETWORK)
    method.from_scratch = True
    plan = Config(method="nonadjloss", network=NETWORK, train=TrainConfig(iterations=10))
    assert method.adapt(plan, a_project).options["warmup"] == 0.5  # what is in use is not begun with


def test_frequencies_are_shares_over_the_cases_that_annotate_a_label(a_project: Project) -> None:
    assert label_frequencies(a_project) == pytest.approx([0.5, 0.2, 0.2, 0.1])


# the paper ----------------------------------------------------------------------------------------------------------


def test_the_paper_mode_is_the_published_setting(a_project: Project) -> None:
    config = planned(a_project, paper=True)
    network, train = config.network, config.train
    assert (network.backbone, network.filters, network.norm, network.activation) == ("modsegnet", 32, "none", "softmax")
    assert network.slice_axis == "y"
    assert (train.optimizer, train.learning_rate, train.weight_decay, train.schedule) == ("sgd", 1e-3, 1e-4, "poly")
    assert (train.batch_size, config.data.unlabelled) == (8, 0.75)
    assert train.ema_decay == train.gradient_clip == 0
    assert config.options["dice_weight"] == 5
    assert config.options["relative"] is False
    assert config.options["neighbours"] == "y"
    assert config.options["frequencies"] == pytest.approx([0.5, 0.2, 0.2, 0.1])
    assert Config.from_json(config.to_json()).network == network
    made = NonAdjLoss(config.options, ORGANS, config.network)
    assert made._slice_axis == 1
    assert planned(a_project, paper=True, neighbours="z", unlabelled=0.5).network.slice_axis == "z"


def test_the_paper_mode_trains_its_slices_in_one_step(a_project: Project, a_batch: Batch) -> None:
    config = planned(a_project, paper=True)
    method = started(NonAdjLoss(config.options, ORGANS, replace(config.network, filters=8)), 1.0)
    size = (16, 8, 16)
    batch = replace(
        a_batch,
        image=torch.nn.functional.interpolate(a_batch.image, size),
        labels=torch.nn.functional.interpolate(a_batch.labels.float(), size).byte(),
        valid=torch.ones(3, 1, *size, dtype=torch.bool),
    )
    step = PlainStep(method.networks()["segmentor"])
    assert set(method.training_step(batch, step)) == {"cross_entropy", "dice"}  # the warm-up
    step.progress = 0.9
    terms = method.training_step(batch, step)
    assert set(terms) == {"cross_entropy", "dice", "non_adjacency"}
    assert all(torch.isfinite(term) for term in terms.values())
    assert step.steps == 2


def test_the_papers_terms_are_weighted_cross_entropy_and_five_dice(a_batch: Batch) -> None:
    options = {"paper": True, "dice_weight": 5.0, "frequencies": [0.5, 0.2, 0.2, 0.1]}
    step = a_step(4)
    logits = step.networks["segmentor"].logits
    terms = a_method(network=replace(NETWORK, activation="softmax"), **options).losses(a_batch, step)
    relative = torch.tensor([2.5, 1.0, 1.0, 0.5])
    expected = weighted_cross_entropy(logits, a_batch.target, a_batch.known, relative)
    assert terms["cross_entropy"].item() == pytest.approx(expected.item(), rel=1e-5)
    truth, known = with_background(a_batch.target, a_batch.known)
    known[1, 2:] = False  # that a label is absent where another one is does not count for Dice
    assert terms["dice"].item() == pytest.approx(5 * batch_dice(logits.softmax(1), truth, known).item(), rel=1e-5)


def test_relabelled_voxels_count_in_the_papers_terms_too(a_batch: Batch) -> None:
    pseudo = torch.zeros(3, 3, 8, 8, 8, dtype=torch.bool)
    pseudo[2, 1, 0] = True
    step = a_step(4)
    method = a_method(network=replace(NETWORK, activation="softmax"), paper=True)
    method.losses(replace(a_batch, pseudo=pseudo), step)["cross_entropy"].backward()
    grad = step.networks["segmentor"].logits.grad[2]
    assert (grad[2, 0] < 0).all()
    assert not grad[:, 1:].any()
