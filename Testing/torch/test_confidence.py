"""The confidence head: its loss, what it begins as, what it learns, and how it is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from SemiSupSegLib.config import Config, DataConfig, NetworkConfig, TrainConfig
from SemiSupSegLib.data.prepared import PreparedCase
from SemiSupSegLib.engine.confidence import (
    head_budget,
    learn_confidence,
    load_head,
    save_head,
    segmentor_budget,
)
from SemiSupSegLib.engine.model import Model
from SemiSupSegLib.engine.selection import positives, ranking
from SemiSupSegLib.engine.volume import Inference
from SemiSupSegLib.errors import ModelFileError
from SemiSupSegLib.losses import confidence as confidence_module
from SemiSupSegLib.losses.confidence import confidence_loss, true_state_probability
from SemiSupSegLib.networks.confidence import ConfidenceHead, ConfidentSegmentor
from SemiSupSegLib.networks.segmentor import Segmentor
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.labels import LabelSet

pytestmark = pytest.mark.unit
LIVER = LabelSet.from_names(["liver"])
NETWORK = NetworkConfig(backbone="dynunet", filters=8, dropout=0.2, strides=((2, 2, 2), (2, 2, 2)))
SIDE = 16


def some_answers(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Confidence, probability, target and what is known of two patches of three labels."""
    draw = torch.Generator().manual_seed(7)
    shape = (2, 3, 3, 2, 2)
    confidence, probability = (torch.rand(shape, generator=draw, dtype=dtype) for _ in range(2))
    target, known = (torch.rand(shape, generator=draw) < share for share in (0.5, 0.6))
    return confidence, probability, target, known


# ---- the loss


def test_the_true_state_has_p_where_the_label_is_and_1_minus_p_elsewhere() -> None:
    p = torch.tensor([0.75, 0.75])
    assert true_state_probability(p, torch.tensor([True, False])).tolist() == [0.75, 0.25]


def test_loss_by_hand_a_single_wrong_voxel_counts_as_much_as_all_right_ones() -> None:
    # Said to be there: rightly at three voxels (target 1), wrongly at one (target 1 - 0.75); confidence 0.5 everywhere.
    probability = torch.tensor([[[1.0, 1.0, 1.0, 0.75, 1.0]]])
    target = torch.tensor([[[True, True, True, False, False]]])
    known = torch.tensor([[[True, True, True, True, False]]])
    confidence = torch.full_like(probability, 0.5)
    expected = (0.5**2 + 0.25**2) / 2
    assert confidence_loss(confidence, probability, target, known).item() == pytest.approx(expected)


def test_loss_agrees_with_a_slow_loop() -> None:
    confidence, probability, target, known = some_answers()
    means = []
    for label, said, there in product(range(3), (True, False), (True, False)):
        errors = [
            (confidence[i].item() - (probability[i].item() if there else 1 - probability[i].item())) ** 2
            for b, x, y, z in product(range(2), range(3), range(2), range(2))
            if known[i := (b, label, x, y, z)] and (probability[i].item() > 0.5) == said and target[i].item() == there
        ]
        means += [sum(errors) / len(errors)] if errors else []
    expected = sum(means) / len(means)
    assert confidence_loss(confidence, probability, target, known).item() == pytest.approx(expected, rel=1e-12)


def test_two_processes_with_a_patch_each_have_the_loss_of_one_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    confidence, probability, target, known = some_answers()
    counted: list[Tensor] = []

    def remember(count: Tensor) -> Tensor:
        counted.append(count)
        return count

    monkeypatch.setattr(confidence_module, "mean_over_processes", remember)
    whole = confidence_loss(confidence, probability, target, known)
    monkeypatch.setattr(confidence_module, "mean_over_processes", lambda _: counted[0] / 2)  # what two would agree on
    halves = [confidence_loss(*(x[b : b + 1] for x in (confidence, probability, target, known))) for b in range(2)]
    assert (sum(halves) / 2).item() == pytest.approx(whole.item(), rel=1e-12)


def test_gradients_of_the_loss_are_right_and_reach_the_confidence_alone() -> None:
    confidence, probability, target, known = some_answers()
    confidence.requires_grad_()
    probability.requires_grad_()
    assert torch.autograd.gradcheck(lambda c: confidence_loss(c, probability, target, known), confidence)
    confidence_loss(confidence, probability, target, known).backward()
    assert probability.grad is None
    assert not confidence.grad[~known].any()
    assert confidence.grad[known].all()


def test_what_is_not_known_has_no_influence_and_nothing_known_gives_0() -> None:
    confidence, probability, target, known = some_answers(torch.float32)
    before = confidence_loss(confidence, probability, target, known)
    other = torch.where(known, confidence, float("nan"))
    assert torch.equal(confidence_loss(other, probability, target, known), before)
    confidence.requires_grad_()
    nothing = confidence_loss(confidence, probability, target, torch.zeros_like(known))
    nothing.backward()
    assert nothing.item() == 0
    assert not confidence.grad.any()


