"""Runs on disk: events, their reader, and the state that is derived from them."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from SemiSupSegLib.config import Config, TrainConfig
from SemiSupSegLib.errors import ConfigError, RunError
from SemiSupSegLib.jobs.events import EventReader
from SemiSupSegLib.jobs.process_tree import ProcessIdentity, process_tree
from SemiSupSegLib.jobs.protocol import EVENTS_FILE, HEARTBEAT_SECONDS, LOG_FILE, PROCESS_FILE, EventKind, RunState
from SemiSupSegLib.jobs.run import Request, Run
from SemiSupSegLib.jobs.state import STARTING_SECONDS, Watch, active_run, describe, run_state, runs

CONFIG = Config(method="smile", train=TrainConfig(iterations=10))


@pytest.fixture
def a_run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "runs", CONFIG)


def claimed_by(run: Run, *, pid: int | None = None, created: float | None = None, **fields: object) -> Run:
    """The run as if a process had been started for it just now: this one, or the one given."""
    identity = ProcessIdentity.of(os.getpid(), events_from=run.events_size)
    changes = {"pid": pid, "created": created, **fields}
    replace(identity, **{k: v for k, v in changes.items() if v is not None}).save(run.folder)  # type: ignore[arg-type]
    return run


def left_by_a_dead_process(run: Run) -> Run:
    return claimed_by(run, created=1.0)  # this process's number, but it was created at another time


def kinds(run: Run) -> list[str]:
    return [event.kind for event in EventReader(run).new()]


# ---- events


def test_an_event_comes_back_as_it_was_written(a_run: Run) -> None:
    a_run.write(EventKind.VALIDATED, step=3, dice={"foie gauche é": 0.5, "rate": None}, mean=0.5, best=True)
    (event,) = EventReader(a_run).new()
    assert event.kind == EventKind.VALIDATED
    assert event.data == {"step": 3, "dice": {"foie gauche é": 0.5, "rate": None}, "mean": 0.5, "best": True}
    assert abs(event.time.timestamp() - time.time()) < 60


def test_a_reader_returns_each_event_once(a_run: Run) -> None:
    reader = EventReader(a_run)
    a_run.write(EventKind.STARTED, device="cpu")
    assert [e.kind for e in reader.new()] == ["started"]
    a_run.write(EventKind.CHECKPOINT, step=1, name="last")
    assert [e.kind for e in reader.new()] == ["checkpoint"]
    assert reader.new() == []


def test_a_reader_goes_on_from_an_offset(a_run: Run) -> None:
    a_run.write(EventKind.STARTED)
    reader = EventReader(a_run, a_run.events_size)
    a_run.write(EventKind.STOPPED, step=1)
    assert [e.kind for e in reader.new()] == ["stopped"]


def test_an_unfinished_last_line_is_left_for_later(a_run: Run) -> None:
    a_run.write(EventKind.STARTED)
    path, reader = a_run.folder / EVENTS_FILE, EventReader(a_run)
    line = path.read_bytes()
    with path.open("ab") as file:
        file.write(line[:20])
    assert len(reader.new()) == 1
    assert reader.new() == []
    with path.open("ab") as file:
        file.write(line[20:])
    assert [e.kind for e in reader.new()] == ["started"]


@pytest.mark.robustness
@pytest.mark.parametrize(
    "line",
    [
        b"{broken",
        b'{"kind": "started"}',
        b'{"time": "yesterday", "kind": "x"}',
        b"\xff\xfe",
        b"[1, 2]",
        b"null",
        b'{"time": "2026-11-22T09:15:00+00:00", "kind": "x", "data": [1]}',
        b'{"time": "2026-11-22T09:15:00", "kind": "x"}',
    ],
)
def test_a_broken_line_is_left_out_and_the_next_one_read(a_run: Run, line: bytes) -> None:
    (a_run.folder / EVENTS_FILE).write_bytes(line + b"\n")
    a_run.write(EventKind.FINISHED, step=1)
    assert kinds(a_run) == ["finished"]


@pytest.mark.robustness
def test_half_a_line_of_a_killed_writer_does_not_swallow_the_next_event(a_run: Run) -> None:
    a_run.write(EventKind.PROGRESS, step=1)
    path = a_run.folder / EVENTS_FILE
    path.write_bytes(path.read_bytes()[:-9])
    a_run.write(EventKind.STARTED)
    assert kinds(a_run) == ["started"]


def test_a_reader_of_a_missing_file_returns_nothing(a_run: Run) -> None:
    assert EventReader(a_run).new() == []
    assert Watch(Run(a_run.folder / "nowhere")).update() == []


def test_numbers_that_json_does_not_have_become_null(a_run: Run) -> None:
    a_run.write(
        EventKind.PROGRESS,
        losses={"bce": float("nan"), "dice": np.float32(0.5)},
        eta_seconds=float("inf"),
        n=np.int64(3),
    )
    text = (a_run.folder / EVENTS_FILE).read_text(encoding="utf-8")
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert found["data"] == {"losses": {"bce": None, "dice": 0.5}, "eta_seconds": None, "n": 3}


def test_an_event_with_something_that_is_not_plain_is_refused_and_nothing_written(a_run: Run) -> None:
    with pytest.raises(TypeError, match=r"an event cannot carry a \w*Path"):
        a_run.write(EventKind.FAILED, reason=a_run.folder)
    assert kinds(a_run) == []


def test_a_kind_of_a_newer_version_is_kept(a_run: Run) -> None:
    a_run.write("dreamt", of="sheep")
    assert kinds(a_run) == ["dreamt"]
    assert run_state(claimed_by(a_run))[0] is RunState.STARTING


def test_what_decides_waits_for_the_disk_and_progress_does_not(a_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(kinds(a_run)[-1]))
    for kind in (EventKind.STARTED, EventKind.PROGRESS, EventKind.CHECKPOINT, EventKind.HEARTBEAT, EventKind.FINISHED):
        a_run.write(kind)
    assert synced == ["checkpoint", "finished"]


def test_writers_side_by_side_lose_no_line(a_run: Run) -> None:
    def write() -> None:
        for step in range(40):
            a_run.write(EventKind.PROGRESS, step=step)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kinds(a_run)) == 160


# ---- the folder


def test_runs_of_one_minute_get_different_names(tmp_path: Path) -> None:
    made = [Run.create(tmp_path, CONFIG, method="smile") for _ in range(12)]
    assert len({run.id for run in made}) == 12
    assert "_smile" in made[0].id
    assert [run.id for run in runs(tmp_path)] == [run.id for run in made]  # also _2 before _10


def test_a_run_is_opened_with_what_it_was_made_with(tmp_path: Path) -> None:
    run = Run.open(Run.create(tmp_path, CONFIG, from_scratch=True).folder)
    assert run.config() == CONFIG
    assert run.request().from_scratch
    assert not run.request().resume
    assert run.checkpoints.is_dir()


def test_a_request_replaces_the_one_before(a_run: Run) -> None:
    a_run.set_request(replace(a_run.request(), resume=True))
    assert a_run.request().resume
    assert a_run.request().created


def test_a_folder_without_configuration_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run: it has no config\.json"):
        Run.open(tmp_path)
    (tmp_path / "half made").mkdir()
    assert runs(tmp_path) == []
    assert runs(tmp_path / "nowhere") == []


@pytest.mark.robustness
@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_a_damaged_configuration_is_one_sentence(a_run: Run, content: str) -> None:
    (a_run.folder / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=rf"run {a_run.id}: config\.json"):
        a_run.config()


def test_a_configuration_of_a_newer_version_is_refused(a_run: Run) -> None:
    (a_run.folder / "config.json").write_text('{"format": 99}', encoding="utf-8")
    with pytest.raises(ConfigError, match="please update"):
        a_run.config()


def test_a_stop_can_be_asked_for_twice_and_taken_back(a_run: Run) -> None:
    assert not a_run.stop_requested
    a_run.request_stop()
    a_run.request_stop()
    assert a_run.stop_requested
    a_run.clear_stop()
    a_run.clear_stop()
    assert not a_run.stop_requested


def test_only_the_first_of_several_processes_writes_events(a_run: Run) -> None:
    Run.open(a_run.folder, writes=False).write(EventKind.STARTED)
    assert kinds(a_run) == []


def test_g20_a_log_with_bytes_that_are_not_text_is_shown_with_replacements(a_run: Run) -> None:
    (a_run.folder / LOG_FILE).write_bytes(
        "première\n".encode() + b"caf\xe9 \xff\xfe\x00 latin\n" + "dernière\n".encode()
    )
    assert a_run.log_tail(2).splitlines() == ["caf\ufffd \ufffd\ufffd\x00 latin", "dernière"]


def test_the_tail_of_a_log_is_its_last_lines(a_run: Run) -> None:
    assert a_run.log_tail() == ""
    (a_run.folder / LOG_FILE).write_text("\n".join(f"line {n}" for n in range(50_000)), encoding="utf-8")
    assert a_run.log_tail(3).splitlines() == ["line 49997", "line 49998", "line 49999"]
    assert a_run.log_tail(0) == ""
    a_run.append_log("\nadded")
    assert a_run.log_tail(1) == "added"


# ---- the state


def test_a_new_run_is_starting_and_crashed_when_nobody_ever_started_it(a_run: Run) -> None:
    assert run_state(a_run)[0] is RunState.STARTING
    assert Watch(a_run).state(now=time.time() + STARTING_SECONDS + 5) == (
        RunState.CRASHED,
        "it was made, but never started",
    )


def test_a_living_process_is_starting_until_its_first_event_then_running(a_run: Run) -> None:
    claimed_by(a_run)
    assert run_state(a_run)[0] is RunState.STARTING
    a_run.write(EventKind.STARTED, device="cpu")
    assert run_state(a_run) == (RunState.RUNNING, "preparing")
    a_run.write(EventKind.HEARTBEAT, doing="preparing case 2 of 9")
    assert run_state(a_run) == (RunState.RUNNING, "preparing case 2 of 9")
    a_run.write(EventKind.PROGRESS, step=42, fraction=0.25)
    assert run_state(a_run) == (RunState.RUNNING, "step 42, 25 %")


@pytest.mark.parametrize(
    ("kind", "data", "state", "words"),
    [
        (EventKind.FINISHED, {"step": 9, "seconds": 3.0}, RunState.FINISHED, "finished after 9 steps"),
        (EventKind.STOPPED, {"step": 9}, RunState.STOPPED, "stopped at step 9"),
        (
            EventKind.STOPPED,
            {"step": 5, "at_once": True},
            RunState.STOPPED,
            "ended at once, its last checkpoint is of step 5",
        ),
        (
            EventKind.STOPPED,
            {"step": None, "at_once": True},
            RunState.STOPPED,
            "ended at once, before its first checkpoint",
        ),
        (EventKind.FAILED, {"reason": "the disk is full"}, RunState.FAILED, "the disk is full"),
    ],
)
def test_a_terminal_event_is_the_state_whether_the_process_lives_or_not(
    a_run: Run, kind: EventKind, data: dict[str, object], state: RunState, words: str
) -> None:
    claimed_by(a_run)
    a_run.write(EventKind.STARTED)
    a_run.write(kind, **data)
    assert run_state(a_run) == (state, words)
    claimed_by(a_run, created=1.0, events_from=0)
    assert run_state(a_run) == (state, words)


def test_what_comes_after_the_end_does_not_make_it_run_again(a_run: Run) -> None:
    claimed_by(a_run)
    for kind in (EventKind.STARTED, EventKind.FINISHED, EventKind.HEARTBEAT, EventKind.PROMOTED):
        a_run.write(kind)
    assert run_state(a_run)[0] is RunState.FINISHED


def test_g18_a_process_that_is_gone_without_a_word_has_crashed_with_the_tail_of_its_log(a_run: Run) -> None:
    left_by_a_dead_process(a_run)
    a_run.write(EventKind.STARTED)
    a_run.append_log("Traceback\nMemoryError: 80 GB")
    state, words = run_state(a_run)
    assert state is RunState.CRASHED
    assert words.endswith("Traceback\nMemoryError: 80 GB")


def test_g18_a_living_process_without_a_sign_of_life_hangs(a_run: Run) -> None:
    claimed_by(a_run)
    a_run.write(EventKind.STARTED)
    watch = Watch(a_run)
    assert watch.state(now=time.time() + HEARTBEAT_SECONDS - 2)[0] is RunState.RUNNING
    state, words = watch.state(now=time.time() + HEARTBEAT_SECONDS + 2)
    assert state is RunState.HUNG
    assert f"process {os.getpid()} has given no sign of life for 32 s" in words
    a_run.write(EventKind.HEARTBEAT, doing="still here")
    assert watch.state(now=time.time() + 2)[0] is RunState.RUNNING


def test_g18_a_process_that_never_says_anything_hangs(a_run: Run) -> None:
    state, _ = Watch(claimed_by(a_run)).state(now=time.time() + STARTING_SECONDS + 5)
    assert state is RunState.HUNG


def test_a_run_that_was_resumed_after_a_stop_is_running(a_run: Run) -> None:
    for kind in (EventKind.STARTED, EventKind.STOPPED, EventKind.STARTED):
        a_run.write(kind)
    assert run_state(claimed_by(a_run, events_from=0))[0] is RunState.RUNNING


def test_a_resumed_run_is_starting_while_its_new_process_is_silent_and_crashed_when_that_dies(a_run: Run) -> None:
    for kind in (EventKind.STARTED, EventKind.STOPPED):
        a_run.write(kind)
    assert run_state(claimed_by(a_run))[0] is RunState.STARTING
    assert run_state(left_by_a_dead_process(a_run))[0] is RunState.CRASHED


@pytest.mark.parametrize(("silent", "state"), [(2, RunState.RUNNING), (40, RunState.HUNG)])
def test_a_run_on_another_machine_is_known_by_its_signs_of_life(a_run: Run, silent: float, state: RunState) -> None:
    claimed_by(a_run, host=f"not {platform.node()}")
    a_run.write(EventKind.STARTED)
    assert Watch(a_run).state(now=time.time() + silent)[0] is state


def test_a_number_that_another_process_has_now_is_not_the_process() -> None:
    mine = ProcessIdentity.of(os.getpid())
    assert mine.alive
    assert not replace(mine, created=mine.created - 3600).alive
    assert process_tree(replace(mine, pid=os.getppid(), created=mine.created + 3600)) == []
    assert not replace(mine, host="elsewhere").alive


@pytest.mark.robustness
@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "created": 0, "host": ""}'])
def test_a_damaged_process_file_is_no_process(a_run: Run, content: str) -> None:
    (a_run.folder / PROCESS_FILE).write_text(content, encoding="utf-8")
    assert ProcessIdentity.load(a_run.folder) is None


def test_a_process_identity_comes_back_as_it_was_written(a_run: Run) -> None:
    identity = ProcessIdentity.of(os.getpid(), command=("python", "-m", "x"), own_session=True, events_from=7)
    identity.save(a_run.folder)
    assert ProcessIdentity.load(a_run.folder) == identity


def test_the_active_run_is_the_one_with_a_living_process(tmp_path: Path) -> None:
    finished, running, crashed = (Run.create(tmp_path, CONFIG) for _ in range(3))
    for run, claim in ((finished, claimed_by), (running, claimed_by), (crashed, left_by_a_dead_process)):
        claim(run)
        run.write(EventKind.STARTED)
    finished.write(EventKind.FINISHED, step=1)
    assert active_run(tmp_path) == running
    running.write(EventKind.STOPPED, step=1)
    assert active_run(tmp_path) is None


# ---- for programs


@pytest.fixture
def told(a_run: Run) -> Callable[[], dict[str, object]]:
    claimed_by(a_run)
    a_run.write(EventKind.STARTED, device="cpu", reason="no GPU")
    a_run.write(EventKind.VALIDATED, step=2, dice={"liver": 0.9}, mean=0.9, best=True)
    a_run.write(EventKind.VALIDATED, step=4, dice={"liver": 0.8}, mean=0.8, best=False)
    a_run.write(EventKind.PROGRESS, step=5, fraction=0.5, eta_seconds=60.0, losses={"bce": 0.25})
    return lambda: describe(a_run)


def test_a_run_is_described_by_its_last_events(told: Callable[[], dict[str, object]], a_run: Run) -> None:
    found = told()
    assert found == {
        "id": a_run.id, "state": "running", "words": "step 5, 50 %", "method": "smile", "step": 5, "fraction": 0.5,
        "eta_seconds": 60.0, "losses": {"bce": 0.25}, "dice": {"liver": 0.8}, "mean_dice": 0.8, "best_dice": 0.9,
        "device": "cpu", "model": None,
    }  # fmt: skip
    assert json.loads(json.dumps(found)) == found


def test_a_finished_run_has_no_time_left_and_is_whole(told: Callable[[], dict[str, object]], a_run: Run) -> None:
    a_run.write(EventKind.FINISHED, step=10, seconds=1.0)
    a_run.write(EventKind.PROMOTED, model="0001")
    found = told()
    assert (found["fraction"], found["eta_seconds"], found["step"], found["model"]) == (1.0, None, 10, "0001")


@pytest.mark.robustness
def test_a_damaged_run_is_described_all_the_same(a_run: Run) -> None:
    (a_run.folder / "config.json").write_text("{", encoding="utf-8")
    (a_run.folder / "request.json").write_text("{", encoding="utf-8")
    (a_run.folder / EVENTS_FILE).write_bytes(b"\x00\x01\n{}\n")
    assert describe(a_run)["method"] is None
    assert [run.id for run in runs(a_run.folder.parent)] == [a_run.id]


def test_a_request_with_an_unknown_word_is_refused(a_run: Run) -> None:
    (a_run.folder / "request.json").write_text('{"format": 1, "resumee": true}', encoding="utf-8")
    with pytest.raises(ConfigError, match="resumee"):
        a_run.request()
    assert Request() == Run(a_run.folder / "nowhere").request()
