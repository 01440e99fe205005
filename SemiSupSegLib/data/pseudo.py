"""Voxels that a relabelling round added as positives (SMILEr): one file a case, in the run's folder, never in the case.

They are positives with a weight of their own. They never become *known*, never exclude other labels, and never enter
the hold-out.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ProjectError, RunError
from ..project.atomic import replacing
from ..project.cases import Case
from ..project.paths import inside
from ..project.project import Project
from .bits import pack, unpack

__all__ = ["load_pseudo", "pseudo_file", "refuse_holdout", "save_pseudo"]


def save_pseudo(folder: Path, case: Case, mask: NDArray[np.bool_]) -> None:
    """Write the added voxels of a case, atomically; a file that is there is replaced.

    Args:
        folder: of the round; made when it is not there.
        case: a training case.
        mask: (K, X, Y, Z) bool on the case's training grid.

    Raises:
        ProjectError: the case is of the hold-out.
    """
    refuse_holdout(case)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(pseudo_file(folder, case.id)) as temp, temp.open("wb") as file:
        np.savez_compressed(file, bits=pack(mask), shape=np.asarray(mask.shape, np.int64))


def load_pseudo(folder: Path, case_id: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The added voxels of a case, (K, X, Y, Z) bool; all False when the round has no file of it.

    Args:
        folder: of the round.
        case_id: the case.
        shape: (K, X, Y, Z) that is expected.

    Raises:
        RunError: the file is damaged or of another grid or set of labels.
    """
    path = pseudo_file(folder, case_id)
    if not path.is_file():
        return np.zeros(shape, bool)
    try:
        with np.load(path, allow_pickle=False) as content:
            found, bits = tuple(int(n) for n in content["shape"]), content["bits"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        where = f"{folder.parent.name}/{folder.name}"
        msg = f"the relabelled voxels of case {case_id} in {where} cannot be read: relabel again"
        raise RunError(msg) from error
    if found != tuple(shape) or bits.shape != (*shape[:3], -(-shape[3] // 8)):
        msg = f"the relabelled voxels of case {case_id} are of shape {found}, expected {tuple(shape)}: relabel again"
        raise RunError(msg)
    return unpack(bits, (slice(0, shape[1]), slice(0, shape[2]), slice(0, shape[3])))


def pseudo_file(folder: Path, case_id: str) -> Path:
    """Where the added voxels of a case are."""
    return inside(folder, f"{case_id}.npz")


def refuse_holdout(case: Case) -> None:
    """Pseudo-labels never enter the hold-out.

    Raises:
        ProjectError: the case is of the hold-out.
    """
    if case.split == "holdout":
        msg = f"case {case.id} is held out: voxels that a model labelled must never enter it"
        raise ProjectError(msg)


def refuse_holdout_files(project: Project, folder: Path) -> None:
    """Refuse a folder that holds added voxels of a hold-out case, whoever put them there.

    Raises:
        ProjectError: names the case.
    """
    for case in project.holdout_cases():
        if pseudo_file(folder, case.id).exists():
            refuse_holdout(case)
