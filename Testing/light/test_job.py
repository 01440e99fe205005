"""Background jobs, with real child processes: they finish, stop, raise, are killed, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from SemiSupSegLib.config import Config, TrainConfig
from SemiSupSegLib.errors import RunError
from SemiSupSegLib.jobs import job as job_module
from SemiSupSegLib.jobs.events import Event, EventReader
from SemiSupSegLib.jobs.job import LocalJob, claim, default_command
from SemiSupSegLib.jobs.process_tree import ProcessIdentity, process_tree
from SemiSupSegLib.jobs.protocol import EventKind, RunState
from SemiSupSegLib.jobs.run import Run
from SemiSupSegLib.jobs.state import run_state

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 20.0
posix = pytest.mark.skipif(os.name == "nt", reason="sessions and signals are POSIX")

BEGIN = """
import os, subprocess, sys, time
from pathlib import Path
from SemiSupSegLib.jobs.run import Run
run = Run.open(Path(sys.argv[1]))
run.write("started", device="cpu")
"""
UNTIL_STOPPED = """
while not run.stop_requested:
    time.sleep(0.01)
run.write("checkpoint", step=7, name="last")
run.write("stopped", step=7)
"""
DEAF = """
run.write("heartbeat", doing="deaf")
time.sleep(600)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
OBEDIENT = "import time; print(flush=True); time.sleep(600)"


def with_a_child(script: str) -> str:
    return f"""
child = subprocess.Popen([sys.executable, "-c", {script!r}], stdout=subprocess.PIPE)
child.stdout.readline()
run.write("heartbeat", doing=str(child.pid))
"""


@pytest.fixture
def a_run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "runs", Config(train=TrainConfig(iterations=10)))


@pytest.fixture
def start(a_run: Run) -> Iterator[Callable[[str], LocalJob]]:
    """Starts a job whose child runs a script; whatever is left of it at the end of the test is ended."""
    started: list[LocalJob] = []

    def begin(script: str) -> LocalJob:
        started.append(LocalJob.start(a_run, [sys.executable, "-c", BEGIN + script, str(a_run.folder)]))
        return started[-1]

    yield begin
    for job in started:
        job.kill()
        job.wait(PATIENCE)


