"""Propagation: what is proposed beside finished slices follows them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from SemiSupSegLib.cli.main import main
from SemiSupSegLib.config import Config, DataConfig, NetworkConfig, TrainConfig
from SemiSupSegLib.engine.model import Model
from SemiSupSegLib.engine.predict import predict_case
from SemiSupSegLib.engine.propagation import Finished, finished_of, propagate
from SemiSupSegLib.engine.volume import Statistics
from SemiSupSegLib.networks.segmentor import Segmentor
from SemiSupSegLib.project import models
from SemiSupSegLib.project.annotation import Annotation, Region, RegionKind, State
from SemiSupSegLib.project.geometry import Grid, image_from_kji, to_ras, training_grid
from SemiSupSegLib.project.holdout import set_holdout
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.predictions import read_prediction
from SemiSupSegLib.project.project import Project

SIZE = (16, 12, 20)
THIN = Grid(SIZE, (1.0, 1.0, 1.0))
TURNED = Grid(SIZE, (1.0, 1.0, 1.0), (30.0, -7.0, 5.0), (0, 0, 1, 1, 0, 0, 0, 1, 0))
"""Slices k lie along another axis of the body, in the opposite direction."""
THICK = Grid((16, 12, 8), (1.0, 1.0, 8.0))


def coarse(grid: Grid) -> Grid:
    """Its training grid, with 2 mm voxels within slices, and of thin slices along them, too."""
    turned = Grid.of(to_ras(image_from_kji(np.zeros(grid.shape, np.uint8), grid)))
    x, y, z = (max(2.0, mm) for mm in turned.spacing)
    return training_grid(turned, (x, y, z))


def said(grid: Grid, value: float, entropy: float | None = None) -> Statistics:
    """A network that gives the same to every voxel."""
    shape = (1, *grid.size)
    return Statistics(
        np.full(shape, value, np.float16), None if entropy is None else np.full(shape, entropy, np.float16)
    )


def per_slice(statistics: Statistics, training: Grid, own: Grid) -> np.ndarray:
    """Mean probability of the training grid's slices, in the order of the volume's slices k."""
    normals = np.reshape(training.direction, (3, 3)).T @ np.reshape(own.direction, (3, 3))[:, 2]
    along = int(np.abs(normals).argmax())
    values = np.moveaxis(statistics.probability[0].astype(float), along, 0).mean(axis=(1, 2))
    return values if normals[along] > 0 else values[::-1]


def finished(grid: Grid, slices: tuple[int, ...], *, drawn: bool = True) -> Finished:
    return Finished("liver", slices, np.full((len(slices), *grid.shape[1:]), drawn))


@pytest.mark.parametrize("grid", [THIN, TURNED], ids=["as it is", "turned"])
def test_beside_a_finished_slice_the_network_follows_the_less_the_farther_it_is(grid: Grid) -> None:
    training = coarse(grid)
    statistics = said(training, 0.3)
    propagate(statistics, training, grid, [finished(grid, (4,))], ["liver"])
    found = per_slice(statistics, training, grid)  # 2 mm each: of slices 0 and 1, 2 and 3, ...
    assert found[2] > 0.8  # 0.3 + 0.7 w / (w + 0.2) with w = exp(-0.25 / 8)
    assert found[2] > found[3] > found[4] > 0.31
    np.testing.assert_allclose(found[7:], 0.3, atol=1e-3)


def test_by_hand() -> None:
    """Slice 4 is finished: 0.5 mm from a slice of the training grid it counts exp(-(0.5 / 2)² / 2) = 0.969 beside the
    0.2 of the network, 2.5 mm from the next one 0.458: 0.3 + 0.7 * 0.969 / 1.169 and 0.3 + 0.7 * 0.458 / 0.658."""
    training = coarse(THIN)
    statistics = said(training, 0.3)
    propagate(statistics, training, THIN, [finished(THIN, (4,))], ["liver"])
    np.testing.assert_allclose(per_slice(statistics, training, THIN)[2:4], [0.880, 0.787], atol=2e-3)


def test_what_was_drawn_too_much_goes_and_what_was_right_stays() -> None:
    training = coarse(THIN)
    statistics = said(training, 0.9)
    mask = np.zeros((1, 12, 16), bool)
    mask[:, :, 8:] = True  # i falls where X rises
    propagate(statistics, training, THIN, [Finished("liver", (9,), mask)], ["liver"])
    at = statistics.probability[0, :, :, 4].astype(float)
    assert at[:3].min() > 0.9
    assert at[5:].max() < 0.3


@pytest.mark.parametrize("grid", [THIN, TURNED], ids=["as it is", "turned"])
def test_between_two_finished_slices_both_count(grid: Grid) -> None:
    training = coarse(grid)
    both = Finished("liver", (4, 11), np.stack([np.ones((12, 16), bool), np.zeros((12, 16), bool)]))
    statistics = said(training, 0.5)
    propagate(statistics, training, grid, [both], ["liver"])
    found = per_slice(statistics, training, grid)
    assert found[2] > 0.8
    assert found[5] < 0.2
    assert found[3] + found[4] == pytest.approx(1.0, abs=0.1)


def test_the_slice_beside_a_thick_one_follows_and_the_third_does_not() -> None:
    training = coarse(THICK)
    statistics = said(training, 0.3)
    propagate(statistics, training, THICK, [finished(THICK, (3,))], ["liver"])
    found = per_slice(statistics, training, THICK)
    assert found[3] > 0.85
    assert found[4] > 0.8 > found[5] > 0.5
    assert found[7] == pytest.approx(0.3, abs=1e-3)


def test_where_people_settled_it_the_entropy_falls_and_it_never_leaves_its_range() -> None:
    training = coarse(THIN)
    statistics = said(training, 0.5, entropy=1.0)
    propagate(statistics, training, THIN, [finished(THIN, (4, 5, 6, 7))], ["liver"])
    assert statistics.entropy is not None
    assert statistics.entropy[0, :, :, 2].max() < 0.2
    assert statistics.entropy[0, :, :, 9].min() == 1.0
    assert 0 <= statistics.probability.min() <= statistics.probability.max() <= 1
    assert (statistics.mutual_information(0) >= 0).all()


def test_voxels_to_be_ignored_say_nothing() -> None:
    training = coarse(THIN)
    statistics = said(training, 0.3)
    counts = np.ones((1, 12, 16), bool)
    counts[:, :, :8] = False
    propagate(statistics, training, THIN, [replace(finished(THIN, (9,)), counts=counts)], ["liver"])
    at = statistics.probability[0, :, :, 4].astype(float)
    assert at[:3].min() > 0.7
    np.testing.assert_allclose(at[5:], 0.3, atol=1e-3)


def test_without_finished_slices_nothing_changes() -> None:
    training = coarse(THIN)
    statistics = said(training, 0.3)
    propagate(statistics, training, THIN, [], ["liver"])
    np.testing.assert_array_equal(statistics.probability, said(training, 0.3).probability)


def a_model(names: LabelSet) -> Model:
    """It expects each label in a twentieth of the voxels, and nothing else."""
    torch.manual_seed(1)
    config = Config(
        data=DataConfig(spacing=(2.0, 2.0, 2.0), patch_size=(16, 16, 16)),
        network=NetworkConfig(backbone="vnet", filters=8),
        train=TrainConfig(iterations=1, precision="float32", device="cpu"),
    )
    segmentor = Segmentor(config.network, labels=len(names))
    with torch.no_grad():
        list(segmentor.parameters())[-1].fill_(-2.0)
    return Model(config, names, segmentor.state_dict(), "run", "last", 1)


SLICES = Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((2, 3), (9, 9))),))


@pytest.mark.parametrize(
    ("annotation", "slices"),
    [
        pytest.param(SLICES, [(2, 3, 9)], id="finished slices"),
        pytest.param(Annotation(State.COMPLETE), [], id="all of it is known"),
        pytest.param(Annotation(State.PARTIAL, (Region(RegionKind.PAINTED),)), [], id="no slice as a whole"),
        pytest.param(Annotation(), [], id="nothing is known"),
    ],
)
def test_slices_that_people_finished_are_read(tmp_path: Path, annotation: Annotation, slices: list[tuple]) -> None:
    names = LabelSet.from_names(["liver", "spleen"])
    project = Project.create(tmp_path / "study", label_set=names)
    labels = np.zeros((1, *THIN.shape), np.uint8)
    labels[0, 3, 2:5] = 1
    image = image_from_kji(np.zeros(THIN.shape, np.float32), THIN)
    said_of = {"liver": annotation} if annotation.annotated else {}
    drawn = labels if said_of else None
    case = project.add_case("a", image, labels=drawn, annotations=said_of, modality="MR", who="tester")
    found = finished_of(case, names, ["liver", "spleen", "of another model"])
    assert [one.slices for one in found] == slices
    if found:
        np.testing.assert_array_equal(found[0].mask, labels[0, [2, 3, 9]] == 1)


@pytest.fixture
def a_study(tmp_path: Path) -> Project:
    """Two cases alike, slice 9 of one of them is finished; and a model in use."""
    names = LabelSet.from_names(["liver"])
    project = Project.create(tmp_path / "study", label_set=names)
    image = image_from_kji(np.random.default_rng(0).normal(size=THIN.shape).astype(np.float32), THIN)
    labels = np.zeros((1, *THIN.shape), np.uint8)
    labels[0, 9] = 1
    one = {"liver": Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((9, 9),)),))}
    project.add_case("bare", image, labels=None, annotations={}, modality="MR", who="tester")
    project.add_case("one", image, labels=labels, annotations=one, modality="MR", who="tester")
    a_model(names).save(models.new_model_folder(project.models_folder))
    models.add_promoted(project.models_folder, "0001")
    return project


def test_a_prediction_of_a_case_follows_its_finished_slices_and_says_so(a_study: Project) -> None:
    model = Model.load(a_study.models_folder / "0001")
    said = {id_: predict_case(a_study, a_study.case(id_), model, passes=0)["labels"]["liver"] for id_ in a_study.cases}
    assert "finished_slices" not in said["bare"]
    assert said["one"]["finished_slices"] == 1
    bare, found = (read_prediction(a_study, id_).layers(a_study.label_set)[0][0] > 0 for id_ in ("bare", "one"))
    assert found[8:11].mean() > 0.95
    assert not bare.any()
    assert not found[:5].any()


def test_the_command_line_says_which_proposals_follow_how_many_slices(a_study: Project, capsys) -> None:
    assert main(["predict", str(a_study.root), "--case", "bare"]) == 0
    assert "follows slices" not in capsys.readouterr().out
    assert main(["predict", str(a_study.root)]) == 0
    head, _, *rows = [line.split() for line in capsys.readouterr().out.splitlines() if line][1:5]
    assert head[-2:] == ["follows", "slices"]
    assert {row[0]: row[-1] for row in rows} == {"bare": "0", "one": "1"}


def test_a_case_whose_drawing_cannot_be_read_is_refused_in_a_sentence(a_study: Project, capsys) -> None:
    case = a_study.case("one")
    (case.folder / str(case.labels_file)).write_bytes(b"no labels")
    main(["predict", str(a_study.root)])
    assert "not predicted: one: " in capsys.readouterr().out


@pytest.mark.robustness
def test_what_is_proposed_in_the_hold_out_never_follows_what_people_said_there(a_study: Project) -> None:
    set_holdout(a_study, ["one"], who="tester")
    model = Model.load(a_study.models_folder / "0001")
    said = predict_case(a_study, a_study.case("one"), model, passes=0)["labels"]["liver"]
    assert "finished_slices" not in said
    assert not read_prediction(a_study, "one").layers(a_study.label_set)[0].any()


def test_each_label_of_a_slice_has_its_own_voxels(tmp_path: Path) -> None:
    names = LabelSet.from_names(["liver", "spleen"])
    project = Project.create(tmp_path / "study", label_set=names)
    labels = np.zeros((1, *THIN.shape), np.uint8)
    labels[0, 3, 2:5], labels[0, 3, 7] = 1, 2
    image = image_from_kji(np.zeros(THIN.shape, np.float32), THIN)
    both = dict.fromkeys(names.names, SLICES)
    case = project.add_case("a", image, labels=labels, annotations=both, modality="MR", who="tester")
    liver, spleen = finished_of(case, names, names.names)
    np.testing.assert_array_equal(liver.mask, labels[0, [2, 3, 9]] == 1)
    np.testing.assert_array_equal(spleen.mask, labels[0, [2, 3, 9]] == 2)
