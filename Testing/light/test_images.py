"""Reading and writing volumes: what is one, what is refused, and in which words (G9, G10, G13, G24)."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from SemiSupSegLib.errors import ImageError
from SemiSupSegLib.project import integrity
from SemiSupSegLib.project.geometry import Grid, check_same_grid, image_from_kji
from SemiSupSegLib.project.images import grid_of_file, open_volume, read_volume, write_unit_interval, write_volume

TURNED = (0.0, -0.8, 0.6, 1.0, 0.0, 0.0, 0.0, 0.6, 0.8)
GRID = Grid((3, 4, 5), (0.7, 1.5, 2.0), (10.0, -20.0, 30.0), TURNED)
FORMATS = [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"]
KINDS = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]


def values(kind: str = "i2") -> NDArray:
    """Every voxel different, over much of the range of its kind."""
    low, high = (0, 120) if kind[0] != "i" else (-60, 60)
    return np.linspace(low, high, 60).reshape(GRID.shape).astype(kind)


def written(path: Path, array: NDArray | None = None, *, compressed: bool = True) -> Path:
    """A file made by ITK."""
    sitk.WriteImage(image_from_kji(values() if array is None else array, GRID), str(path), compressed)
    return path


@pytest.mark.parametrize("ending", FORMATS)
def test_a_volume_of_every_format_keeps_voxels_and_place(tmp_path: Path, ending: str):
    path = written(tmp_path / f"Größe mit Leerzeichen{ending}")
    image = read_volume(path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), values())
    check_same_grid(GRID, Grid.of(image), what="volume", where=path.name)
    assert grid_of_file(path) == Grid.of(image)
    assert open_volume(path).warnings == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_g13_every_kind_of_voxel_is_written_and_read_back(tmp_path: Path, kind: str, ending: str):
    image = image_from_kji(values(kind), GRID)
    write_volume(image, tmp_path / f"x{ending}")
    back = read_volume(tmp_path / f"x{ending}")
    assert back.GetPixelID() == image.GetPixelID()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), values(kind))
    check_same_grid(GRID, Grid.of(back), what="volume", where="x")


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1), st.booleans())
def test_g12_any_direction_survives_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory, quaternion, left_handed
):
    path = tmp_path_factory.getbasetemp() / "turned.nii"
    a, b, c, d = np.asarray(quaternion) / np.linalg.norm(quaternion)
    cosines = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    ) * [1, 1, -1 if left_handed else 1]
    grid = Grid((3, 4, 5), (0.7, 1.5, 2.0), (100.0, -20.0, 30.0), tuple(cosines.ravel().tolist()))
    write_volume(image_from_kji(values(), grid), path)
    check_same_grid(grid, grid_of_file(path), what="volume", where="x")
    header = bytearray(path.read_bytes())
    struct.pack_into("<h", header, 254, 0)  # without the matrix, readers take the quaternion
    path.write_bytes(header)
    check_same_grid(grid, grid_of_file(path), what="volume", where="x")


def test_g24_nothing_but_voxels_and_geometry_is_written(tmp_path: Path):
    image = image_from_kji(values(), GRID)
    for key in ("descrip", "aux_file", "0010|0010", "intent_name"):
        image.SetMetaData(key, "Doe^John")
    write_volume(image, tmp_path / "image.nii.gz")
    assert b"Doe" not in gzip.decompress((tmp_path / "image.nii.gz").read_bytes())
    assert image.GetMetaData("0010|0010") == "Doe^John"  # the caller's image stays as it is


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_g24_no_metadata_comes_out_of_a_file(tmp_path: Path, ending: str):
    image = image_from_kji(values(), GRID)
    image.SetMetaData("descrip", "Doe^John")
    sitk.WriteImage(image, str(tmp_path / f"x{ending}"))
    assert read_volume(tmp_path / f"x{ending}").GetMetaDataKeys() == ()


def test_g03_a_volume_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "image.nii.gz"
    write_volume(image_from_kji(values(), GRID), path)
    before = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_volume(image_from_kji(values() + 1, GRID), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_volume_gives_the_same_bytes(tmp_path: Path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(image_from_kji(values(), GRID), tmp_path / name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_a_map_of_0_to_1_takes_a_byte_a_voxel_and_is_read_as_floats(tmp_path: Path):
    probability = np.random.default_rng(0).random(GRID.shape)
    probability[0, 0, :2] = 0, 1
    path = tmp_path / "probability.nii.gz"
    write_unit_interval(probability, GRID, path)
    assert len(gzip.decompress(path.read_bytes())) == 352 + 60
    for image in (sitk.ReadImage(str(path)), read_volume(path)):
        assert image.GetPixelID() == sitk.sitkFloat32
        back = sitk.GetArrayFromImage(image)
        assert np.abs(back - probability).max() <= 1 / 510 + 1e-6
        assert back[0, 0, 0] == 0
        assert back[0, 0, 1] == 1


@pytest.mark.parametrize("bad", [-0.01, 1.01, np.nan])
def test_a_map_with_values_that_are_no_probability_is_our_bug(tmp_path: Path, bad: float):
    with pytest.raises(ValueError, match="map of 0 to 1"):
        write_unit_interval(np.full(GRID.shape, bad), GRID, tmp_path / "x.nii.gz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95])
def test_g09_a_cut_off_file_is_refused(tmp_path: Path, capfd, ending: str, compressed: bool, share: float):
    noise = np.random.default_rng(0).integers(0, 1000, GRID.shape).astype(np.int16)
    path = written(tmp_path / f"scan{ending}", noise, compressed=compressed)
    victim = next((p for p in tmp_path.iterdir() if p != path), path)  # detached voxels, where there are any
    victim.write_bytes(victim.read_bytes()[: int(share * victim.stat().st_size)])
    with pytest.raises(ImageError, match="scan") as raised:
        read_volume(path)
    assert "\n" not in str(raised.value)
    assert str(tmp_path) not in str(raised.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
def test_g09_a_file_with_one_wrong_bit_is_refused(tmp_path: Path, capfd, ending: str):
    rng = np.random.default_rng(1)
    array = rng.integers(0, 1000, GRID.shape).astype(np.int16)
    path = written(tmp_path / f"scan{ending}", array)
    victim = next((p for p in tmp_path.iterdir() if p != path), path)
    whole = victim.read_bytes()
    start = 12 if victim != path or ending == ".nii.gz" else whole.rindex(b"\n") + 12
    if ending == ".nrrd":
        start = whole.index(b"\n\n") + 14
    for _ in range(40):
        damaged = bytearray(whole)
        damaged[int(rng.integers(start, len(whole)))] ^= 1 << int(rng.integers(8))
        victim.write_bytes(damaged)
        with pytest.raises(ImageError, match="scan"):
            read_volume(path)
    assert capfd.readouterr() == ("", "")


def test_g09_without_our_check_itk_reads_a_cut_off_file_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The reason for integrity.py; should ITK ever learn it, the module can go."""
    path = written(tmp_path / "scan.nii.gz", np.random.default_rng(0).integers(0, 1000, GRID.shape).astype(np.int16))
    path.write_bytes(path.read_bytes()[:-40])
    assert sitk.ReadImage(str(path)).GetSize() == GRID.size
    monkeypatch.setattr("SemiSupSegLib.project.images.check_voxels", lambda *_: None)
    read_volume(path)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_file_that_itk_scales_or_swaps_is_read_when_it_is_whole_and_refused_when_not(tmp_path: Path, order: str):
    header = bytearray(352)
    struct.pack_into(f"{order}i", header, 0, 348)
    struct.pack_into(f"{order}8h", header, 40, 3, 3, 4, 5, 1, 1, 1, 1)
    struct.pack_into(f"{order}2h", header, 70, 4, 16)
    struct.pack_into(f"{order}8f", header, 76, 1, 1, 1, 1, 0, 0, 0, 0)
    struct.pack_into(f"{order}3f", header, 108, 352, 2.0, 10.0)
    struct.pack_into(f"{order}2h", header, 252, 1, 0)
    header[344:348] = b"n+1\0"
    packed = gzip.compress(bytes(header) + values().astype(f"{order}i2").tobytes())
    path = tmp_path / "scaled.nii.gz"
    path.write_bytes(packed)
    np.testing.assert_allclose(sitk.GetArrayFromImage(read_volume(path)), values() * 2.0 + 10)
    path.write_bytes(packed[:-9])
    with pytest.raises(ImageError, match="cut off"):
        read_volume(path)
    path.write_bytes(gzip.compress(bytes(header) + bytes(100)))
    with pytest.raises(ImageError, match=r"ends after 452 of 472 bytes"):
        read_volume(path)


