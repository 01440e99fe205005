"""The verbs train, stop, resume and train-run, here and in real children, with an engine that does as it is told."""

from __future__ import annotations

import io
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from SemiSupSegLib.cli import stopping
from SemiSupSegLib.cli.foreground import carry_out
from SemiSupSegLib.cli.main import main
from SemiSupSegLib.cli.progress import RunDisplay
from SemiSupSegLib.config import Config, TrainConfig
from SemiSupSegLib.jobs.events import EventReader
from SemiSupSegLib.jobs.job import LocalJob, claim
from SemiSupSegLib.jobs.process_tree import ProcessIdentity
from SemiSupSegLib.jobs.protocol import EventKind, RunState
from SemiSupSegLib.jobs.run import Run
from SemiSupSegLib.jobs.state import describe, run_state, runs
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

pytestmark = pytest.mark.e2e
REPOSITORY = Path(__file__).parents[2]
PATIENCE = 60.0

FAKE_ENGINE = '''
"""Stands in for the engine: what a run does is in its method's options."""
import os, signal, sys, time, types
from dataclasses import dataclass
from SemiSupSegLib.config import Config, DataConfig, TrainConfig
from SemiSupSegLib.errors import ConfigError, RunError

@dataclass(frozen=True)
class Estimate:
    minutes: float | None
    memory_gb: float
    device: str
    reason: str

def plan(project, *, method, preset, minutes=None, iterations=None, spacing=None, backbone=None, activation=None,
         seed=1, device="auto", options=None, from_scratch=False):
    if method not in ("auto", "smile", "naive"):
        raise ConfigError(f"no method {method!r}")
    if minutes is None and iterations is None:
        minutes = 5
    train = TrainConfig(minutes=minutes, iterations=iterations, seed=seed, device=device)
    return Config(method=method, options=options, train=train, data=DataConfig(spacing=spacing or (1.5, 1.5, 1.5)))

def estimate(project, config):
    return Estimate(config.train.minutes, 2.5, "cpu", "torch was built without CUDA")

def train(run, project, *, from_scratch=False, resume=False):
    does = run.config().options.get("does", "finish")
    run.write("started", device="cpu", reason="fake", resumed_from=7 if resume else None)
    run.write("heartbeat", doing=f"from_scratch={from_scratch} resume={resume} labels={list(project.label_set.names)}")
    run.write("validated", step=5, dice={"liver": 0.8}, mean=0.8, best=True)
    run.write("progress", step=7, fraction=0.5, eta_seconds=65.0, losses={"bce": 0.25, "dice": None})
    if does == "wait" and not resume or does == "interrupted":
        if does == "interrupted":
            os.kill(os.getpid(), signal.SIGINT)
        while not run.stop_requested:
            time.sleep(0.01)
        run.write("checkpoint", step=7, name="last")
        if run.keep_requested:
            run.write("promoted", model="0001", score=0.8, before=None, reason="it is the first")
            run.write("finished", step=7, seconds=1, early=True)
        else:
            run.write("stopped", step=7)
    elif does == "deaf":
        time.sleep(600)
    elif does == "aborted":
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(600)
    elif does == "fail":
        raise RunError("no organ has a single annotated voxel")
    elif does == "fail and say so":
        run.write("failed", reason="the images are broken")
    elif does == "raise":
        raise ValueError(f"cannot read {project.root}/cases/case_1/image.nii.gz\\nand more")
    elif does == "memory":
        raise MemoryError
    else:
        run.write("finished", step=10, seconds=3.0)

for name in ("plan", "train"):
    module = types.ModuleType("SemiSupSegLib.engine." + name)
    module.plan, module.estimate, module.train, module.Estimate = plan, estimate, train, Estimate
    sys.modules[module.__name__] = module
'''


