"""While a training goes on, the panel keeps nobody waiting. For large volumes: Testing/benchmarks/bench_ui.py."""

from __future__ import annotations

import gc
import time

import pytest

LIMIT = 0.2
"""Seconds of computing in one go: what nobody takes for a stall."""
EVENTS = 2000


@pytest.fixture
def computing():
    """Measures what a call computes in this thread, seconds: neither a busy machine lengthens that, nor the collection
    of what other tests left behind."""

    def measured(call) -> float:
        begin = time.thread_time()
        call()
        return time.thread_time() - begin

    gc.collect()
    gc.freeze()
    yield measured
    gc.unfreeze()


def test_g21_no_look_of_the_timer_and_no_redrawing_takes_long_while_a_training_writes(
    a_project, a_run, a_session, open_panel, until, computing
) -> None:
    a_session.open(a_project.root)
    screen = open_panel(a_session)
    a_session.show_case("patient_2")
    until(screen, lambda: screen.panel.session.busy is None)
    for step in range(105, 105 + EVENTS):  # a whole night's, should Slicer have been asleep
        losses = {"dice": 1 / step, "sdm": 2 / step}
        a_run.write("progress", step=step, fraction=0.5, eta_seconds=60, losses=losses)
    first = computing(screen.panel._look)
    redrawn = computing(screen.panel.redraw)
    rest = max(computing(screen.panel._look) for _look in range(10))
    assert screen.panel.session.progress.step == 104 + EVENTS
    assert max(first, redrawn, rest) < LIMIT, (first, redrawn, rest)
