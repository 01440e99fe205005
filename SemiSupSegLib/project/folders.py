"""What lies in a folder to be imported: images, the label file of each, and what ``dataset.json`` says."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ProjectError
from .images import VOLUME_ENDINGS

__all__ = ["Dataset", "Pair", "find_pairs", "read_dataset", "stem_of"]

ENDINGS = tuple(sorted((*VOLUME_ENDINGS, ".seg.nrrd"), key=len, reverse=True))
"""Endings of volume files, the longer before those that they contain."""
IMAGES = ("images", "imagesTr")
"""Folders that hold the images, the first that exists; the folder itself when there is none."""
LABELS = ("labels", "labelsTr")
_MODALITY = re.compile(r"_(\d{4})$")
_LABEL_WORD = re.compile(r"[-_. ](seg|segmentation|label|labels|labelmap|mask)$", re.IGNORECASE)


@dataclass(frozen=True)
class Dataset:
    """What ``dataset.json`` says."""

    names: dict[int, str]
    """Label name of each value, in the order of the file; neither 0 nor the name ``background`` is ever in it."""
    modality: str | None = None
    """``CT``, ``MR``, ...; None when it does not say."""
    not_annotated: int | None = None
    """Value of voxels that nobody annotated (nnU-Net's *ignore* label); None for none."""


@dataclass(frozen=True)
class Pair:
    """One image of the folder and its label file."""

    stem: str
    """Name without endings: what the case will be called."""
    image: Path
    """A file, or a folder with one DICOM series."""
    labels: Path | None
    """None for an unlabelled case."""
    problem: str | None = None
    """One sentence when the pair cannot be imported."""


def read_dataset(folder: Path) -> Dataset | None:
    """``dataset.json`` of a folder, in either direction: ``{"labels": {"1": "liver"}}`` or nnU-Net's ``{"liver": 1}``.

    Returns:
        None when the folder has no such file.

    Raises:
        ProjectError: it is not JSON, or a value is not one whole number with one name.
    """
    path = folder / "dataset.json"
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
        labels = data["labels"]
        pairs = [_value_and_name(key, value) for key, value in labels.items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f'{path} cannot be read as {{"labels": {{"1": "liver", ...}}}}: {error}'
        raise ProjectError(msg) from error
    ignore = next((value for value, name in pairs if name.casefold() == "ignore"), None)
    organs = [(value, name) for value, name in pairs if value not in (0, ignore) and name.casefold() != "background"]
    for what, seen in (("value", [str(v) for v, _ in organs]), ("name", [n.casefold() for _, n in organs])):
        if twice := next((x for x in seen if seen.count(x) > 1), None):
            msg = f"{path}: the {what} {twice!r} appears twice: every value needs one name and every name one value"
            raise ProjectError(msg)
    return Dataset(dict(organs), _modality(data), ignore)


def _value_and_name(key: str, value: Any) -> tuple[int, str]:
    if isinstance(value, str) and key.strip().isdigit():
        return int(key), value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value, key
    msg = f"label {key!r} has {value!r} where one whole number is expected"
    raise ValueError(msg)


def _modality(data: dict[str, Any]) -> str | None:
    said = data.get("modality", data.get("channel_names"))
    if isinstance(said, dict):  # nnU-Net numbers its modalities; the first is the one that is imported
        said = said.get("0")
    if not isinstance(said, str) or not said.strip():
        return None
    word = said.strip()[:16]
    return {"mri": "MR", "mr": "MR", "ct": "CT"}.get(word.casefold(), word)


def find_pairs(folder: Path, *, labels_folder: str = "labels") -> list[Pair]:
    """Images of a folder, each with its label file, sorted by name.

    Images lie in ``images/`` (or nnU-Net's ``imagesTr/``) or in the folder itself; a subfolder with DICOM files is one
    image. Labels lie in ``labels/`` (``labelsTr/``), or beside flat images as ``NAME.seg.nrrd``, ``NAME_label.nii.gz``.
    Names are compared without regard to case, to nnU-Net's ``_0000`` and to words such as ``_seg`` and ``_label``.

    Args:
        folder: the folder.
        labels_folder: where the labels lie in it, for instance ``scribbles``.

    Raises:
        ProjectError: there is no such folder, no image in it, or no folder of the given name for labels.
    """
    if not folder.is_dir():
        msg = f"{folder} is not a folder: expected one with images/ and labels/, or with image files"
        raise ProjectError(msg)
    where = next((folder / name for name in IMAGES if (folder / name).is_dir()), folder)
    labels = _labels_folder(folder, labels_folder)
    volumes = _volumes(where, skip={labels.resolve()} if labels else set())
    if where == folder:  # flat: what is called like labels is labels
        beside = [path for path in volumes if _is_label_name(path, volumes)]
        volumes = [path for path in volumes if path not in beside]
    else:
        beside = []
    if not volumes:
        msg = f"{where} holds no image: expected files ending in {' '.join(VOLUME_ENDINGS)}, or DICOM folders"
        raise ProjectError(msg)
    label_files = [*(_volumes(labels, skip=set()) if labels else []), *beside]
    return _paired(volumes, label_files)


def stem_of(path: Path) -> str:
    """File name without the ending of a volume file; a folder's whole name."""
    lower = path.name.casefold()
    ending = next((e for e in ENDINGS if lower.endswith(e) and len(lower) > len(e)), "")
    return path.name[: len(path.name) - len(ending)]


def _labels_folder(folder: Path, name: str) -> Path | None:
    names = LABELS if name == LABELS[0] else (name,)
    found = next((folder / n for n in names if (folder / n).is_dir()), None)
    if found is None and name != LABELS[0]:
        there = ", ".join(sorted(p.name for p in folder.iterdir() if p.is_dir())[:8])
        msg = f"{folder} has no folder {name!r} with labels; its folders are {there or 'none'}"
        raise ProjectError(msg)
    return found


def _volumes(folder: Path, *, skip: set[Path]) -> list[Path]:
    """Volume files and DICOM folders directly in a folder, sorted; the folder itself when it is a DICOM series."""
    entries = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    files = [p for p in entries if p.is_file() and p.name.casefold().endswith(ENDINGS)]
    series = [p for p in entries if p.is_dir() and p.resolve() not in skip and _is_series(p)]
    if not files and not series and any(p.suffix.casefold() == ".dcm" for p in entries):
        return [folder]
    return sorted([*files, *series])


def _is_series(folder: Path) -> bool:
    files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    return any(p.suffix.casefold() in (".dcm", ".ima") or not p.suffix or p.suffix[1:].isdigit() for p in files)


def _is_label_name(path: Path, volumes: list[Path]) -> bool:
    if path.name.casefold().endswith(".seg.nrrd"):
        return True
    return bool(_LABEL_WORD.search(stem_of(path))) and _label_key(path) in {_image_key(p) for p in volumes if p != path}


def _image_key(path: Path) -> str:
    return _MODALITY.sub("", stem_of(path)).casefold()


def _label_key(path: Path) -> str:
    return _LABEL_WORD.sub("", stem_of(path)).casefold()


def _paired(images: list[Path], label_files: list[Path]) -> list[Pair]:
    by_key: dict[str, list[Path]] = {}
    for path in label_files:
        exact = stem_of(path).casefold()
        by_key.setdefault(exact if exact in {_image_key(p) for p in images} else _label_key(path), []).append(path)
    pairs: list[Pair] = []
    keys = [_image_key(path) for path in images]
    for path, key in zip(images, keys, strict=True):
        found = by_key.get(key, [])
        channel = _MODALITY.search(stem_of(path))
        problem = None
        if keys.count(key) > 1 and (channel is None or int(channel[1]) != 0):
            problem = f"{path.name}: another image has the same name; only one volume a case is imported"
        elif len(found) > 1:
            problem = f"{path.name}: it has {len(found)} label files: {', '.join(p.name for p in found[:3])}; keep one"
        pairs.append(Pair(_MODALITY.sub("", stem_of(path)), path, found[0] if found else None, problem))
    return pairs
