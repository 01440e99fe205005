"""A real training in the background: its processes, its sockets, and how it ends."""

from __future__ import annotations

import time

import psutil
import pytest

from SemiSupSegLib.cli.main import main
from SemiSupSegLib.jobs.events import EventReader
from SemiSupSegLib.jobs.job import LocalJob
from SemiSupSegLib.jobs.process_tree import ProcessIdentity, process_tree
from SemiSupSegLib.jobs.protocol import EventKind, RunState
from SemiSupSegLib.jobs.run import Run
from SemiSupSegLib.jobs.state import runs
from SemiSupSegLib.project.project import Project

PATIENCE = 120.0


def until(run: Run, kind: EventKind) -> None:
    deadline = time.monotonic() + PATIENCE
    while kind not in [event.kind for event in EventReader(run).new()]:
        assert time.monotonic() < deadline, run.log_tail()
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.e2e
def test_g22_g17_a_training_listens_on_no_socket_and_leaves_no_process(
    a_small_study: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    words = ["--preset", "quick", "--minutes", "9", "--spacing", "10", "--device", "cpu", "--background"]
    assert main(["train", str(a_small_study.root), *words]) == 0
    (run,) = runs(a_small_study.runs_folder)
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
        assert str(a_small_study.root.parent) not in run.log_tail(1000)
    finally:
        job.kill()
    capfd.readouterr()
