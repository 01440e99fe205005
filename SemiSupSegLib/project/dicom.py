# SimpleITK names the types of some of its methods only:
# mypy: allow-untyped-calls
"""A folder with one DICOM series -> a volume. Nothing that names the patient leaves this file, errors included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from .images import check_directions

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813

T = TypeVar("T")

__all__ = ["SPACING_TOLERANCE", "read_series"]

SPACING_TOLERANCE = 0.05
"""How far the distance of two neighbouring slices may be from the usual one, as a share of it: rounded positions pass,
a missing slice (1.0) does not."""
MODALITIES = frozenset({"CT", "MR", "PT", "NM", "US", "XA", "RF", "DX", "CR", "MG", "OT", "SEG", "RTDOSE", "RTSTRUCT"})
"""What of the modality tag is passed on: the standard's codes, so that no free text is."""
MODALITY, POSITION, ORIENTATION = "0008|0060", "0020|0032", "0020|0037"
ROWS, COLUMNS, PIXEL_SPACING, FRAMES = "0028|0010", "0028|0011", "0028|0030", "0028|0008"
RESCALING = ("0028|1053", "0028|1052")


@dataclass(frozen=True)
class _Slice:
    file: str
    size: tuple[str, ...]
    """Rows, columns and pixel spacing, as the tags say."""
    orientation: NDArray[np.float64] | None
    """(2, 3): directions of rows and columns; None when the tag is missing."""
    position: NDArray[np.float64] | None
    rescaling: tuple[str, ...]
    """Slope and intercept, as the tags say."""


def read_series(folder: Path) -> tuple[sitk.Image, str | None]:
    """Read the only series in a folder (files directly in it; other files are passed over).

    Returns:
        The volume, slices in the order of their positions; and its modality (``CT``, ``MR``, ...),
        None when the files do not say.

    Raises:
        ImageError: there is no series, or more than one; a slice is missing, doubled, damaged, or of another size or
            orientation; the axes are not at right angles. The message names the folder and nothing from the files.
    """
    import SimpleITK as sitk  # noqa: N813

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    files, modality = _only_series(folder)
    slices = [_read_slice(file, folder) for file in files]
    if len(slices) > 1:
        slices = _checked(slices, folder)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([s.file for s in slices])
    if len({s.rescaling for s in slices}) > 1:  # else all would be read as the first slice's kind of integer
        reader.SetOutputPixelType(sitk.sitkFloat32)
    image: sitk.Image = _quietly(reader.Execute, folder)
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        _refuse(folder, "its slices are not single grey-value images")
    if len(slices) > 1:
        _place(image, slices)
    check_directions(np.reshape(image.GetDirection(), (3, 3)), folder.name)
    return image, modality


def _only_series(folder: Path) -> tuple[list[str], str | None]:
    import SimpleITK as sitk  # noqa: N813

    reader = sitk.ImageSeriesReader
    ids = _quietly(partial(reader.GetGDCMSeriesIDs, str(folder)), folder)
    series = [_quietly(partial(reader.GetGDCMSeriesFileNames, str(folder), uid), folder) for uid in ids]
    listed = {Path(file).name for files in series for file in files}
    if any(_is_dicom(path) for path in folder.iterdir() if path.name not in listed):
        raise _damaged(folder)  # GDCM passes over what it cannot parse, and the volume would lack its end
    if not series:
        _refuse(folder, "it has no DICOM series; expected the files of one CT or MR series")
    modalities = [_modality(files[0], folder) for files in series]
    if len(series) > 1:
        count = Counter(modality or "unknown" for modality in modalities)
        words = ", ".join(f"{n} x {modality}" for modality, n in sorted(count.items()))
        _refuse(folder, f"it has {len(series)} series ({words}); put each into a folder of its own")
    return list(series[0]), modalities[0]


def _is_dicom(path: Path) -> bool:
    if not path.is_file() or path.name.upper() == "DICOMDIR":  # an index of files, no image
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _modality(file: str, folder: Path) -> str | None:
    text = _tag(_header(file, folder), MODALITY).upper()
    return text if text in MODALITIES else None


