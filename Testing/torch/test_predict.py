"""Predicting volumes: the right place on the volume's own grid, the files, the folder, the verb."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from torch import Tensor, nn

from SemiSupSegLib.cli.main import main
from SemiSupSegLib.config import Config, DataConfig, NetworkConfig, TrainConfig
from SemiSupSegLib.engine import prediction_files
from SemiSupSegLib.engine.evaluate import evaluate_folders
from SemiSupSegLib.engine.model import Model
from SemiSupSegLib.engine.predict import predict_case, predict_volume
from SemiSupSegLib.engine.predict_many import predict_folder
from SemiSupSegLib.engine.prediction import LeftOut, Prediction
from SemiSupSegLib.engine.volume import Inference, Statistics
from SemiSupSegLib.engine.windows import Windows
from SemiSupSegLib.errors import RunError
from SemiSupSegLib.networks.segmentor import Segmentor
from SemiSupSegLib.project import models
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.images import read_volume
from SemiSupSegLib.project.labelmaps import read_labels
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

ORGANS = LabelSet.from_names(["liver", "left kidney"])
NETWORK = NetworkConfig(backbone="vnet", filters=8)
FLOAT32 = TrainConfig(iterations=1, precision="float32", device="cpu")


class Corner(nn.Module):
    """Stands for a network: says yes in the right, back, upper corner of what it is given, whatever the image is."""

    multiple = (1, 1, 1)
    exclusive = False

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))  # somewhere to live

    def features(self, image: Tensor) -> Tensor:
        x, y, z = (n // 3 for n in image.shape[2:])
        marked = torch.full_like(image, -20.0)
        marked[:, :, -x:, :y, -z:] = 20.0
        return marked

    def head(self, features: Tensor) -> Tensor:
        return features

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.float().sigmoid()


def a_config(spacing=(2.0, 3.0, 4.0), patch_size=(16, 16, 16), **network) -> Config:
    data = DataConfig(spacing=spacing, patch_size=patch_size)
    return Config(network=NetworkConfig(backbone="vnet", filters=8, **network), data=data, train=FLOAT32)


@pytest.fixture
def a_model() -> Model:
    torch.manual_seed(5)
    weights = Segmentor(NETWORK, labels=2).state_dict()
    return Model(
        config=a_config(), label_set=ORGANS, weights=weights, run="run", checkpoint="last", step=1, name="0001"
    )


@pytest.fixture
def an_image() -> sitk.Image:
    """Oblique, with a blob; 18 x 16 x 17 voxels."""
    rng = np.random.default_rng(1)
    array = rng.normal(0, 1, (17, 16, 18)).astype(np.float32)
    array[5:11, 5:11, 5:11] += 6
    return image_from_kji(array, Grid((18, 16, 17), (2.0, 3.0, 4.0), (5.0, -7.0, 11.0), _oblique()))


@pytest.fixture
def a_project(tmp_path, an_image, a_model) -> Project:
    """Two cases and a model in use."""
    project = Project.create(tmp_path / "study", label_set=ORGANS)
    for case_id in ("one", "two"):
        project.add_case(case_id, an_image, labels=None, annotations={}, modality="MR", who="tester")
    a_model.save(models.new_model_folder(project.models_folder))
    models.add_promoted(project.models_folder, "0001")
    return project


def _oblique() -> tuple[float, ...]:
    a, b = np.deg2rad(12), np.deg2rad(-7)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return tuple((about_z @ about_x).ravel())


@pytest.mark.robustness
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_g12_a_marked_corner_comes_back_at_its_place_from_all_48_axis_orders(order):
    """Axes in any order, each in either direction (half of them left-handed), oblique, with unequal spacing."""
    axes = np.reshape(_oblique(), (3, 3)) * [-1, -1, 1]  # columns: to the right, the front, the head, in LPS
    size, spacing = (6, 9, 12), (2.0, 3.0, 4.0)  # along these
    centre = np.array([10.0, -20.0, 30.0])
    model = Model(
        config=a_config(), label_set=LabelSet.from_names(["corner"]), weights={}, run="", checkpoint="", step=0
    )
    inference = Inference(Corner(), model.config, device="cpu")
    for signs in product((1, -1), repeat=3):
        direction = np.stack([axes[:, a] * s for a, s in zip(order, signs, strict=True)], axis=1)
        its_size, its_spacing = (tuple(v[a] for a in order) for v in (size, spacing))
        origin = centre - direction @ ((np.array(its_size) - 1) / 2 * its_spacing)
        grid = Grid(its_size, its_spacing, tuple(origin), tuple(direction.ravel()))
        image = image_from_kji(np.random.default_rng(0).random(grid.shape, np.float32), grid)

        prediction = predict_volume(model, image, inference=inference, passes=0)

        index = np.stack(np.meshgrid(*(np.arange(n) for n in its_size), indexing="ij"), axis=-1)
        along = (grid.point(index) - centre) @ axes  # mm to the right, front, head of the centre
        low, high = np.array(size) * spacing / 2 / 3 * -1, np.array(size) * spacing / 2 / 3
        wanted = (along[..., 0] > high[0]) & (along[..., 1] < low[1]) & (along[..., 2] > high[2])
        assert wanted.sum() == 2 * 3 * 4
        assert prediction.grid == grid
        np.testing.assert_array_equal(prediction.labels[0], wanted.transpose(2, 1, 0))


@pytest.mark.robustness
@pytest.mark.parametrize("spacing", [(1.0, 1.5, 2.5), (5.0, 5.0, 9.0)])
def test_g12_another_training_spacing_moves_nothing(spacing):
    """Finer and coarser than the image: the centre of what is marked stays where it is, to within a voxel."""
    grid = Grid((30, 27, 24), (2.0, 3.0, 4.0), (1.0, 2.0, 3.0), _oblique())
    image = image_from_kji(np.random.default_rng(0).random(grid.shape, np.float32), grid)
    model = Model(
        config=a_config(spacing, patch_size=(64, 64, 64)),  # one window: each would mark a corner of its own
        label_set=LabelSet.from_names(["corner"]), weights={}, run="", checkpoint="", step=0,
    )  # fmt: skip
    prediction = predict_volume(model, image, inference=Inference(Corner(), model.config, device="cpu"), passes=0)
    k, j, i = np.nonzero(prediction.labels[0])
    # i points to the left and j to the back in this image: right and back are low i and high j
    assert abs(i.mean() - (30 / 3 - 1) / 2) < 1.6
    assert abs(j.mean() - (27 - 1 - (27 / 3 - 1) / 2)) < 1.6
    assert abs(k.mean() - (24 - 1 - (24 / 3 - 1) / 2)) < 1.6


def a_prediction(probability: np.ndarray, label_set: LabelSet, entropy: np.ndarray | None = None) -> Prediction:
    """(K, X, Y, Z) on a grid that is RAS+ already; arrays (k, j, i) are its transpose, flipped along X and Y."""
    grid = Grid(probability.shape[1:], (1.0, 1.0, 1.0))
    statistics = Statistics(probability.astype(np.float16), None if entropy is None else entropy.astype(np.float16))
    return Prediction(statistics, grid, grid, label_set, 0 if entropy is None else 4)


@pytest.mark.unit
def test_the_likeliest_of_all_is_proposed_background_included():
    p = np.array([[0.9, 0.6, 0.4, 0.4], [0.1, 0.7, 0.45, 0.1]]).reshape(2, 4, 1, 1)
    likeliest = a_prediction(p, ORGANS)
    assert likeliest.labels[0, 0, 0].tolist() == [1, 2, 2, 0]
    published = replace(likeliest, likeliest=False)
    assert published.labels[0, 0, 0].tolist() == [1, 2, 0, 0]


@pytest.mark.unit
def test_only_a_model_that_follows_no_paper_takes_the_likeliest():
    grid = Grid((8, 8, 8), (4.0, 4.0, 4.0))
    image = image_from_kji(np.zeros(grid.shape, np.float32), grid)
    config = a_config((4.0, 4.0, 4.0), patch_size=(8, 8, 8))
    model = Model(config, LabelSet.from_names(["corner"]), {}, "", "", 0)
    for options, likeliest in (({}, True), ({"paper": True}, False)):
        one = replace(model, config=replace(config, options=options))
        inference = Inference(Corner(), one.config, device="cpu")
        assert predict_volume(one, image, inference=inference, passes=0).likeliest == likeliest


@pytest.mark.unit
def test_of_an_organ_in_one_part_one_part_is_proposed_and_its_maps_stay_whole():
    p = np.zeros((2, 8, 1, 1))
    p[0, :, 0, 0] = [0.9, 0.9, 0.1, 0.8, 0.1, 0.1, 0.1, 0.1]  # two pieces; the first has more probability in it
    p[1, :, 0, 0] = [0.1, 0.1, 0.1, 0.1, 0.1, 0.7, 0.1, 0.7]
    whole = a_prediction(p, ORGANS)
    held = replace(whole, parts=(1, None))
    assert whole.labels.ravel().tolist() == [1, 1, 0, 1, 0, 2, 0, 2]
    assert held.labels.ravel().tolist() == [1, 1, 0, 0, 0, 2, 0, 2]
    assert held.propose().left_out == {0: LeftOut(parts=0, voxels=1)}  # of 0.001 ml: speckle
    np.testing.assert_array_equal(held.probability(0), whole.probability(0))


@pytest.mark.unit
def test_labels_that_may_overlap_do_not_compete():
    nested = LabelSet.from_names(["liver", "tumour", "spleen"], overlaps=[("liver", "tumour")])
    p = np.array([[0.9, 0.9, 0.6], [0.6, 0.2, 0.8], [0.1, 0.1, 0.7]]).reshape(3, 3, 1, 1)
    prediction = a_prediction(p, nested)
    liver, tumour = (prediction.labels[nested.places[c].layer][0, 0] == nested.places[c].value for c in (0, 1))
    spleen = prediction.labels[nested.places[2].layer][0, 0] == nested.places[2].value
    assert liver.tolist() == [True, True, False]  # the spleen is likelier at the last voxel
    assert tumour.tolist() == [True, False, True]
    assert spleen.tolist() == [False, False, False]  # excluded there by the tumour, which is in another layer


@pytest.mark.unit
def test_uncertainty_is_interpolated_between_sure_voxels():
    """Halfway between a sure 0 and a sure 1 lies a border, not a doubt."""
    coarse, fine = Grid((2, 1, 1), (2.0, 1.0, 1.0)), Grid((4, 1, 1), (1.0, 1.0, 1.0), (-0.5, 0.0, 0.0))
    p = np.array([0.0, 1.0], np.float16).reshape(1, 2, 1, 1)
    prediction = Prediction(Statistics(p, p * 0), coarse, fine, LabelSet.from_names(["liver"]), 2)
    assert 0 < prediction.probability(0)[0, 0, 1] < 1
    assert prediction.uncertainty(0).max() == 0
    assert prediction.mutual_information(0).max() == 0


@pytest.mark.unit
def test_windows_and_the_whole_volume_agree_where_the_network_looks_at_single_voxels():
    class Pointwise(Corner):
        def features(self, image: Tensor) -> Tensor:
            return image

    values = np.random.default_rng(0).normal(size=(1, 20, 18, 16)).astype(np.float32)
    inference = Inference(Pointwise(), a_config(), device="cpu")
    whole = inference.run(values, 1)
    cut = inference.run(values, 1, windows=Windows((20, 18, 16), (12, 10, 16)))
    np.testing.assert_allclose(cut.probability, whole.probability, atol=3e-3)


@pytest.mark.unit
def test_a_network_that_learnt_from_mirrored_cases_is_asked_about_the_mirror_image_too():
    """What it says there of the left side is about the right one; of a label without another side it says nothing."""

    class Sided(Corner):
        """The first label is where it is bright, the second nowhere, the third in the first half along X."""

        def features(self, image: Tensor) -> Tensor:
            return image

        def probabilities(self, values: Tensor) -> Tensor:
            half = torch.zeros_like(values)
            half[:, :, : values.shape[2] // 2] = 1
            return torch.cat([values, torch.zeros_like(values), half], dim=1)

        def head(self, features: Tensor) -> Tensor:
            return features

    values = np.random.default_rng(0).uniform(size=(1, 8, 6, 4)).astype(np.float32)
    names, config = ("left lung", "right lung", "left atrium"), a_config()
    mirrored = replace(config, data=replace(config.data, mirrored=True))
    alone = Inference(Sided(), config, device="cpu", names=names).run(values, 3).probability
    found = Inference(Sided(), mirrored, device="cpu", names=names).run(values, 3).probability
    np.testing.assert_allclose(alone[0], values[0], atol=1e-3)
    np.testing.assert_allclose(found[:2], [values[0] / 2] * 2, atol=1e-3)
    np.testing.assert_array_equal(found[2], alone[2])
    assert (found[2, :4] == 1).all()


@pytest.mark.unit
def test_windows_of_dropout_passes_share_their_masks(a_model):
    inference = Inference(a_model.segmentor(), a_model.config, device="cpu")
    inference.segmentor.backbone = nn.Identity()  # one voxel at a time, so that windows may be compared with the whole
    values = np.repeat(np.random.default_rng(0).normal(size=(1, 24, 16, 16)), 8, axis=0).astype(np.float32)
    whole = inference.run(values, 2, passes=5)
    cut = inference.run(values, 2, passes=5, windows=Windows((24, 16, 16), (16, 16, 16)))
    np.testing.assert_allclose(cut.probability, whole.probability, atol=3e-3)
    np.testing.assert_allclose(cut.entropy, whole.entropy, atol=3e-3)
    for channel in range(2):
        assert whole.mutual_information(channel).max() > 0.001
        assert (whole.mutual_information(channel) <= whole.uncertainty(channel) + 1e-6).all()


@pytest.mark.unit
@pytest.mark.parametrize(("passes", "dropout"), [(0, 0.5), (8, 0.0)])
def test_without_dropout_passes_there_is_no_mutual_information(passes, dropout, an_image):
    config = a_config(dropout=dropout)
    weights = Segmentor(config.network, labels=2).state_dict()
    model = Model(config=config, label_set=ORGANS, weights=weights, run="", checkpoint="last", step=0)
    prediction = predict_volume(model, an_image, passes=passes)
    assert prediction.passes == 0
    assert prediction.mutual_information(0).max() == 0
    assert 0 < prediction.uncertainty(0).max() <= 1


@pytest.mark.unit
def test_the_same_volume_gives_the_same_prediction_twice(a_model, an_image):
    first, second = (predict_volume(a_model, an_image, passes=3) for _ in range(2))
    np.testing.assert_array_equal(first.statistics.probability, second.statistics.probability)
    np.testing.assert_array_equal(first.statistics.entropy, second.statistics.entropy)


@pytest.mark.robustness
def test_g10_a_network_that_gives_no_numbers_is_an_error_not_a_prediction(a_model, an_image):
    broken = {k: v * float("nan") if v.is_floating_point() else v for k, v in a_model.weights.items()}
    model = Model(**{**vars(a_model), "weights": broken})
    with pytest.raises(RunError, match="finite"):
        predict_volume(model, an_image, passes=0)


@pytest.mark.robustness
def test_memory_that_runs_out_makes_the_windows_smaller():
    class Greedy(Corner):
        def features(self, image: Tensor) -> Tensor:
            if image.numel() > 20**3:
                raise MemoryError
            return image

    values = np.random.default_rng(0).normal(size=(1, 40, 20, 20)).astype(np.float32)
    told = []
    Inference(Greedy(), a_config(), device="cpu").run(values, 1, on_progress=lambda *x: told.append(x))
    assert told[-1][0] == told[-1][1] > 1


@pytest.mark.e2e
def test_a_case_gets_all_its_files_on_its_own_grid(a_project, a_model, an_image):
    said = predict_case(a_project, a_project.case("one"), a_model, passes=2)
    folder = a_project.predictions_folder / "one"
    slugs = ("liver", "left_kidney")
    maps = {f"{kind}_{s}.nii.gz" for kind in ("probability", "uncertainty", "mutual_information") for s in slugs}
    assert {p.name for p in folder.iterdir()} == {
        "prediction.json", "labels.seg.nrrd", "labels.nii.gz", "uncertainty.nii.gz", *maps,
    }  # fmt: skip
    assert json.loads((folder / "prediction.json").read_text()) == said
    assert (said["model"], said["run"], said["checkpoint"], said["passes"]) == ("0001", "run", "last", 2)
    for name in ("labels.nii.gz", "uncertainty.nii.gz", *maps):
        found = Grid.of(read_volume(folder / name))
        assert found.size == Grid.of(an_image).size
        np.testing.assert_allclose(found.corners(), Grid.of(an_image).corners(), atol=1e-3)
    _, segments, _ = read_labels(folder / "labels.seg.nrrd")
    assert [name for name, _, _ in segments] == list(ORGANS.names)
    largest = sitk.GetArrayFromImage(read_volume(folder / "uncertainty.nii.gz"))
    each = [sitk.GetArrayFromImage(read_volume(folder / f"uncertainty_{s}.nii.gz")) for s in slugs]
    np.testing.assert_allclose(largest, np.maximum(*each), atol=1e-6)
    assert 0 <= largest.min() <= largest.max() <= 1


@pytest.mark.e2e
def test_the_numbers_of_a_prediction_are_those_of_its_files(a_project, a_model):
    said = predict_case(a_project, a_project.case("one"), a_model, passes=0)["labels"]
    labels = sitk.GetArrayFromImage(read_volume(a_project.predictions_folder / "one" / "labels.nii.gz"))
    for value, name in enumerate(ORGANS.names, start=1):
        assert said[name]["voxels"] == (labels == value).sum()
        assert said[name]["volume_ml"] == pytest.approx((labels == value).sum() * 24 / 1000)
        assert said[name]["empty"] == (not (labels == value).any())
        assert len(said[name]["slices"]) == labels.shape[0]
        assert (a_project.predictions_folder / "one" / said[name]["uncertainty"]).is_file()


@pytest.mark.robustness
def test_g03_a_prediction_that_fails_leaves_the_one_before(a_project, a_model, monkeypatch):
    predict_case(a_project, a_project.case("one"), a_model, passes=0)
    folder = a_project.predictions_folder / "one"
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prediction_files, "numbers", full)
    with pytest.raises(OSError, match="No space"):
        predict_case(a_project, a_project.case("one"), a_model, passes=3)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in a_project.cache_folder.iterdir() if "prediction" in p.name] == []


@pytest.mark.e2e
def test_a_new_prediction_takes_the_place_of_the_one_before(a_project, a_model):
    predict_case(a_project, a_project.case("one"), a_model, passes=0, maps="all")
    said = predict_case(a_project, a_project.case("one"), a_model, passes=2, maps="none")
    folder = a_project.predictions_folder / "one"
    assert {p.name for p in folder.iterdir()} == {
        "prediction.json",
        "labels.seg.nrrd",
        "labels.nii.gz",
        "uncertainty.nii.gz",
    }
    assert said["labels"]["liver"]["uncertainty"] == "uncertainty.nii.gz"  # what accept --confident reads then
    assert said["labels"]["liver"]["probability"] is None


@pytest.mark.unit
def test_many_labels_get_no_maps_of_their_own_unless_asked(tmp_path):
    names = LabelSet.from_names([f"region {n}" for n in range(31)])
    prediction = a_prediction(np.zeros((31, 2, 2, 2)), names)
    prediction_files.write_files(prediction, prediction_files.Layout(tmp_path))
    assert {p.name for p in tmp_path.iterdir()} == {"labels.seg.nrrd", "labels.nii.gz", "uncertainty.nii.gz"}
    prediction_files.write_files(prediction, prediction_files.Layout(tmp_path), maps="all")
    assert len(list(tmp_path.glob("probability_*"))) == 31


@pytest.fixture
def a_folder_of_images(tmp_path, an_image) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    sitk.WriteImage(an_image, str(folder / "first scan.nii.gz"))
    sitk.WriteImage(an_image, str(folder / "second.nrrd"))
    (folder / "broken.nii.gz").write_bytes(b"not an image at all")
    return folder


@pytest.mark.e2e
def test_g09_volumes_outside_the_project_are_predicted_and_a_bad_one_stops_nobody(
    a_model, a_folder_of_images, tmp_path
):
    output = tmp_path / "out"
    told: list[float] = []
    found = predict_folder(
        a_model, a_folder_of_images, output, passes=0, on_progress=lambda share, _: told.append(share)
    )
    assert set(found.refused) == {"broken"}
    assert "broken" in found.refused["broken"]
    assert set(found.volumes) == {"first_scan", "second"}
    assert told == sorted(told)
    assert told[-1] == 1
    for name in found.volumes:
        maps = ("maps/{}_probability_liver.nii.gz", "maps/{}_mutual_information_left_kidney.nii.gz")
        for file in ("{}.nii.gz", "{}.seg.nrrd", "{}_uncertainty.nii.gz", *maps):
            assert (output / file.format(name)).is_file()
        assert (output / found.volumes[name]["liver"]["uncertainty"]).is_file()
    assert json.loads((output / "labels.json").read_text())["labels"] == {"1": "liver", "2": "left kidney"}


@pytest.mark.e2e
def test_what_is_predicted_for_a_folder_can_be_evaluated(a_model, a_folder_of_images, tmp_path):
    predict_folder(a_model, a_folder_of_images, tmp_path / "out", passes=0, maps="none")
    found = evaluate_folders(tmp_path / "out", tmp_path / "out")
    assert not found.matched_by_number
    assert {(r.case, r.label) for r in found.rows} >= {("first_scan", "liver"), ("second", "left kidney")}
    assert all(r.scores.dice == 1 or np.isnan(r.scores.dice) for r in found.rows)


@pytest.mark.robustness
def test_a_folder_in_which_nothing_works_is_an_error(a_model, tmp_path):
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "broken.nii.gz").write_bytes(b"no")
    with pytest.raises(RunError, match="nothing could be predicted"):
        predict_folder(a_model, tmp_path / "scans", tmp_path / "out")


@pytest.mark.robustness
def test_predictions_never_go_where_the_images_are(a_model, a_folder_of_images):
    with pytest.raises(RunError, match="another folder"):
        predict_folder(a_model, a_folder_of_images, a_folder_of_images)


@pytest.mark.e2e
def test_the_verb_predicts_all_cases_and_says_so_in_json(a_project, capsys):
    assert main(["predict", str(a_project.root), "--passes", "0", "--maps", "none", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["model"] == "0001"
    assert set(said["cases"]) == {"one", "two"}
    assert set(said["cases"]["one"]) == {"liver", "left kidney"}


@pytest.mark.e2e
def test_the_verb_predicts_one_case_or_other_volumes(a_project, a_folder_of_images, tmp_path, capsys):
    assert main(["predict", str(a_project.root), "--case", "two", "--passes", "0"]) == 0
    assert [p.name for p in a_project.predictions_folder.iterdir()] == ["two"]
    assert "left kidney" in capsys.readouterr().out
    output = str(tmp_path / "out")
    assert (
        main(["predict", str(a_project.root), "--images", str(a_folder_of_images), "--output", output, "--passes", "0"])
        == 0
    )
    assert "not predicted: broken" in capsys.readouterr().out


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--case", "three"], 1, "three"),
        (["--model", "0007"], 1, "0007"),
        (["--images", "scans"], 2, "belong together"),
        (["--images", "scans", "--output", "out", "--case", "one"], 2, "one of them"),
        (["--passes", "-1"], 2, "0 to 100"),
        (["--images", "nowhere", "--output", "out"], 1, "nowhere"),
    ],
)
def test_mistakes_are_one_sentence(words, code, sentence, a_project, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        found = main(["predict", str(a_project.root), *words])
    except SystemExit as end:
        found = end.code
    assert found == code
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error


@pytest.mark.e2e
def test_a_project_without_a_model_says_what_to_do(tmp_path, capsys):
    Project.create(tmp_path / "study", label_set=ORGANS)
    assert main(["predict", str(tmp_path / "study")]) == 1
    assert "train one first" in capsys.readouterr().err


def test_a_volume_is_seen_as_in_training_in_patches_for_instance_norm_and_whole_for_batch_norm() -> None:
    size = (40, 30, 20)
    for norm, window in (("instance", (16, 16, 16)), ("batch", size)):
        config = a_config(norm=norm)
        inference = Inference(Segmentor(config.network, labels=2), config, device="cpu", memory_gb=8)
        assert inference.windows(size, labels=2).window == window