def test_a_gzip_file_of_several_parts_is_whole(tmp_path: Path):
    path = written(tmp_path / "x.nii.gz")
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_volume(path)), values())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.nii.gz", b"hello"),
        ("x.nii", b"hello" * 200),
        ("x.nrrd", b"NRRD0004\n"),
        ("x.mha", b"ObjectType = Image\n"),
        ("x.nii", b""),
    ],
)
def test_g09_a_file_of_another_kind_is_refused(tmp_path: Path, capfd, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=name) as raised:
        read_volume(tmp_path / name)
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_and_an_unknown_ending_are_refused(tmp_path: Path):
    with pytest.raises(ImageError, match=r"^gone\.nii\.gz does not exist$"):
        read_volume(tmp_path / "gone.nii.gz")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ImageError, match=r"notes\.txt is not a volume file: expected one of \.nii"):
        read_volume(tmp_path / "notes.txt")


def test_g13_a_flat_image_is_a_volume_of_one_slice(tmp_path: Path):
    flat = sitk.GetImageFromArray(np.arange(12, dtype=np.float32).reshape(4, 3))
    flat.SetSpacing((0.5, 0.6))
    for ending in (".nii.gz", ".mha", ".nrrd"):
        sitk.WriteImage(flat, str(tmp_path / f"flat{ending}"))
        image = read_volume(tmp_path / f"flat{ending}")
        assert image.GetSize() == (3, 4, 1)
        assert image.GetSpacing() == pytest.approx((0.5, 0.6, 1))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image)[0], sitk.GetArrayFromImage(flat))


