"""Cases on the training grid, computed once, safe with any intensities."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from SemiSupSegLib.config import DataConfig
from SemiSupSegLib.data import implied as implied_module
from SemiSupSegLib.data import prepare as prepare_module
from SemiSupSegLib.data.cache import Cache, StoredArray
from SemiSupSegLib.data.intensity import LIMIT, normalise
from SemiSupSegLib.data.prepare import ct_statistics, prepare, prepare_case, prepare_holdout, prepare_image
from SemiSupSegLib.data.prepared import MOST_POSITIVES, foreground_of
from SemiSupSegLib.data.pseudo import load_pseudo, pseudo_file, save_pseudo
from SemiSupSegLib.errors import ConfigError, ImageError, ProjectError, RunError
from SemiSupSegLib.project.annotation import Annotation, Region, RegionKind, State
from SemiSupSegLib.project.cases import Case
from SemiSupSegLib.project.geometry import Grid, array_xyz, image_from_kji, to_ras
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

TURNED = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
"""Directions of a coronal acquisition: i runs to the back, j to the feet, k to the right."""
GRID = Grid((5, 4, 3), (1.0, 1.25, 1.5), (7.0, -3.0, 11.0), TURNED)
CONFIG = DataConfig(spacing=(1.5, 1.0, 1.25))
"""The spacing of GRID once its axes are X, Y, Z: nothing has to be interpolated."""
COMPLETE = Annotation(State.COMPLETE)


@pytest.fixture
def a_volume() -> NDArray[np.float32]:
    """(k, j, i) of GRID, every voxel different."""
    return np.random.default_rng(3).permutation(60).reshape(GRID.shape).astype(np.float32)


@pytest.fixture
def labels() -> NDArray[np.uint8]:
    """(1, k, j, i): liver at one voxel, spleen at two."""
    layers = np.zeros((1, *GRID.shape), np.uint8)
    layers[0, 2, 1, 3] = 1
    layers[0, 0, 3, 0:2] = 2
    return layers


@pytest.fixture
def a_project(tmp_path: Path) -> Project:
    """Empty, with the labels liver and spleen."""
    return Project.create(tmp_path / "project", label_set=LabelSet.from_names(["liver", "spleen"]))


@pytest.fixture
def add(a_project: Project, a_volume: NDArray[np.float32], labels: NDArray[np.uint8]) -> Callable[..., Case]:
    """Adds a case; what is not said is as in the fixtures above."""

    def make(case_id: str = "one", **kwargs: Any) -> Case:
        image = image_from_kji(kwargs.pop("image", a_volume), kwargs.pop("grid", GRID))
        said = {"liver": COMPLETE, "spleen": COMPLETE}
        return a_project.add_case(
            case_id, image, **{"labels": labels, "annotations": said, "modality": "MR", "who": "me", **kwargs}
        )

    return make


@pytest.fixture
def no_images(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and from then on nobody may read an image."""

    def forbid(_: Case) -> None:
        pytest.fail("an image was read again")

    return lambda: monkeypatch.setattr(Case, "image", forbid)


def test_without_resampling_a_case_is_only_turned_and_normalised(
    a_project: Project, add: Callable[..., Case], a_volume: NDArray[np.float32]
) -> None:
    add()
    (case,) = prepare(a_project, CONFIG)
    turned = array_xyz(to_ras(image_from_kji(a_volume, GRID)))
    assert case.shape == (3, 5, 4)
    assert np.array_equal(case.image[0], normalise(turned, CONFIG).astype(np.float16))
    assert case.padding == float(case.image.min())


@pytest.mark.parametrize("spacing", [(1.5, 1.0, 1.25), (0.5, 0.4, 0.5)])
def test_labels_stay_at_their_place_in_the_patient(
    a_project: Project, add: Callable[..., Case], spacing: tuple[float, float, float]
) -> None:
    add()
    (case,) = prepare(a_project, DataConfig(spacing=spacing))
    where = np.argwhere(case.labels[0] == 1).mean(axis=0)
    assert case.grid.point(where) == pytest.approx(GRID.point((3, 1, 2)), abs=0.3)