def first(run: Run, kind: EventKind) -> Event:
    """The first event of a kind, as soon as it is there."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for event in EventReader(run).new():
            if event.kind == kind:
                return event
        time.sleep(0.01)
    pytest.fail(f"no {kind} event; the log: {run.log_tail()}")


def works(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_job_that_finishes_is_finished_and_its_output_is_in_the_log(
    start: Callable[[str], LocalJob], a_run: Run
) -> None:
    job = start("print('to out'); print('to err', file=sys.stderr); run.write('finished', step=10, seconds=1)")
    assert job.wait(PATIENCE)
    assert job.poll() == (RunState.FINISHED, "finished after 10 steps")
    assert sorted(a_run.log_tail().splitlines()) == ["to err", "to out"]


def test_a_job_that_raises_has_crashed_with_its_traceback(start: Callable[[str], LocalJob]) -> None:
    job = start("raise ZeroDivisionError('by nothing')")
    assert job.wait(PATIENCE)
    state, words = job.poll()
    assert state is RunState.CRASHED
    assert words.endswith("ZeroDivisionError: by nothing")


def test_a_job_that_fails_says_why(start: Callable[[str], LocalJob]) -> None:
    job = start("run.write('failed', reason='no organ is annotated'); sys.exit(1)")
    assert job.wait(PATIENCE)
    assert job.poll() == (RunState.FAILED, "no organ is annotated")


@posix
def test_g18_a_job_that_is_killed_from_outside_has_crashed_and_the_signal_is_named(
    start: Callable[[str], LocalJob], a_run: Run
) -> None:
    job = start(DEAF)
    first(a_run, EventKind.HEARTBEAT)
    identity = ProcessIdentity.load(a_run.folder)
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    assert job.wait(PATIENCE)
    state, words = job.poll()
    assert state is RunState.CRASHED
    assert words.startswith("killed by signal 9: most often because memory ran out")
    assert run_state(a_run)[0] is RunState.CRASHED  # and so it is for those who did not start it


def test_a_job_stops_when_it_is_asked_to(start: Callable[[str], LocalJob], a_run: Run) -> None:
    job = start(UNTIL_STOPPED)
    first(a_run, EventKind.STARTED)
    assert job.poll()[0] is RunState.RUNNING
    job.stop()
    assert job.wait(PATIENCE)
    assert job.poll() == (RunState.STOPPED, "stopped at step 7")


def test_g17_a_second_stop_ends_the_whole_tree_and_leaves_no_orphan(
    start: Callable[[str], LocalJob], a_run: Run
) -> None:
    job = start(with_a_child(STUBBORN) + "run.write('checkpoint', step=3, name='last')\n" + "time.sleep(600)")
    grandchild = int(first(a_run, EventKind.HEARTBEAT).data["doing"])
    first(a_run, EventKind.CHECKPOINT)
    job.stop()
    assert works(grandchild)
    job.stop()
    assert not works(grandchild)
    assert job.wait(0)
    assert job.poll() == (RunState.STOPPED, "ended at once, its last checkpoint is of step 3")


@posix
def test_g17_a_process_whose_own_parent_is_gone_already_is_ended_too(
    start: Callable[[str], LocalJob], a_run: Run
) -> None:
    job = start(with_a_child(OBEDIENT) + "os._exit(1)")
    orphan = int(first(a_run, EventKind.HEARTBEAT).data["doing"])
    ended = time.monotonic() + PATIENCE
    while job.poll()[0] is not RunState.CRASHED:
        assert time.monotonic() < ended
    assert works(orphan)
    assert not job.wait(0)
    job.kill()
    assert not works(orphan)
    assert job.poll()[0] is RunState.CRASHED  # it was not the kill that ended the run


def test_g17_children_of_a_run_in_the_foreground_are_ended_with_it_and_its_terminal_is_not(a_run: Run) -> None:
    script = BEGIN + "from SemiSupSegLib.jobs.job import claim\nclaim(run)\n" + with_a_child(OBEDIENT) + DEAF
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, "-c", script, str(a_run.folder)], env=environment) as foreground:
        grandchild = int(first(a_run, EventKind.HEARTBEAT).data["doing"])
        LocalJob.attach(a_run).kill()
        assert foreground.wait(PATIENCE)
        assert not works(grandchild)
    assert run_state(a_run)[0] is RunState.STOPPED


def test_g17_a_job_that_does_not_hear_is_killed_after_the_grace(start: Callable[[str], LocalJob], a_run: Run) -> None:
    job = start(with_a_child(OBEDIENT) + DEAF)
    grandchild = int(first(a_run, EventKind.HEARTBEAT).data["doing"])
    job.stop(grace=0.1)
    assert not works(grandchild)
    assert job.poll()[0] is RunState.STOPPED


def test_a_job_that_hears_within_the_grace_is_not_killed(start: Callable[[str], LocalJob], a_run: Run) -> None:
    job = start(UNTIL_STOPPED)
    first(a_run, EventKind.STARTED)
    job.stop(grace=PATIENCE)
    assert job.poll() == (RunState.STOPPED, "stopped at step 7")


def test_killing_what_has_ended_changes_nothing(start: Callable[[str], LocalJob], a_run: Run) -> None:
    job = start("run.write('finished', step=10, seconds=1)")
    assert job.wait(PATIENCE)
    events = len(EventReader(a_run).new())
    job.kill()
    assert len(EventReader(a_run).new()) == events
    LocalJob.attach(Run.create(a_run.folder.parent, a_run.config())).kill()  # never started


def test_a_job_outlives_the_program_that_started_it_and_can_be_attached_to(a_run: Run) -> None:
    starter = """
