# SimpleITK names the types of some of its methods only:
# mypy: allow-untyped-calls
"""Registration: where each point of one volume lies in another one of the same part of the body.

First an affine map by mutual information (Mattes et al., SPIE 2001), then symmetric demons (Thirion, 1998; Vercauteren
et al., 2009), both from coarse to fine, of SimpleITK. It takes a few seconds a pair on grids of half a million voxels,
and needs nothing to have been learnt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..project.geometry import Grid, resample, to_ras, training_grid

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813  everybody's name for it

__all__ = ["VOXELS", "matched", "on_registration_grid", "register"]

VOXELS = 600_000
"""Of a volume in which points are sought, at most: with more, each pair takes longer than most people want to wait."""
DARKEST = 1.0
"""Percentile of the values that becomes 0."""
AIR = -1024.0
"""What is less than air in Hounsfield units is padding, and counts as air."""
SAMPLED = 50_000
"""Voxels from which mutual information is estimated."""
BINS = 32
LEVELS = ((4, 40), (2, 40), (1, 25))
"""Times as coarse, and steps of demons."""
SMOOTH = 0.7
"""Deviation in voxels of the Gaussian that smooths the field after each step."""
DIGITS = 6
"""Of the affine map's numbers after the point."""
SMALLEST = 8
"""Voxels an axis has at least on a coarse level."""


def on_registration_grid(image: sitk.Image) -> sitk.Image:
    """The image in float32, RAS+, with cubic voxels of at least its finest spacing, :data:`VOXELS` of them at most.

    Its darkest values become 0, as what lies outside an image has, and as the centre of mass needs.
    """
    import SimpleITK as sitk  # noqa: N813

    image = to_ras(image)
    own = Grid.of(image)
    volume = own.voxel_mm3 * float(np.prod(own.size))
    edge = max(min(own.spacing), (volume / VOXELS) ** (1 / 3))
    found = resample(image, training_grid(own, (edge, edge, edge)), linear=True)
    darkest = max(float(np.percentile(sitk.GetArrayViewFromImage(found), DARKEST)), AIR)
    above: sitk.Image = sitk.Maximum(found - darkest, 0.0)
    return above


def register(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    """The transform that takes points of ``fixed`` to those of ``moving``, in mm.

    Args:
        fixed: from :func:`on_registration_grid`.
        moving: the same; intensities may differ by any increasing curve.

    Returns:
        What :func:`SimpleITK.Resample` needs to lay ``moving`` over ``fixed``. Without contrast in one of them, or
        where they have too little in common to compare, their middles lie on each other.
    """
    import SimpleITK as sitk  # noqa: N813

    affine = _affine(fixed, moving)
    laid = matched(sitk.Resample(moving, fixed, affine, sitk.sitkLinear, 0.0), fixed)
    field = None
    for times, steps in LEVELS:
        here, there = _coarser(fixed, times), _coarser(laid, times)
        demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
        demons.SetNumberOfIterations(steps)
        demons.SetStandardDeviations(SMOOTH)
        if field is None:
            field = demons.Execute(here, there)
        else:
            field = demons.Execute(here, there, sitk.Resample(field, here))
    whole = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    return sitk.CompositeTransform([affine, whole])


def matched(image: sitk.Image, like: sitk.Image) -> sitk.Image:
    """The image with its intensities moved so that their histogram is that of ``like``."""
    import SimpleITK as sitk  # noqa: N813

    found: sitk.Image = sitk.HistogramMatching(image, like, 256, 10, True)
    return found


def _affine(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    import SimpleITK as sitk  # noqa: N813

    how = sitk.CenteredTransformInitializerFilter
    start: sitk.Transform
    try:
        start = sitk.CenteredTransformInitializer(fixed, moving, sitk.AffineTransform(3), how.MOMENTS)
    except RuntimeError:  # no contrast has no centre of mass
        start = sitk.CenteredTransformInitializer(fixed, moving, sitk.AffineTransform(3), how.GEOMETRY)
        return start
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(min(SAMPLED / fixed.GetNumberOfPixels(), 1.0), seed=1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.01, 80)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1])
    method.SetInitialTransform(sitk.AffineTransform(start))
    try:
        found: sitk.Transform = method.Execute(fixed, moving)
    except RuntimeError:  # they do not overlap, or it ran away
        return start
    return _rounded(found)


def _rounded(transform: sitk.Transform) -> sitk.Transform:
    """To a millionth: the sums of several threads differ in their last digits by who is first, and demons grow that."""
    transform.SetFixedParameters(np.round(transform.GetFixedParameters(), DIGITS).tolist())
    transform.SetParameters(np.round(transform.GetParameters(), DIGITS).tolist())
    return transform


def _coarser(image: sitk.Image, times: int) -> sitk.Image:
    if times == 1:
        return image
    own = Grid.of(image)
    spacing = [mm * max(min(times, n // SMALLEST), 1) for mm, n in zip(own.spacing, own.size, strict=True)]
    return resample(image, training_grid(own, (spacing[0], spacing[1], spacing[2])), linear=True)
