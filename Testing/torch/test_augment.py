"""Deformation and appearance: labels and image move together, nothing is known outside, zero is the exact crop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from SemiSupSegLib.config import DataConfig
from SemiSupSegLib.data.appearance import Appearance, adjust_gamma, blur, draw_appearance
from SemiSupSegLib.data.augment import Deformation, draw_deformation, source_voxels
from SemiSupSegLib.data.distance import with_distance
from SemiSupSegLib.data.patch import collate, cut
from SemiSupSegLib.data.prepared import PreparedCase
from SemiSupSegLib.data.smooth import control_points, smooth_field
from SemiSupSegLib.data.source import PatchSource
from SemiSupSegLib.project.annotation import Annotation, Region, RegionKind, State
from SemiSupSegLib.project.labels import LabelSet

LABELS = LabelSet.from_names(["liver", "spleen"])
COMPLETE = Annotation(State.COMPLETE)
SLICES = Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((0, 3),)),))
SHAPE = (24, 20, 12)
SPACING = (1.0, 1.0, 2.0)
PLAIN = Deformation(None, None, (False, False, False))
OFF: dict[str, Any] = {"rotation": 0, "scaling": 0, "elastic": 0, "flips": (False,) * 3, "intensity_strength": 0}


def turned(degrees: float) -> NDArray[np.float64]:
    """Rotation about Z."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


@pytest.fixture
def a_case() -> PreparedCase:
    """A bright blob that is labelled, in noise; spleen is partial, with added voxels; some voxels are ignored."""
    random = np.random.default_rng(0)
    labels = np.zeros((1, *SHAPE), np.uint8)
    labels[0, 14:19, 8:13, 4:7] = 1
    image = (random.normal(0, 0.1, SHAPE) + 3 * labels[0])[None].astype(np.float16)
    region = np.zeros(SHAPE, bool)
    region[:, 10:] = True
    return PreparedCase.of_arrays(
        "a", image, labels, LABELS, [COMPLETE, SLICES], spacing=SPACING, regions={1: region},
        ignore=random.random(SHAPE) < 0.1, pseudo=random.random((2, *SHAPE)) < 0.1,
    )  # fmt: skip


@pytest.fixture
def a_source(a_case: PreparedCase) -> Callable[..., PatchSource]:
    """Makes a source of patches of 12 x 12 x 6 voxels."""

    def make(**kwargs: Any) -> PatchSource:
        config = DataConfig(**{"patch_size": (12, 12, 6), "spacing": SPACING, **kwargs})
        return PatchSource([a_case], LABELS, config, seed=3, batch_size=2)

    return make


def test_with_everything_off_a_patch_is_the_exact_crop(
    a_source: Callable[..., PatchSource], a_case: PreparedCase
) -> None:
    source = a_source(**OFF)
    for i in range(20):
        patch, (x, y, z) = source[i], source.sampler.draw(i).start
        box = (slice(x, x + 12), slice(y, y + 12), slice(z, z + 6))
        assert np.array_equal(patch.image.numpy(), a_case.image[:, *box].astype(np.float32))
        assert np.array_equal(patch.labels.numpy(), a_case.labels[:, *box])
        assert np.array_equal(patch.valid.numpy(), a_case.valid(box))
        assert patch.region is not None
        assert np.array_equal(patch.region.numpy(), a_case.region(box))
        assert patch.pseudo is not None
        assert np.array_equal(patch.pseudo.numpy(), a_case.pseudo(box))


def test_the_identity_matrix_changes_nothing(a_case: PreparedCase) -> None:
    exact = cut(a_case, (3, 2, 1), (9, 10, 7), PLAIN)
    sampled = cut(a_case, (3, 2, 1), (9, 10, 7), Deformation(np.eye(3), None, (False,) * 3))
    assert torch.allclose(exact.image, sampled.image, atol=1e-4)
    assert torch.equal(exact.labels, sampled.labels)
    assert torch.equal(exact.valid, sampled.valid)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_patch_is_the_crop_backwards(a_case: PreparedCase, axis: int) -> None:
    flips = tuple(a == axis for a in range(3))
    plain = cut(a_case, (3, 2, 1), (9, 10, 7), PLAIN)
    mirrored = cut(a_case, (3, 2, 1), (9, 10, 7), Deformation(None, None, flips))
    for name in ("image", "labels", "valid", "region", "pseudo"):
        assert torch.equal(getattr(plain, name).flip(axis - 3), getattr(mirrored, name)), name