def test_what_is_known_is_what_the_case_says_slices_strokes_and_ignore_included(
    a_project: Project, add: Callable[..., Case]
) -> None:
    strokes, ignore = np.zeros(GRID.shape, bool), np.zeros(GRID.shape, bool)
    strokes[1, 2, :] = ignore[2, :, 1] = ignore[0, 3, 0] = True
    said = {
        "liver": Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((2, 2),)),)),
        "spleen": Annotation(State.PARTIAL, (Region(RegionKind.STROKES, file="regions/s.nii.gz"),)),
    }
    added = add(annotations=said, strokes={"regions/s.nii.gz": strokes}, ignore=ignore)
    (case,) = prepare(a_project, CONFIG)
    expected = added.known(a_project.label_set)
    turned = [array_xyz(to_ras(image_from_kji(k, GRID))) > 0 for k in expected]
    assert expected.any()
    assert not expected.all()
    assert np.array_equal(case.known(), np.stack(turned))


def test_strokes_imply_where_a_label_is_not_in_training_alone_and_are_looked_at_once(
    a_project: Project, add: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    strokes = np.zeros(GRID.shape, bool)
    strokes[0, 3, :3] = True  # two voxels of spleen and one that is none
    said = {"spleen": Annotation(State.PARTIAL, (Region(RegionKind.STROKES, file="regions/s.nii.gz"),))}
    add("a", annotations=said, strokes={"regions/s.nii.gz": strokes})
    add("b", annotations=said, strokes={"regions/s.nii.gz": strokes}, split="holdout")
    (case,) = prepare(a_project, CONFIG)
    (held_out,) = prepare_holdout(a_project, CONFIG)
    implied = case.implied()
    assert implied is not None
    assert not implied[0].any()
    assert implied[1].any()
    assert held_out.implied() is None
    monkeypatch.setattr(implied_module, "what_strokes_say", lambda *_: pytest.fail("computed again"))
    (again,) = prepare(a_project, CONFIG)
    assert np.array_equal(again.implied(), implied)


def test_what_strokes_imply_is_found_anew_when_intensities_are_normalised_otherwise(
    a_project: Project, add: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    strokes = np.zeros(GRID.shape, bool)
    strokes[0, 3, :3] = True
    said = {"spleen": Annotation(State.PARTIAL, (Region(RegionKind.STROKES, file="regions/s.nii.gz"),))}
    add("a", annotations=said, strokes={"regions/s.nii.gz": strokes})
    seen = []
    monkeypatch.setattr(implied_module, "looks_otherwise", lambda image, _: seen.append(image) or image[0] > 9)
    for config in (CONFIG, CONFIG, replace(CONFIG, intensity="ct", ct_window=(0.0, 60.0, 30.0, 9.0))):
        prepare(a_project, config)
    assert len(seen) == 2


def test_only_known_positives_are_centred_on(
    a_project: Project, add: Callable[..., Case], labels: NDArray[np.uint8]
) -> None:
    labels[0, 1, 1, 1] = 1
    ignore = labels[0] == 1
    ignore[2] = False
    partial = Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((1, 1),)),))
    add("a", ignore=ignore)  # of two liver voxels one is ignored
    add("b", annotations={"liver": partial})  # one is not in the finished slices; spleen is not annotated
    first, second = prepare(a_project, CONFIG)
    assert first.foreground.counts == (1, 2)
    assert second.foreground.counts == (1, 0)
    x, y, z = second.foreground.voxel(0, 0)
    assert second.labels[0, x, y, z] == 1
    assert second.grid.point((x, y, z)) == pytest.approx(GRID.point((1, 1, 1)))


