"""The verb methods: what there is to train with, and what each option means."""

from __future__ import annotations

import json

import pytest

from SemiSupSegLib.cli.main import main
from SemiSupSegLib.methods.base import METHODS

pytestmark = pytest.mark.e2e


def test_methods_lists_them_and_explains_each_option_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods"]) == 0
    listed = capsys.readouterr().out
    assert "smile" in listed
    assert "teacher_weight" not in listed
    assert main(["methods", "auto"]) == 0
    explained = capsys.readouterr().out
    assert "--option teacher_weight=0.5\n    Weight of what the teacher said" in explained
    assert "--option sdm=false" in explained


def test_every_option_of_every_method_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "--json"]) == 0
    methods = json.loads(capsys.readouterr().out)
    assert [(m["name"], o["name"]) for m in methods for o in m["options"] if len(o["text"]) < 10] == []


def test_a_misspelt_method_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "smlie"]) == 1
    assert capsys.readouterr().err.strip() == (
        "semisupseg methods: no method 'smlie': choose one of " + ", ".join(sorted(METHODS))
    )