def test_a_quarter_turn_is_in_millimetres() -> None:
    """A bar along X, 9 voxels of 1 mm, becomes one along Y, 5 voxels of 2 mm."""
    labels = np.zeros((1, 21, 21, 3), np.uint8)
    labels[0, 6:15, 10, 1] = 1  # 9 mm along X, one voxel of 2 mm along Y
    image = labels.astype(np.float16)
    case = PreparedCase.of_arrays("a", image, labels, LABELS, [COMPLETE, COMPLETE], spacing=(1.0, 2.0, 5.0))
    patch = cut(case, (0, 0, 0), (21, 21, 3), Deformation(turned(90), None, (False,) * 3))
    where = patch.labels[0].nonzero()
    assert where[:, 1].unique().tolist() == [8, 9, 10, 11, 12]
    assert {9, 10, 11} >= set(where[:, 0].tolist())
    assert where[:, 2].unique().tolist() == [1]


def test_a_matrix_looks_from_the_patch_into_the_image() -> None:
    shrunk = Deformation(2 * np.eye(3), None, (False,) * 3)
    voxels = source_voxels(shrunk, (10, 20, 30), (5, 5, 3), (1.0, 2.0, 3.0))
    assert voxels[:, 2, 2, 1].tolist() == [12, 22, 31]
    assert voxels[:, 4, 2, 1].tolist() == [16, 22, 31]
    assert voxels[:, 2, 2, 2].tolist() == [12, 22, 33]


UAMT: dict[str, Any] = {"augmentation": "uamt", "foreground": 0}


def test_uamt_turns_by_quarters_and_always_flips_exact_voxels(
    a_source: Callable[..., PatchSource], a_case: PreparedCase
) -> None:
    """Each patch is a crop of 8 x 12, or of 12 x 8 turned, one of the four mirror images and never the plain one."""
    source = a_source(**UAMT, patch_size=(8, 12, 6))
    seen = set()
    for i in range(60):
        patch = source[i]
        assert patch.image.shape == (1, 8, 12, 6)
        turns, axis = np.random.Generator(np.random.PCG64(np.random.SeedSequence((3, i, 1)))).integers(0, [4, 2])
        size = (12, 8, 6) if turns % 2 else (8, 12, 6)
        place = source.sampler.draw(i, size)
        for name, whole in (("image", a_case.image), ("labels", a_case.labels), ("valid", a_case.valid())):
            x, y, z = (slice(a, a + n) for a, n in zip(place.start, size, strict=True))
            expected = np.flip(np.rot90(whole[:, x, y, z], turns, axes=(1, 2)), 1 + axis)
            assert np.array_equal(getattr(patch, name).numpy(), expected.astype(getattr(patch, name).numpy().dtype))
        seen.add((int(turns), int(axis)))
    assert len(seen) == 8


def test_uamt_never_gives_the_image_as_it_was_scanned() -> None:
    square = torch.arange(9.0).view(1, 3, 3, 1)
    drawn = [draw_deformation(np.random.default_rng(i), DataConfig(augmentation="uamt")) for i in range(100)]
    images = {tuple(d.turned_and_flipped(square).flatten().tolist()) for d in drawn}
    mirrors = {tuple(square.rot90(k, (1, 2)).flip(1).flatten().tolist()) for k in range(4)}
    assert images == mirrors
    assert tuple(square.flatten().tolist()) not in images
    assert all(draw_appearance(np.random.default_rng(i), DataConfig(**UAMT)) == Appearance() for i in range(30))


def test_uamt_crops_reach_every_place_of_a_volume_that_is_not_square(a_source: Callable[..., PatchSource]) -> None:
    source = a_source(**UAMT, patch_size=(8, 20, 12))
    for i in range(40):
        turned = draw_deformation(np.random.default_rng(0), source.config).size_before_turns((8, 20, 12))
        assert all(s >= 0 for s in source.sampler.draw(i, turned).start)
    starts = {source.sampler.draw(i, (20, 8, 12)).start[:2] for i in range(300)}
    assert {x for x, _ in starts} == set(range(5))
    assert {y for _, y in starts} == set(range(13))


@pytest.mark.parametrize("deformation", [PLAIN, Deformation(None, None, (True, False, False), 3)])
def test_distances_move_with_the_labels(a_case: PreparedCase, deformation: Deformation) -> None:
    patch = cut(with_distance(a_case, tau=12), (6, 1, 0), (18, 15, 11), deformation)
    assert patch.sdm is not None
    assert torch.equal(patch.sdm[0] <= 0, patch.labels[0] == 1)