def test_of_very_many_positives_a_fixed_choice_is_kept() -> None:
    mask = np.ones((40, 40, 20), bool)
    first, counts = foreground_of([mask, ~mask], mask.shape)
    again, _ = foreground_of([mask, ~mask], mask.shape)
    assert counts == [MOST_POSITIVES, 0]
    assert np.array_equal(first, again)
    assert len(np.unique(first, axis=0)) == MOST_POSITIVES


def test_a_second_prepare_reads_no_image(
    a_project: Project, add: Callable[..., Case], no_images: Callable[[], None]
) -> None:
    add("a")
    add("b")
    first = prepare(a_project, CONFIG)
    no_images()
    seen: list[tuple[int, int]] = []
    again = prepare(Project.open(a_project.root), CONFIG, on_progress=lambda done, of: seen.append((done, of)))
    assert [np.array_equal(x.image, y.image) for x, y in zip(first, again, strict=True)] == [True, True]
    assert seen == [(0, 2), (1, 2)]


def test_new_labels_cost_no_image(
    a_project: Project, add: Callable[..., Case], no_images: Callable[[], None], labels: NDArray[np.uint8]
) -> None:
    from SemiSupSegLib.project.transactions import commit

    add()
    prepare(a_project, CONFIG)
    no_images()
    labels[0, 1, 1, 1] = 1
    commit(a_project, "one", action="edited", who="me", labels=labels)
    (case,) = prepare(a_project, CONFIG)
    assert case.foreground.counts == (2, 2)


@pytest.mark.parametrize("other", [{"spacing": (3.0, 2.0, 2.5)}, {"intensity": "ct", "ct_window": (0, 9, 5, 2)}])
def test_another_spacing_or_normalisation_is_another_entry(
    a_project: Project, add: Callable[..., Case], other: dict[str, Any]
) -> None:
    add()
    (first,) = prepare(a_project, CONFIG)
    (second,) = prepare(a_project, replace(CONFIG, **other))
    assert first.image.shape != second.image.shape or not np.array_equal(first.image, second.image)


def test_an_image_that_changed_on_disk_is_prepared_again(
    a_project: Project, add: Callable[..., Case], a_volume: NDArray[np.float32]
) -> None:
    from SemiSupSegLib.project.images import write_volume

    case = add()
    (before,) = prepare(a_project, CONFIG)
    write_volume(image_from_kji(a_volume[::-1], GRID), case.folder / case.image_file)
    (after,) = prepare(a_project, CONFIG)
    assert not np.array_equal(before.image, after.image)


@pytest.mark.robustness
@pytest.mark.parametrize("damage", ["image.npy", "entry.json"])
def test_a_damaged_cache_entry_is_made_again(a_project: Project, add: Callable[..., Case], damage: str) -> None:
    add()
    (case,) = prepare(a_project, CONFIG)
    before = np.array(case.image)
    (file,) = a_project.cache_folder.glob(f"image-*/{damage}")
    file.write_bytes(file.read_bytes()[:-20])
    (again,) = prepare(a_project, CONFIG)
    assert np.array_equal(again.image, before)


@pytest.mark.robustness
def test_two_at_once_make_one_entry(tmp_path: Path) -> None:
    meeting = threading.Barrier(2)
    found = []

    def make() -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        meeting.wait()  # both are past the look at the disk
        return {"a": np.arange(5)}, {"n": 5}

    def prepare_it() -> None:
        found.append(Cache(tmp_path).entry("test", {"x": 1}, make))

    threads = [threading.Thread(target=prepare_it) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.meta["n"] for entry in found] == [5, 5]
    assert [folder.name for folder in tmp_path.iterdir()] == [found[0].folder.name]
    stored = found[1].array("a")
    assert stored is not None
    assert stored.open().tolist() == [0, 1, 2, 3, 4]


@pytest.mark.robustness
def test_a_making_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def make() -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        return {"a": np.arange(3), "b": np.array([object()])}, {}

    with pytest.raises(ValueError, match="allow_pickle"):
        Cache(tmp_path).entry("test", {}, make)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.robustness
