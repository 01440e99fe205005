"""A stroke shows while something else computes on all processors; how soon is written down beside the pictures."""

from __future__ import annotations

import os

import pytest
from app_server import PICTURES
from strokes import HEADER, busy, row, stroke

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

STROKES = 6


def test_strokes_show_while_a_training_takes_all_processors(a_project, serve, open_page):
    tab = open_page(serve(a_project.root).address)
    tab.open_case("patient_2")
    tab.choose("liver")
    tab.tool("Paint")
    with busy(os.cpu_count() or 1):
        took = [stroke(tab, number, STROKES) for number in range(STROKES)]
    assert None not in took
    table = f"{HEADER}\n{row('a training on all processors', took)}\n"
    (PICTURES / "strokes.md").write_text(table, encoding="utf-8")