@pytest.fixture
def a_project(tmp_path: Path) -> Project:
    """Two training cases, one of them annotated, and one in the hold-out."""
    project = Project.create(tmp_path / "study", label_set=LabelSet.from_names(("liver", "spleen")))
    for number in range(3):
        labels = np.zeros((1, 4, 5, 6), np.uint8)
        labels[0, 1:3, 2, 2:4] = 1
        project.add_case(
            f"case_{number}",
            sitk.GetImageFromArray(np.arange(120, dtype=np.float32).reshape(4, 5, 6)),
            labels=labels if number else None,
            annotations={"liver": Annotation(State.COMPLETE)} if number else {},
            modality="CT",
            split="holdout" if number == 2 else "train",
            who="test",
        )
    return project


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """What was started in the background ignores Ctrl-C, and so would every child of the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def fake_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine that does as it is told, here and in every child."""
    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(FAKE_ENGINE, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    for name in ("plan", "train"):
        monkeypatch.delitem(sys.modules, f"SemiSupSegLib.engine.{name}", raising=False)
        monkeypatch.setitem(sys.modules, f"SemiSupSegLib.engine.{name}", sys)  # restored, whatever the fake puts there
    runpy.run_path(str(folder / "sitecustomize.py"))


@pytest.fixture
def say(a_project: Project, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a verb on the project: exit code, standard output, standard error."""

    def call(verb: str, *words: str) -> tuple[int, str, str]:
        code = main([verb, str(a_project.root), *words])
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture
def last_run(a_project: Project) -> Iterator[Callable[[], Run]]:
    """The newest run; the processes of all are ended after the test."""
    yield lambda: runs(a_project.runs_folder)[-1]
    for run in runs(a_project.runs_folder):
        identity = ProcessIdentity.load(run.folder)
        if identity is not None and identity.pid != os.getpid():
            identity.kill()


def until(run: Run, kind: EventKind) -> None:
    deadline = time.monotonic() + PATIENCE
    while kind not in [event.kind for event in EventReader(run).new()]:
        assert time.monotonic() < deadline, run.log_tail()
        time.sleep(0.02)


Say = Callable[..., tuple[int, str, str]]
Last = Callable[[], Run]


# ---- train, in the foreground


def test_training_says_what_it_will_do_shows_progress_and_reports(say: Say, last_run: Last) -> None:
    code, out, err = say("train")
    assert code == 0
    assert "2 to train on, 1 of them annotated; hold-out: 1 case" in out
    assert "labels:   liver, spleen" in out
    assert "cpu (torch was built without CUDA)" in out
    assert "about 5 min 00 s, 2.5 GB of memory" in out
    assert f"run {last_run().id}: finished after 10 steps; hold-out Dice 0.800" in out
    assert "[############------------]  50 %  step 7  1 min 05 s left  bce 0.250 dice –  hold-out Dice 0.800" in err
    assert "finished after 10 steps in 3 s" in err


def test_the_settings_of_the_command_line_are_the_run_s(say: Say, last_run: Last) -> None:
    words = (
        "--method naive --iterations 40 --spacing 2,2,3 --seed 5 --device cpu --option a=2 --option b=true --option c=x"
    )
    assert say("train", *words.split())[0] == 0
    config = last_run().config()
    assert (config.method, config.train.iterations, config.train.minutes) == ("naive", 40, None)
    assert (config.data.spacing, config.train.seed, config.train.device) == ((2.0, 2.0, 3.0), 5, "cpu")
    assert config.options == {"a": 2, "b": True, "c": "x"}


def test_training_starts_from_the_model_in_use_unless_told_otherwise(say: Say, last_run: Last) -> None:
    assert "from_scratch=False resume=False" in say("train")[2]
    assert "from_scratch=True resume=False" in say("train", "--from-scratch")[2]
    assert last_run().request().from_scratch


def test_json_is_the_only_output_of_a_training_for_programs(say: Say, last_run: Last) -> None:
    code, out, _ = say("train", "--json")
    assert code == 0
    assert json.loads(out) == describe(last_run())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--spacing 1,2", "'1,2' is not one number of mm or three, X,Y,Z"),
        ("--spacing -1", "'-1' is not a number above 0"),
        ("--minutes none", "'none' is not a number above 0"),
        ("--minutes 3 --iterations 4", "not allowed with argument"),
        ("--iterations 0", "'0' is not a whole number above 0"),
        ("--iterations 2.5", "'2.5' is not a whole number above 0"),
        ("--option dice_weight", "'dice_weight' is not NAME=VALUE"),
        ("--preset fast", "invalid choice: 'fast'"),
    ],
)
def test_a_wrong_command_line_is_explained_and_starts_nothing(
    say: Say, a_project: Project, words: str, sentence: str
) -> None:
    code, _, err = say("train", *words.split())
    assert code == 2
    assert sentence in err
    assert runs(a_project.runs_folder) == []


def test_a_mistake_that_the_plan_finds_starts_nothing(say: Say, a_project: Project) -> None:
    assert say("train", "--method", "magic") == (1, "", "semisupseg train: no method 'magic'\n")
    assert runs(a_project.runs_folder) == []


def test_a_failure_that_the_engine_foresees_is_one_sentence(say: Say, last_run: Last) -> None:
    code, _, err = say("train", "--option", "does=fail")
    assert code == 1
    assert err.splitlines()[-1] == "semisupseg train: no organ has a single annotated voxel"
    assert "Traceback" not in err
    assert run_state(last_run()) == (RunState.FAILED, "no organ has a single annotated voxel")


def test_a_failure_that_the_engine_only_writes_down_is_a_failure(say: Say) -> None:
    code, _, err = say("train", "--option", "does=fail and say so")
    assert (code, err.splitlines()[-1]) == (1, "semisupseg train: the images are broken")


def test_ctrl_c_stops_after_a_checkpoint(say: Say, last_run: Last) -> None:
    before = signal.getsignal(signal.SIGINT)
    code, out, err = say("train", "--option", "does=interrupted")
    assert code == 0
    assert "stopping: a checkpoint is written first (Ctrl-C again to abort)" in err
    assert f"run {last_run().id}: stopped at step 7" in out
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_aborts(say: Say, last_run: Last) -> None:
    assert say("train", "--option", "does=aborted")[0] == 130
    assert run_state(last_run()) == (RunState.STOPPED, "ended at once, before its first checkpoint")


@pytest.mark.security
def test_g24_a_bug_is_in_the_log_and_the_reason_without_the_place_of_the_project(say: Say, last_run: Last) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        say("train", "--option", "does=raise")
    state, words = run_state(last_run())
    assert (state, words) == (RunState.FAILED, "ValueError: cannot read PROJECT/cases/case_1/image.nii.gz")
    log = last_run().log_tail(50)
    assert "Traceback" in log
    assert str(last_run().folder.parents[1]) not in log


# ---- in the background


def test_a_background_training_returns_at_once_and_is_stopped_and_resumed(say: Say, last_run: Last) -> None:
    code, out, _ = say("train", "--background", "--option", "does=wait")
    assert code == 0
    run = last_run()
    assert f"run {run.id} works in the background" in out
    until(run, EventKind.PROGRESS)

    code, _, err = say("train")
    assert code == 1
    assert f"run {run.id} of this project is running: wait for its end or `semisupseg stop" in err
    assert "is running" in say("resume")[2]

    assert say("stop") == (0, f"run {run.id}: stopped at step 7; hold-out Dice 0.800\n", "")
    assert LocalJob.attach(run).wait(PATIENCE)
    assert say("stop")[2] == "semisupseg stop: no training of this project is active, so there is nothing to stop\n"

    code, out, err = say("resume")
    assert code == 0
    assert f"going on with run {run.id}: stopped at step 7" in out
    assert "started on cpu (fake), going on from step 7" in err
    assert "resume=True" in err
    assert run_state(run)[0] is RunState.FINISHED
    assert last_run() == run


def test_a_background_training_is_ended_and_its_best_checkpoint_kept(say: Say, last_run: Last) -> None:
    say("train", "--background", "--option", "does=wait")
    run = last_run()
    until(run, EventKind.PROGRESS)
    kept = "finished early, after 7 steps; hold-out Dice 0.800; model 0001 is in use now: it is the first"
    assert say("stop", "--keep-best") == (0, f"run {run.id}: {kept}\n", "")
    assert "is finished: start a new one" in say("resume", run.id)[2]
    refusal = f"run {run.id} is finished: what it learnt is a model already, and was judged at its end"
    assert say("stop", "--keep-best") == (1, "", f"semisupseg stop: {refusal}\n")


def test_a_project_without_a_run_has_nothing_to_keep(say: Say) -> None:
    assert say("stop", "--keep-best") == (
        1, "", "semisupseg stop: this project has no run yet, so there is nothing to keep\n"
    )  # fmt: skip


def test_a_training_that_does_not_hear_that_it_shall_keep_its_best_is_told_of(
    say: Say, last_run: Last, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "KEEP_SECONDS", 0.1)
    say("train", "--background", "--option", "does=deaf")
    run = last_run()
    until(run, EventKind.PROGRESS)
    code, _, err = say("stop", "--keep-best")
    assert code == 1
    assert f"`semisupseg stop {run.folder.parents[1]} {run.id} --keep-best --now` does it" in err
    assert run.keep_requested


def test_a_stopped_run_is_resumed_in_the_background(say: Say, last_run: Last) -> None:
    say("train", "--option", "does=interrupted")
    code, out, _ = say("resume", last_run().id, "--background", "--json")
    assert code == 0
    assert json.loads(out)["id"] == last_run().id
    until(last_run(), EventKind.CHECKPOINT)
    assert LocalJob.attach(last_run()).wait(PATIENCE)


def test_g17_stop_now_ends_a_training_that_does_not_hear(
    say: Say, last_run: Last, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "STOP_SECONDS", 0.1)
    say("train", "--background", "--option", "does=deaf")
    run = last_run()
    until(run, EventKind.PROGRESS)
    code, _, err = say("stop")
    assert code == 1
    assert f"stop {run.folder.parents[1]} {run.id} --now`" in err
    assert say("stop", run.id, "--now", "--json")[0] == 0
    identity = ProcessIdentity.load(run.folder)
    assert identity is not None
    assert not identity.alive
    assert run_state(run)[0] is RunState.STOPPED


def test_g18_memory_that_runs_out_in_the_background_is_a_failure_with_its_traceback_in_the_log(
    say: Say, last_run: Last
) -> None:
    say("train", "--background", "--option", "does=memory")
    job = LocalJob.attach(last_run())
    assert job.wait(PATIENCE)
    assert job.poll() == (RunState.FAILED, "MemoryError: memory ran out")
    assert "Traceback" in last_run().log_tail()


def test_a_finished_run_is_not_resumed(say: Say, last_run: Last) -> None:
    say("train", "--option", "does=interrupted")
    stopped = last_run()
    say("train")
    code, _, err = say("resume")
    assert code == 1
    assert f"run {last_run().id} is finished: start a new one with `semisupseg train`, or name {stopped.id}" in err
    assert "is finished" in say("resume", last_run().id)[2]


def test_a_crashed_run_is_resumed(say: Say, a_project: Project) -> None:
    crashed = Run.create(a_project.runs_folder, Config(train=TrainConfig(iterations=3)))
    ProcessIdentity(os.getpid(), 1.0, ProcessIdentity.of(os.getpid()).host).save(crashed.folder)
    crashed.write(EventKind.STARTED)
    code, out, _ = say("resume")
    assert code == 0
    assert f"going on with run {crashed.id}: the process ended unexpectedly" in out


def test_a_run_that_is_not_there_is_named_with_one_that_is(say: Say, last_run: Last) -> None:
    assert "this project has no run yet: start one" in say("resume")[2]
    say("train")
    for verb in ("stop", "resume"):
        code, _, err = say(verb, "2026")
        assert code == 1
        assert f"no run '2026' in this project: did you mean {last_run().id}?" in err
    assert f"run {last_run().id} is not active: it is finished" in say("stop", last_run().id)[2]


# ---- train-run


def child(run: Run, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "SemiSupSegLib", "train-run", str(run.folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((os.environ["PYTHONPATH"], str(REPOSITORY))), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def test_of_several_processes_only_the_first_writes_events(a_project: Project) -> None:
    run = Run.create(a_project.runs_folder, Config(train=TrainConfig(iterations=3)))
    assert child(run, RANK="1").returncode == 0
    assert EventReader(run).new() == []
    assert ProcessIdentity.load(run.folder) is None
    assert child(run, RANK="0").returncode == 0
    assert run_state(run)[0] is RunState.FINISHED


def test_a_run_whose_project_is_damaged_fails_with_the_reason(a_project: Project) -> None:
    run = Run.create(a_project.runs_folder, Config(train=TrainConfig(iterations=3)))
    (a_project.root / "project.json").write_text("{", encoding="utf-8")
    done = child(run)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    state, words = run_state(run)
    assert state is RunState.FAILED
    assert "project.json cannot be read" in words


def test_train_run_of_something_else_is_refused(a_project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train-run", str(a_project.root)]) == 1
    assert "is not a run: it has no config.json" in capfd.readouterr().err


# ---- the display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def a_run(a_project: Project) -> Run:
    return Run.create(a_project.runs_folder, Config(train=TrainConfig(iterations=100)))


def test_on_a_terminal_one_line_is_redrawn(a_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    stream = Terminal()
    with RunDisplay(a_run, stream=stream) as display:
        for step in (1, 2):
            a_run.write(EventKind.PROGRESS, step=step, fraction=step / 100, losses={"a_rather_long_name": 0.5})
            display.look()
        a_run.write(EventKind.BACKED_OFF, what="batches of 1 instead of 2")
    lines = stream.getvalue().split("\r")
    assert [line.split("step ")[1][:1] for line in lines[1:3]] == ["1", "2"]
    assert all(len(line) < 50 for line in lines[1:3])
    assert lines[3].rstrip(" \n") == "memory ran out: batches of 1 instead of 2"
    assert stream.getvalue().count("\n") == 1


def test_elsewhere_a_line_is_written_every_ten_percent_or_ten_seconds(a_run: Run) -> None:
    stream, now = io.StringIO(), [0.0]
    display = RunDisplay(a_run, stream=stream, clock=lambda: now[0])
    for percent, second in ((1, 0), (2, 3), (3, 9), (4, 11), (9, 12), (10, 13), (11, 14), (12, 24)):
        now[0] = float(second)
        a_run.write(EventKind.PROGRESS, step=percent, fraction=percent / 100)
        display.look()
    assert [int(line.split("step ")[1]) for line in stream.getvalue().splitlines()] == [1, 4, 10, 12]


def test_a_display_shows_only_what_is_new_and_survives_a_closed_stream(a_run: Run) -> None:
    a_run.write(EventKind.STARTED, device="cpu", reason="before")
    stream = io.StringIO()
    with RunDisplay(a_run, stream=stream):
        a_run.write(EventKind.STARTED, device="cpu", reason="now", resumed_from=3)
    assert stream.getvalue() == "started on cpu (now), going on from step 3\n"
    closed = io.StringIO()
    with RunDisplay(a_run, stream=closed):
        closed.close()
        a_run.write(EventKind.FINISHED, step=3, seconds=1)


@pytest.mark.parametrize(
    ("kind", "data", "line"),
    [
        (EventKind.PREPARED, {"cases": 3, "seconds": 4.2, "spacing": [2]}, "prepared 3 cases in 4 s, grid 2 mm"),
        (EventKind.ROLLED_BACK, {"to_step": 4, "reason": "the loss is nan"}, "back to step 4: the loss is nan"),
        (EventKind.RELABELLED, {"round": 1, "added": {"liver": 12345}}, "round 1: added voxels of liver 12,345"),
        (EventKind.RELABELLED, {"round": 1, "added": {}}, "round 1: added voxels of nothing"),
        (EventKind.PROMOTED, {"model": "0002", "reason": "not worse"}, "model 0002 is in use now: not worse"),
        (EventKind.NOT_PROMOTED, {"model": None, "reason": "worse"}, "the new model is not used: worse"),
        (EventKind.STOPPED, {"step": 3, "at_once": False}, "stopped at step 3"),
        ("dreamt", {"of": "sheep"}, ""),
    ],
)  # fmt: skip
def test_what_matters_gets_a_line_of_its_own(a_run: Run, kind: str, data: dict[str, object], line: str) -> None:
    stream = io.StringIO()
    display = RunDisplay(a_run, stream=stream)
    a_run.write(kind, **data)
    display.look()
    assert stream.getvalue().strip() == line


def test_work_that_fails_after_saying_so_is_not_told_twice(a_run: Run) -> None:
    from SemiSupSegLib.errors import RunError

    claim(a_run)

    def work() -> None:
        a_run.write(EventKind.FAILED, reason="said by the engine")
        raise RunError("said by the engine")

    with pytest.raises(RunError, match="said by the engine"):
        carry_out(a_run, work)
    assert [event.kind for event in EventReader(a_run).new()] == ["failed"]
