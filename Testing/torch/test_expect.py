"""The curve of what to expect shows what a user gets who changes nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import expect

pytestmark = pytest.mark.unit


def record(row: str, seed: int, minutes: float, dice: float) -> str:
    summary = {"dice": {"liver": 0.1, expect.ALL: dice}}
    return json.dumps({"row": row, "seed": seed, "minutes": minutes, "summary": summary, "deviation": 0.05})


def test_rows_of_the_presets_in_the_order_of_their_minutes_without_those_that_changed_something(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"protocol": "B"}), encoding="utf-8")
    lines = [
        record("auto, balanced, 15 min", 1, 15.2, 0.8),
        record("auto, quick, 5 min", 1, 5.1, 0.7),
        record("auto, quick, 5 min", 2, 5.1, 0.6),
        record("auto, quick, 5 min, warm_up_steps=1", 1, 5.0, 0.9),
    ]
    (tmp_path / "scores.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert expect.line_of(tmp_path) == (expect.TITLES["B"], [(5.1, 0.7, 0.05), (15.2, 0.8, 0.05)])
