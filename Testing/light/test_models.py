"""Which model is in use, and going back."""

from __future__ import annotations

from pathlib import Path

import pytest

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.project.models import add_promoted, new_model_folder, promoted_model, promoted_models, roll_back


def a_promoted_model(folder: Path) -> str:
    new = new_model_folder(folder)
    new.mkdir(parents=True)
    add_promoted(folder, new.name)
    return new.name


def test_the_last_promoted_model_is_in_use(tmp_path: Path) -> None:
    assert promoted_model(tmp_path) is None
    assert [a_promoted_model(tmp_path), a_promoted_model(tmp_path)] == ["0001", "0002"]
    assert promoted_model(tmp_path) == tmp_path / "0002"


def test_rolling_back_returns_to_the_one_before_and_its_name_is_never_given_again(tmp_path: Path) -> None:
    a_promoted_model(tmp_path)
    a_promoted_model(tmp_path)
    assert roll_back(tmp_path) == ("0002", "0001")
    assert a_promoted_model(tmp_path) == "0003"
    assert promoted_models(tmp_path) == ["0001", "0003"]


def test_there_is_nothing_to_roll_back_to_before_the_second_model(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="none was promoted yet"):
        roll_back(tmp_path)
    a_promoted_model(tmp_path)
    with pytest.raises(ProjectError, match="only one"):
        roll_back(tmp_path)


def test_a_damaged_pointer_is_reported_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "promoted.json").write_text("{")
    with pytest.raises(ProjectError, match="cannot be read"):
        promoted_models(tmp_path)
