"""LambdaControl: each rule of METHODS 1.3 by the numbers, what is selected, and that it survives a resume."""

from __future__ import annotations

import json
import math

import pytest
import torch

from SemiSupSegLib.methods.base import Judgement
from SemiSupSegLib.methods.lambda_control import TUNING, Epoch, LambdaControl

D0, NA = 0.8, 1e-3
EQUAL, CLOSE, SO_SO, FAR = D0, D0 - 0.005, D0 - 0.015, D0 - 0.03


@pytest.fixture
def a_control() -> LambdaControl:
    """After epoch 0, with a weight of 100."""
    control = LambdaControl()
    control.start(D0, NA, train_dice=0.5, train_non_adjacency=0.0015)
    assert control.weight == pytest.approx(100)
    return control


def epochs(control: LambdaControl, *dice: float, tuning: bool = False, value: float = NA) -> list[Judgement]:
    return [control.advance(one, value, tuning=tuning) for one in dice]


# rule 1 -------------------------------------------------------------------------------------------------------------


def test_epoch_0_runs_without_the_constraint_and_sets_weight_and_reference() -> None:
    control = LambdaControl()
    assert control.weight == 0
    assert not control.started
    judgement = control.start(0.7, 2e-4, train_dice=0.6, train_non_adjacency=1e-4)
    assert judgement == Judgement(best=True, good=True)
    assert control.started
    assert control.weight == pytest.approx(0.3 * 0.6 / 1e-4)
    assert control.reference == 0.7
    assert control.lowest == 2e-4


def test_without_any_forbidden_contact_epoch_0_is_repeated() -> None:
    control = LambdaControl()
    assert control.start(0.7, 0.0, train_dice=0.6, train_non_adjacency=0.0).best
    assert control.weight == 0
    assert not control.started
    control.start(0.75, 1e-4, train_dice=0.6, train_non_adjacency=1e-4)
    assert control.started
    assert control.reference == 0.75


# rule 2 -------------------------------------------------------------------------------------------------------------


def test_it_grows_at_every_fifth_epoch_that_is_close(a_control: LambdaControl) -> None:
    epochs(a_control, *[CLOSE] * 4)
    assert a_control.weight == pytest.approx(100)
    epochs(a_control, EQUAL)
    assert a_control.weight == pytest.approx(130)
    epochs(a_control, *[D0 + 0.1] * 5)
    assert a_control.weight == pytest.approx(169)


def test_an_epoch_between_close_and_far_changes_nothing_and_is_not_counted(a_control: LambdaControl) -> None:
    epochs(a_control, CLOSE, SO_SO, CLOSE, SO_SO, CLOSE, SO_SO, CLOSE)
    assert a_control.weight == pytest.approx(100)
    epochs(a_control, CLOSE)
    assert a_control.weight == pytest.approx(130)


def test_a_far_epoch_makes_it_wait_for_five_more(a_control: LambdaControl) -> None:
    epochs(a_control, *[CLOSE] * 4, FAR, *[CLOSE] * 4)
    assert a_control.weight == pytest.approx(100)
    epochs(a_control, CLOSE)
    assert a_control.weight == pytest.approx(130)


def test_the_limits_are_1_and_2_hundredths() -> None:
    for loss, count in ((0.0099, 1), (0.0101, 0), (0.0199, 0)):
        control = LambdaControl(reference=D0, weight=1.0, close=0)
        control.advance(D0 - loss, NA, tuning=False)
        assert control.close == count
    control = LambdaControl(reference=D0, weight=1.0, close=3)
    control.advance(D0 - 0.0199, NA, tuning=False)
    assert control.close == 3
    control.advance(D0 - 0.0201, NA, tuning=False)
    assert control.close == 0


# rule 3 -------------------------------------------------------------------------------------------------------------


def test_the_tuning_phase_begins_at_seven_tenths() -> None:
    assert TUNING == 0.7
    assert [e for e in range(200) if e / 200 >= TUNING][0] == math.floor(0.7 * 200)  # noqa: RUF015  the list is the rule


def test_when_tuning_it_never_grows_and_shrinks_at_once_and_then_at_every_fifth_epoch_below(
    a_control: LambdaControl,
) -> None:
    epochs(a_control, *[EQUAL] * 10, *[D0 + 0.1] * 10, tuning=True)
    assert a_control.weight == pytest.approx(100)
    epochs(a_control, CLOSE, tuning=True)  # its counter starts at 4
    assert a_control.weight == pytest.approx(90)
    epochs(a_control, *[CLOSE] * 4, tuning=True)
    assert a_control.weight == pytest.approx(90)
    epochs(a_control, CLOSE, tuning=True)
    assert a_control.weight == pytest.approx(81)


# rule 4 -------------------------------------------------------------------------------------------------------------


def test_good_is_at_most_a_hundredth_below(a_control: LambdaControl) -> None:
    judgements = epochs(a_control, D0 - 0.0099, D0 - 0.0101, D0 + 0.01)
    assert [j.good for j in judgements] == [True, False, True]


def test_five_epochs_after_the_last_good_one_weight_and_growth_are_lowered(a_control: LambdaControl) -> None:
    assert not any(j.roll_back for j in epochs(a_control, *[FAR] * 4))
    assert a_control.weight == pytest.approx(100)
    assert not epochs(a_control, FAR)[0].roll_back
    assert a_control.weight == pytest.approx(95)
    assert a_control.growth == pytest.approx(1.3 * 0.98)


def test_ten_and_fifteen_epochs_after_it_training_goes_back_with_a_lower_weight(a_control: LambdaControl) -> None:
    judgements = epochs(a_control, *[FAR] * 15)
    assert [n + 1 for n, j in enumerate(judgements) if j.roll_back] == [10, 15]
    assert a_control.weight == pytest.approx(100 * 0.95 * 0.9 * 0.9)
    assert a_control.growth == pytest.approx(1.3 * 0.98)


