"""Two processes with gloo on the CPU learn what one learns: the same patches, the same losses, the same weights."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from SemiSupSegLib.config import Config, DataConfig, NetworkConfig, TrainConfig
from SemiSupSegLib.engine.checkpoint import load_checkpoint
from SemiSupSegLib.jobs.events import EventReader
from SemiSupSegLib.jobs.job import LocalJob
from SemiSupSegLib.jobs.protocol import EventKind, RunState
from SemiSupSegLib.jobs.run import Run
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.synthetic import ORGANS, synthetic_case

PATIENCE = 300.0
REPOSITORY = Path(__file__).parents[2]
STRIDES = ((2, 2, 2), (2, 2, 2))
"""Shallow: instance normalisation of a handful of voxels would blow rounding up to a tenth of the way."""


@pytest.fixture
def a_project(tmp_path: Path) -> Project:
    """Two cases, each with other organs annotated, so that the processes see different counts of known voxels."""
    project = Project.create(tmp_path / "project", label_set=LabelSet.from_names(ORGANS))
    for number, kept in enumerate((ORGANS[:1], ORGANS)):
        made = synthetic_case(number, size=(36, 30, 24))
        project.add_case(
            f"case_{number}",
            image_from_kji(made.image, made.grid),
            labels=(made.labels * (made.labels <= len(kept)))[None],
            annotations={name: Annotation(State.COMPLETE) for name in kept},
            modality="MR",
            who="test",
        )
    return project


def a_config(*, iterations: int) -> Config:
    return Config(
        data=DataConfig(spacing=(8.0, 8.0, 8.0), patch_size=(16, 16, 16)),
        network=NetworkConfig(backbone="dynunet", filters=8, dropout=0.0, strides=STRIDES),
        train=TrainConfig(
            iterations=iterations, batch_size=2, workers=0, precision="float32", optimizer="sgd", learning_rate=0.1
        ),
    )


def weights_after(project: Project, launcher: list[str]) -> tuple[dict[str, torch.Tensor], Run]:
    run = Run.create(project.runs_folder, a_config(iterations=4), from_scratch=True)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "SemiSupSegLib", "train-run", str(run.folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    checkpoint = load_checkpoint(run.checkpoints)
    assert checkpoint is not None
    return checkpoint.networks["segmentor"], run


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def torchrun() -> list[str]:
    address = ["--master_addr", "127.0.0.1", "--master_port", str(a_free_port())]
    return ["-m", "torch.distributed.run", "--nproc_per_node", "2", *address]


@pytest.mark.slow
def test_two_processes_equal_one(a_project: Project, distance: Callable[..., float]) -> None:
    one, _ = weights_after(a_project, [])
    two, run = weights_after(a_project, torchrun())
    started = [e.data["processes"] for e in EventReader(run).new() if e.kind == EventKind.STARTED]
    assert started == [2]  # and only the first process spoke
    assert distance(one, two, a_project.label_set, run.config()) < 1e-3


@pytest.mark.slow
def test_two_processes_end_together_and_keep_one_model(a_project: Project) -> None:
    run = Run.create(a_project.runs_folder, a_config(iterations=100_000), from_scratch=True)
    job = LocalJob.start(run, [sys.executable, *torchrun(), "-m", "SemiSupSegLib", "train-run", str(run.folder)])
    try:
        deadline = time.monotonic() + PATIENCE
        while EventKind.PROGRESS not in [event.kind for event in EventReader(run).new()]:
            assert time.monotonic() < deadline, run.log_tail()
            time.sleep(0.1)
        job.stop(keep_best=True)
        assert job.wait(PATIENCE), run.log_tail()
        state, words = job.poll()
        assert state is RunState.FINISHED, words
        assert words.startswith("finished early, after ")
        kinds = [event.kind for event in EventReader(run).new()]
        assert (kinds.count(EventKind.PROMOTED), kinds.count(EventKind.FINISHED)) == (1, 1)
        assert (run.folder / "model" / "model.json").is_file()
    finally:
        job.kill()
