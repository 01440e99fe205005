"""SASSNet: which voxels and images count in which term, who learns from what, and what paper mode changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from SemiSupSegLib.config import Config, NetworkConfig, TrainConfig
from SemiSupSegLib.data.batch import Batch
from SemiSupSegLib.methods.base import Method, rampup
from SemiSupSegLib.methods.sassnet import Sassnet, gaps, labelled, unlabelled
from SemiSupSegLib.project.labels import LabelSet

LABELS = LabelSet.from_names(["left", "right"])
NETWORK = NetworkConfig(backbone="dynunet", filters=8, dropout=0.2, strides=((2, 2, 2), (2, 2, 2)))
SIZE = (8, 8, 8)


class ASteppingLoop:
    """What a method needs of the loop; notes which network was optimized with what."""

    def __init__(self, method: Method) -> None:
        self.networks: dict[str, nn.Module] = method.networks()
        self.averages: dict[str, nn.Module] = {}
        self.iteration, self.progress = 0, 0.5
        self.optimized: list[str] = []
        self.gradients: dict[str, dict[str, Tensor | None]] = {}
        self.seen: list[tuple[str, bool, Tensor]] = []
        """Calls of the discriminator: through which door, whether in training mode, with which maps."""

    def optimize(self, network: str, loss: Tensor) -> None:
        for net in self.networks.values():
            net.zero_grad()
        loss.backward()
        self.optimized.append(network)
        for name, net in self.networks.items():
            self.gradients[f"{network} -> {name}"] = {n: p.grad for n, p in net.named_parameters()}

    def frozen(self, network: str) -> Callable[..., Any]:
        net = self.networks[network]
        fixed = {name: parameter.detach() for name, parameter in net.named_parameters()}

        def call(*args: Tensor) -> Any:
            self.seen.append((network, net.training, args[0]))
            return functional_call(net, fixed, args)

        return call


def a_batch(*annotated: tuple[int, int], everywhere: tuple[tuple[int, int], ...] | None = None) -> Batch:
    """One patch for each pair: which labels are annotated in its case."""
    draw = torch.Generator().manual_seed(3)
    said = torch.tensor(annotated, dtype=torch.bool)
    rows = len(annotated)
    return Batch(
        image=torch.randn(rows, 1, *SIZE, generator=draw),
        labels=torch.randint(0, 3, (rows, 1, *SIZE), generator=draw).byte(),
        annotated=said,
        everywhere=said if everywhere is None else torch.tensor(everywhere, dtype=torch.bool),
        region=None,
        valid=torch.ones(rows, 1, *SIZE, dtype=torch.bool),
        pseudo=None,
        label_set=LABELS,
        case_ids=tuple(str(n) for n in range(rows)),
        sdm=2 * torch.rand(rows, 2, *SIZE, generator=draw) - 1,
    )


def a_method(**options: Any) -> Sassnet:
    torch.manual_seed(0)
    return Sassnet(options, LABELS, NETWORK)


HALF = ((1, 1), (1, 1), (0, 0), (0, 0))


def test_the_terms_are_those_of_the_paper() -> None:
    method = a_method()
    step = ASteppingLoop(method)
    terms = method.training_step(a_batch(*HALF), step)
    assert set(terms) == {"bce", "dice", "sdm", "adversarial", "discriminator"}
    assert step.optimized == ["segmentor", "discriminator"]


def test_each_player_learns_from_its_own_loss_alone() -> None:
    method = a_method()
    step = ASteppingLoop(method)
    method.training_step(a_batch(*HALF), step)
    assert all(g is None for g in step.gradients["segmentor -> discriminator"].values())
    assert all(g is None for g in step.gradients["discriminator -> segmentor"].values())
    for own in ("segmentor -> segmentor", "discriminator -> discriminator"):
        assert all(g is not None and g.isfinite().all() for g in step.gradients[own].values())


def test_the_adversarial_term_reaches_the_maps_of_unlabelled_images_alone() -> None:
    method = a_method()
    step, batch = ASteppingLoop(method), a_batch((1, 1), (0, 0))
    sdm = torch.rand(2, 2, *SIZE, requires_grad=True)
    method.adversarial(sdm, batch, step).backward()
    assert sdm.grad is not None
    assert not sdm.grad[0].any()
    assert sdm.grad[1].abs().flatten(1).any(1).all()


def test_the_segmentor_meets_the_discriminator_without_dropout_and_leaves_it_in_training_mode() -> None:
    method = a_method()
    step = ASteppingLoop(method)
    method.training_step(a_batch(*HALF), step)
    assert [(name, training) for name, training, _ in step.seen] == [("discriminator", False)]
    assert step.networks["discriminator"].training
    assert step.networks["segmentor"].training


def test_the_discriminator_learns_from_maps_without_dropout() -> None:
    """The same two passes of the head differ in training, and not here; with the second pass of paper mode neither."""
    for paper in (False, True):
        method = a_method(paper=paper)
        step, batch = ASteppingLoop(method), a_batch(*HALF)
        output = step.networks["segmentor"](batch.image)
        maps = method.maps_without_gradient(output, batch, step)
        assert not maps.requires_grad
        step.networks["segmentor"].eval()
        assert torch.allclose(maps, step.networks["segmentor"](batch.image).sdm, atol=1e-5)
        assert not torch.allclose(maps, output.sdm, atol=1e-3)


def test_distances_count_where_the_label_is_known_everywhere() -> None:
    method = a_method()
    step = ASteppingLoop(method)
    batch = a_batch((1, 0), (1, 1), everywhere=((1, 0), (0, 1)))
    output = step.networks["segmentor"](batch.image)
    expected = ((output.sdm[0, 0] - batch.sdm[0, 0]) ** 2).mean() + ((output.sdm[1, 1] - batch.sdm[1, 1]) ** 2).mean()
    found = method.segmentor_terms(output, batch, step)["sdm"]
    assert torch.allclose(found, 0.3 * expected / 2)
    changed = batch.sdm.clone()
    changed[0, 1], changed[1, 0] = 9.0, torch.nan
    assert torch.equal(method.segmentor_terms(output, replace(batch, sdm=changed), step)["sdm"], found)
    outside = replace(batch, valid=batch.valid & (torch.arange(8) < 4))
    expected = sum(((output.sdm[n, n] - batch.sdm[n, n])[..., :4] ** 2).mean() for n in range(2)) / 2
    assert torch.allclose(method.segmentor_terms(output, outside, step)["sdm"], 0.3 * expected)


@pytest.mark.parametrize("rows", [HALF, ((0, 0),), ((1, 1),), ((1, 0), (0, 1)), ((0, 0), (0, 0)), ((1, 0), (0, 0))])
@pytest.mark.parametrize("paper", [False, True])
def test_it_trains_whatever_is_annotated(rows: tuple[tuple[int, int], ...], paper: bool) -> None:
    method = a_method(paper=paper)
    batch = a_batch(*rows)
    if not batch.annotated.any():
        batch = replace(batch, sdm=None)  # as the loader has it
    step = ASteppingLoop(method)
    terms = method.training_step(batch, step)
    assert all(term.isfinite() and term.requires_grad for term in terms.values())
    assert all(g is not None for g in step.gradients["segmentor -> segmentor"].values())
    assert all(g is not None for g in step.gradients["discriminator -> discriminator"].values())
    assert (terms["adversarial"] > 0) == unlabelled(batch).any()


def test_a_batch_without_unlabelled_images_gives_an_adversarial_term_of_0() -> None:
    method = a_method()
    assert method.losses(a_batch((1, 1), (1, 0)), ASteppingLoop(method))["adversarial"] == 0


def test_maps_of_unknown_labels_are_hidden_from_the_discriminator_for_both_kinds() -> None:
    batch = a_batch((0, 0), (1, 0), (0, 0), (0, 1), (0, 0))
    assert gaps(batch)[:, :, 0, 0, 0].tolist() == [[1, 0], [1, 0], [0, 1], [0, 1], [1, 0]]
    method = a_method()
    step = ASteppingLoop(method)
    sdm = torch.rand(5, 2, *SIZE, requires_grad=True)
    method.adversarial(sdm, batch, step).backward()
    (_, _, seen), *_ = step.seen
    assert torch.equal(seen[1], torch.stack((torch.zeros(SIZE), sdm[2, 1])))
    assert sdm.grad[0].flatten(1).any(1).tolist() == [True, False]


def test_an_image_of_which_nothing_is_known_everywhere_is_neither_labelled_nor_unlabelled() -> None:
    batch = a_batch((1, 0), (1, 1), (0, 0), everywhere=((0, 0), (1, 0), (0, 0)))
    assert labelled(batch).tolist() == [False, True, False]
    assert unlabelled(batch).tolist() == [False, False, True]


def test_without_a_labelled_image_nothing_is_hidden() -> None:
    assert gaps(a_batch((0, 0), (0, 0))).all()


def test_the_weight_is_warmed_up_by_the_budget_and_in_paper_mode_in_stairs() -> None:
    ours, paper = a_method(adversarial_weight=0.02), a_method(paper=True)
    step = ASteppingLoop(ours)
    ours.losses(a_batch(*HALF), step)
    assert ours.log["adversarial_weight"] == pytest.approx(0.02 * math.exp(-5 * 0.25))
    found = []
    for iteration in (0, 149, 150, 3000, 5999, 6000, 9000):
        step.iteration = iteration
        found.append(paper.warmup(step))
    assert found == [rampup(stair / 40) for stair in (0, 0, 1, 20, 39, 40, 60)]


def test_the_discriminator_learns_to_tell_labelled_from_unlabelled() -> None:
    """Images that differ in brightness; the accuracy is logged."""
    method = a_method(unlabelled=0.5)
    step, batch = ASteppingLoop(method), a_batch(*HALF)
    batch = replace(batch, image=batch.image + 3 * batch.annotated[:, :1, None, None, None])
    optimizer = torch.optim.Adam(step.networks["discriminator"].parameters(), lr=1e-2)
    first = None
    for _ in range(15):
        loss = method.training_step(batch, step)["discriminator"].item()
        first = first or loss
        optimizer.step()
    assert loss < 0.5 * first
    assert method.log["discriminator_accuracy"] == 1


def test_without_an_adversarial_weight_there_is_no_discriminator_and_no_unlabelled_stream() -> None:
    method = a_method(adversarial_weight=0)
    assert set(method.networks()) == {"segmentor"}
    assert method.unlabelled == 0
    assert set(method.training_step(a_batch(*HALF), ASteppingLoop(method))) == {"bce", "dice", "sdm"}


def test_the_discriminator_has_the_papers_optimizer() -> None:
    own = a_method().optimizer("discriminator")
    assert (own.kind, own.learning_rate, own.betas, own.weight_decay) == ("adam", 1e-4, (0.9, 0.99), 0)
    assert a_method().optimizer("segmentor") is None


def test_options_say_how_large_the_discriminator_is() -> None:
    assert a_method(discriminator_filters=8).networks()["discriminator"].scores.in_features == 64
    assert a_method(paper=True).networks()["discriminator"].scores.in_features == 512
    assert a_method(sdm_weight=0).losses(a_batch(*HALF), ASteppingLoop(a_method()))["sdm"] == 0


def test_ours_asks_for_distances_of_whole_cases_and_for_unlabelled_ones() -> None:
    config = a_method(unlabelled=0.25).adapt(Config(train=TrainConfig(iterations=5)), None)
    assert (config.data.distance, config.data.unlabelled, config.data.augmentation) == ("volume", 0.25, "ours")


def test_paper_mode_is_the_papers_recipe() -> None:
    config = a_method(paper=True).adapt(Config(train=TrainConfig(iterations=6000)), None)
    network, data, train = config.network, config.data, config.train
    assert (network.backbone, network.norm, network.activation, network.dropout) == ("vnet", "batch", "sigmoid", 0.5)
    assert network.bottleneck_dropout == 0.5
    assert (data.distance, data.augmentation, data.unlabelled, data.foreground) == ("crop", "uamt", 0.5, 0)
    assert (train.optimizer, train.learning_rate, train.schedule, train.weight_decay) == ("sgd", 0.01, "step", 1e-4)
    assert (train.batch_size, train.ema_decay, train.gradient_clip) == (4, 0, 0)


def test_paper_mode_scores_dice_with_squares_of_the_labelled_and_no_cross_entropy() -> None:
    method = a_method(paper=True)
    step, batch = ASteppingLoop(method), a_batch(*HALF)
    output = step.networks["segmentor"](batch.image)
    terms = method.segmentor_terms(output, batch, step)
    assert set(terms) == {"dice", "sdm", "adversarial"}
    p, y = output.logits[:2].sigmoid(), batch.target[:2].float()
    published = [
        1 - (2 * (p[:, k] * y[:, k]).sum() + 1e-5) / ((p[:, k] ** 2).sum() + (y[:, k] ** 2).sum() + 1e-5)
        for k in range(2)
    ]
    assert torch.allclose(terms["dice"], sum(published) / 2)


def test_exclusive_labels_train_as_well() -> None:
    for paper in (False, True):
        method = Sassnet({"paper": paper}, LABELS, replace(NETWORK, activation="softmax"))
        terms = method.training_step(a_batch(*HALF), ASteppingLoop(method))
        assert all(term.isfinite() for term in terms.values())