def test_a_good_epoch_ends_the_count(a_control: LambdaControl) -> None:
    assert not any(j.roll_back for j in epochs(a_control, *[FAR] * 9, CLOSE, *[FAR] * 9))


def test_it_also_goes_back_when_tuning(a_control: LambdaControl) -> None:
    assert epochs(a_control, *[FAR] * 10, tuning=True)[-1].roll_back


# rule 5 -------------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_lowers_weight_and_growth_and_the_third_goes_back(a_control: LambdaControl) -> None:
    assert [a_control.failed() for _ in range(6)] == [False, False, True, False, False, True]
    assert a_control.weight == pytest.approx(100 * 0.9**6)
    assert a_control.growth == pytest.approx(1.3 * 0.98**6)


def test_once_growth_would_shrink_it_has_stopped_and_nothing_changes_the_weight(a_control: LambdaControl) -> None:
    count = 0
    while not a_control.stopped:
        a_control.failed()
        count += 1
    assert count == 13  # 1.3 * 0.98 ** 12 is still above 1
    weight = a_control.weight
    a_control.failed()
    judgements = epochs(a_control, *[FAR] * 20, *[EQUAL] * 5)
    epochs(a_control, *[CLOSE] * 5, tuning=True)
    assert a_control.weight == weight
    assert not any(j.roll_back for j in judgements)
    assert epochs(a_control, EQUAL, value=NA / 2)[0].best  # it still chooses


# rule 6 -------------------------------------------------------------------------------------------------------------


def test_the_result_is_the_smallest_constraint_among_epochs_with_almost_the_reference(
    a_control: LambdaControl,
) -> None:
    story = [(0.79, 1e-5), (0.796, 5e-4), (0.81, 6e-4), (0.7951, 2e-4), (0.7949, 1e-4), (0.85, 2e-4), (0.8, 1.9e-4)]
    best = [a_control.advance(dice, value, tuning=False).best for dice, value in story]
    assert best == [False, True, False, True, False, False, True]
    allowed = [(value, dice) for dice, value in [(D0, NA), *story] if dice >= D0 - 0.005]
    assert a_control.lowest == min(allowed)[0]


def test_epoch_0_is_the_result_when_no_later_one_will_do(a_control: LambdaControl) -> None:
    assert not any(j.best for j in epochs(a_control, *[SO_SO] * 3, value=0.0))


# its state ----------------------------------------------------------------------------------------------------------


def test_a_resumed_control_goes_on_as_an_uninterrupted_one(a_control: LambdaControl) -> None:
    story = [CLOSE, FAR, CLOSE, CLOSE, SO_SO, *[FAR] * 11, *[CLOSE] * 9, EQUAL]
    for tuning in (False, True):
        for dice in story:
            tensors = {name: torch.tensor(value, dtype=torch.float64) for name, value in a_control.state().items()}
            resumed = LambdaControl.from_state({name: value.item() for name, value in tensors.items()})
            assert resumed == a_control
            expected = a_control.advance(dice, NA, tuning=tuning)
            assert resumed.advance(dice, NA, tuning=tuning) == expected
            assert resumed == a_control
            a_control.failed() if dice == SO_SO else None


def test_its_state_is_plain_json_also_before_epoch_0(a_control: LambdaControl) -> None:
    assert LambdaControl.from_state(json.loads(json.dumps(a_control.state()))) == a_control
    fresh = LambdaControl.from_state(json.loads(json.dumps(LambdaControl(interval=3).state())))
    assert not fresh.started
    assert fresh.interval == 3
    assert fresh.below == 2


def test_another_interval_changes_all_counts() -> None:
    control = LambdaControl(interval=2)
    control.start(D0, NA, train_dice=1.0, train_non_adjacency=0.3)
    epochs(control, EQUAL, EQUAL)
    assert control.weight == pytest.approx(1.3)
    assert [j.roll_back for j in epochs(control, *[FAR] * 4)] == [False, False, False, True]


# the training patches -----------------------------------------------------------------------------------------------


def found(*labels: int, of: int) -> torch.Tensor:
    """(1, K + 1, n) probabilities of which these labels are the likeliest."""
    return torch.nn.functional.one_hot(torch.tensor([labels]), of + 1).movedim(-1, 1) * 0.6


def test_an_epoch_is_the_dice_of_all_its_patches_and_the_mean_of_the_constraint() -> None:
    truth = torch.tensor([[[True, True, False, True], [False, False, True, False], [False] * 4]])
    known = torch.tensor([True, True, True, False]).expand(1, 3, 4)
    right = found(1, 1, 2, 0, of=3)
    epoch = Epoch(3)
    epoch.add(found(1, 2, 2, 1, of=3), truth, known, torch.tensor(0.2))
    epoch.add(right, truth, known, torch.tensor(0.4))
    epoch.add(right, truth, known, torch.tensor(math.nan))  # left out
    assert epoch.steps == 2
    dice, value = epoch.end()
    assert dice == pytest.approx((2 * 3 / 7 + 2 * 2 / 5) / 2)  # the third label is nowhere
    assert value == pytest.approx(0.3)
    assert epoch.steps == 0


def test_an_epoch_without_any_label_has_no_dice() -> None:
    epoch = Epoch(2)
    nothing = torch.zeros(1, 2, 4, dtype=torch.bool)
    epoch.add(found(0, 0, 0, 0, of=2), nothing, ~nothing, torch.tensor(0.2))
    assert epoch.end() == (None, pytest.approx(0.2))