def test_a_cache_deleted_while_in_use_is_said_in_one_sentence(a_project: Project, add: Callable[..., Case]) -> None:
    add()
    (case,) = prepare(a_project, CONFIG)
    shutil.rmtree(a_project.cache_folder)
    with pytest.raises(RunError, match="start again"):
        _ = case.image


@pytest.mark.security
def test_a_pickle_in_the_cache_is_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(RunError, match="damaged"):
        StoredArray(tmp_path / "image.npy").open()


def test_a_missing_label_file_is_named(a_project: Project, add: Callable[..., Case]) -> None:
    case = add("seven")
    assert case.labels_file is not None
    (case.folder / case.labels_file).unlink()
    with pytest.raises(ImageError, match=r"case seven: labels/.* is missing"):
        prepare(a_project, CONFIG)


def test_labels_of_another_size_are_refused(
    a_project: Project, add: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    add("seven")
    monkeypatch.setattr(Case, "labels", lambda *_, **__: np.zeros((1, 3, 4, 6), np.uint8))
    with pytest.raises(ImageError, match=r"case seven: its image has \(3, 4, 5\) voxels .* labels \(3, 4, 6\)"):
        prepare(a_project, CONFIG)


WILD = {
    "constant": np.full((4, 5, 6), 7.0),
    "zero": np.zeros((4, 5, 6)),
    "huge": np.random.default_rng(0).normal(size=(4, 5, 6)) * 1e37,
    "tiny": np.random.default_rng(0).normal(size=(4, 5, 6)) * 1e-30,
    "one hot voxel": np.where(np.arange(120).reshape(4, 5, 6) == 50, 1e30, 1.0),
    "nan and inf": np.where(np.arange(120).reshape(4, 5, 6) % 7, np.arange(120.0).reshape(4, 5, 6), np.nan),
    "all nan": np.full((4, 5, 6), np.nan),
    "one voxel": np.full((1, 1, 1), 300.0),
    "whole numbers": np.arange(120, dtype=np.int16).reshape(4, 5, 6),
}


@pytest.mark.robustness
@pytest.mark.parametrize("name", WILD)
@pytest.mark.parametrize("config", [DataConfig(), DataConfig(intensity="ct", ct_window=(-100.0, 300.0, 50.0, 80.0))])
def test_g10_any_intensities_become_finite_and_bounded(name: str, config: DataConfig) -> None:
    image = normalise(WILD[name], config)
    assert np.isfinite(image.astype(np.float16)).all()
    assert np.abs(image).max() <= LIMIT


@pytest.mark.robustness
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 4), (6, 1, 4), (6, 5, 1)])
def test_g10_axes_of_one_voxel_are_prepared(
    a_project: Project, add: Callable[..., Case], shape: tuple[int, int, int]
) -> None:
    grid = Grid(shape[::-1], (1.0, 2.0, 3.0))
    layers = np.ones((1, *shape), np.uint8)
    add(image=np.full(shape, 1e17, np.float32), grid=grid, labels=layers, annotations={"liver": COMPLETE})
    (case,) = prepare(a_project, DataConfig(spacing=(2.0, 2.0, 2.0)))
    assert np.isfinite(case.image).all()
    assert case.known()[0].all()
    assert (case.labels[0] == 1).all()


def test_zscore_is_over_the_body_and_not_its_surroundings() -> None:
    body = np.random.default_rng(1).normal(100, 10, (10, 20, 20))
    narrow = normalise(np.pad(body, ((0, 0), (5, 5), (5, 5))), DataConfig())
    wide = normalise(np.pad(body, ((0, 0), (25, 25), (25, 25))), DataConfig())
    assert narrow[:, 5:25, 5:25].mean() == pytest.approx(0, abs=0.02)
    assert narrow[:, 5:25, 5:25].std() == pytest.approx(1, abs=0.05)
    assert wide[:, 25:45, 25:45] == pytest.approx(narrow[:, 5:25, 5:25], abs=0.1)


