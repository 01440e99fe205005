"""Thresholds: each label's is moved to where proposals overlap most with what people annotated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from SemiSupSegLib.config import Config, DataConfig, NetworkConfig, TrainConfig
from SemiSupSegLib.data.bits import pack
from SemiSupSegLib.data.prepared import Foreground, PreparedCase
from SemiSupSegLib.engine import seen, threshold
from SemiSupSegLib.engine.decision import decide
from SemiSupSegLib.engine.model import Model
from SemiSupSegLib.engine.seen import look
from SemiSupSegLib.engine.threshold import SHIFTS, best_shift, with_shifts
from SemiSupSegLib.engine.threshold import shifts as shifts_of
from SemiSupSegLib.project.geometry import Grid
from SemiSupSegLib.project.labels import LabelSet

pytestmark = pytest.mark.unit
LABELS = LabelSet.from_names(["liver", "spleen"])
SIZE = (8, 8, 8)


def a_model(activation: str = "sigmoid") -> Model:
    config = Config(
        data=DataConfig(spacing=(4.0, 4.0, 4.0), patch_size=SIZE),
        network=NetworkConfig(filters=8, strides=((2, 2, 2), (2, 2, 2)), activation=activation),  # type: ignore[arg-type]
        train=TrainConfig(iterations=1, device="cpu"),
    )
    from SemiSupSegLib.networks.segmentor import Segmentor

    weights = Segmentor(config.network, labels=2).state_dict()
    return Model(config, LABELS, weights, "run", "last", 1)


def shifts(model: Model, cases: list[PreparedCase], **how: Any) -> dict[str, float]:
    return shifts_of(look(model, cases, **how), model.label_set)


def a_case(
    liver: NDArray[np.bool_],
    *,
    everywhere: tuple[bool, bool] = (True, False),
    finished: NDArray[np.bool_] | None = None,
) -> PreparedCase:
    """``finished``: only there, and of the liver alone, something is known."""
    arrays = {"image": np.zeros((1, *SIZE), np.float16), "labels": liver.astype(np.uint8)[None]}
    said, nothing = np.array(everywhere), Foreground(np.zeros((0, 3), np.int32), (0, 0))
    partial: tuple[int, ...] = ()
    if finished is not None:
        arrays["region"], partial, everything = pack(finished[None]), (0,), np.array([False, False])
        return PreparedCase("a", Grid(SIZE, (4.0,) * 3), LABELS, said, everything, 0.0, arrays, partial, nothing)
    return PreparedCase("a", Grid(SIZE, (4.0,) * 3), LABELS, said, said, 0.0, arrays, partial, nothing)


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.floating]]:
    """What the network is made to say of each case, (K, *S); the last one again and again."""
    said: list[NDArray[np.floating]] = []

    class Said:
        def __init__(self, *_args: object, **_more: object) -> None:
            self.number = 0

        def run(self, *_args: object) -> object:
            self.number += 1
            return type("Statistics", (), {"probability": said[min(self.number, len(said)) - 1].astype(np.float16)})

    monkeypatch.setattr(seen, "Inference", Said)
    return said


def alone(liver: NDArray[np.floating]) -> NDArray[np.floating]:
    """What the network says of the liver; the spleen is nowhere."""
    return np.stack([liver, np.zeros(SIZE)])


def halves() -> NDArray[np.bool_]:
    mask = np.zeros(SIZE, bool)
    mask[:4] = True
    return mask


def dice_at(shift: float, probability: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    proposed = 1 / (1 + (1 - p) / p * np.exp(-shift)) > 0.5
    return float(2 * (proposed & truth).sum() / (proposed.sum() + truth.sum()))


def test_the_best_shift_is_the_one_a_slow_loop_finds(predicted) -> None:
    random = np.random.default_rng(0)
    truth = halves()
    probability = np.where(truth, random.uniform(0.2, 0.9, SIZE), random.uniform(0.0, 0.5, SIZE)).astype(np.float16)
    predicted.append(alone(probability))
    found = shifts(a_model(), [a_case(truth)])
    dice = [dice_at(s, probability.astype(float), truth) for s in SHIFTS]
    assert set(found) == {"liver"}  # nobody annotated the whole spleen
    assert dice_at(found["liver"], probability.astype(float), truth) >= max(dice) - 0.002 - 1e-9
    as_good = [s for s, d in zip(SHIFTS, dice, strict=True) if d >= max(dice) - 0.002]
    assert abs(found["liver"]) <= min(map(abs, as_good)) + 1e-6
    assert found["liver"] > 0


def test_a_label_is_moved_against_its_rivals_by_a_slow_loop(predicted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threshold, "PASSES", 1)
    random, liver = np.random.default_rng(1), halves()
    said = random.dirichlet((2.0, 2.0, 1.0), size=liver.size).T.reshape(3, *SIZE)[:2]
    said[0][liver] *= 0.6
    predicted.append(said.astype(np.float16))
    labels = np.where(liver, 1, 2).astype(np.uint8)[None]
    case = replace(a_case(liver, everywhere=(True, True)), arrays={"image": np.zeros((1, *SIZE)), "labels": labels})
    found = shifts(a_model(), [case])
    for channel, truth in enumerate((liver, ~liver)):
        dice = []
        for shift in SHIFTS:
            p = predicted[0].astype(float)
            p[channel] = 1 / (1 + (1 / p[channel].clip(1e-6, 1 - 1e-6) - 1) * np.exp(-shift))
            proposed = decide(p) == channel
            dice.append(2 * (proposed & truth).sum() / (proposed.sum() + truth.sum()))
        moved = found.get(LABELS.names[channel], 0.0)
        assert dice[int(np.abs(SHIFTS - moved).argmin())] >= max(dice) - 0.004
        assert max(dice) > dice[len(SHIFTS) // 2] + 0.01


def test_labels_that_all_gain_are_moved_against_each_other(predicted) -> None:
    """Alone each would be lifted by so much that it takes the other's half; in a second pass the other resists."""
    liver = halves()
    faint = np.where(liver, 0.3, 0.2)
    predicted.append(np.stack([faint, np.where(liver, 0.2, 0.3)]))
    labels = np.where(liver, 1, 2).astype(np.uint8)[None]
    case = replace(a_case(liver, everywhere=(True, True)), arrays={"image": np.zeros((1, *SIZE)), "labels": labels})
    model = a_model()
    found = shifts(model, [case])
    assert found["liver"] == found["spleen"] > 0