def test_float64_stays_and_bfloat16_is_computed_in_float32() -> None:
    confidence, probability, target, known = some_answers()
    assert confidence_loss(confidence, probability, target, known).dtype == torch.float64
    assert confidence_loss(confidence.bfloat16(), probability, target, known).dtype == torch.float32


def test_shapes_that_differ_are_refused() -> None:
    confidence, probability, target, known = some_answers()
    with pytest.raises(ValueError, match="known"):
        confidence_loss(confidence, probability, target, known[:1])


# ---- the head


@pytest.fixture(params=["sigmoid", "softmax"])
def a_segmentor(request: pytest.FixtureRequest) -> Segmentor:
    torch.manual_seed(1)
    return Segmentor(replace(NETWORK, activation=request.param), labels=2).eval()


def test_it_begins_as_the_segmentors_own_sureness() -> None:
    probability = torch.tensor([0.6, 0.9, 0.2, 0.999]).view(1, 1, 4, 1, 1)
    found = ConfidenceHead(5, 1)(torch.randn(1, 5, 4, 1, 1), probability)
    torch.testing.assert_close(found.flatten()[:3], torch.tensor([0.6, 0.9, 0.8]))
    assert found.flatten()[3].item() == pytest.approx(0.9526, abs=1e-4)  # cut off at a logit of 3


def test_nothing_that_it_learns_reaches_the_segmentor(a_segmentor: Segmentor) -> None:
    features = a_segmentor.features(torch.randn(1, 1, 8, 8, 8))
    probability = a_segmentor.probabilities(a_segmentor.head(features))
    head = ConfidenceHead(8, 2)
    head(features, probability).sum().backward()
    assert all(p.grad is None for p in a_segmentor.parameters())
    assert all(p.grad is not None for p in head.parameters())


def test_inference_with_a_head_gives_the_same_probabilities_and_a_confidence_for_each(a_segmentor: Segmentor) -> None:
    network = replace(NETWORK, activation="softmax" if a_segmentor.exclusive else "sigmoid")
    train = TrainConfig(iterations=1, precision="float32", device="cpu")
    config = Config(data=DataConfig(patch_size=(8, 8, 8)), network=network, train=train)
    image = np.random.default_rng(1).normal(size=(1, 14, 9, 8)).astype(np.float32)
    alone = Inference(a_segmentor, config, device="cpu").run(image, 2).probability
    both = (
        Inference(ConfidentSegmentor(a_segmentor, ConfidenceHead(8, 2)), config, device="cpu").run(image, 4).probability
    )  # type: ignore[arg-type]
    assert np.array_equal(both[:2], alone)
    assert both[2:].min() >= 0.5  # it begins as max(p, 1 - p)


# ---- learning