@pytest.mark.parametrize("ending", [".nii.gz", ".mha", ".nrrd"])
def test_g13_four_dimensions_are_accepted_with_one_frame_only(tmp_path: Path, ending: str):
    path = tmp_path / f"x{ending}"
    one = np.arange(60, dtype=np.int16).reshape(1, 5, 4, 3)
    sitk.WriteImage(sitk.GetImageFromArray(one, isVector=False), str(path))
    image = read_volume(path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), one[0])
    assert grid_of_file(path) == Grid.of(image)
    sitk.WriteImage(sitk.GetImageFromArray(np.concatenate([one] * 3), isVector=False), str(path))
    with pytest.raises(ImageError, match="it has 3 frames, expected one volume"):
        read_volume(path)


def test_g13_colours_vectors_and_complex_numbers_are_refused(tmp_path: Path):
    colours = sitk.GetImageFromArray(np.zeros((5, 4, 3, 3), np.uint8), isVector=True)
    numbers = sitk.GetImageFromArray(np.zeros((5, 4, 3), np.complex64))
    for image, words in ((colours, "3 values a voxel"), (numbers, "complex numbers")):
        sitk.WriteImage(image, str(tmp_path / "x.nii.gz"))
        with pytest.raises(ImageError, match=words):
            read_volume(tmp_path / "x.nii.gz")


def test_g13_a_volume_without_voxels_is_refused(tmp_path: Path):
    path = written(tmp_path / "x.nii")
    content = bytearray(path.read_bytes())
    struct.pack_into("<8h", content, 40, 3, 3, 0, 5, 1, 1, 1, 1)
    path.write_bytes(content)
    for read in (read_volume, grid_of_file):
        with pytest.raises(ImageError, match="has no voxels"):
            read(path)


def test_g13_one_voxel_is_a_volume(tmp_path: Path):
    write_volume(image_from_kji(np.array([[[7]]], np.int16), Grid((1, 1, 1), (1.0,) * 3)), tmp_path / "x.nii.gz")
    volume = open_volume(tmp_path / "x.nii.gz")
    assert volume.image[0, 0, 0] == 7
    assert volume.warnings == ("x.nii.gz: holds one value only, 7",)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_g12_axes_that_are_not_at_right_angles_are_refused(tmp_path: Path, ending: str):
    image = image_from_kji(values(), GRID)
    image.SetDirection((1, 0, 0.3, 0, 1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / f"x{ending}"))
    with pytest.raises(ImageError, match="not at right angles"):
        read_volume(tmp_path / f"x{ending}")