def test_a_large_case_is_counted_piece_by_piece(predicted, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = halves()
    predicted.append(alone(np.where(truth, np.random.default_rng(3).uniform(0.1, 0.9, SIZE), 0.2)))
    at_once = shifts(a_model(), [a_case(truth)])
    monkeypatch.setattr(threshold, "PIECE", 100)
    assert shifts(a_model(), [a_case(truth)]) == at_once != {}


def test_where_half_is_as_good_as_anything_nothing_is_moved(predicted) -> None:
    predicted.append(alone(np.where(halves(), 0.9, 0.05)))
    assert shifts(a_model(), [a_case(halves())]) == {}


def test_a_label_that_is_nowhere_or_never_found_is_not_moved(predicted) -> None:
    predicted.append(np.zeros((2, *SIZE)))
    assert shifts(a_model(), [a_case(halves()), a_case(~halves(), everywhere=(False, True))]) == {}
    assert best_shift(np.full(len(SHIFTS), 5.0), np.zeros(len(SHIFTS)), 0.0) == 0
    assert shifts(a_model(), []) == {}


def test_false_alarms_in_a_case_without_the_organ_count(predicted) -> None:
    faint = np.where(halves(), 0.45, 0.3)
    predicted += [alone(faint), alone(np.full(SIZE, 0.4))]
    absent = a_case(np.zeros(SIZE, bool))
    assert shifts(a_model(), [a_case(halves())])["liver"] == pytest.approx(0.3)
    both = shifts(a_model(), [a_case(halves()), absent])["liver"]
    assert both < np.log(0.6 / 0.4)  # so far only, that the second case stays empty


def test_whole_slices_count_and_strokes_do_not(predicted) -> None:
    predicted.append(np.stack([np.where(halves(), 0.4, 0.1)] * 2))
    slices, stroke = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    slices[:, :, 2:4] = True
    stroke[2:6, 3, 2:4] = True
    assert shifts(a_model(), [a_case(halves(), finished=slices)])["liver"] > 0
    assert shifts(a_model(), [a_case(halves(), finished=stroke)]) == {}


def test_it_ends_in_time_and_looks_at_few_cases(predicted) -> None:
    predicted.append(np.stack([np.where(halves(), 0.4, 0.1)] * 2))
    looked: list[int] = []
    cases = [a_case(halves())] * 9
    shifts(a_model(), cases, alive=lambda: looked.append(1))
    assert len(looked) == seen.CASES
    looked.clear()
    assert shifts(a_model(), cases, seconds=0, alive=lambda: looked.append(1))
    assert len(looked) == 1


@pytest.mark.parametrize(("activation", "first"), [("sigmoid", 0), ("softmax", 1)])
def test_a_moved_threshold_is_a_moved_logit(activation: str, first: int) -> None:
    model, image = a_model(activation), torch.randn(1, 1, *SIZE)
    moved = with_shifts(model, {"spleen": 1.5})
    with torch.no_grad():
        before, after = model.segmentor()(image).logits, moved.segmentor()(image).logits
    expected = before.clone()
    expected[:, first + 1] += 1.5
    assert torch.allclose(after, expected, atol=1e-5)
    assert moved == replace(model, weights=moved.weights, moved={"spleen": 1.5})


def test_a_model_says_how_far_its_thresholds_were_moved(tmp_path: Path) -> None:
    with_shifts(a_model(), {"spleen": 1.5}).save(tmp_path / "0001")
    assert Model.load(tmp_path / "0001").moved == {"spleen": 1.5}
