"""What every method in ``methods/`` must keep, checked for each of them: a new file is tested without an edit here."""

from __future__ import annotations

import inspect
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from SemiSupSegLib import methods
from SemiSupSegLib.config import NetworkConfig
from SemiSupSegLib.data.batch import Batch
from SemiSupSegLib.errors import ConfigError
from SemiSupSegLib.methods.base import METHODS, Method, method_named, rampup
from SemiSupSegLib.project.labels import LabelSet

SPHERES = LabelSet.from_names(["left ball", "right ball"])
STEPS = 120
"""Twice what the annotated sphere needs: what nobody annotated is learnt from its likeness, and later."""
NETWORK = NetworkConfig(backbone="dynunet", filters=8, dropout=0.1, strides=((2, 2, 2), (2, 2, 2)))
SIDE = 16


@pytest.fixture(scope="module")
def a_batch() -> Batch:
    """Two cases with two spheres each: one with both annotated, one with only the first."""
    axis = torch.linspace(-1, 1, SIDE)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    left = (x + 0.5) ** 2 + y**2 + z**2 < 0.12
    right = (x - 0.5) ** 2 + y**2 + z**2 < 0.12
    labels = (left.byte() + 2 * right.byte()).expand(2, 1, -1, -1, -1).clone()
    draw = torch.Generator().manual_seed(1)
    image = labels.float() + 0.3 * torch.randn(labels.shape, generator=draw)
    labels[1][labels[1] == 2] = 0
    annotated = torch.tensor([[True, True], [True, False]])
    return Batch(
        image=image,
        labels=labels,
        annotated=annotated,
        everywhere=annotated,
        region=None,
        valid=torch.ones_like(labels, dtype=torch.bool),
        pseudo=None,
        label_set=SPHERES,
        case_ids=("a", "b"),
    )


class PlainStep:
    """The loop without anything: no devices, no ranks, no averages other than copies."""

    def __init__(self, method: Method) -> None:
        self.networks: dict[str, nn.Module] = method.networks()
        self.averages = {name: method.networks()[name].eval().requires_grad_(False) for name in method.averaged}
        self.iteration, self.progress = 0, 0.0
        self.optimizers = {n: torch.optim.AdamW(net.parameters(), lr=1e-2) for n, net in self.networks.items()}

    def optimize(self, network: str, loss: Tensor) -> None:
        self.optimizers[network].zero_grad()
        loss.backward()
        self.optimizers[network].step()
        if network in self.averages:
            pairs = zip(self.averages[network].parameters(), self.networks[network].parameters(), strict=True)
            for average, now in pairs:
                average.lerp_(now.detach(), 0.1)

    def frozen(self, network: str) -> Callable[..., Any]:
        net = self.networks[network]
        fixed = {name: parameter.detach() for name, parameter in net.named_parameters()}
        return lambda *args: functional_call(net, fixed, args)


@pytest.fixture(params=sorted(METHODS))
def a_method(request: pytest.FixtureRequest) -> Method:
    torch.manual_seed(0)
    return METHODS[request.param]({}, SPHERES, NETWORK)


def test_smile_and_naive_are_there() -> None:
    assert {"smile", "naive"} <= set(METHODS)


def test_it_says_what_it_is(a_method: Method) -> None:
    module = inspect.getmodule(type(a_method))
    assert a_method.summary
    assert module is not None
    assert module.__doc__
    assert a_method.name == module.__name__.rsplit(".", 1)[-1]


def test_each_term_is_a_finite_scalar_with_a_gradient(a_method: Method, a_batch: Batch) -> None:
    step = PlainStep(a_method)
    terms = a_method.losses(a_batch, step)
    assert terms
    for term in terms.values():
        assert term.shape == ()
        assert term.dtype == torch.float32
        assert torch.isfinite(term)
        assert term.requires_grad