def _read_slice(file: str, folder: Path) -> _Slice:
    header = _header(file, folder)
    if _tag(header, FRAMES) not in ("", "1"):
        _refuse(folder, "it has files of several frames; expected one slice a file")
    cosines = _numbers(_tag(header, ORIENTATION), 6)
    return _Slice(
        file,
        tuple(_tag(header, key) for key in (ROWS, COLUMNS, PIXEL_SPACING)),
        None if cosines is None else cosines.reshape(2, 3),
        _numbers(_tag(header, POSITION), 3),
        tuple(_tag(header, key) for key in RESCALING),
    )


def _checked(slices: list[_Slice], folder: Path) -> list[_Slice]:
    """The slices in the order of their positions; refuses a stack with holes, doubles or strangers."""
    first = slices[0]
    if any(s.position is None or s.orientation is None for s in slices):
        _refuse(folder, "some of its slices have no position or orientation")
    assert first.orientation is not None
    if len({s.size for s in slices}) > 1:
        _refuse(folder, "its slices differ in size or pixel spacing")
    if any(not np.allclose(s.orientation, first.orientation, atol=1e-3) for s in slices):  # type: ignore[arg-type]
        _refuse(folder, "its slices differ in orientation")
    normal = np.cross(*first.orientation)
    along = np.asarray([normal @ s.position for s in slices])  # type: ignore[operator]
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order])
    usual = float(np.median(steps))
    if usual <= 0 or steps.min() < 0.01 * usual:
        _refuse(
            folder, f"{np.count_nonzero(steps < 0.01 * max(usual, 1e-3))} of its slices lie at the place of another"
        )
    worst = float(steps[np.abs(steps - usual).argmax()])
    if abs(worst - usual) > SPACING_TOLERANCE * usual:
        why = "a slice is missing" if worst > 1.5 * usual else "its slices are unequally spaced"
        _refuse(folder, f"{why}: a step of {worst:.3g} mm among steps of {usual:.3g} mm")
    return [slices[n] for n in order]


def _place(image: sitk.Image, slices: list[_Slice]) -> None:
    """Take position and direction of the third axis from the slices' positions: a tilted gantry shows only there."""
    first, last = slices[0].position, slices[-1].position
    rows_columns = slices[0].orientation
    assert first is not None
    assert last is not None
    assert rows_columns is not None
    step = (last - first) / (len(slices) - 1)
    length = float(np.linalg.norm(step))
    image.SetOrigin(first.tolist())
    image.SetSpacing((*image.GetSpacing()[:2], length))
    image.SetDirection(np.column_stack([*rows_columns, step / length]).ravel().tolist())


def _header(file: str, folder: Path) -> sitk.ImageFileReader:
    import SimpleITK as sitk  # noqa: N813

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(file)
    _quietly(reader.ReadImageInformation, folder)
    return reader


def _tag(header: sitk.ImageFileReader, key: str) -> str:
    return str(header.GetMetaData(key)).strip() if header.HasMetaDataKey(key) else ""


def _numbers(text: str, count: int) -> NDArray[np.float64] | None:
    try:
        values = np.asarray([float(part) for part in text.split("\\")])
    except ValueError:
        return None
    return values if values.size == count and np.isfinite(values).all() else None


def _quietly(action: Callable[[], T], folder: Path) -> T:
    """The action's result, or an error without ITK's text and without ITK's exception as its cause.

    ITK quotes file names and tags, and so may the traceback of whatever was raised while its exception was handled.
    """
    try:
        return action()
    except RuntimeError:
        pass
    raise _damaged(folder)


def _damaged(folder: Path) -> ImageError:
    return ImageError(f"{folder.name} cannot be read: a DICOM file in it is damaged or incomplete")


def _refuse(folder: Path, why: str) -> NoReturn:
    msg = f"{folder.name} cannot be used: {why}"
    raise ImageError(msg)