def test_a_hounsfield_unit_means_the_same_in_every_ct() -> None:
    config = DataConfig(intensity="ct", ct_window=(-100.0, 300.0, 50.0, 80.0))
    values = normalise(np.array([[[-1000.0, -100.0, 50.0, 130.0, 3000.0]]]), config)
    assert values.ravel().tolist() == pytest.approx([-1.875, -1.875, 0, 1, 3.125])


def test_ct_without_a_window_is_refused(a_project: Project, add: Callable[..., Case]) -> None:
    add()
    with pytest.raises(ConfigError, match="ct_window is not set"):
        prepare(a_project, replace(CONFIG, intensity="ct"))


def test_the_ct_window_is_measured_on_annotated_voxels_of_training_cases(
    a_project: Project, add: Callable[..., Case], labels: NDArray[np.uint8]
) -> None:
    image = np.full(GRID.shape, -900.0, np.float32)
    image[labels[0] == 1], image[labels[0] == 2] = 60.0, 40.0
    add("a", image=image)
    add("b", image=image + 500, split="holdout")
    add("c", image=image, annotations={"liver": COMPLETE})
    low, high, mean, deviation = ct_statistics(a_project)
    assert (low, high) == pytest.approx((40, 60), abs=0.5)
    assert mean == pytest.approx(50, abs=0.5)  # 60 60 40 40: spleen is not annotated in c
    assert deviation == pytest.approx(10, abs=0.5)


def test_the_ct_window_is_measured_on_the_body_where_there_are_no_labels(
    a_project: Project, add: Callable[..., Case]
) -> None:
    image = np.linspace(-1000, 200, 60).reshape(GRID.shape).astype(np.float32)
    add(image=image, annotations={}, labels=None)
    low, high, mean, _ = ct_statistics(a_project)
    assert -500 < low < mean < high < 200


def test_a_window_of_nothing_is_refused_in_one_sentence(a_project: Project) -> None:
    with pytest.raises(ProjectError, match="no CT window"):
        ct_statistics(a_project)


def test_the_holdout_counts_only_what_people_annotated(a_project: Project, add: Callable[..., Case]) -> None:
    from SemiSupSegLib.project.annotation import Acceptance

    accepted = Annotation().accept(Acceptance("run", "best", "2026-01-01", "me", "whole", 1), region=None)
    add("held", annotations={"liver": accepted, "spleen": COMPLETE}, split="holdout")
    add("trained", annotations={"liver": accepted, "spleen": COMPLETE})
    (held,) = prepare_holdout(a_project, CONFIG)
    (trained,) = prepare(a_project, CONFIG)
    assert held.annotated.tolist() == [False, True]
    assert not (held.labels[0] == 1).any()
    assert trained.annotated.tolist() == [True, True]
    assert (trained.labels[0] == 1).any()


def test_g30_voxels_that_a_model_added_never_enter_the_holdout(
    a_project: Project, add: Callable[..., Case], tmp_path: Path
) -> None:
    held, trained = add("held", split="holdout"), add("trained")
    added = np.ones((2, 3, 5, 4), bool)
    with pytest.raises(ProjectError, match="case held is held out"):
        save_pseudo(tmp_path / "pseudo", held, added)
    save_pseudo(tmp_path / "pseudo", trained, added)
    with pytest.raises(ProjectError, match="held out"):
        prepare_case(a_project, held, CONFIG, pseudo=tmp_path / "pseudo")
    shutil.copy(pseudo_file(tmp_path / "pseudo", "trained"), pseudo_file(tmp_path / "pseudo", "held"))
    with pytest.raises(ProjectError, match="held out"):
        prepare(a_project, CONFIG, pseudo=tmp_path / "pseudo")
    assert prepare_holdout(a_project, CONFIG)[0].pseudo() is None