class Bands(torch.nn.Module):
    """A backbone that knows no more than how bright a voxel is: three features."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat((image, (image - 1).abs(), (image - 2).abs()), dim=1)


def a_model_that_mistakes_bright_for_liver() -> Model:
    """Intensity 1 is liver, of which the model is 88 % sure; 2 is something else, which it is 99.8 % sure is liver."""
    config = Config(
        data=DataConfig(spacing=(1.0, 1.0, 1.0), patch_size=(SIDE,) * 3, rotation=0, elastic=0, intensity_strength=0),
        network=NETWORK,
        train=TrainConfig(iterations=80, batch_size=2, precision="float32", device="cpu", workers=0),
    )

    class Mistaken(Model):
        def segmentor(self) -> Segmentor:
            made = Segmentor(NETWORK, labels=1)
            made.backbone = Bands()
            made.head = type(made.head)(3, 1, 0.2)
            with torch.no_grad():
                made.head.weight.copy_(torch.tensor([[4.0, 0.0, 0.0]]))
                made.head.bias.fill_(-2.0)
            return made.eval()

    return Mistaken(config=config, label_set=LIVER, weights={}, run="r", checkpoint="last", step=1)


def a_case(name: str, state: State = State.COMPLETE) -> PreparedCase:
    """Darkness, a liver at x < 6 of intensity 1, and something brighter at x >= 10."""
    image = np.zeros((1, SIDE, SIDE, SIDE), np.float16)
    image[0, :6, 4:12, 4:12] = 1
    image[0, 10:, 4:12, 4:12] = 2
    labels = (image == 1).astype(np.uint8) if state is State.COMPLETE else np.zeros(image.shape, np.uint8)
    return PreparedCase.of_arrays(name, image, labels, LIVER, [Annotation(state)])


@pytest.fixture(scope="module")
def a_head() -> ConfidenceHead:
    """Trained on a case in which people said what is liver."""
    model = a_model_that_mistakes_bright_for_liver()
    head = learn_confidence(
        model, [a_case("a"), a_case("b", State.UNKNOWN)], replace(model.config.train, learning_rate=1e-2)
    )
    assert head is not None
    return head


def test_it_learns_where_a_sure_model_is_wrong(a_head: ConfidenceHead) -> None:
    model = a_model_that_mistakes_bright_for_liver()
    both = Inference(ConfidentSegmentor(model.segmentor(), a_head), model.config, device="cpu")  # type: ignore[arg-type]
    score, confidence = both.run(a_case("c").image, 2).probability
    right, wrong = score[2, 8, 8], score[13, 8, 8]
    assert wrong > 0.99 > right > 0.85
    assert confidence[2, 8, 8] > 0.7
    assert confidence[13, 8, 8] < 0.2


def test_the_most_confident_region_is_chosen_first_by_score_and_last_by_a_head_that_knows_it_is_wrong(
    a_head: ConfidenceHead,
) -> None:
    model, case = a_model_that_mistakes_bright_for_liver(), a_case("c", State.UNKNOWN)
    liver, bright = case.image[0] == 1, case.image[0] == 2
    share = liver.sum() / (liver.sum() + bright.sum())
    chosen = {}
    for select, head in (("score", None), ("confidence", a_head)):
        ranked = ranking(select, model, head)(case.image)  # type: ignore[arg-type]
        chosen[select] = positives(ranked, LIVER, LIVER, case.known(), share)[0]
    assert np.array_equal(chosen["score"] & bright, chosen["score"])
    assert np.array_equal(chosen["confidence"], liver)


def test_learning_stops_when_asked_and_says_how_it_goes_on() -> None:
    model, told = a_model_that_mistakes_bright_for_liver(), []
    found = learn_confidence(
        model, [a_case("a")], model.config.train, stop=lambda: len(told) == 3, tell=lambda step, _: told.append(step)
    )
    assert found is None
    assert told == [1, 2, 3]


def test_a_later_round_goes_on_with_the_head_of_the_round_before(a_head: ConfidenceHead) -> None:
    model, before = a_model_that_mistakes_bright_for_liver(), {k: v.clone() for k, v in a_head.state_dict().items()}
    short = TrainConfig(iterations=1, learning_rate=1e-9)
    found = learn_confidence(model, [a_case("a")], short, begin=a_head)
    assert found is not None
    for name, value in found.state_dict().items():
        torch.testing.assert_close(value, before[name], atol=1e-6, rtol=0)
    other = learn_confidence(model, [a_case("a")], short, begin=ConfidenceHead(7, 1))  # of another network
    assert other is not None
    assert other.features == 3


def test_the_head_gets_its_share_of_a_rounds_budget_and_the_segmentor_the_rest() -> None:
    for whole in (TrainConfig(minutes=10), TrainConfig(iterations=1000)):
        rest = segmentor_budget(Config(train=whole)).train
        its = head_budget(rest)
        assert (rest.minutes or 0) + (its.minutes or 0) == pytest.approx(whole.minutes or 0)
        assert (rest.iterations or 0) + (its.iterations or 0) == (whole.iterations or 0)
        assert (its.minutes or its.iterations) == pytest.approx(0.1 * (whole.minutes or whole.iterations))
    assert head_budget(TrainConfig(iterations=1)).iterations == 1


# ---- on disk


def test_a_head_is_kept_without_a_pickle_and_comes_back(a_head: ConfidenceHead, tmp_path: Path) -> None:
    save_head(tmp_path / "confidence", a_head, a_model_that_mistakes_bright_for_liver())
    assert sorted(p.name for p in (tmp_path / "confidence").iterdir()) == ["confidence.json", "confidence.safetensors"]
    found = load_head(tmp_path / "confidence", ["liver"])
    assert found is not None
    for name, value in found.state_dict().items():
        assert torch.equal(value, a_head.state_dict()[name])
    assert load_head(tmp_path / "confidence", ["liver", "spleen"]) is None
    assert load_head(tmp_path / "nothing", ["liver"]) is None


def spoil_weights(folder: Path) -> None:
    path = folder / "confidence.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1")


def spoil_description(folder: Path) -> None:
    (folder / "confidence.json").write_text("{", encoding="utf-8")


def claim_another_kind(folder: Path) -> None:
    said = json.loads((folder / "confidence.json").read_text(encoding="utf-8"))
    (folder / "confidence.json").write_text(json.dumps({**said, "kind": "other"}), encoding="utf-8")


@pytest.mark.parametrize("spoil", [spoil_weights, spoil_description, claim_another_kind])
def test_a_damaged_head_is_refused_in_a_sentence(
    a_head: ConfidenceHead, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    save_head(tmp_path, a_head, a_model_that_mistakes_bright_for_liver())
    spoil(tmp_path)
    with pytest.raises(ModelFileError, match="confidence"):
        load_head(tmp_path, ["liver"])