def test_distances_are_interpolated(a_case: PreparedCase) -> None:
    """Turned by 30 degrees, the map of the volume is that of the turned label, but for the rounding of its voxels."""
    case = with_distance(a_case, tau=12)
    patch = cut(case, (6, 1, 0), (18, 18, 11), Deformation(turned(30), None, (False,) * 3))
    assert patch.sdm is not None
    assert patch.sdm.unique().numel() > 200
    inside = patch.labels[0] == 1
    assert (patch.sdm[0][inside] < 1 / 12).all()
    assert (patch.sdm[0][~inside] > -0.5 / 12).all()
    identity = cut(case, (3, 2, 1), (9, 10, 7), Deformation(np.eye(3), None, (False,) * 3))
    plain = cut(case, (3, 2, 1), (9, 10, 7), PLAIN)
    assert torch.allclose(identity.sdm, plain.sdm, atol=1e-4)


@pytest.mark.parametrize("elastic", [0.0, 2.0])
def test_labels_and_image_move_together(a_case: PreparedCase, elastic: float) -> None:
    random = np.random.default_rng(4)
    for degrees in (0, 17, -40):
        points = elastic * random.standard_normal((3, 4, 4, 4))
        deformation = Deformation(turned(degrees) / 1.1, points, (False, True, False))
        patch = cut(a_case, (6, 1, 0), (18, 18, 11), deformation)
        blob, bright = patch.labels[0] == 1, patch.image[0] > 1.5
        assert blob.sum() > 40
        assert 2 * (blob & bright).sum() / (blob.sum() + bright.sum()) > 0.95


def test_all_that_is_said_of_a_voxel_moves_with_it(a_case: PreparedCase) -> None:
    patch = cut(a_case, (6, 1, 0), (18, 18, 11), Deformation(turned(30), None, (False,) * 3))
    voxels = source_voxels(Deformation(turned(30), None, (False,) * 3), (6, 1, 0), (18, 18, 11), SPACING)
    x, y, z = voxels.round().long().clamp(min=-1)
    inside = (x >= 0) & (x < 24) & (y >= 0) & (y < 20) & (z >= 0) & (z < 12)
    x, y, z = x[inside], y[inside], z[inside]
    assert patch.region is not None
    assert patch.pseudo is not None
    pseudo = a_case.pseudo()
    assert pseudo is not None
    assert np.array_equal(patch.labels[:, inside], a_case.labels[:, x, y, z])
    assert np.array_equal(patch.valid[:, inside], a_case.valid()[:, x, y, z])
    assert np.array_equal(patch.region[:, inside], a_case.region()[:, x, y, z])
    assert np.array_equal(patch.pseudo[:, inside], pseudo[:, x, y, z])
    for said in (patch.labels, patch.valid, patch.region, patch.pseudo):
        assert not said[:, ~inside].any()


@pytest.mark.parametrize("deformation", [PLAIN, Deformation(turned(25) * 1.4, None, (True, False, True))])
def test_nothing_is_known_outside_the_image(deformation: Deformation) -> None:
    image = np.random.default_rng(0).normal(5, 1, (1, 6, 7, 5)).astype(np.float16)
    case = PreparedCase.of_arrays("a", image, np.ones((1, 6, 7, 5), np.uint8), LABELS, [COMPLETE, COMPLETE])
    patch = cut(case, (-5, -4, -6), (16, 16, 16), deformation)
    batch = collate([patch])
    assert torch.equal(batch.known, batch.valid.expand_as(batch.known))
    assert not (batch.known & (patch.labels == 0)).any()  # every voxel of the image is liver
    assert 0 < batch.known.float().mean() < 0.3
    assert patch.image[0][patch.labels[0] == 0].median() == pytest.approx(case.padding, abs=1e-3)
    assert patch.image.min() >= case.padding - 1e-3


def test_with_flips_along_x_off_left_stays_left(a_source: Callable[..., PatchSource]) -> None:
    source = a_source(flips=(False, True, True), foreground=0, intensity_strength=0)
    ramp = np.broadcast_to(np.arange(24, dtype=np.float16)[:, None, None], SHAPE)[None]
    source.cases[0] = PreparedCase.of_arrays(
        "a", ramp, np.ones((1, *SHAPE), np.uint8), LABELS, [COMPLETE] * 2, spacing=SPACING
    )
    for i in range(30):
        inner = source[i].image[0, 3:9, 3:9, 2:4]
        assert (inner[-1] > inner[0]).all()
    both = a_source(flips=(True, False, False), rotation=0, scaling=0, elastic=0, foreground=0, intensity_strength=0)
    both.cases[0] = source.cases[0]
    rising = [bool((p.image[0, -1] > p.image[0, 0]).all()) for p in (both[i] for i in range(30))]
    assert 5 < sum(rising) < 25