def test_added_voxels_are_positives_but_never_known(
    a_project: Project, add: Callable[..., Case], tmp_path: Path
) -> None:
    case = add(annotations={"liver": COMPLETE})
    add("two", annotations={})
    added = np.random.default_rng(0).random((2, 3, 5, 4)) < 0.3
    save_pseudo(tmp_path, case, added)
    plain, _ = prepare(a_project, CONFIG)
    more, without = prepare(a_project, CONFIG, pseudo=tmp_path)
    assert np.array_equal(more.pseudo(), added)
    assert np.array_equal(more.known(), plain.known())
    assert without.pseudo() is None
    liver, spleen = more.positives(0), more.positives(1)
    assert liver is not None
    assert spleen is not None
    assert liver.counts[0] == 1  # the known voxel alone
    assert spleen.counts[1] == added[1].sum()
    assert plain.positives(1) is None


def test_added_voxels_survive_the_disk_and_missing_ones_are_none(tmp_path: Path, add: Callable[..., Case]) -> None:
    added = np.random.default_rng(0).random((2, 3, 5, 11)) < 0.5
    save_pseudo(tmp_path, add(), added)
    assert np.array_equal(load_pseudo(tmp_path, "one", added.shape), added)
    assert not load_pseudo(tmp_path, "another", added.shape).any()


@pytest.mark.robustness
@pytest.mark.parametrize("content", ["damaged", "another grid", "pickle"])
def test_added_voxels_that_do_not_fit_are_refused(tmp_path: Path, add: Callable[..., Case], content: str) -> None:
    path = pseudo_file(tmp_path, "one")
    if content == "damaged":
        path.write_bytes(b"PK not a zip")
    elif content == "another grid":
        save_pseudo(tmp_path, add(), np.ones((2, 3, 5, 8), bool))
    else:
        np.savez(path, bits=np.array([{"a": 1}], dtype=object), shape=np.array([2, 3, 5, 4]))
    with pytest.raises(RunError, match="relabel again"):
        load_pseudo(tmp_path, "one", (2, 3, 5, 4))


def test_prediction_sees_an_image_as_training_does(
    a_project: Project, add: Callable[..., Case], a_volume: NDArray[np.float32]
) -> None:
    add()
    config = DataConfig(spacing=(2.0, 2.0, 2.0))
    (case,) = prepare(a_project, config)
    image, grid = prepare_image(image_from_kji(a_volume, GRID), config)
    assert np.array_equal(image, case.image)
    assert grid == case.grid


def test_old_versions_of_the_code_do_not_lend_their_cache(
    a_project: Project, add: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    add()
    prepare(a_project, CONFIG)
    monkeypatch.setattr(prepare_module, "IMAGE_VERSION", 99)
    prepare(a_project, CONFIG)
    assert len(list(a_project.cache_folder.glob("image-*"))) == 2


def test_real_volumes_are_prepared(real_data: Path, tmp_path: Path) -> None:
    import SimpleITK as sitk  # noqa: N813

    project = Project.create(tmp_path / "real", label_set=LabelSet.from_names(["liver"]))
    file = sorted((real_data / "abdomen_mr" / "images").iterdir())[0]
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(real_data / "abdomen_mr" / "labels" / file.name))) == 1
    image = sitk.ReadImage(str(file))
    project.add_case(
        "a", image, labels=mask[None].astype(np.uint8), annotations={"liver": COMPLETE}, modality="MR", who="me"
    )
    (case,) = prepare(project, DataConfig(spacing=(3.0, 3.0, 8.0)))
    liver = (case.labels[0] == 1).sum() * case.grid.voxel_mm3
    assert liver == pytest.approx(mask.sum() * Grid.of(image).voxel_mm3, rel=0.05)
    right = np.argwhere(case.labels[0] == 1)[:, 0].mean()
    assert right > case.shape[0] / 2  # X runs to the patient's right, where the liver is
