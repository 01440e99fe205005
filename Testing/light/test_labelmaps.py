"""Label files: names decide, layers are never flattened (G14, G15)."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from SemiSupSegLib.errors import ImageError, ProjectError
from SemiSupSegLib.project.annotation import label_mask
from SemiSupSegLib.project.geometry import Grid, check_same_grid, image_from_kji
from SemiSupSegLib.project.labelmaps import load_labels, read_labels, read_segments, write_labels
from SemiSupSegLib.project.labels import Label, LabelSet
from SemiSupSegLib.project.terminology import terminology_of

GRID = Grid((3, 4, 5), (0.7, 1.5, 2.0), (10.0, -20.0, 30.0), (0.0, -0.8, 0.6, 1.0, 0.0, 0.0, 0.0, 0.6, 0.8))
ORGANS = LabelSet.from_names(["liver", "left kidney", "Läsion 1"])
OVERLAPPING = LabelSet.from_names(["liver", "left kidney", "tumour", "vessel"], [("liver", "tumour")])


@pytest.fixture
def layers() -> NDArray:
    """Three organs of one layer, each on a slice of its own."""
    array = np.zeros((1, *GRID.shape), np.uint8)
    array[0, 0], array[0, 2], array[0, 4, 1] = 1, 2, 3
    return array


def plain(path: Path, array: NDArray, grid: Grid = GRID) -> Path:
    sitk.WriteImage(image_from_kji(array, grid), str(path), True)
    return path


def seg_nrrd(path: Path, array: NDArray, fields: dict[str, str], *, list_axis: bool = False) -> Path:
    """A segmentation as another program would write it, header fields as given."""
    grid = Grid(array.shape[:0:-1] if list_axis else array.shape[::-1], (1.0, 1.0, 1.0))
    sizes = [str(n) for n in ((len(array), *grid.size) if list_axis else grid.size)]
    voxels = np.moveaxis(array, 0, -1) if list_axis else array
    lines = [
        "NRRD0004",
        "type: uchar",
        f"dimension: {len(sizes)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(sizes)}",
        f"space directions: {'none ' * list_axis}(1,0,0) (0,1,0) (0,0,1)",
        f"kinds: {'list ' * list_axis}domain domain domain",
        "encoding: gzip",
        "space origin: (0,0,0)",
        *(f"{key}:={value}" for key, value in fields.items()),
    ]
    path.write_bytes(
        ("\n".join(lines) + "\n\n").encode() + gzip.compress(np.ascontiguousarray(voxels, np.uint8).tobytes())
    )
    return path


def segment(number: int, name: str, value: int, layer: int) -> dict[str, str]:
    prefix = f"Segment{number}_"
    entries = {"ID": f"S{number}", "Name": name, "LabelValue": str(value), "Layer": str(layer)}
    return {prefix + key: text for key, text in entries.items()}


def test_labels_come_back_with_names_values_and_place(tmp_path: Path, layers: NDArray):
    path = tmp_path / "0001.seg.nrrd"
    write_labels(path, layers, ORGANS, GRID)
    found, entries, grid = read_labels(path)
    np.testing.assert_array_equal(found, layers)
    assert found.dtype == np.uint8
    assert entries == [("liver", 0, 1), ("left kidney", 0, 2), ("Läsion 1", 0, 3)]
    check_same_grid(GRID, grid, what="labels", where="0001")
    np.testing.assert_array_equal(load_labels(path, ORGANS)[0], layers)


def test_names_decide_and_order_does_not(tmp_path: Path, layers: NDArray):
    path = tmp_path / "x.seg.nrrd"
    write_labels(path, layers, ORGANS, GRID)
    other = LabelSet.from_names(["spleen", "Läsion 1", "Left Kidney", "liver"])
    found, _ = load_labels(path, other)
    for name in ORGANS.names:
        expected = label_mask(layers, ORGANS, ORGANS.index(name))
        np.testing.assert_array_equal(label_mask(found, other, other.index(name)), expected)
    assert not label_mask(found, other, other.index("spleen")).any()


def test_g14_overlapping_labels_keep_all_their_voxels(tmp_path: Path):
    array = np.zeros((OVERLAPPING.n_layers, *GRID.shape), np.uint8)
    array[0, :3] = OVERLAPPING.places[0].value
    array[1, 2:4] = OVERLAPPING.places[2].value  # a tumour, partly within the liver
    path = tmp_path / "x.seg.nrrd"
    write_labels(path, array, OVERLAPPING, GRID)
    found, _ = load_labels(path, OVERLAPPING)
    np.testing.assert_array_equal(found, array)
    assert np.count_nonzero(label_mask(found, OVERLAPPING, 0) & label_mask(found, OVERLAPPING, 2)) == 12


def test_g14_labels_that_overlap_against_the_label_set_are_refused_by_name(tmp_path: Path):
    array = np.zeros((2, *GRID.shape), np.uint8)
    array[0, :3], array[1, 2:] = 1, 1
    path = tmp_path / "x.seg.nrrd"
    write_labels(path, array, OVERLAPPING, GRID)
    exclusive = LabelSet.from_names(OVERLAPPING.names)
    with pytest.raises(ProjectError, match=r"x\.seg\.nrrd: labels 'liver' and 'tumour' overlap in 12 voxels"):
        load_labels(path, exclusive)
    array[0, 2] = 0
    write_labels(path, array, OVERLAPPING, GRID)
    assert np.count_nonzero(load_labels(path, exclusive)[0]) == 5 * 12  # two layers, one without overlap


def test_g14_overlapping_labels_are_not_squeezed_into_nifti(tmp_path: Path):
    with pytest.raises(ProjectError, match=r"write a \.seg\.nrrd file"):
        write_labels(tmp_path / "x.nii.gz", np.zeros((2, *GRID.shape), np.uint8), OVERLAPPING, GRID)
    assert list(tmp_path.iterdir()) == []


def test_a_segmentation_of_slicer_is_read_by_its_names(tmp_path: Path):
    array = np.zeros((5, 4, 3), np.uint8)
    array[1], array[3] = 7, 2
    path = seg_nrrd(tmp_path / "x.seg.nrrd", array, segment(0, "left kidney", 7, 0) | segment(1, "liver", 2, 0))
    found, grid = load_labels(path, ORGANS)
    assert set(np.unique(found[0, 1])) == {2}
    assert set(np.unique(found[0, 3])) == {1}
    assert grid.size == (3, 4, 5)


def test_a_segmentation_of_an_old_slicer_has_one_layer_a_segment(tmp_path: Path):
    array = np.zeros((3, 5, 4, 3), np.uint8)
    array[0, 0], array[2, 4] = 1, 1
    fields = {f"Segment{n}_{key}": name for n, name in enumerate(ORGANS.names) for key in ("ID", "Name")}
    path = seg_nrrd(tmp_path / "x.seg.nrrd", array, fields, list_axis=True)
    assert read_labels(path)[1] == [("liver", 0, 1), ("left kidney", 1, 1), ("Läsion 1", 2, 1)]
    found, _ = load_labels(path, ORGANS)
    assert found.shape == (1, 5, 4, 3)
    assert found[0, 0].min() == 1
    assert found[0, 4].min() == 3


def test_a_cropped_segmentation_is_put_at_its_place_in_the_image(tmp_path: Path):
    part = Grid((2, 2, 2), GRID.spacing, tuple(GRID.point((1, 1, 2)).tolist()), GRID.direction)
    path = tmp_path / "x.seg.nrrd"
    write_labels(path, np.full((1, 2, 2, 2), 2, np.uint8), ORGANS, part)
    found, grid = load_labels(path, ORGANS, grid=GRID)
    assert grid == GRID
    assert found[0, 2:4, 1:3, 1:3].min() == 2
    assert np.count_nonzero(found) == 8


def test_colours_terminology_and_tags_are_written_for_slicer(tmp_path: Path, layers: NDArray):
    labels = LabelSet(
        (Label("liver", (10, 20, 30)), Label("b", (0, 255, 0), "My list~A^1^B~A^1^B~^^~~^^~^^"), Label("c"))
    )
    path = tmp_path / "x.seg.nrrd"
    write_labels(
        path, layers, labels, GRID, tags={"b": {"SemiSupSeg.Source": "model 0002|accepted", "Time": "2026-01-01T10:00"}}
    )
    liver, b, c = read_segments(path)[1]
    assert liver.colour == (10, 20, 30)
    assert liver.tags == {"TerminologyEntry": terminology_of("liver")}
    assert b.colour == (0, 255, 0)
    assert b.tags == {
        "TerminologyEntry": "My list~A^1^B~A^1^B~^^~~^^~^^",
        "SemiSupSeg.Source": "model 0002/accepted",
        "Time": "2026-01-01T10:00",
    }
    assert c.tags == {}


def test_the_header_is_what_slicer_writes(tmp_path: Path):
    path = tmp_path / "x.seg.nrrd"
    write_labels(path, np.zeros((2, *GRID.shape), np.uint8), OVERLAPPING, GRID)
    head = path.read_bytes().split(b"\n\n")[0].decode().splitlines()
    assert "kinds: list domain domain domain" in head
    assert "space directions: none (0.0,0.7,0.0) (-1.2000000000000002,0.0,0.8999999999999999) (1.2,0.0,1.6)" in head
    assert "sizes: 2 3 4 5" in head
    # Slicer crops a whole layer to the extent of its first segment: all must name the volume's
    assert [line for line in head if "_Extent:=" in line] == [f"Segment{n}_Extent:=0 2 0 3 0 4" for n in range(4)]
    assert [line.partition(":=")[2] for line in head if "_Layer:=" in line] == ["0", "0", "1", "0"]
    assert "Segmentation_MasterRepresentation:=Binary labelmap" in head


def test_a_label_set_without_labels_gives_an_empty_segmentation(tmp_path: Path):
    empty = LabelSet(())
    write_labels(tmp_path / "x.seg.nrrd", np.zeros((1, *GRID.shape), np.uint8), empty, GRID)
    assert read_labels(tmp_path / "x.seg.nrrd")[1] == []
    assert load_labels(tmp_path / "x.seg.nrrd", empty)[0].shape == (1, *GRID.shape)


@pytest.mark.parametrize(
    "name", ["Leber (größer)", "肝臓", "a\\b", "a\\nb", "x:=y", "e|x", "trailing ", "# hash", "ß", "🫀 heart"]
)
def test_g16_any_name_comes_back(tmp_path: Path, name: str):
    labels = LabelSet.from_names([name, "other"])
    array = np.zeros((1, *GRID.shape), np.uint8)
    array[0, 1] = 1
    path = tmp_path / "x.seg.nrrd"
    write_labels(path, array, labels, GRID)
    assert read_labels(path)[1][0][0].strip() == name.strip()
    np.testing.assert_array_equal(load_labels(path, labels)[0], array)


@pytest.mark.parametrize(("count", "kind"), [(140, np.uint8), (300, np.uint16)])
def test_g15_many_labels_and_values_above_255_come_back(tmp_path: Path, count: int, kind: type):
    labels = LabelSet.from_names([f"region {n}" for n in range(count)])
    array = np.random.default_rng(0).integers(0, count + 1, (1, 9, 8, 7)).astype(np.uint16)
    array[0, 0, 0, 0] = count
    grid = Grid((7, 8, 9), (1.0, 1.0, 1.0))
    for name in ("x.seg.nrrd", "x.nii.gz"):
        write_labels(tmp_path / name, array, labels, grid)
        assert read_labels(tmp_path / name)[0].dtype == kind
        names = {n + 1: label for n, label in enumerate(labels.names)}
        found, _ = load_labels(tmp_path / name, labels, names=names)
        assert found.dtype == kind
        np.testing.assert_array_equal(found, array)


def test_g15_an_empty_organ_is_in_the_file_and_stays_empty(tmp_path: Path, layers: NDArray):
    layers[layers == 2] = 0
    path = tmp_path / "x.seg.nrrd"
    write_labels(path, layers, ORGANS, GRID)
    assert ("left kidney", 0, 2) in read_labels(path)[1]
    assert not label_mask(load_labels(path, ORGANS)[0], ORGANS, 1).any()


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "i8", "f4", "f8"])
def test_g15_a_plain_volume_with_gaps_in_its_values_is_read(tmp_path: Path, kind: str):
    array = np.zeros(GRID.shape, kind)
    array[0], array[3, 1] = 4, 100
    layers, entries, grid = read_labels(plain(tmp_path / "labels.nii.gz", array))
    assert entries == [(None, 0, 4), (None, 0, 100)]
    assert layers.dtype == np.uint8
    np.testing.assert_array_equal(layers[0], array)
    check_same_grid(GRID, grid, what="labels", where="x")
    found, _ = load_labels(tmp_path / "labels.nii.gz", ORGANS, names={4: "liver", 100: "left kidney", 9: "spleen"})
    assert set(np.unique(found)) == {0, 1, 2}


def test_g15_values_up_to_65535_are_read(tmp_path: Path):
    array = np.zeros(GRID.shape, np.uint16)
    array[0], array[1] = 65535, 300
    layers, entries, _ = read_labels(plain(tmp_path / "x.nrrd", array))
    assert entries == [(None, 0, 300), (None, 0, 65535)]
    assert layers.dtype == np.uint16


@pytest.mark.parametrize("bad", [-1, 65536, 0.5, np.nan])
def test_g15_values_that_are_no_labels_are_refused(tmp_path: Path, bad: float):
    array = np.zeros(GRID.shape, np.float32)
    array[1, 1, 1] = bad
    for name in ("x.nii.gz", "x.nii", "x.nrrd"):
        with pytest.raises(ImageError, match="labels are whole numbers from 0 to 65535"):
            read_labels(plain(tmp_path / name, array))


def test_a_name_that_the_project_does_not_have_is_named(tmp_path: Path, layers: NDArray):
    write_labels(tmp_path / "x.seg.nrrd", layers, ORGANS, GRID)
    with pytest.raises(
        ProjectError, match=r"x\.seg\.nrrd: no label 'Läsion 1' in this project: it has liver, left kidney"
    ):
        load_labels(tmp_path / "x.seg.nrrd", LabelSet.from_names(["liver", "left kidney"]))


def test_a_value_without_a_name_is_refused(tmp_path: Path):
    array = np.full(GRID.shape, 3, np.uint8)
    with pytest.raises(ProjectError, match=r"x\.nii\.gz holds the value 3 without a name"):
        load_labels(plain(tmp_path / "x.nii.gz", array), ORGANS, names={1: "liver"})
    named = seg_nrrd(tmp_path / "x.seg.nrrd", array, segment(0, "liver", 1, 0))
    assert read_labels(named)[1] == [("liver", 0, 1), (None, 0, 3)]
    with pytest.raises(ProjectError, match="value 3 without a name"):  # numbers of another file do not count here
        load_labels(named, ORGANS, names={3: "left kidney"})


def test_a_name_that_occurs_twice_is_refused(tmp_path: Path):
    fields = segment(0, "liver", 1, 0) | segment(1, "Liver", 2, 0)
    path = seg_nrrd(tmp_path / "x.seg.nrrd", np.zeros((5, 4, 3), np.uint8), fields)
    with pytest.raises(ProjectError, match="holds the label 'liver' twice"):
        load_labels(path, ORGANS)


@pytest.mark.parametrize(("value", "layer"), [("1", "7"), ("0", "0"), ("x", "0")])
def test_a_segment_in_a_layer_that_is_not_there_is_refused(tmp_path: Path, value: str, layer: str):
    fields = segment(0, "liver", 1, 0) | {"Segment0_LabelValue": value, "Segment0_Layer": layer}
    path = seg_nrrd(tmp_path / "x.seg.nrrd", np.zeros((5, 4, 3), np.uint8), fields)
    with pytest.raises(ImageError, match=r"x\.seg\.nrrd cannot be used"):
        read_labels(path)


def test_several_values_a_voxel_without_segment_names_are_refused(tmp_path: Path):
    path = seg_nrrd(tmp_path / "x.seg.nrrd", np.zeros((2, 5, 4, 3), np.uint8), {}, list_axis=True)
    with pytest.raises(ImageError, match="2 values a voxel and names no segments"):
        read_labels(path)


def test_g09_a_damaged_label_file_is_refused(tmp_path: Path, layers: NDArray):
    path = tmp_path / "x.seg.nrrd"
    write_labels(path, layers, ORGANS, GRID)
    whole = path.read_bytes()
    start = whole.index(b"\n\n") + 2
    voxels = bytearray(zlib.decompress(whole[start:], 31))
    voxels[7] = 2
    path.write_bytes(
        whole[:start] + gzip.compress(bytes(voxels))[:-8] + whole[-8:]
    )  # readable, but not what was written
    with pytest.raises(ImageError, match="damaged"):
        read_labels(path)
    path.write_bytes(whole[:-12])
    with pytest.raises(ImageError, match=r"x\.seg\.nrrd"):
        read_labels(path)


def test_g03_labels_that_cannot_be_written_leave_the_old_file(tmp_path: Path, layers: NDArray, monkeypatch):
    path = tmp_path / "x.seg.nrrd"
    write_labels(path, layers, ORGANS, GRID)
    before = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_labels(path, np.zeros_like(layers), ORGANS, GRID)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_layers_that_do_not_fit_the_label_set_are_our_bug(tmp_path: Path, layers: NDArray):
    for wrong in (layers[:, 1:], np.repeat(layers, 2, axis=0), layers + 3):
        with pytest.raises(ValueError, match="layers of shape"):
            write_labels(tmp_path / "x.seg.nrrd", wrong, ORGANS, GRID)


def test_terminology_knows_sides_spellings_and_its_limits():
    left = terminology_of("Left_Kidney")
    assert left == terminology_of("kidney left")
    assert "SCT^64033007^Kidney~SCT^7771000^Left~" in left
    assert left.count("~") == 6
    assert "24028007^Right" in terminology_of("right kidney")
    assert "Left Ventricle~^^~" in terminology_of("left ventricle")
    assert terminology_of("kidney left right") is None
    assert terminology_of("Hippocampus of a unicorn") is None


def test_common_organs_of_real_collections_have_a_terminology(real_data: Path):
    import json

    for collection in ("abdomen_mr", "cardiac_mr", "left_atrium", "trunk_ct"):
        names = json.loads((real_data / collection / "dataset.json").read_text())["labels"].values()
        assert [name for name in names if terminology_of(name) is None] == []


def test_real_labels_of_140_regions_come_back(tmp_path: Path, real_data: Path):
    import json

    folder = real_data / "brain_mr"
    names = {int(v): n for v, n in json.loads((folder / "dataset.json").read_text())["labels"].items()}
    labels = LabelSet.from_names(names.values())
    source = sorted((folder / "labels").iterdir())[0]
    array, grid = load_labels(source, labels, names=names)
    write_labels(tmp_path / "x.seg.nrrd", array, labels, grid)
    np.testing.assert_array_equal(load_labels(tmp_path / "x.seg.nrrd", labels)[0], array)
    original = sitk.GetArrayFromImage(sitk.ReadImage(str(source)))
    for value, name in list(names.items())[::20]:
        np.testing.assert_array_equal(label_mask(array, labels, labels.index(name)), original == value)
