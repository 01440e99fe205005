"""A prediction lists the labels that touch though they never do in the annotated cases."""

from __future__ import annotations

import json

import numpy as np
import pytest

from SemiSupSegLib.config import Config, TrainConfig
from SemiSupSegLib.engine import predict
from SemiSupSegLib.engine.model import Model
from SemiSupSegLib.engine.prediction import Prediction
from SemiSupSegLib.engine.volume import Statistics
from SemiSupSegLib.project.adjacency_rules import change_rules
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.proposals import candidates

ORGANS = LabelSet.from_names(["liver", "left kidney"])
CONFIG = Config(train=TrainConfig(iterations=1))
COMPLETE = Annotation(State.COMPLETE)
SHAPE = (9, 8, 7)


@pytest.fixture
def a_project(tmp_path) -> Project:
    """Case `done`: liver and left kidney, fully annotated, lie apart; nothing is known of case `new`."""
    project = Project.create(tmp_path / "study", label_set=ORGANS)
    labels = np.zeros((1, *SHAPE), np.uint8)
    labels[0, 0], labels[0, 8] = 1, 2
    said = dict.fromkeys(ORGANS.names, COMPLETE)
    image = image_from_kji(np.zeros(SHAPE, np.int16), Grid(SHAPE[::-1], (1.0, 1.0, 1.0)))
    project.add_case("done", image, labels=labels, annotations=said, modality="CT", who="ann")
    project.add_case("new", image, labels=None, annotations={}, modality="CT", who="ann")
    return project


@pytest.fixture
def predicted(a_project, monkeypatch):
    """Predicts case `new`: liver up to slice 4, left kidney from slice 5 on, but in one column (voxel j 3, i 2)."""
    column = np.zeros((2, *SHAPE))
    column[0, :5, 3, 2] = column[1, 5:, 3, 2] = 0.9
    grid = Grid(SHAPE[::-1], (1.0, 1.0, 1.0))
    statistics = Statistics(column[:, :, ::-1, ::-1].transpose(0, 3, 2, 1).astype(np.float16), None)
    monkeypatch.setattr(predict, "predict_volume", lambda *_, **__: Prediction(statistics, grid, grid, ORGANS, 0))
    model = Model(config=CONFIG, label_set=ORGANS, weights={}, run="r", checkpoint="last", step=1, name="0001")
    return lambda: predict.predict_case(a_project, a_project.case("new"), model)["labels"]


def test_a_contact_that_breaks_the_graph_is_in_the_file_and_in_the_review(a_project, predicted):
    said = predicted()
    ((liver,), (kidney,)) = (said[name]["contacts"] for name in ORGANS.names)
    assert (liver["label"], kidney["label"]) == ("left kidney", "liver")
    assert (liver["contacts"], liver["relation"]) == (1, "never")
    assert liver["slice"] in (4, 5)
    assert liver["voxel"][0] == liver["slice"]
    stored = json.loads((a_project.predictions_folder / "new" / "prediction.json").read_text())
    assert stored["labels"] == said
    reasons = {candidate.label: candidate.reason for candidate in candidates(a_project)}
    found = f"(1 contact, slice {liver['slice']})"
    assert f"touches left kidney, which it never does in the annotated cases {found}" in reasons["liver"]
    assert f"touches liver, which it never does in the annotated cases {found}" in reasons["left kidney"]


def test_where_nothing_is_forbidden_no_contacts_are_listed(a_project, predicted):
    change_rules(a_project, allow=[("liver", "left kidney")], who="ann")
    assert all("contacts" not in said for said in predicted().values())


def test_a_label_that_the_model_does_not_know_is_left_out(a_project, predicted):
    a_project.add_labels(LabelSet.from_names(["spleen"]).labels)
    change_rules(a_project, forbid=[("spleen", "liver")], who="ann")
    assert [len(said["contacts"]) for said in predicted().values()] == [1, 1]