import sys
from pathlib import Path
from SemiSupSegLib.jobs.job import LocalJob
from SemiSupSegLib.jobs.run import Run
run = Run.open(Path(sys.argv[1]))
LocalJob.start(run, [sys.executable, "-c", sys.argv[2], sys.argv[1]])
"""
    command = [sys.executable, "-W", "ignore", "-c", starter, str(a_run.folder), BEGIN + UNTIL_STOPPED]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, timeout=PATIENCE)
    job = LocalJob.attach(a_run)
    try:
        first(a_run, EventKind.STARTED)
        assert job.poll()[0] is RunState.RUNNING
        job.stop()
        assert job.wait(PATIENCE)
        assert job.poll() == (RunState.STOPPED, "stopped at step 7")
    finally:
        job.kill()


def test_a_stopped_run_goes_on_in_the_same_folder(start: Callable[[str], LocalJob], a_run: Run) -> None:
    job = start(UNTIL_STOPPED)
    job.stop()
    assert job.wait(PATIENCE)
    again = start("run.write('finished', step=10, seconds=1)")
    assert not a_run.stop_requested
    assert again.wait(PATIENCE)
    assert again.poll()[0] is RunState.FINISHED


def test_a_second_process_for_the_same_run_is_refused(start: Callable[[str], LocalJob], a_run: Run) -> None:
    start(UNTIL_STOPPED)
    with pytest.raises(RunError, match="is being worked on already, by process"):
        start(UNTIL_STOPPED)
    with pytest.raises(RunError, match="is being worked on already"):
        claim(a_run)


def test_a_command_that_is_not_there_is_one_sentence(a_run: Run) -> None:
    with pytest.raises(RunError, match="no_such_python cannot be started"):
        LocalJob.start(a_run, ["no_such_python"])


def test_a_run_on_another_machine_cannot_be_killed_from_here(a_run: Run) -> None:
    replace(ProcessIdentity.of(os.getpid()), host="elsewhere").save(a_run.folder)
    with pytest.raises(RunError, match="works on elsewhere: only there"):
        LocalJob.attach(a_run).kill()


@posix
def test_a_job_has_no_input_its_own_session_and_finds_the_package(start: Callable[[str], LocalJob], a_run: Run) -> None:
    job = start(
        "print(sys.stdin.read() == '', os.getsid(0) == os.getpid(), os.environ['PYTHONPATH']); run.write('finished')"
    )
    assert job.wait(PATIENCE)
    assert a_run.log_tail().startswith(f"True True {REPOSITORY}")


@pytest.mark.security
def test_g25_a_job_imports_nothing_from_the_folder_in_which_it_was_started(
    start: Callable[[str], LocalJob], a_run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "colorsys.py").write_text("print('somebody else wrote this')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert start("import colorsys\nrun.write('finished')").wait(PATIENCE)
    assert a_run.log_tail() == ""


@pytest.mark.security
def test_g22_a_running_job_listens_on_no_socket(start: Callable[[str], LocalJob], a_run: Run) -> None:
    start(with_a_child(OBEDIENT) + DEAF)
    first(a_run, EventKind.HEARTBEAT)
    identity = ProcessIdentity.load(a_run.folder)
    assert identity is not None
    tree = process_tree(identity)
    assert len(tree) >= 2
    assert [c for process in tree for c in process.net_connections(kind="all") if c.status == psutil.CONN_LISTEN] == []


@pytest.mark.security
def test_g22_the_light_floor_of_jobs_imports_no_socket() -> None:
    for file in (REPOSITORY / "SemiSupSegLib" / "jobs").glob("*.py"):
        assert "import socket" not in file.read_text(encoding="utf-8"), file.name


def test_slicers_python_is_preferred_to_this_one(a_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module.shutil, "which", lambda name: f"/slicer/{name}")
    assert default_command(a_run)[0] == "/slicer/PythonSlicer"
    monkeypatch.setattr(job_module.shutil, "which", lambda _: None)
    assert default_command(a_run) == [sys.executable, "-m", "SemiSupSegLib", "train-run", str(a_run.folder)]


def test_a_process_that_claims_a_run_is_its_process(a_run: Run) -> None:
    a_run.request_stop()
    claim(a_run)
    identity = ProcessIdentity.load(a_run.folder)
    assert identity is not None
    assert (identity.pid, identity.own_session) == (os.getpid(), False)
    assert not a_run.stop_requested  # asked of an earlier process
    claim(a_run)  # the next round of the same process


def test_a_child_leaves_the_claim_to_the_job_that_started_it(start: Callable[[str], LocalJob], a_run: Run) -> None:
    job = start(
        "from SemiSupSegLib.jobs.job import claim\nclaim(run)\nrun.write('heartbeat', doing='claimed')\n"
        + UNTIL_STOPPED
    )
    first(a_run, EventKind.HEARTBEAT)
    identity = ProcessIdentity.load(a_run.folder)
    assert identity is not None
    assert identity.own_session
    job.stop()
    assert job.wait(PATIENCE)


@pytest.mark.robustness
def test_a_job_whose_process_file_cannot_be_written_is_not_left_running(
    start: Callable[[str], LocalJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[ProcessIdentity] = []

    def full(self: ProcessIdentity, folder: Path) -> None:
        seen.append(self)
        raise OSError(28, "No space left on device", str(folder))

    monkeypatch.setattr(ProcessIdentity, "save", full)
    with pytest.raises(OSError, match="No space"):
        start(DEAF)
    assert not seen[0].alive
    assert process_tree(seen[0]) == []
