"""A real training in the background: its processes, its sockets, and how it ends."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from SemiSupSegLib.cli.main import main
from SemiSupSegLib.jobs.events import EventReader
from SemiSupSegLib.jobs.job import LocalJob
from SemiSupSegLib.jobs.process_tree import ProcessIdentity, process_tree
from SemiSupSegLib.jobs.protocol import EventKind, RunState
from SemiSupSegLib.jobs.run import Run
from SemiSupSegLib.jobs.state import runs
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.synthetic import ORGANS, synthetic_case

PATIENCE = 120.0


@pytest.fixture
def a_project(tmp_path: Path) -> Project:
    """Two annotated cases to train on and one to score on."""
    project = Project.create(tmp_path / "study", label_set=LabelSet.from_names(ORGANS))
    for number in range(3):
        made = synthetic_case(number, size=(36, 30, 24))
        project.add_case(
            f"case_{number}",
            image_from_kji(made.image, made.grid),
            labels=made.labels[None],
            annotations={name: Annotation(State.COMPLETE) for name in ORGANS},
            modality="MR",
            split="holdout" if number == 2 else "train",
            who="test",
        )
    return project


def until(run: Run, kind: EventKind) -> None:
    deadline = time.monotonic() + PATIENCE
    while kind not in [event.kind for event in EventReader(run).new()]:
        assert time.monotonic() < deadline, run.log_tail()
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.e2e
def test_g22_g17_a_training_listens_on_no_socket_and_leaves_no_process(
    a_project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    words = ["--preset", "quick", "--minutes", "9", "--spacing", "10", "--device", "cpu", "--background"]
    assert main(["train", str(a_project.root), *words]) == 0
    (run,) = runs(a_project.runs_folder)
    job = LocalJob.attach(run)
    try:
        until(run, EventKind.PROGRESS)
        identity = ProcessIdentity.load(run.folder)
        assert identity is not None
        tree = process_tree(identity)
        assert len(tree) >= 2  # the loader has its own
        assert [c for p in tree for c in p.net_connections(kind="inet") if c.status == psutil.CONN_LISTEN] == []

        job.stop()
        assert job.wait(PATIENCE)
        assert job.poll()[0] is RunState.STOPPED
        assert [p for p in tree if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
        assert str(a_project.root.parent) not in run.log_tail(1000)
    finally:
        job.kill()
    capfd.readouterr()
