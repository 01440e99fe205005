"""Stands in for the engine: its verbs in seconds and without torch. Adding cases is the real verb.

``python engine.py VERB PROJECT ...``. What a training does depends on its preset: quick ends well, balanced goes on
until it is stopped, thorough crashes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SemiSupSegLib.config import Config, TrainConfig
from SemiSupSegLib.jobs.job import LocalJob
from SemiSupSegLib.jobs.run import Run
from SemiSupSegLib.project.annotation import label_mask
from SemiSupSegLib.project.images import write_unit_interval
from SemiSupSegLib.project.labelmaps import write_labels
from SemiSupSegLib.project.models import add_promoted
from SemiSupSegLib.project.project import Project

__all__ = ["write_prediction"]

STEPS = 40


def write_prediction(
    project: Project, case_id: str, masks: Mapping[str, NDArray[np.bool_]], *, model: str = "0001",
    preview: bool = False, **said: Any,
) -> None:
    """Write proposals as the engine does; unsure round a voxel in the middle slice of each mask.

    Args:
        project: the project.
        case_id: one of its cases.
        masks: (k, j, i) by label name.
        model: that made them.
        preview: whether a training that goes on made them.
        said: per label, measurements other than the usual.
    """
    grid, label_set = project.case(case_id).grid(), project.label_set
    folder = project.predictions_folder / case_id
    folder.mkdir(parents=True, exist_ok=True)
    layers = np.zeros((label_set.n_layers, *grid.shape), np.uint8)
    for name, mask in masks.items():
        place = label_set.places[label_set.index(name)]
        layers[place.layer][mask] = place.value
    write_labels(folder / "labels.seg.nrrd", layers, label_set, grid)
    labels = {}
    for name, mask in masks.items():
        unsure, slices = _unsure(mask)
        write_unit_interval(unsure, grid, folder / f"uncertainty_{name}.nii.gz")
        write_unit_interval(unsure / 4, grid, folder / f"mutual_information_{name}.nii.gz")
        voxels = int(mask.sum())
        labels[name] = {
            "uncertainty": f"uncertainty_{name}.nii.gz", "mutual_information": f"mutual_information_{name}.nii.gz",
            "voxels": voxels, "volume_ml": voxels * grid.voxel_mm3 / 1000,
            "confidence": 0.9, "uncertainty_boundary": float(unsure[mask].mean()) if voxels else 0.0,
            "mutual_information_boundary": 0.05, "parts": 1, "largest_part": 1.0,
            "worst_slice": int(np.argmax(slices)), "slices": slices.tolist(), "empty": voxels == 0,
            **said.get(name, {}),
        }  # fmt: skip
    head = {"format": 1, "model": model, "run": f"run of {model}", "checkpoint": "last"}
    rest = {"date": "2026-11-22T09:00:00+00:00", "passes": 8, "threshold": 0.5, "preview": preview, "labels": labels}
    (folder / "prediction.json").write_text(json.dumps({**head, **rest}))


def _unsure(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    if not mask.any():
        return np.zeros(mask.shape, np.float32), np.zeros(len(mask))
    box = tuple(slice(int(where.min()), int(where.max()) + 1) for where in np.nonzero(mask))
    inside = mask[box]
    far = np.linalg.norm(np.stack(np.indices(inside.shape), -1) - np.argwhere(inside).mean(axis=0), axis=-1)
    unsure = np.zeros(mask.shape, np.float32)
    unsure[box] = np.where(inside, 0.1 + 0.8 * np.exp(-far / 4), 0)
    means = [float(part[there].mean()) if there.any() else 0.0 for part, there in zip(unsure, mask, strict=True)]
    return unsure, np.array(means)


def _plan(root: Path, words: list[str]) -> None:
    preset = words[words.index("--preset") + 1]
    run = Run.create(root / "runs", Config(train=TrainConfig(minutes=1)), method=preset)
    LocalJob.start(run, [sys.executable, str(Path(__file__).resolve()), "train-run", str(run.folder)])
    sys.stdout.write(json.dumps({"id": run.id}))


def _train(run: Run) -> None:
    run.write("started", device="cpu", reason="torch has no CUDA build")
    run.write("prepared", cases=2, minutes=0.1, memory_gb=1.2)
    for step in range(1, STEPS + 1):
        run.write("progress", step=step, fraction=step / STEPS, eta_seconds=STEPS - step, losses={"total": 1 / step})
        if step % 10 == 0:
            run.write("validated", step=step, dice={}, mean=step / STEPS, best=True)
            run.write("checkpoint", step=step, name="last")
    if run.id.endswith("thorough"):
        msg = "no memory left"
        raise MemoryError(msg)
    while run.id.endswith("balanced") and not run.stop_requested:
        time.sleep(0.02)
    if run.stop_requested:
        run.write("checkpoint", step=STEPS, name="last")
        if not run.keep_requested:
            run.write("stopped", step=STEPS)
            return
    _promote(run, early=run.stop_requested)


def _promote(run: Run, *, early: bool) -> None:
    models = run.folder.parents[1] / "models"
    model = f"{len(list(models.glob('*/model.json'))) + 1:04}"
    (models / model).mkdir(parents=True)
    (models / model / "model.json").write_text("{}")
    add_promoted(models, model)
    run.write("promoted", model=model, score=1.0, before=None, reason="it is the first")
    run.write("finished", step=STEPS, seconds=1, early=early)


def _predict_folder(images: Path, output: Path) -> None:
    """Say of each file that it was predicted; the labels are empty files."""
    output.mkdir(parents=True, exist_ok=True)
    found = sorted(path.name for path in images.iterdir())
    for name in found:
        (output / name).touch()
    sys.stdout.write(json.dumps({"volumes": {name: {} for name in found}, "refused": {}}))


def _predict(project: Project, words: Sequence[str]) -> None:
    """Propose in every case what the first complete case has, on the voxels that both have; with ``--run`` only in the
    case that is named, and as a preview."""
    preview = f"preview of run {words[words.index('--run') + 1]} at step {STEPS}" if "--run" in words else None
    cases = [project.case(words[words.index("--case") + 1])] if preview else project.cases.values()
    names = project.label_set.names
    teacher = next(c for c in project.cases.values() if all(c.annotation(n).everywhere for n in names))
    layers = teacher.labels(project.label_set)
    done = {}
    for case in cases:
        wanted = [name for name in names if not case.annotation(name).everywhere]
        masks = {}
        for name in wanted:
            known = label_mask(layers, project.label_set, project.label_set.index(name))
            mask = np.zeros(case.grid().shape, bool)
            shared = tuple(slice(0, min(sizes)) for sizes in zip(known.shape, mask.shape, strict=True))
            mask[shared] = known[shared]
            masks[name] = mask
        if masks:
            write_prediction(project, case.id, masks, model=preview or "0001", preview=preview is not None)
            done[case.id] = {}
    sys.stdout.write(json.dumps({"model": preview or "0001", "cases": done, "refused": {}}))


def main(verb: str, where: str, *words: str) -> int:
    """Do what a verb says; returns the exit code."""
    if verb == "train":
        _plan(Path(where), list(words))
    elif verb == "train-run":
        _train(Run.open(Path(where)))
    elif verb == "predict" and "--images" in words:
        folders = (Path(words[words.index(word) + 1]) for word in ("--images", "--output"))
        _predict_folder(*folders)
    elif verb == "predict":
        _predict(Project.open(Path(where)), words)
    elif verb == "stop":
        _promote(Run.open(Path(where) / "runs" / words[0]), early=True)
        sys.stdout.write(json.dumps({"id": words[0]}))
    else:
        from SemiSupSegLib.cli.main import main as real

        return real([verb, where, *words])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
