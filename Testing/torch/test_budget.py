"""How far a run is, and its learning rate."""

from __future__ import annotations

import pytest

from SemiSupSegLib.config import TrainConfig
from SemiSupSegLib.engine.budget import Budget, learning_rate
from SemiSupSegLib.errors import ConfigError


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_budget_in_minutes_goes_by_the_clock_and_counts_what_was_spent_before() -> None:
    clock = Clock()
    budget = Budget(TrainConfig(minutes=2), elapsed=30, clock=clock)
    clock.now += 30
    assert budget.progress(12345) == pytest.approx(0.5)
    assert budget.eta_seconds(12345) == pytest.approx(60)


def test_a_budget_in_iterations_goes_by_steps_and_learns_its_speed() -> None:
    clock = Clock()
    budget = Budget(TrainConfig(iterations=10), clock=clock)
    assert budget.progress(4) == pytest.approx(0.4)
    assert budget.eta_seconds(0) is None
    clock.now += 8
    assert budget.eta_seconds(4) == pytest.approx(12)


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    config = TrainConfig(iterations=1000, learning_rate=0.01)
    rates = [learning_rate(config, progress=i / 1000, iteration=i) for i in range(1001)]
    peak = max(range(1001), key=rates.__getitem__)
    assert 10 <= peak <= 30
    assert rates[peak] == pytest.approx(0.01, rel=0.05)
    assert rates[1000] == 0
    assert rates[500] == pytest.approx(0.01 * 0.5**0.9)
    assert learning_rate(config, progress=0.5, iteration=500, factor=0.5) == pytest.approx(rates[500] / 2)


def test_rounds_that_share_a_schedule_go_on_where_the_one_before_ended() -> None:
    def rate(span: tuple[float, float], progress: float) -> float:
        config = TrainConfig(minutes=1.0, learning_rate=1e-3, schedule_span=span)
        return learning_rate(config, progress=progress, iteration=1000)

    assert rate((0.0, 0.7), 1.0) == pytest.approx(rate((0.7, 1.0), 0.0))
    assert rate((0.7, 1.0), 0.5) == pytest.approx(rate((0.0, 1.0), 0.85))
    assert rate((0.7, 1.0), 1.0) == 0


def test_steps_go_down_to_a_tenth_at_the_published_shares() -> None:
    config = TrainConfig(minutes=1.0, learning_rate=0.01, schedule="step")
    rates = [learning_rate(config, progress=n / 6000, iteration=1000) for n in (0, 2499, 2501, 4999, 5001, 6000)]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001])


def test_a_span_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="schedule_span"):
        TrainConfig(minutes=1.0, schedule_span=(0.7, 0.7))