def test_a_batch_with_nothing_annotated_works(a_method: Method, a_batch: Batch) -> None:
    nothing = torch.zeros_like(a_batch.annotated)
    unlabelled = replace(a_batch, labels=torch.zeros_like(a_batch.labels), annotated=nothing, everywhere=nothing)
    terms = a_method.training_step(unlabelled, PlainStep(a_method))
    assert all(torch.isfinite(term) for term in terms.values())


def test_no_parameter_is_unused(a_method: Method, a_batch: Batch) -> None:
    step = PlainStep(a_method)
    a_method.training_step(a_batch, step)
    unused = [n for net in step.networks.values() for n, p in net.named_parameters() if p.grad is None]
    assert unused == []


SOON: dict[str, dict[str, Any]] = {"auto": {"warm_up_steps": 0, "teaches_below": 1.0}}
"""Options with which all of a method's terms come within the few steps of here."""


@pytest.fixture(scope="module", params=sorted(METHODS))
def trained(request: pytest.FixtureRequest, a_batch: Batch) -> tuple[str, list[float], Tensor]:
    """A method's name, its curve, and the probabilities that it ends with."""
    torch.manual_seed(0)
    method = METHODS[request.param](SOON.get(request.param, {}), SPHERES, NETWORK)
    step, curve = PlainStep(method), []
    for iteration in range(STEPS):
        step.iteration, step.progress = iteration, iteration / STEPS
        curve.append(sum(term.item() for term in method.training_step(a_batch, step).values()))
    segmentor = step.networks["segmentor"].eval()
    with torch.no_grad():
        return request.param, curve, segmentor.probabilities(segmentor(a_batch.image).logits)


def test_60_steps_on_two_spheres_beat_the_start(trained: tuple[str, list[float], Tensor], a_batch: Batch) -> None:
    _, curve, probability = trained
    assert sum(curve[50:60]) / 10 < 0.6 * curve[0]
    found, truth = probability[:1] > 0.5, a_batch.target[:1]
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.7


def test_naive_unlearns_the_sphere_that_nobody_annotated_in_a_case_and_no_other_method_does(
    trained: tuple[str, list[float], Tensor], a_batch: Batch
) -> None:
    """The second case's right ball: background to the baseline, unknown to all others, from the same two cases."""
    name, _, probability = trained
    inside = probability[1, 1][a_batch.target[0, 1]].mean()
    assert inside < 0.3 if name == "naive" else inside > 0.7


def test_an_unknown_option_is_refused_by_name(a_method: Method) -> None:
    with pytest.raises(ConfigError, match="no_such_option"):
        type(a_method)({"no_such_option": 1}, SPHERES, NETWORK)


def test_exclusive_labels_train_as_well(a_batch: Batch) -> None:
    made = METHODS["smile"]({}, SPHERES, replace(NETWORK, activation="softmax"))
    terms = made.training_step(a_batch, PlainStep(made))
    assert set(terms) == {"cross_entropy", "dice"}
    assert all(torch.isfinite(term) for term in terms.values())


def test_two_methods_of_one_name_are_an_error() -> None:
    with pytest.raises(TypeError, match=r"two methods are called 'smile': SemiSupSegLib\.methods\.smile and"):
        type("Other", (Method,), {"name": "smile"})
    assert METHODS["smile"].__module__ == "SemiSupSegLib.methods.smile"


def test_a_class_without_a_name_is_not_a_method() -> None:
    before = dict(METHODS)
    type("Half", (Method,), {})
    assert before == METHODS


def test_an_unknown_method_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no method 'smiel': choose one of .*smile"):
        method_named("smiel")
    assert method_named("smile") is METHODS["smile"]


def test_every_file_of_the_folder_is_imported() -> None:
    files = {name for _, name, _ in pkgutil.iter_modules(methods.__path__)}
    assert {f"{methods.__name__}.{name}" for name in files} <= set(sys.modules)


def test_rampup_grows_from_almost_0_to_1() -> None:
    assert rampup(0) == pytest.approx(0.0067, abs=1e-4)
    assert rampup(1) == 1
    assert rampup(2) == 1
    assert rampup(0.2) < rampup(0.6)