def test_g12_a_skewed_nifti_matrix_is_refused_in_the_same_words(tmp_path: Path):
    path = written(tmp_path / "x.nii")
    content = bytearray(path.read_bytes())
    struct.pack_into("<2h", content, 252, 0, 1)
    struct.pack_into("<12f", content, 280, 1, 0, 0.5, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    path.write_bytes(content)
    with pytest.raises(ImageError, match="not at right angles"):
        read_volume(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38, -1e30])
def test_g10_voxels_without_a_number_are_set_to_the_smallest_and_the_user_is_told(tmp_path: Path, bad: float):
    array = values("f4")
    array[0, 0, 1], array[2, 3, 1] = bad, bad
    volume = open_volume(written(tmp_path / "x.nii.gz", array))
    back = sitk.GetArrayFromImage(volume.image)
    assert volume.warnings == ("x.nii.gz: 2 voxels hold no number and were set to the smallest value, 0",)
    assert back[0, 0, 1] == back[2, 3, 1] == 0
    np.testing.assert_array_equal(np.delete(back, [1, 2 * 12 + 3 * 3 + 1]), np.delete(array, [1, 2 * 12 + 3 * 3 + 1]))


def test_g10_a_volume_that_is_mostly_not_a_number_is_refused(tmp_path: Path):
    array = np.full(GRID.shape, np.nan, np.float32)
    array[0] = 1
    with pytest.raises(ImageError, match="48 of its 60 voxels hold no number"):
        read_volume(written(tmp_path / "x.nii.gz", array))


def test_g10_a_constant_volume_is_read_with_a_warning(tmp_path: Path):
    volume = open_volume(written(tmp_path / "x.nii.gz", np.full(GRID.shape, -3, np.int16)))
    assert volume.warnings == ("x.nii.gz: holds one value only, -3",)


@pytest.mark.parametrize(("kind", "extreme"), [("u8", 2**63), ("i8", -(2**62)), ("f8", 1e17), ("u4", 2**32 - 1)])
def test_g10_huge_intensities_are_read_exactly(tmp_path: Path, kind: str, extreme: float):
    array = np.ones(GRID.shape, kind)
    array[0, 0, 0] = extreme
    volume = open_volume(written(tmp_path / "x.nii.gz", array))
    assert sitk.GetArrayFromImage(volume.image)[0, 0, 0] == np.asarray(extreme).astype(kind)
    assert volume.warnings == ()


def test_reading_a_grid_does_not_read_voxels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = written(tmp_path / "x.nii.gz")
    monkeypatch.setattr(sitk.ImageFileReader, "Execute", lambda _: pytest.fail("voxels were read"))
    assert grid_of_file(path).size == GRID.size


def test_a_whole_compressed_file_is_not_decompressed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = [written(tmp_path / name) for name in ("x.nii.gz", "x.nrrd", "y.nhdr")]
    monkeypatch.setattr(integrity, "_decompressed", lambda *_: pytest.fail("decompressed twice"))
    for path in paths:
        read_volume(path)


def test_real_volumes_are_read_and_written_unchanged(tmp_path: Path, real_data: Path):
    for collection in ("abdomen_mr", "trunk_ct", "cardiac_mr"):
        source = sorted((real_data / collection / "images").iterdir())[0]
        image = read_volume(source)
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(sitk.ReadImage(str(source)))
        )
        write_volume(image, tmp_path / "copy.nii.gz")
        back = read_volume(tmp_path / "copy.nii.gz")
        np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))
        check_same_grid(Grid.of(image), Grid.of(back), what="copy", where=source.name)


def test_an_adler_checksum_guards_metaimage(tmp_path: Path):
    path = written(tmp_path / "x.mha")
    content = path.read_bytes()
    start = content.index(b"ElementDataFile = LOCAL\n") + 24
    voxels = zlib.decompress(content[start:])
    path.write_bytes(content[:start] + zlib.compress(voxels[:-2]))
    with pytest.raises(ImageError, match=r"holds 118 of 120 bytes"):
        read_volume(path)
