"""Registration: where each point of one volume lies in another one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from SemiSupSegLib.data.registration import VOXELS, on_registration_grid, register
from SemiSupSegLib.project.geometry import Grid, array_xyz, image_from_xyz

SIZE = 32
MM = 2.5


def a_head(shift: tuple[float, float, float] = (0, 0, 0), stretch: float = 1.0) -> sitk.Image:
    """A ball with a shell and a core beside its middle, 2 mm voxels; moved by mm and stretched along X."""
    x, y, z = (MM * (axis - SIZE / 2) - by for axis, by in zip(np.ogrid[:SIZE, :SIZE, :SIZE], shift, strict=True))
    radius = np.sqrt((x / stretch) ** 2 + y**2 + z**2)
    core = np.sqrt((x / stretch - 8) ** 2 + (y + 4) ** 2 + z**2)
    values = 100.0 * (radius < 26) + 60.0 * (radius < 20) - 120.0 * (core < 7)
    image = image_from_xyz(values.astype(np.float32), Grid((SIZE, SIZE, SIZE), (MM, MM, MM)))
    return sitk.SmoothingRecursiveGaussian(image, MM)


def laid(moving: sitk.Image, fixed: sitk.Image) -> np.ndarray:
    """(X, Y, Z) of ``moving`` where ``fixed`` has its voxels, in its own values."""
    transform = register(on_registration_grid(fixed), on_registration_grid(moving))
    return array_xyz(sitk.Resample(moving, fixed, transform, sitk.sitkLinear, float(array_xyz(moving).min())))


@pytest.mark.parametrize(
    "curve",
    [
        pytest.param(lambda v: v, id="the same"),
        pytest.param(lambda v: 300 + 2 * v, id="nothing is 0"),
        pytest.param(lambda v: 8 * v - 1000, id="as in CT"),
    ],
)
def test_a_head_that_was_moved_and_stretched_lies_on_the_other(curve: Callable[[np.ndarray], np.ndarray]) -> None:
    fixed, moving = a_head(), a_head((6, -4, 8), 1.15)
    away = np.abs(array_xyz(moving) - array_xyz(fixed)).mean()
    other = image_from_xyz(curve(array_xyz(moving)), Grid.of(moving))
    ends = np.array([-100.0, 200.0])
    found = np.interp(laid(other, fixed), curve(ends), ends)
    assert np.abs(found - array_xyz(fixed)).mean() < 0.15 * away


def test_padding_of_ct_counts_as_air() -> None:
    values = 10 * array_xyz(a_head()) - 1000
    values[:6], values[-6:] = -3024, -3024
    assert array_xyz(on_registration_grid(image_from_xyz(values, Grid.of(a_head()))))[16, 2, 2] == pytest.approx(24)


def test_the_same_pair_gives_the_same_transform_twice() -> None:
    fixed, moving = a_head(), a_head((6, -4, 8))
    np.testing.assert_allclose(laid(moving, fixed), laid(moving, fixed), atol=1e-3)


@pytest.mark.parametrize("which", ["fixed", "moving", "both"])
def test_without_contrast_nothing_fails(which: str) -> None:
    blank = image_from_xyz(np.zeros((SIZE, SIZE, SIZE), np.float32), Grid((SIZE, SIZE, SIZE), (MM, MM, MM)))
    fixed, moving = (blank if which != "moving" else a_head()), (blank if which != "fixed" else a_head())
    assert np.isfinite(laid(moving, fixed)).all()


def test_volumes_of_a_few_slices_and_far_apart_do_not_fail() -> None:
    thin = a_head()[:, :, 14:17]
    far = sitk.Image(a_head())
    far.SetOrigin((900.0, 0.0, 0.0))
    assert np.isfinite(laid(a_head(), thin)).all()
    assert np.isfinite(laid(far, a_head())).all()


def test_points_are_sought_in_cubes_and_not_in_more_voxels_than_wanted() -> None:
    grid = Grid((120, 100, 90), (0.5, 0.5, 3.0))
    image = on_registration_grid(image_from_xyz(np.zeros((120, 100, 90), np.int16), grid))
    assert len(set(np.round(image.GetSpacing(), 6))) == 1
    assert 0.9 * VOXELS < image.GetNumberOfPixels() <= 1.1 * VOXELS
    small = on_registration_grid(a_head())
    np.testing.assert_allclose(small.GetSpacing(), MM)
