"""Atlases: annotated cases vote on what is predicted, where that was found to help."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from test_atlas import COMPLETE, GRID, LABELS, lobes
from test_registration import MM, a_head

from SemiSupSegLib.cli.main import main
from SemiSupSegLib.config import Config, DataConfig, NetworkConfig, TrainConfig
from SemiSupSegLib.data.prepare import PreparedCase, prepare
from SemiSupSegLib.engine import atlases as atlases_module
from SemiSupSegLib.engine import predict as predict_module
from SemiSupSegLib.engine.atlases import atlases_of, choose, with_atlases
from SemiSupSegLib.engine.model import Model
from SemiSupSegLib.engine.predict import predict_case
from SemiSupSegLib.engine.promote import promote
from SemiSupSegLib.engine.volume import Statistics
from SemiSupSegLib.errors import ModelFileError
from SemiSupSegLib.networks.segmentor import Segmentor
from SemiSupSegLib.project import models
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import array_xyz, image_from_kji, image_from_xyz
from SemiSupSegLib.project.holdout import set_holdout
from SemiSupSegLib.project.project import Project

SHIFTS = {"a": (0, 0, 0), "b": (6, -4, 8), "c": (-4, 6, 2)}
BOTH = dict.fromkeys(LABELS.names, COMPLETE)


def drawn(image: sitk.Image) -> np.ndarray:
    return lobes(image).transpose(2, 1, 0)[np.newaxis]


def add(project: Project, case_id: str, image: sitk.Image, said: dict[str, Annotation]) -> None:
    labels = drawn(image)
    shown = [name for name, one in said.items() if one.state is State.COMPLETE]
    keep = np.isin(labels, [0, *(LABELS.places[LABELS.index(name)].value for name in shown)])
    layers = np.where(keep, labels, 0) if said else None
    own = image_from_kji(array_xyz(image).transpose(2, 1, 0), GRID)
    project.add_case(case_id, own, labels=layers, annotations=said, modality="MR", who="tester")


@pytest.fixture
def a_study(tmp_path: Path) -> Project:
    """Three annotated heads, and one that is not."""
    project = Project.create(tmp_path / "study", label_set=LABELS)
    for case_id, shift in SHIFTS.items():
        add(project, case_id, a_head(shift), BOTH)
    add(project, "new", a_head((4, 4, -6), 1.1), {})
    return project


@pytest.fixture
def a_model() -> Model:
    config = Config(
        data=DataConfig(spacing=(2 * MM,) * 3, patch_size=(16, 16, 16)),
        network=NetworkConfig(backbone="vnet", filters=8),
        train=TrainConfig(iterations=1, precision="float32", device="cpu"),
    )
    return Model(config, LABELS, Segmentor(config.network, labels=2).state_dict(), "run", "last", 1)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, list[PreparedCase]], None]:
    """``network(0.3, cases)``: it gives so much to what people drew in each case, and nothing to the rest."""

    def says(right: float, cases: list[PreparedCase]) -> None:
        class Said:
            def __init__(self, *_args: object, **_more: object) -> None:
                pass

            def run(self, image: Any, *_args: object) -> Statistics:
                labels = next(np.asarray(case.labels) for case in cases if np.array_equal(case.image, image))
                return Statistics((right * np.stack([labels[0] == 1, labels[0] == 2])).astype(np.float16), None)

        monkeypatch.setattr(atlases_module, "Inference", Said)

    return says


def prepared(project: Project, model: Model) -> list[PreparedCase]:
    return [case for case in prepare(project, model.config.data) if case.annotated.any()]


def test_atlases_are_taken_where_the_network_alone_finds_less(a_study: Project, a_model: Model, network) -> None:
    cases = prepared(a_study, a_model)
    network(0.2, cases)
    found = with_atlases(a_model, a_study, cases)
    assert found.atlases == ("a", "b", "c")
    assert found.atlas_share > 0.3  # 0.2 (1 - s) + s is above one half from s = 0.375 on


def test_a_network_that_finds_what_was_drawn_predicts_alone_and_nothing_is_registered(
    a_study: Project, a_model: Model, network, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = prepared(a_study, a_model)
    network(1.0, cases)
    monkeypatch.setattr(atlases_module, "vote", lambda *_, **__: pytest.fail("an atlas was laid over a case"))
    assert with_atlases(a_model, a_study, cases) is a_model


def test_atlases_that_lie_wrong_get_no_share(a_study: Project, a_model: Model, network, monkeypatch) -> None:
    """A network worth 0.6 is not spoiled by annotated cases that say the opposite."""
    cases = prepared(a_study, a_model)
    network(0.6, cases)
    monkeypatch.setattr(atlases_module, "GOOD", 1.1)
    original = atlases_module.vote

    def turned_round(*args: Any, **how: Any) -> Any:
        votes = original(*args, **how)
        return replace(votes, laid=tuple(tuple(layer[::-1] for layer in layers) for layers in votes.laid))

    monkeypatch.setattr(atlases_module, "vote", turned_round)
    assert with_atlases(a_model, a_study, cases).atlases == ()


@pytest.mark.parametrize("left", ["one case", "switched off"])
def test_one_annotated_case_cannot_show_what_atlases_are_worth_and_they_can_be_switched_off(
    a_study: Project, a_model: Model, network, left: str
) -> None:
    cases = prepared(a_study, a_model)
    network(0.2, cases)
    if left == "one case":
        cases = cases[:1]
    else:
        config = replace(a_model.config, train=replace(a_model.config.train, atlases=False))
        a_model = replace(a_model, config=config)
    assert with_atlases(a_model, a_study, cases).atlases == ()


def test_a_case_in_which_everything_is_absent_says_nothing_of_the_network(
    a_study: Project, a_model: Model, network
) -> None:
    add(a_study, "0", a_head((2, 2, 2)), dict.fromkeys(LABELS.names, Annotation(State.ABSENT)))
    cases = prepared(a_study, a_model)
    network(0.4, cases)  # with a third of the votes for nothing, 0.6 of the others must still find what was drawn
    assert with_atlases(a_model, a_study, cases, seconds=0).atlases == ("0", "a", "b", "c")


def test_cases_with_most_labels_are_taken_until_each_label_is_in_five(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "study", label_set=LABELS)
    for number in range(7):
        add(project, f"left{number}", a_head(), {"left lobe": COMPLETE})
    add(project, "both", a_head(), BOTH)
    add(project, "none", a_head(), {})
    found = [case.id for case in choose(list(project.cases.values()), LABELS.names)]
    assert found == ["both", "left0", "left1", "left2", "left3"]


def test_atlases_that_are_gone_or_held_out_do_not_vote(a_study: Project, a_model: Model) -> None:
    model = replace(a_model, atlases=("a", "b", "gone"), atlas_share=0.5)
    assert [atlas.case_id for atlas in atlases_of(a_study, model)] == ["a", "b"]
    set_holdout(a_study, ["b"], who="tester")
    assert [atlas.case_id for atlas in atlases_of(a_study, model)] == ["a"]
    assert atlases_of(a_study, a_model) == []


def test_a_case_is_proposed_as_its_atlases_say_and_it_never_votes_on_itself(a_study: Project, a_model: Model) -> None:
    model = replace(a_model, atlases=("a", "b", "c"), atlas_share=0.9, name="0001")
    said = predict_case(a_study, a_study.case("new"), model, passes=2)
    assert (said["atlases"], said["atlas_share"]) == (["a", "b", "c"], 0.9)
    file = a_study.predictions_folder / "new" / "labels.seg.nrrd"
    found = sitk.GetArrayFromImage(sitk.ReadImage(file))
    truth = drawn(a_head((4, 4, -6), 1.1))[0]
    assert 2 * ((found == truth) & (truth > 0)).sum() / ((found > 0).sum() + (truth > 0).sum()) > 0.85
    assert predict_case(a_study, a_study.case("b"), model, passes=0)["atlases"] == ["a", "c"]
    assert "atlases" not in predict_case(a_study, a_study.case("b"), replace(a_model, name="0001"), passes=0)


def test_the_hold_out_is_scored_with_the_atlases(a_study: Project, a_model: Model) -> None:
    set_holdout(a_study, ["c"], who="tester")
    alone = promote(a_study, a_model).score
    found = promote(a_study, replace(a_model, atlases=("a", "b"), atlas_share=0.9)).score
    assert alone is not None
    assert found is not None
    assert alone < 0.4 < 0.8 < found


def test_atlases_are_kept_with_the_model_and_a_share_that_is_none_is_refused(tmp_path: Path, a_model: Model) -> None:
    replace(a_model, atlases=("a", "b"), atlas_share=0.4).save(tmp_path / "0001")
    found = Model.load(tmp_path / "0001")
    assert (found.atlases, found.atlas_share) == (("a", "b"), 0.4)
    file = tmp_path / "0001" / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "atlas_share": 1.5}))
    with pytest.raises(ModelFileError, match="atlas_share"):
        Model.load(tmp_path / "0001")


def test_the_verb_says_which_cases_are_laid_over_and_uses_them_for_other_volumes(
    a_study: Project, a_model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    replace(a_model, atlases=("a", "b"), atlas_share=0.9).save(models.new_model_folder(a_study.models_folder))
    models.add_promoted(a_study.models_folder, "0001")
    images = tmp_path / "images"
    images.mkdir()
    sitk.WriteImage(image_from_xyz(array_xyz(a_head()), GRID), images / "other.nii.gz")
    used: list[list[str]] = []
    original = predict_module.vote

    def seen(image: sitk.Image, grid: Any, atlases: Any, **how: Any) -> Any:
        used.append([atlas.case_id for atlas in atlases])
        return original(image, grid, atlases, **how)

    monkeypatch.setattr(predict_module, "vote", seen)
    assert main(["predict", str(a_study.root), "--images", str(images), "--output", str(tmp_path / "out")]) == 0
    assert "a, b are laid over each volume" in capsys.readouterr().out
    assert main(["predict", str(a_study.root), "--case", "a"]) == 0
    assert used == [["a", "b"], ["b"]]