def test_drawn_rotations_and_scalings_keep_within_their_limits() -> None:
    config = DataConfig(rotation=30, scaling=0.25, elastic=0)
    drawn = [draw_deformation(np.random.default_rng(i), config) for i in range(300)]
    matrices = [d.matrix for d in drawn if d.matrix is not None]
    assert 150 < len(matrices) < 260
    zooms = [1 / np.cbrt(np.linalg.det(m)) for m in matrices]
    assert 0.8 <= min(zooms) < 0.85
    assert 1.2 < max(zooms) <= 1.25
    about_z = [np.rad2deg(np.arctan2(m[1, 0], m[0, 0])) for m in matrices]
    assert 25 < max(about_z) <= 30
    tilts = [np.rad2deg(np.arcsin(-m[2, 0] * z)) for m, z in zip(matrices, zooms, strict=True)]
    assert 8 < max(tilts) <= 10.01
    assert all(d.flips[0] is False for d in drawn)
    assert all(d.elastic is None for d in drawn)


def test_drawing_with_everything_off_draws_nothing() -> None:
    config = DataConfig(**OFF)
    assert all(draw_deformation(np.random.default_rng(i), config) == PLAIN for i in range(50))
    assert all(draw_appearance(np.random.default_rng(i), config) == Appearance() for i in range(50))


def test_a_patch_is_the_same_whenever_it_is_made(a_source: Callable[..., PatchSource]) -> None:
    one, other = a_source(), a_source()
    patches = [one[i] for i in range(8)]
    for i in reversed(range(8)):
        assert torch.equal(other[i].image, patches[i].image)
        assert torch.equal(other[i].labels, patches[i].labels)
    assert not torch.equal(patches[0].image, patches[1].image)


def test_smooth_fields_keep_constants_and_slopes() -> None:
    constant = smooth_field(np.full((2, 5, 4, 6), 1.5), (17, 1, 30))
    assert torch.allclose(constant, torch.tensor(1.5))
    slope = smooth_field(np.broadcast_to(np.arange(6.0)[:, None, None], (1, 6, 4, 4)), (31, 5, 5))
    assert torch.allclose(slope[0, :, 2, 2], torch.linspace(1, 4, 31), atol=1e-5)


def test_a_smooth_fields_deviation_is_a_third_of_its_points() -> None:
    points = control_points((2000, 2000, 640), 32)
    assert points == (65, 65, 23)
    field = smooth_field(np.random.default_rng(0).standard_normal((1, *points)), (100, 100, 40))
    assert float(field.std()) == pytest.approx(1 / 3, abs=0.03)


def test_gamma_is_monais() -> None:
    from monai.transforms import AdjustContrast

    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 6, 5, 4)).astype(np.float32))
    assert torch.allclose(adjust_gamma(image.clone(), 1.4), AdjustContrast(1.4)(image), atol=1e-5)
    assert torch.equal(adjust_gamma(torch.full((1, 2, 2, 2), 3.0), 0.5), torch.full((1, 2, 2, 2), 3.0))


def test_blur_is_monais() -> None:
    from monai.transforms import GaussianSmooth

    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 16, 15, 14)).astype(np.float32))
    theirs = GaussianSmooth(0.9, approx="sampled")(image)
    inner = (0, *(slice(4, -4),) * 3)
    assert torch.allclose(blur(image, 0.9)[inner], theirs[inner], atol=0.01)
    assert torch.allclose(blur(torch.full((1, 3, 1, 5), 2.0), 0.5), torch.tensor(2.0))


def test_a_bias_field_leaves_the_dark_surroundings_alone() -> None:
    image = torch.full((1, 8, 8, 8), -1.5)
    image[0, 2:6, 2:6, 2:6] = 1.0
    changed = Appearance(bias=np.full((1, 4, 4, 4), np.log(1.2))).apply(image, padding=-1.5)
    assert torch.equal(changed[0, 0], image[0, 0])
    assert changed[0, 3, 3, 3] == pytest.approx(-1.5 + 2.5 * 1.2)


def test_ct_has_no_bias_field() -> None:
    ct, mr = DataConfig(intensity="ct"), DataConfig()
    assert all(draw_appearance(np.random.default_rng(i), ct).bias is None for i in range(50))
    assert any(draw_appearance(np.random.default_rng(i), mr).bias is not None for i in range(50))


@pytest.mark.robustness
def test_g10_any_appearance_of_a_constant_patch_is_finite() -> None:
    for i in range(60):
        appearance = draw_appearance(np.random.default_rng(i), DataConfig(intensity_strength=2))
        for value in (0.0, -10.0, 10.0):
            assert appearance.apply(torch.full((1, 6, 5, 4), value), padding=value).isfinite().all()
