# SimpleITK names the types of some of its methods only:
# mypy: allow-untyped-calls
"""Reading and writing volumes. Everything that is not one 3D scalar volume is refused in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from .geometry import Grid, image_from_kji
from .integrity import check_before_reading, check_voxels
from .nifti import write_nifti

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813

__all__ = [
    "VOLUME_ENDINGS",
    "Volume",
    "check_directions",
    "file_reader",
    "grid_of_file",
    "open_volume",
    "read_file",
    "read_volume",
    "volume_grid",
    "write_unit_interval",
    "write_volume",
]

VOLUME_ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
"""Endings of volume files that are read, lower case."""
LARGEST = 1e18
"""Intensities beyond this are no measurements (fill values like 1e20 or the largest float); they count as not finite,
and what remains can be squared and summed."""
SKEW_TOLERANCE = 1e-3
"""How far the product of two direction columns may be from 0 or 1: rounded headers pass, a tilted gantry does not."""


@dataclass(frozen=True)
class Volume:
    """A volume as read, with what its reader had to say."""

    image: sitk.Image
    """3D, scalar, finite, without metadata."""
    warnings: tuple[str, ...] = ()
    """Sentences for the user about what was changed or looks odd; empty for a normal volume."""
    modality: str | None = None
    """``CT``, ``MR``, ... from a DICOM series; None for other files, which do not say."""


def read_volume(path: Path) -> sitk.Image:
    """The volume in a NIfTI, NRRD or MetaImage file or in a folder with one DICOM series; see :func:`open_volume`."""
    return open_volume(path).image


def open_volume(path: Path) -> Volume:
    """Read a volume and say what was odd about it.

    A 2D image becomes a volume of one slice, a 4D file of one frame that frame. Voxels that hold no number (NaN,
    infinite, beyond 1e18) are set to the smallest number there is in the volume. No metadata comes along.

    Args:
        path: ``.nii .nii.gz .nrrd .nhdr .mha .mhd``, or a folder.

    Raises:
        ImageError: the file is missing, damaged or of another kind; it has several frames, colours, complex values, no
            voxels, axes that are not at right angles, or mostly voxels without a number.
    """
    modality = None
    if path.is_dir():
        from .dicom import read_series  # it reads what it finds with this module's checks

        image, modality = read_series(path)
    else:
        reader = file_reader(path)
        grid = volume_grid(reader, path.name)
        image = _as_volume(read_file(path, reader), grid)
    return _finite(_without_metadata(image), path.name, modality)


def grid_of_file(path: Path) -> Grid:
    """The grid of the volume in a file, from its header alone.

    Raises:
        ImageError: as :func:`open_volume`, as far as the header tells.
    """
    return volume_grid(file_reader(path), path.name)


def file_reader(path: Path) -> sitk.ImageFileReader:
    """A reader that has read the header of a file of one of the :data:`VOLUME_ENDINGS`.

    Raises:
        ImageError: there is no such file, it is of another kind, or its header cannot be read.
    """
    import SimpleITK as sitk  # noqa: N813

    if not path.is_file():
        msg = f"{path.name} does not exist"
        raise ImageError(msg)
    if not path.name.lower().endswith(VOLUME_ENDINGS):
        msg = f"{path.name} is not a volume file: expected one of {' '.join(VOLUME_ENDINGS)} or a folder of DICOM files"
        raise ImageError(msg)
    check_before_reading(path)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if "orthonormal" in str(error):  # ITK refuses such NIfTI files itself
            _refuse(path.name, "its axes are not at right angles; resample it first")
        raise _unreadable(path.name) from error
    return reader


def read_file(path: Path, reader: sitk.ImageFileReader) -> sitk.Image:
    """All that a file holds, of any dimension and kind of voxel, NaN included, checked to be whole.

    Raises:
        ImageError: the file is damaged.
    """
    import SimpleITK as sitk  # noqa: N813

    try:
        image: sitk.Image = reader.Execute()
    except RuntimeError as error:
        raise _unreadable(path.name) from error
    holes = check_voxels(path, sitk.GetArrayViewFromImage(image))
    if holes is None:
        return image
    voxels = sitk.GetArrayFromImage(image)
    voxels[holes.reshape(voxels.shape)] = np.nan
    full = sitk.GetImageFromArray(voxels, isVector=False)
    full.CopyInformation(image)
    return full


def write_volume(image: sitk.Image, path: Path) -> None:
    """Write a volume as ``.nii.gz`` or ``.nii``: voxels, their kind and geometry, and nothing else of the image.

    Raises:
        WriteError: the file could not be written; an older one is untouched.
    """
    import SimpleITK as sitk  # noqa: N813

    write_nifti(sitk.GetArrayViewFromImage(image), Grid.of(image), path)


def write_unit_interval(array: NDArray[Any], grid: Grid, path: Path) -> None:
    """Write a map of values from 0 to 1 in one byte a voxel; every NIfTI reader sees 0.0 to 1.0 in steps of 1/255.

    Args:
        array: (k, j, i) of floats.
        grid: its place.
        path: ``.nii.gz`` or ``.nii``.

    Raises:
        ValueError: a value is not in [0, 1].
        WriteError: the file could not be written; an older one is untouched.
    """
    if array.size and not (array.min() >= 0 and array.max() <= 1):  # False for NaN
        msg = f"values from {array.min()} to {array.max()} in a map of 0 to 1"
        raise ValueError(msg)
    write_nifti(np.rint(np.asarray(array, np.float32) * 255).astype(np.uint8), grid, path, slope=1 / 255)


def check_directions(direction: NDArray[np.float64], name: str) -> None:
    """Make sure that the axes of a volume are at right angles.

    Args:
        direction: (3, 3) direction cosines.
        name: the file, for the message.

    Raises:
        ImageError: they are not, to within :data:`SKEW_TOLERANCE`.
    """
    skew = float(np.abs(direction.T @ direction - np.eye(3)).max())
    if not skew <= SKEW_TOLERANCE:
        msg = (
            f"{name}: its axes are not at right angles (off by {skew:.2g}), as with a tilted gantry; resample it first"
        )
        raise ImageError(msg)


def volume_grid(reader: sitk.ImageFileReader, name: str, *, layers: bool = False) -> Grid:
    """The grid of the only 3D volume of a file whose header was read.

    Args:
        reader: from :func:`file_reader`.
        name: the file, for messages.
        layers: whether voxels may have several values.

    Raises:
        ImageError: the file holds anything else.
    """
    import SimpleITK as sitk  # noqa: N813

    size, dimension = [int(n) for n in reader.GetSize()], int(reader.GetDimension())
    if any(n > 1 for n in size[3:]):
        _refuse(name, f"it has {int(np.prod(size[3:]))} frames, expected one volume")
    if reader.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
        _refuse(name, "its voxels are complex numbers, expected integers or floats")
    if reader.GetNumberOfComponents() > 1 and not layers:
        _refuse(name, f"it has {reader.GetNumberOfComponents()} values a voxel (colours or vectors), expected one")
    if min(size) < 1:
        _refuse(name, f"it has no voxels (size {size})")
    flat = dimension == 2
    cosines = np.eye(3)
    inner = min(dimension, 3)
    cosines[:inner, :inner] = np.reshape(reader.GetDirection(), (dimension, dimension))[:inner, :inner]
    check_directions(cosines, name)
    spacing = [float(x) for x in reader.GetSpacing()[:3]] + [1.0] * flat
    if not all(0 < x < np.inf for x in spacing):
        _refuse(name, f"its spacing {spacing} is not positive")
    return Grid(
        tuple(size[:3] + [1] * flat),  # type: ignore[arg-type]
        tuple(spacing),  # type: ignore[arg-type]
        tuple([float(x) for x in reader.GetOrigin()[:3]] + [0.0] * flat),  # type: ignore[arg-type]
        tuple(float(x) for x in cosines.ravel()),  # type: ignore[arg-type]
    )


def _as_volume(image: sitk.Image, grid: Grid) -> sitk.Image:
    import SimpleITK as sitk  # noqa: N813

    if image.GetDimension() == 3 and "vector" not in image.GetPixelIDTypeAsString():
        return image
    return image_from_kji(sitk.GetArrayViewFromImage(image).reshape(grid.shape), grid)


def _without_metadata(image: sitk.Image) -> sitk.Image:
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)
    return image


def _finite(image: sitk.Image, name: str, modality: str | None) -> Volume:
    import SimpleITK as sitk  # noqa: N813

    voxels = sitk.GetArrayViewFromImage(image)
    low, high = voxels.min(), voxels.max()  # NaN when there is any
    warnings = []
    if voxels.dtype.kind == "f" and not (low >= -LARGEST and high <= LARGEST):
        bad = ~(np.abs(voxels) <= LARGEST)
        count = int(np.count_nonzero(bad))
        if 2 * count > voxels.size:
            _refuse(name, f"{count} of its {voxels.size} voxels hold no number (NaN, infinite or beyond {LARGEST:g})")
        low, high = voxels[~bad].min(), voxels[~bad].max()
        image = image_from_kji(np.where(bad, low, voxels), Grid.of(image))
        warnings.append(f"{name}: {count} voxels hold no number and were set to the smallest value, {low:g}")
    if low == high:
        warnings.append(f"{name}: holds one value only, {low:g}")
    return Volume(image, tuple(warnings), modality)


def _unreadable(name: str) -> ImageError:
    return ImageError(f"{name} cannot be read: it is damaged, incomplete, or not the kind of file that its name says")


def _refuse(name: str, why: str) -> NoReturn:
    msg = f"{name} cannot be used: {why}"
    raise ImageError(msg)
