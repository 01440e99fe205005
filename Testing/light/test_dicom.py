"""DICOM series: one whole series or a refusal, and no word about the patient (G9, G24)."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from SemiSupSegLib.errors import ImageError
from SemiSupSegLib.project.dicom import read_series
from SemiSupSegLib.project.geometry import Grid, check_same_grid, image_from_kji
from SemiSupSegLib.project.images import open_volume, write_volume

PLANTED = {
    "0010|0010": "Doe^Jane",
    "0010|0020": "PID-4711",
    "0010|0030": "19700131",
    "0008|0080": "Saint Elsewhere",
    "0008|103e": "Doe abdomen",
    "0020|4000": "Doe was here",
}
GRID = Grid((6, 5, 4), (0.5, 0.75, 2.5), (-10.0, 20.0, 30.0), (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
"""Sagittal: i runs along y, j along z, k along x."""
UID = "1.2.826.0.1.3680043.2.1125.1.{}"


def write_series(
    folder: Path,
    array: NDArray | None = None,
    grid: Grid = GRID,
    *,
    series: int = 1,
    modality: str = "CT",
    names: str = "slice{:03}.dcm",
    tags: dict[int, dict[str, str]] | None = None,
) -> Path:
    """A series of one file a slice; ``tags`` changes those of single slices."""
    folder.mkdir(exist_ok=True)
    array = values() if array is None else array
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    cosines = np.reshape(grid.direction, (3, 3))
    for k, plane in enumerate(array):
        image = sitk.GetImageFromArray(plane[None])
        image.SetSpacing(grid.spacing)
        entries = PLANTED | {
            "0008|0060": modality,
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": UID.format(f"{series}.{k + 1}"),
            "0020|000d": UID.format("9"),
            "0020|000e": UID.format(series),
            "0020|0013": str(len(array) - k),  # instance numbers run against the positions
            "0020|0032": "\\".join(f"{x:.6f}" for x in grid.point((0, 0, k))),
            "0020|0037": "\\".join(f"{x:.6f}" for x in [*cosines[:, 0], *cosines[:, 1]]),
            "0028|1052": "-1024",
            "0028|1053": "1",
        }
        for key, value in (entries | (tags or {}).get(k, {})).items():
            image.SetMetaData(key, value)
        writer.SetFileName(str(folder / names.format(k)))
        writer.Execute(image)
    return folder


def values() -> NDArray:
    return np.arange(120, dtype=np.int16).reshape(GRID.shape) - 1000


def test_a_series_becomes_a_volume_with_its_modality(tmp_path: Path, capfd):
    image, modality = read_series(write_series(tmp_path / "scan"))
    assert modality == "CT"
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), values())
    check_same_grid(GRID, Grid.of(image), what="volume", where="scan")
    assert capfd.readouterr() == ("", "")


def test_a_folder_is_read_like_a_file(tmp_path: Path):
    volume = open_volume(write_series(tmp_path / "scan", modality="MR"))
    assert volume.modality == "MR"
    assert volume.warnings == ()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(volume.image), values())


def test_slices_are_ordered_by_position_whatever_their_names_and_numbers(tmp_path: Path):
    folder = write_series(tmp_path / "scan")
    for name, new in ((0, "z"), (1, "a"), (2, "m"), (3, "b")):
        (folder / f"slice{name:03}.dcm").rename(folder / new)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_series(folder)[0]), values())


def test_slices_are_ordered_by_position_in_whatever_order_gdcm_lists_them(tmp_path: Path, monkeypatch):
    folder = write_series(tmp_path / "scan")
    mixed = [str(folder / f"slice{n:03}.dcm") for n in (2, 0, 3, 1)]
    monkeypatch.setattr(sitk.ImageSeriesReader, "GetGDCMSeriesFileNames", lambda *_: mixed)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_series(folder)[0]), values())


def test_an_index_file_is_passed_over(tmp_path: Path):
    folder = write_series(tmp_path / "scan")
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert read_series(folder)[0].GetSize() == GRID.size


def test_other_files_in_the_folder_are_passed_over(tmp_path: Path):
    folder = write_series(tmp_path / "scan")
    (folder / "report.txt").write_text("Doe^Jane")
    assert read_series(folder)[0].GetSize() == GRID.size


def test_one_file_is_a_volume_of_one_slice(tmp_path: Path):
    image, _ = read_series(write_series(tmp_path / "scan", values()[:1]))
    assert image.GetSize() == (6, 5, 1)


def test_a_modality_that_is_no_standard_code_is_not_passed_on(tmp_path: Path):
    assert read_series(write_series(tmp_path / "scan", modality="DOE JANE"))[1] is None


@pytest.mark.parametrize("lost", [1, 2])
def test_g09_a_missing_slice_is_noticed(tmp_path: Path, lost: int):
    array = np.concatenate([values(), values()])
    folder = write_series(tmp_path / "scan", array, Grid((6, 5, 8), GRID.spacing, GRID.origin, GRID.direction))
    (folder / f"slice{lost:03}.dcm").unlink()
    with pytest.raises(
        ImageError, match=r"^scan cannot be used: a slice is missing: a step of 5 mm among steps of 2\.5 mm$"
    ):
        read_series(folder)


def moved(k: float) -> dict[str, str]:
    return {"0020|0032": "\\".join(f"{x:.6f}" for x in GRID.point((0, 0, k)))}


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({2: moved(2.3)}, "its slices are unequally spaced"),
        ({2: moved(1)}, "1 of its slices lie at the place of another"),
        ({1: moved(0), 2: moved(0), 3: moved(0)}, "3 of its slices lie at the place of another"),
        ({2: {"0020|0037": "1\\0\\0\\0\\1\\0"}}, "its slices differ in orientation"),
    ],
)
def test_g09_a_stack_that_is_no_volume_is_refused(tmp_path: Path, tags: dict[int, dict[str, str]], words: str):
    with pytest.raises(ImageError, match=f"scan cannot be used: {words}"):
        read_series(write_series(tmp_path / "scan", tags=tags))


def test_g09_slices_of_another_size_are_refused(tmp_path: Path):
    folder = write_series(tmp_path / "scan")
    smaller = write_series(tmp_path / "other", values()[2:3, :4], tags={0: moved(2)})
    (folder / "slice002.dcm").write_bytes((smaller / "slice000.dcm").read_bytes())
    with pytest.raises(ImageError, match="its slices differ in size or pixel spacing"):
        read_series(folder)


def test_slices_with_scales_of_their_own_keep_their_values(tmp_path: Path):
    folder = write_series(tmp_path / "scan")
    content = (folder / "slice002.dcm").read_bytes()
    slope = content.index(b"\x28\x00\x53\x10")
    value = content.index(b"1", slope + 6)
    (folder / "slice002.dcm").write_bytes(content[:value] + b".5" + content[value + 2 :])
    expected = values().astype(float)
    expected[2] = (expected[2] + 1024) / 2 - 1024
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_series(folder)[0]), expected)


def test_g12_a_tilted_gantry_is_refused(tmp_path: Path):
    tags = {k: {"0020|0032": "\\".join(f"{x:.6f}" for x in GRID.point((0.6 * k, 0, k)))} for k in range(len(values()))}
    with pytest.raises(ImageError, match="not at right angles"):
        read_series(write_series(tmp_path / "scan", tags=tags))


def test_rounded_positions_are_no_gap(tmp_path: Path):
    image, _ = read_series(write_series(tmp_path / "scan", tags={2: moved(2.01)}))
    assert image.GetSpacing()[2] == pytest.approx(2.5)


def test_g09_several_series_are_counted_by_modality_only(tmp_path: Path):
    folder = write_series(tmp_path / "scan")
    write_series(folder, series=2, names="second{:03}.dcm", modality="MR")
    write_series(folder, series=3, names="third{:03}.dcm", modality="MR")
    with pytest.raises(ImageError) as raised:
        read_series(folder)
    assert (
        str(raised.value) == "scan cannot be used: it has 3 series (1 x CT, 2 x MR); put each into a folder of its own"
    )


def test_g09_a_folder_without_a_series_is_refused(tmp_path: Path, capfd):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    with pytest.raises(ImageError, match=r"empty cannot be used: it has no DICOM series"):
        read_series(tmp_path / "empty")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
@pytest.mark.parametrize("number", [0, 2, 3])
def test_g09_a_cut_off_slice_is_refused(tmp_path: Path, capfd, number: int, share: float):
    noise = np.random.default_rng(0).integers(0, 1000, (4, 50, 60)).astype(np.int16)
    folder = write_series(tmp_path / "scan", noise, Grid((60, 50, 4), GRID.spacing, GRID.origin, GRID.direction))
    victim = folder / f"slice{number:03}.dcm"
    victim.write_bytes(victim.read_bytes()[: int(share * victim.stat().st_size)])
    with pytest.raises(ImageError, match=r"^scan cannot be (read|used)"):
        read_series(folder)
    assert capfd.readouterr() == ("", "")


def secrets_in(text: str) -> list[str]:
    return [word for word in (*PLANTED.values(), "Doe", "4711", "Elsewhere") if word in text]


def test_g24_nothing_about_the_patient_comes_out_of_a_series(tmp_path: Path):
    folder = write_series(tmp_path / "scan")
    assert b"Doe^Jane" in (folder / "slice000.dcm").read_bytes()
    image, modality = read_series(folder)
    assert image.GetMetaDataKeys() == ()
    assert secrets_in(f"{image} {modality} {open_volume(folder)}") == []
    write_volume(image, tmp_path / "image.nii")
    written = (tmp_path / "image.nii").read_bytes()
    assert [word for word in PLANTED.values() if word.encode() in written] == []


def check_silence(folder: Path) -> None:
    """The folder is refused, and neither the error nor its causes, which a traceback shows, tell a secret."""
    with pytest.raises(ImageError) as raised:
        read_series(folder)
    error: BaseException | None = raised.value
    while error is not None:
        assert secrets_in("".join(traceback.format_exception_only(error))) == []
        error = error.__cause__ or error.__context__


def test_g24_nothing_about_the_patient_is_in_what_is_raised_printed_or_logged(tmp_path: Path, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    damaged = write_series(tmp_path / "scan", names="Doe^Jane-{}.dcm")
    victim = damaged / "Doe^Jane-2.dcm"
    victim.write_bytes(victim.read_bytes()[:-10])
    check_silence(damaged)
    check_silence(write_series(tmp_path / "wrong", tags={2: moved(2.3)}))
    check_silence(write_series(write_series(tmp_path / "several"), series=2, names="b{}.dcm"))
    assert secrets_in("".join(capfd.readouterr())) == []
    assert secrets_in(caplog.text) == []


@pytest.mark.parametrize(
    ("reader", "step"),
    [
        (sitk.ImageSeriesReader, "Execute"),
        (sitk.ImageFileReader, "ReadImageInformation"),
        (sitk.ImageSeriesReader, "GetGDCMSeriesIDs"),
    ],
)
def test_g24_what_itk_says_about_a_file_is_not_passed_on(tmp_path: Path, monkeypatch, reader: type, step: str):
    def fail(*_: object) -> None:
        raise RuntimeError("ITK ERROR: GDCMImageIO: Doe^Jane, PID-4711")

    folder = write_series(tmp_path / "scan")
    monkeypatch.setattr(reader, step, fail)
    check_silence(folder)


def test_g13_files_of_several_frames_are_refused(tmp_path: Path):
    folder = tmp_path / "scan"
    folder.mkdir()
    image = image_from_kji(values(), Grid(GRID.size, GRID.spacing))
    for key, value in {"0008|0060": "US", "0008|0016": "1.2.840.10008.5.1.4.1.1.3.1"}.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(folder / "frames.dcm"))
    with pytest.raises(ImageError, match="files of several frames"):
        read_series(folder)
