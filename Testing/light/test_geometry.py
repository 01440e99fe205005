"""Where voxels lie: orientation, grids, resampling (G11, G12)."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from SemiSupSegLib.errors import ImageError
from SemiSupSegLib.project.geometry import (
    Grid,
    array_xyz,
    check_same_grid,
    image_from_kji,
    image_from_xyz,
    paste,
    resample,
    to_ras,
    training_grid,
)

AXIS_ORDERS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]
"""All 48: which world axis each image axis follows, and in which sense; half of them are left-handed."""


def oblique(order: tuple[int, ...], signs: tuple[int, ...], degrees: float = 12.0) -> NDArray[np.float64]:
    """Direction cosines of an axis order, turned about a skew axis."""
    angle = np.deg2rad(degrees)
    x, y, z = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return turn @ (np.eye(3)[:, list(order)] * signs)


def volume(cosines: NDArray[np.float64], size: tuple[int, int, int] = (3, 4, 5)) -> sitk.Image:
    """An asymmetric volume in which every voxel has its own value."""
    grid = Grid(size, (1.0, 1.5, 2.0), (10.0, -20.0, 30.0), tuple(cosines.ravel().tolist()))
    return image_from_kji(np.arange(1, np.prod(size) + 1, dtype=np.float32).reshape(grid.shape), grid)


@pytest.fixture
def a_grid() -> Grid:
    return Grid((3, 4, 5), (1.0, 1.5, 2.0), (10.0, -20.0, 30.0), tuple(oblique((2, 0, 1), (1, -1, 1)).ravel().tolist()))


def test_a_grid_comes_back_from_an_image_and_from_json(a_grid: Grid):
    image = image_from_kji(np.zeros(a_grid.shape, np.uint8), a_grid)
    assert Grid.of(image) == a_grid
    assert Grid.from_json(a_grid.to_json()) == a_grid
    assert a_grid.shape == (5, 4, 3)
    assert a_grid.voxel_mm3 == pytest.approx(3.0)


def test_a_grid_points_where_simpleitk_points(a_grid: Grid):
    image = image_from_kji(np.zeros(a_grid.shape, np.uint8), a_grid)
    np.testing.assert_allclose(a_grid.point((2, 1, 4)), image.TransformIndexToPhysicalPoint((2, 1, 4)))


@pytest.mark.parametrize("broken", [{}, {"size": [1, 2], "spacing": [1] * 3, "origin": [0] * 3, "direction": [0] * 9}])
def test_a_broken_grid_is_refused(broken: dict):
    with pytest.raises(ImageError, match="a grid cannot be read"):
        Grid.from_json(broken)


def test_arrays_and_images_are_each_others_inverse(a_grid: Grid):
    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    image = image_from_xyz(array, a_grid)
    assert image[2, 1, 4] == array[2, 1, 4]
    np.testing.assert_array_equal(array_xyz(image), array)
    assert array_xyz(image).flags.c_contiguous


def test_masks_and_half_floats_become_kinds_that_images_have(a_grid: Grid):
    assert image_from_xyz(np.ones((3, 4, 5), bool), a_grid).GetPixelID() == sitk.sitkUInt8
    assert image_from_xyz(np.ones((3, 4, 5), np.float16), a_grid).GetPixelID() == sitk.sitkFloat32


def test_an_array_of_another_shape_is_refused(a_grid: Grid):
    with pytest.raises(ValueError, match="shape"):
        image_from_xyz(np.zeros((5, 4, 3)), a_grid)


@pytest.mark.parametrize(("order", "signs"), AXIS_ORDERS)
def test_g12_every_axis_order_becomes_ras_and_no_voxel_moves(order: tuple[int, ...], signs: tuple[int, ...]):
    image = volume(oblique(order, signs))
    ras = to_ras(image)
    cosines = np.reshape(ras.GetDirection(), (3, 3)) * [[-1], [-1], [1]]
    assert (np.diag(cosines) > 0.9).all()
    assert np.linalg.det(cosines) == pytest.approx(1)
    for index in np.ndindex(*image.GetSize()):
        there = ras.TransformPhysicalPointToIndex(image.TransformIndexToPhysicalPoint(index))
        assert ras[there] == image[index]


@pytest.mark.parametrize(("order", "signs"), AXIS_ORDERS)
def test_g12_a_marked_voxel_reaches_the_training_grid_and_comes_back(order: tuple[int, ...], signs: tuple[int, ...]):
    image = volume(oblique(order, signs))
    marked, place = (2, 0, 3), image.TransformIndexToPhysicalPoint((2, 0, 3))
    values = sitk.GetArrayFromImage(image)
    values[:] = 0
    values[marked[::-1]] = 7
    labels = image_from_kji(values.astype(np.uint8), Grid.of(image))
    grid = training_grid(Grid.of(to_ras(labels)), (0.5, 0.5, 0.5))
    trained = array_xyz(resample(to_ras(labels), grid, linear=False))
    assert set(np.unique(trained)) == {0, 7}
    found = np.argwhere(trained == 7).mean(axis=0)
    np.testing.assert_allclose(grid.point(found), place, atol=0.25)
    back = resample(image_from_xyz(trained, grid), Grid.of(image), linear=False)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), values)


def test_g12_the_training_array_points_right_front_and_head():
    image = volume(oblique((0, 1, 2), (1, 1, 1), degrees=0))  # LPS
    array = array_xyz(to_ras(image))
    assert array[0, 0, 0] == image[2, 3, 0]  # the most left, most rear, lowest voxel comes first
    assert array[2, 3, 4] == image[0, 0, 4]


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(*[st.integers(1, 40)] * 3),
    st.tuples(*[st.floats(0.3, 8)] * 3),
    st.tuples(*[st.floats(0.4, 9)] * 3),
)
def test_a_training_grid_covers_the_volume_and_no_voxel_centre_lies_outside(size, spacing, wanted):
    grid = Grid(size, spacing, (5.0, 6.0, 7.0), tuple(oblique((0, 1, 2), (-1, -1, 1)).ravel().tolist()))
    new = training_grid(grid, wanted)
    assert new.spacing == pytest.approx(wanted)
    assert min(new.size) >= 1
    old_length, new_length = np.multiply(grid.size, grid.spacing), np.multiply(new.size, new.spacing)
    slack = 2e-3 * np.asarray(wanted)
    assert (new_length >= old_length - slack).all()
    assert (new_length < old_length + np.asarray(wanted) + slack).all()
    inverse = np.linalg.inv(grid.matrix)
    index = (new.corners() - np.asarray(grid.origin)) @ inverse.T
    assert (index > -0.5 - 1e-2).all()
    assert (index < np.asarray(size) - 0.5 + 1e-2).all()


def test_a_training_grid_of_the_same_spacing_is_the_same_grid(a_grid: Grid):
    check_same_grid(a_grid, training_grid(a_grid, a_grid.spacing), what="grid", where="case")


def test_resampling_onto_the_own_grid_changes_nothing(a_grid: Grid):
    image = image_from_kji(np.arange(60, dtype=np.float32).reshape(a_grid.shape), a_grid)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(resample(image, a_grid, linear=True)), sitk.GetArrayFromImage(image)
    )


def test_labels_keep_their_values_and_their_kind(a_grid: Grid):
    labels = image_from_kji(np.array([0, 200, 1000] * 20, np.uint16).reshape(a_grid.shape), a_grid)
    out = resample(labels, training_grid(a_grid, (0.7, 2.9, 1.1)), linear=False)
    assert out.GetPixelID() == sitk.sitkUInt16
    assert set(np.unique(sitk.GetArrayFromImage(out))) <= {0, 200, 1000}


def test_a_linear_ramp_survives_resampling_of_integers_as_floats():
    grid = Grid((20, 6, 6), (1.0, 1.0, 1.0))
    ramp = np.broadcast_to(np.arange(20, dtype=np.int16) * 10, grid.shape)
    new = Grid((10, 6, 6), (0.5, 1.0, 1.0), (4.25, 0.0, 0.0))
    out = resample(image_from_kji(ramp, grid), new, linear=True)
    assert out.GetPixelID() == sitk.sitkFloat32
    np.testing.assert_allclose(sitk.GetArrayFromImage(out)[3, 3], 42.5 + 5 * np.arange(10))


def test_downsampling_smooths_only_along_the_axes_that_lose_voxels():
    grid = Grid((48, 48, 8), (1.0, 1.0, 1.0))
    stripes = np.zeros(grid.shape, np.float32)
    stripes[:, :, ::2] = 1  # finest pattern along i
    coarse_i = Grid((12, 48, 8), (4.0, 1.0, 1.0), (2.0, 0.0, 0.0))
    smooth = sitk.GetArrayFromImage(resample(image_from_kji(stripes, grid), coarse_i, linear=True))[:, :, 1:-1]
    assert np.abs(smooth - 0.5).max() < 0.05
    aliased = sitk.GetArrayFromImage(resample(image_from_kji(stripes, grid), coarse_i, linear=True, antialias=False))
    assert aliased.max() == 1
    coarse_j = Grid((48, 12, 8), (1.0, 4.0, 1.0), (0.0, 2.0, 0.0))
    kept = sitk.GetArrayFromImage(resample(image_from_kji(stripes, grid), coarse_j, linear=True))
    np.testing.assert_allclose(kept[0, 0], stripes[0, 0], atol=1e-5)


def test_smoothing_follows_the_axes_of_the_source_when_the_target_is_turned():
    grid = Grid(
        (8, 8, 32), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.0, 0, 1.0, 1.0, 0, 0, 0, 1.0, 0)
    )  # k runs along world x
    stripes = np.zeros(grid.shape, np.float32)
    stripes[::2] = 1
    target = Grid((8, 8, 8), (4.0, 1.0, 1.0), (2.0, 0.0, 0.0))
    out = sitk.GetArrayFromImage(resample(image_from_kji(stripes, grid), target, linear=True))[:, :, 1:-1]
    assert np.abs(out - 0.5).max() < 0.05


def test_voxels_outside_the_image_get_the_value_that_was_asked_for():
    grid = Grid((4, 4, 4), (1.0, 1.0, 1.0))
    out = resample(
        image_from_kji(np.ones(grid.shape, np.float32), grid), Grid((8, 4, 4), (1.0,) * 3), linear=True, outside=-5
    )
    assert sitk.GetArrayFromImage(out)[0, 0].tolist() == [1, 1, 1, 1, -5, -5, -5, -5]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"size": (3, 4, 6)}, "size 3 x 4 x 6, expected 3 x 4 x 5"),
        ({"spacing": (1.0, 1.5, 2.1)}, "spacing 1 x 1.5 x 2.1 mm, expected 1 x 1.5 x 2 mm"),
        ({"origin": (10.0, -20.0, 31.0)}, "origin 10 x -20 x 31 mm, expected 10 x -20 x 30 mm"),
        ({"direction": tuple(oblique((2, 0, 1), (1, -1, 1), 14).ravel())}, "direction"),
    ],
)
def test_g11_another_grid_is_refused_with_both_values(a_grid: Grid, other: dict, words: str):
    changed = Grid(**{**vars(a_grid), **other})
    with pytest.raises(ImageError, match="labels of case_1 do not lie on the image") as raised:
        check_same_grid(a_grid, changed, what="labels", where="case_1")
    assert words in str(raised.value)


def test_g11_small_errors_that_add_up_over_many_voxels_are_refused():
    grid = Grid((1000, 4, 4), (1.0, 1.0, 1.0))
    with pytest.raises(ImageError, match=r"corner"):
        check_same_grid(grid, Grid((1000, 4, 4), (1.0005, 1.0, 1.0)), what="labels", where="case_1")


def test_g11_the_rounding_of_float32_headers_is_no_mismatch(a_grid: Grid):
    rounded = Grid(
        a_grid.size, *(tuple(map(float, np.float32(v))) for v in (a_grid.spacing, a_grid.origin, a_grid.direction))
    )
    check_same_grid(a_grid, rounded, what="labels", where="case_1")


def test_a_cropped_labelmap_is_pasted_at_its_place(a_grid: Grid):
    part = Grid((2, 2, 3), a_grid.spacing, tuple(a_grid.point((1, 2, 1)).tolist()), a_grid.direction)
    layers = np.arange(1, 13, dtype=np.uint8).reshape(1, *part.shape)
    whole = paste(layers, part, a_grid, what="labels", where="case_1")
    np.testing.assert_array_equal(whole[:, 1:4, 2:4, 1:3], layers)
    assert np.count_nonzero(whole) == 12


def test_a_larger_labelmap_is_cut_where_it_is_empty_and_refused_where_it_is_not(a_grid: Grid):
    large = Grid((5, 4, 5), a_grid.spacing, tuple(a_grid.point((-1, 0, 0)).tolist()), a_grid.direction)
    layers = np.zeros((1, *large.shape), np.uint8)
    layers[0, 0, 0, 1] = 3
    assert paste(layers, large, a_grid, what="labels", where="case_1")[0, 0, 0, 0] == 3
    layers[0, 0, 0, 0] = 3
    with pytest.raises(ImageError, match="reach beyond the image"):
        paste(layers, large, a_grid, what="labels", where="case_1")


def test_g11_a_labelmap_between_the_voxels_is_refused(a_grid: Grid):
    part = Grid((2, 2, 3), a_grid.spacing, tuple(a_grid.point((1.3, 2, 1)).tolist()), a_grid.direction)
    with pytest.raises(ImageError, match="do not lie on the image"):
        paste(np.zeros((1, *part.shape), np.uint8), part, a_grid, what="labels", where="case_1")
    away = Grid((2, 2, 3), a_grid.spacing, tuple(a_grid.point((50, 2, 1)).tolist()), a_grid.direction)
    with pytest.raises(ImageError, match="do not lie on the image"):
        paste(np.zeros((1, *away.shape), np.uint8), away, a_grid, what="labels", where="case_1")
