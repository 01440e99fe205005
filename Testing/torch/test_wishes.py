"""Settings of a run that somebody names in place of what was planned."""

from __future__ import annotations

from pathlib import Path

import pytest

from SemiSupSegLib.config import Config, TrainConfig
from SemiSupSegLib.engine.plan import plan
from SemiSupSegLib.engine.wishes import split_options, with_wishes
from SemiSupSegLib.errors import ConfigError
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.synthetic import ORGANS, synthetic_case

pytestmark = pytest.mark.unit

PLANNED = Config(train=TrainConfig(iterations=5))


@pytest.fixture
def a_small_project(tmp_path: Path) -> Project:
    """One case whose organs are all annotated."""
    project = Project.create(tmp_path / "project", label_set=LabelSet.from_names(ORGANS))
    made = synthetic_case(1, size=(36, 30, 24))
    complete = {name: Annotation(State.COMPLETE) for name in ORGANS}
    image = image_from_kji(made.image, made.grid)
    project.add_case("c1", image, labels=made.labels[None], annotations=complete, modality="MR", who="me")
    return project


def test_names_with_a_point_are_the_runs_and_others_the_methods() -> None:
    assert split_options({"dice_weight": 0.5, "train.learning_rate": 0.002}) == (
        {"dice_weight": 0.5},
        {"train.learning_rate": 0.002},
    )


def test_a_wish_is_heeded_and_the_rest_stays() -> None:
    config = with_wishes(PLANNED, {"train.learning_rate": 0.002, "data.flips": [True, False, False]})
    assert (config.train.learning_rate, config.data.flips) == (0.002, (True, False, False))
    assert (config.train.iterations, config.network) == (5, PLANNED.network)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("trane.seed", 1, r"no setting 'trane\.seed': it begins with one of data\., network\., train\."),
        ("train.speed", 1, r"no setting 'train\.speed': choose one of train\.minutes, "),
        ("train.batch_size", "many", r'^train\.batch_size: "many" is not a whole number$'),
        ("train.batch_size", 1.7, r"^train\.batch_size: 1\.7 is not a whole number$"),
        ("train.learning_rate", True, r"^train\.learning_rate: true is not a finite number$"),
        ("data.rotation", float("nan"), r"^data\.rotation: NaN is not a finite number$"),
        ("data.rotation", float("inf"), r"^data\.rotation: Infinity is not a finite number$"),
        ("train.precision", "half", r'^train\.precision: "half" is not one of '),
        ("data.first_patch_size", "oops", r'^data\.first_patch_size: "oops" is not a list$'),
        ("data.patch_size", [8, 8], r"^data\.patch_size: \[8, 8\] is not a list of 3$"),
        ("data.flips", ["no", False, False], r'^data\.flips: "no" is not true or false$'),
        ("data.foreground", 2, r"data\.foreground: 2\.0 is not between 0 and 1"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(name: str, value: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        with_wishes(PLANNED, {name: value})


def test_the_planner_heeds_wishes_after_the_methods_own_changes(a_small_project: Project) -> None:
    options = {"paper": True, "train.learning_rate": 0.03, "data.patch_size": [20, 20, 20]}
    config = plan(a_small_project, method="mean_teacher", iterations=1, options=options)
    assert config.train.learning_rate == 0.03  # the paper's is 0.01
    assert config.train.optimizer == "sgd"
    assert config.data.patch_size == (32, 32, 32)  # what the network can halve
    assert "train.learning_rate" not in config.options


def test_a_word_is_neither_true_nor_false(a_small_project: Project) -> None:
    with pytest.raises(ConfigError, match=r'^paper: "no" is not true or false$'):
        plan(a_small_project, method="mean_teacher", iterations=1, options={"paper": "no"})
