"""Training at a front end: what may start, how it is told, and every way in which it ends. Some with real processes."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from SemiSupSegLib.config import Config, TrainConfig
from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.jobs.process_tree import ProcessIdentity
from SemiSupSegLib.jobs.run import Run
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.models import add_promoted
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.session import Progress, Session

PATIENCE = 200.0
STAND_IN = """
import json, sys, time
from pathlib import Path
verb, where, *words = sys.argv[1:]
if verb == "train":
    from SemiSupSegLib.config import Config, TrainConfig
    from SemiSupSegLib.jobs.job import LocalJob
    from SemiSupSegLib.jobs.run import Run
    if "thorough" in words:
        sys.exit("semisupseg train: the machine has no memory left")
    run = Run.create(Path(where) / "runs", Config(train=TrainConfig(minutes=1)))
    if "balanced" in words:  # it is over before anybody has seen it
        run.write("started", device="cpu", reason="no GPU here")
        run.write("promoted", model="0001", score=0.8, before=None, reason="it is the first")
        run.write("finished", step=7, seconds=1)
    else:
        LocalJob.start(run, [sys.executable, __file__, "train-run", str(run.folder)])
    print(json.dumps({"id": run.id}))
elif verb == "train-run":
    from SemiSupSegLib.jobs.run import Run
    run = Run.open(Path(where))
    run.write("started", device="cpu", reason="no GPU here")
    if run.request().resume:
        run.write("finished", step=9, seconds=1)
    else:
        raise SystemError("out of ideas")
elif verb == "stop":
    from SemiSupSegLib.jobs.run import Run
    run = Run.open(Path(where) / "runs" / words[0])
    if (run.folder / "damaged").exists():
        sys.exit("semisupseg stop: checkpoint step-7 cannot be read")
    run.write("promoted", model="0001", score=0.8, before=None, reason="it is the first")
    run.write("finished", step=7, seconds=1, early=True)
    print(json.dumps({"id": run.id}))
elif verb == "predict" and "--run" in words:
    print(json.dumps({"model": "preview of run r at step 7", "cases": {"c1": {}}, "refused": {}}))
elif verb == "predict":
    print("predicting, percent: [####----] 50 of 100", file=sys.stderr)
    print(json.dumps({"cases": {"c1": {}}, "refused": {"c2": "it is damaged"}}))
elif verb == "add":
    assert Path(words[0]).is_file()
    print("imported 1 of 1 cases")
else:
    time.sleep(600)
"""


@pytest.fixture
def program(tmp_path: Path) -> tuple[str, ...]:
    """Takes the engine's place."""
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    return sys.executable, str(tmp_path / "stand_in.py")


@pytest.fixture
def open_session(a_project: Project, program) -> Callable[[], Session]:
    def begin() -> Session:
        session = Session(who="ann", threads=False, program=program)
        session.open(a_project.root)
        return session

    return begin


@pytest.fixture
def a_run(a_project: Project) -> Run:
    """A training that this very process seems to make: it lives, and writes what a test writes."""
    run = Run.create(a_project.runs_folder, Config(train=TrainConfig(minutes=1)))
    ProcessIdentity.of(os.getpid()).save(run.folder)
    run.write("started", device="cpu", reason="no GPU here")
    return run


def until(session: Session, done: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, session.progress
        session.poll()
        time.sleep(0.02)


def test_train_says_what_is_missing(tmp_path: Path, a_project) -> None:
    session = Session(who="ann", threads=False)
    session.create(tmp_path / "bare")
    assert session.may_train == "Train: the project has no organ yet"
    session.open(a_project.root)
    assert session.may_train is None
    session.set_state("liver", State.UNKNOWN, "c1")
    assert session.may_train == "Train: no organ has a complete annotation yet, nor one finished slice"
    with pytest.raises(ProjectError, match="no organ has a complete annotation yet"):
        session.train()
    session.show_case("c1")
    session.finish_slice(0, label="liver")
    assert session.may_train is None
    session.set_holdout(["c1"])
    assert session.may_train == (
        "Train: no organ has a complete annotation yet outside of the hold-out, nor one finished slice"
    )
    assert session.may_resume == "Resume: nothing was trained yet"
    assert session.may_stop == "Stop: no training is under way"
    assert session.may_predict == "Predict: no model was trained yet"
    assert session.may_rollback == "Previous model: none was trained yet"


def test_what_a_preset_takes_is_said_before(open_session) -> None:
    session = open_session()
    assert [row.name for row in session.presets] == ["quick", "balanced", "thorough"]
    assert session.estimate("quick") == "about 5 min 00 s"
    assert session.preset == "balanced"
    with pytest.raises(ProjectError, match="no preset 'huge'"):
        session.preset = "huge"


def test_a_training_that_goes_on_is_attached_and_told(a_run: Run, open_session) -> None:
    session = open_session()
    told: list[Progress] = []
    session.signals.job_changed.connect(told.append)
    assert session.progress.state == "running"
    assert session.may_train == (
        "Train: a training is under way: stop it, or wait for its end"
    )
    a_run.write("prepared", cases=3, minutes=5.0, memory_gb=3.1)
    a_run.write("progress", step=10, fraction=0.25, eta_seconds=200, losses={"dice": 0.5})
    a_run.write("validated", step=10, dice={"liver": 0.7}, mean=0.7, best=True)
    a_run.write("progress", step=20, fraction=0.5, eta_seconds=60, losses={"dice": 0.4})
    a_run.write("validated", step=20, dice={"liver": 0.6}, mean=0.6, best=False)
    session.poll()
    now = session.progress
    assert told == [now]
    assert (now.fraction, now.eta, now.step) == (0.5, "about 60 s left", 20)
    assert (now.best_dice, now.best_step, now.mean_dice, now.memory_gb, now.minutes) == (0.7, 10, 0.6, 3.1, 5.0)
    assert (now.device, now.device_reason) == ("cpu", "no GPU here")
    assert session.curves.losses == {"dice": ((10, 0.5), (20, 0.4))}
    assert session.curves.dice == ((10, 0.7), (20, 0.6))
    assert session.curves.best == (10, 0.7)
    session.poll()
    assert len(told) == 1  # nothing new, nothing told


def test_a_curve_has_one_value_a_step_after_going_back(a_run: Run, open_session) -> None:
    session = open_session()
    for step, value in ((10, 1.0), (20, 9.0), (15, 0.9), (25, 0.8)):
        a_run.write("progress", step=step, losses={"dice": value})
    session.poll()
    assert session.curves.losses["dice"] == ((10, 1.0), (15, 0.9), (25, 0.8))


def test_stop_asks_and_the_end_is_told(a_run: Run, open_session) -> None:
    session = open_session()
    session.stop()
    assert a_run.stop_requested
    assert session.progress.words == "stopping: it writes a checkpoint first"
    a_run.write("stopped", step=7)
    session.poll()
    assert (session.progress.state, session.progress.words) == ("stopped", "stopped at step 7")
    assert session.may_stop == "Stop: no training is under way"
    assert session.may_resume is None


def test_who_does_not_answer_is_ended(a_run: Run, open_session, monkeypatch) -> None:
    session, ended = open_session(), []
    monkeypatch.setattr("SemiSupSegLib.jobs.job.LocalJob.kill", lambda job: ended.append(job.run.id))
    monkeypatch.setattr("SemiSupSegLib.session.training_watch.GRACE_SECONDS", -1.0)
    said = []
    session.signals.message.connect(lambda *what: said.append(what))
    session.stop()
    session._killer and session._killer.wait(PATIENCE)
    session.poll()
    until(session, lambda: ended)
    assert ended[0] == a_run.id
    assert "did not answer" in said[0][0]


def test_a_second_stop_ends_it_at_once(a_run: Run, open_session, monkeypatch) -> None:
    session, ended = open_session(), []
    monkeypatch.setattr("SemiSupSegLib.jobs.job.LocalJob.kill", lambda job: ended.append(job.run.id))
    session.stop()
    session.stop()
    until(session, lambda: ended)
    assert ended == [a_run.id]


def test_stop_and_keep_best_asks_and_nobody_ends_it_while_the_model_is_scored(
    a_run: Run, open_session, a_project, monkeypatch
) -> None:
    ended: list[str] = []
    monkeypatch.setattr("SemiSupSegLib.jobs.job.LocalJob.kill", lambda job: ended.append(job.run.id))
    session, said = open_session(), []
    session.predict_after_training = False
    session.signals.message.connect(lambda *what: said.append(what))
    assert session.may_keep_best == "Stop & keep best: nothing is learnt yet"
    a_run.write("progress", step=5, fraction=0.5, losses={})
    session.poll()
    assert not session.ending
    session.stop()
    session.keep_best()  # on second thoughts
    monkeypatch.setattr("SemiSupSegLib.session.training_watch.GRACE_SECONDS", -1.0)
    assert a_run.keep_requested
    assert session.ending
    assert session.progress.words == "ending early: its best checkpoint becomes a model and is scored on the hold-out"
    assert session.may_keep_best == "Stop & keep best: it is under way"
    session.poll()
    assert ended == []
    add_promoted(a_project.models_folder, "0001")
    a_run.write("promoted", model="0001", score=0.8, before=None, reason="it is the first")
    a_run.write("finished", step=7, seconds=1, early=True)
    session.poll()
    assert said == [("Train: finished early, after 7 steps; model 0001 is in use", "info")]
    assert session.progress.verdict == "it is the first"
    assert session.may_keep_best == (
        "Stop & keep best: the last training is finished; what it learnt was judged at its end"
    )
    assert session.may_resume == "Resume: the last training is finished; Train begins another"


def test_a_stop_after_stop_and_keep_best_ends_it_at_once(a_run: Run, open_session, monkeypatch) -> None:
    session, ended = open_session(), []
    monkeypatch.setattr("SemiSupSegLib.jobs.job.LocalJob.kill", lambda job: ended.append(job.run.id))
    a_run.write("progress", step=5, losses={})
    session.poll()
    session.keep_best()
    session.stop()
    assert session._killer is not None  # at once, not after the grace of a plain stop
    until(session, lambda: ended)
    assert ended == [a_run.id]


def test_a_training_that_was_stopped_before_is_kept_by_a_process_of_its_own(
    a_run: Run, open_session, a_project
) -> None:
    a_run.write("checkpoint", step=0, name="last")
    a_run.write("stopped", step=0)
    session, said = open_session(), []
    session.predict_after_training = False
    assert session.may_keep_best == "Stop & keep best: nothing is learnt yet"
    a_run.write("started", device="cpu", reason="no GPU here")
    a_run.write("checkpoint", step=7, name="last")
    a_run.write("stopped", step=7)
    session = open_session()
    session.signals.message.connect(lambda *what: said.append(what))
    assert session.may_keep_best is None
    session.keep_best()
    assert (session.progress.state, session.progress.active) == ("keeping", True)
    assert session.may_train == "Train: a training is under way: stop it, or wait for its end"
    assert session.may_keep_best == "Stop & keep best: it is under way"
    until(session, lambda: not session.progress.active)
    assert session.progress.words == "finished early, after 7 steps"
    assert said == [("Train: finished early, after 7 steps; model 0001 is in use", "info")]
    assert not list((a_project.cache_folder / "tasks").iterdir())


def test_a_checkpoint_that_cannot_be_kept_is_said_and_the_run_stays_as_it_was(a_run: Run, open_session) -> None:
    a_run.write("checkpoint", step=7, name="last")
    a_run.write("stopped", step=7)
    (a_run.folder / "damaged").touch()
    session, said = open_session(), []
    session.signals.message.connect(lambda *what: said.append(what))
    session.keep_best()
    until(session, lambda: not session.progress.active)
    assert said == [("Stop & keep best: checkpoint step-7 cannot be read", "error")]
    assert session.progress.words == "stopped at step 7"
    assert session.may_resume is None


def test_a_preview_needs_a_checkpoint_and_an_open_case(a_run: Run, open_session) -> None:
    session = open_session()
    assert session.looks_ahead
    assert session.may_preview == "Preview now: open a case first"
    session.show_case("c1")
    a_run.write("checkpoint", step=0, name="last")  # random weights
    session.poll()
    assert session.may_preview == "Preview now: no checkpoint yet: the first comes after about a minute"
    with pytest.raises(ProjectError, match="no checkpoint yet"):
        session.preview()
    a_run.write("checkpoint", step=7, name="last")
    session.poll()
    assert session.may_preview is None
    session.preview()
    assert session.task.words == "previewing case c1"
    assert session.may_preview == "Preview now: previewing case c1 is under way: wait for its end or cancel it"
    said = []
    session.signals.message.connect(lambda *what: said.append(what))
    until(session, lambda: session.task is None)
    assert said == [("This is a preview of run r at step 7, not the model in use", "info")]
    assert session.progress.active
    a_run.write("finished", step=9, seconds=1)
    session.poll()
    assert session.may_preview == (
        "Preview now: the last training is finished; Predict proposes with the model in use"
    )


def test_without_a_training_there_is_nothing_to_preview(open_session) -> None:
    session = open_session()
    session.show_case("c1")
    assert session.may_preview == "Preview now: no training is under way"
    assert session.may_keep_best == "Stop & keep best: no training is under way"
    assert not session.looks_ahead


def test_a_model_that_comes_while_a_preview_is_made_proposes_after_it(a_run: Run, open_session, a_project) -> None:
    from threading import Event

    from SemiSupSegLib.session.task import Thread

    session, over = open_session(), Event()
    session._begin(Thread("preview", "previewing case c1", lambda _tell: over.wait(PATIENCE)))
    add_promoted(a_project.models_folder, "0001")
    a_run.write("promoted", model="0001", score=0.8, before=None, reason="it is the first")
    a_run.write("finished", step=50, seconds=60)
    session.poll()
    assert session.task.kind == "preview"
    over.set()
    until(session, lambda: session.task is not None and session.task.kind == "predict")
    until(session, lambda: session.task is None)
    session.poll()
    assert session.task is None  # it proposes once


def test_the_command_line_knows_what_is_kept_and_previewed(a_run: Run, open_session, monkeypatch) -> None:
    from SemiSupSegLib.cli.arguments import parser_of
    from SemiSupSegLib.cli.main import verb_named
    from SemiSupSegLib.session import cases
    from SemiSupSegLib.session.task import Thread

    commands: list[list[str]] = []

    def record(kind: str, words: str, command, _folder) -> Thread:
        commands.append(list(command)[2:])
        return Thread(kind, words, lambda _tell: None)

    monkeypatch.setattr(cases, "Child", record)
    a_run.write("checkpoint", step=7, name="last")
    a_run.write("stopped", step=7)
    session = open_session()
    session.show_case("c1")
    session.preview()
    session._task = None
    session.keep_best()
    assert [command[0] for command in commands] == ["predict", "stop"]
    said = [parser_of(verb_named(verb)).parse_intermixed_args(words) for verb, *words in commands]
    assert (said[0].run, said[0].case) == (a_run.id, ["c1"])
    assert (said[1].run, said[1].keep_best, said[1].json) == (a_run.id, True, True)


def test_a_failure_is_told_with_the_end_of_its_log(a_run: Run, open_session) -> None:
    session = open_session()
    a_run.append_log("line one\nthe GPU is on fire")
    a_run.write("failed", reason="the loss is not a number")
    session.poll()
    assert session.progress.words == "the training failed: the loss is not a number"
    assert session.progress.detail.endswith("the GPU is on fire")
    assert not session.progress.active


def test_a_lost_job_is_told(a_run: Run, open_session) -> None:
    (a_run.folder / "process.json").unlink()
    old = {"time": "2026-11-20T09:00:00+00:00", "kind": "heartbeat", "data": {"doing": "much"}}
    (a_run.folder / "events.jsonl").write_text(json.dumps(old) + "\n")
    session = open_session()
    assert session.progress.state == "crashed"
    assert "nobody knows its process" in session.progress.words
    assert session.progress.words.startswith("the training ended unexpectedly; Resume goes on from its last checkpoint")
    assert session.may_resume is None


def test_a_round_of_a_relabelling_is_left_to_the_command_line(a_run: Run, open_session) -> None:
    a_run.write("stopped", step=1)
    (a_run.folder / "relabelling.json").write_text("{}")
    assert "relabel --resume" in str(open_session().may_resume)


def test_a_finished_training_proposes_at_once_with_its_new_model(a_run: Run, open_session, a_project) -> None:
    session = open_session()
    add_promoted(a_project.models_folder, "0001")
    a_run.write("promoted", model="0001", score=0.8, before=None, reason="it is the first")
    a_run.write("finished", step=50, seconds=60)
    said = []
    session.signals.message.connect(lambda text, _level: said.append(text))
    session.poll()
    assert session.progress.model == "0001"
    assert session.progress.verdict == "it is the first"
    assert session.task is not None
    assert session.task.kind == "predict"
    assert session.model == "0001"
    assert session.may_predict == "Predict: predicting 1 case is under way: wait for its end or cancel it"
    until(session, lambda: session.task is None)
    assert said[-1] == "1 volume predicted; not c2 (it is damaged)"
    assert session.may_resume == "Resume: the last training is finished; Train begins another"
    assert not list((a_project.cache_folder / "tasks").iterdir())  # its files may name a patient's


def test_a_training_that_crashes_is_told_and_goes_on_when_asked(open_session) -> None:
    session, states = open_session(), []
    session.signals.job_changed.connect(lambda progress: states.append(progress.state))
    session.train("quick")
    assert session.progress.state == "planning"
    assert "about 5 min" in session.progress.words
    until(session, lambda: not session.progress.active)
    assert session.progress.state == "crashed"
    assert "ended unexpectedly" in session.progress.words
    assert "SystemError: out of ideas" in session.progress.detail
    assert states[0] == "planning"
    session.resume()
    until(session, lambda: not session.progress.active)
    assert (session.progress.state, session.progress.words) == ("finished", "finished after 9 steps")


def test_a_training_that_is_over_when_it_is_first_seen_is_told_too(open_session) -> None:
    session, said = open_session(), []
    session.signals.message.connect(lambda text, _level: said.append(text))
    session.train("balanced")
    until(session, lambda: not session.progress.active)
    assert session.progress.state == "finished"
    assert any(text.startswith("Train: finished") and "model 0001 is in use" in text for text in said), said


def test_a_training_that_cannot_be_planned_says_why(open_session) -> None:
    session = open_session()
    session.train("thorough")
    until(session, lambda: not session.progress.active)
    assert session.progress.words == "the training did not start: the machine has no memory left"
    assert session.may_train is None


def test_an_engine_that_is_not_there_is_named(a_project: Project) -> None:
    session = Session(who="ann", threads=False, program=["/nowhere/python"])
    session.open(a_project.root)
    with pytest.raises(Exception, match="/nowhere/python cannot be started"):
        session.train()
    assert session.progress is None
    assert session.may_train is None


def test_the_model_before_can_be_put_back(open_session, a_project: Project) -> None:
    for name in ("0001", "0002"):
        add_promoted(a_project.models_folder, name)
    session = open_session()
    session.rollback()
    assert session.model == "0001"
    assert session.may_rollback == "Previous model: there is only one"


def test_with_everything_known_there_is_nothing_to_predict(open_session, a_project: Project) -> None:
    add_promoted(a_project.models_folder, "0001")
    session = open_session()
    for name in ("spleen", "tumour"):
        session.set_state(name, State.ABSENT, "c1")
    with pytest.raises(ProjectError, match="every organ is known in every case"):
        session.predict()
    assert session.next_step.startswith("Predict, or train another round")


def test_the_volume_of_the_scene_goes_in_by_a_child(open_session, a_project: Project) -> None:
    session = open_session()
    image = a_project.cases["c1"].image()
    assert session.add_volume(image, "c1") == "c1_2"
    assert session.may_import == "Add cases: adding case c1_2 is under way: wait for its end or cancel it"
    said = []
    session.signals.message.connect(lambda *what: said.append(what))
    until(session, lambda: session.task is None)
    assert said == [("imported 1 of 1 cases", "info")]
    assert session.may_cancel == "Cancel: nothing is under way"


def test_a_task_can_be_cancelled(open_session, tmp_path: Path) -> None:
    session = open_session()
    session.import_folder(tmp_path)
    said = []
    session.signals.message.connect(lambda *what: said.append(what))
    session.cancel_task()
    until(session, lambda: session.task is None)
    assert said == [(f"Adding the cases of {tmp_path.name}: cancelled", "warning")]


def test_a_folder_is_previewed_by_its_names(open_session, tmp_path: Path) -> None:
    from SemiSupSegLib.project.synthetic import write_cohort

    write_cohort(tmp_path / "cohort", cases=2, unlabelled=1, size=(16, 16, 16))
    found = open_session().find_cases(tmp_path / "cohort")
    assert [(row.name, row.labels is not None, row.problem) for row in found] == [
        ("synthetic_01", True, None), ("synthetic_02", False, None),
    ]  # fmt: skip


def test_the_holdout_is_told(open_session, a_project, add_case, box) -> None:
    add_case(a_project, "c2", masks={"liver": box(1)}, said={"liver": Annotation(State.COMPLETE)})
    session = open_session()
    assert session.suggest_holdout() == ()
    session.set_holdout(["c2"])
    assert [row.split for row in session.case_rows()] == ["train", "holdout"]


@pytest.mark.usefixtures("a_run")
def test_a_look_at_a_quiet_project_takes_less_than_20_ms(open_session) -> None:
    session = open_session()
    session.poll()
    spent = []
    for _ in range(20):
        began = time.process_time()
        session.poll()
        spent.append(time.process_time() - began)
    assert sorted(spent)[10] < 0.02


def test_the_command_line_knows_every_command_of_a_session(open_session, a_project, monkeypatch, tmp_path) -> None:
    from SemiSupSegLib.cli.arguments import parser_of
    from SemiSupSegLib.cli.main import verb_named
    from SemiSupSegLib.session import cases
    from SemiSupSegLib.session.task import Thread

    commands: list[list[str]] = []

    def record(kind: str, words: str, command, _folder) -> Thread:
        commands.append(list(command)[2:])
        return Thread(kind, words, lambda _tell: None)

    monkeypatch.setattr(cases, "Child", record)
    add_promoted(a_project.models_folder, "0001")
    session = open_session()
    begin = (
        lambda: session.train("quick", device="cpu", from_scratch=True),
        session.predict,
        lambda: session.predict(["c1"]),
        lambda: session.predict_folder(tmp_path, tmp_path / "out"),
        lambda: session.import_folder(tmp_path),
        lambda: session.add_files([tmp_path / "a.nii.gz"], tmp_path / "b.nii.gz"),
        lambda: session.add_volume(a_project.cases["c1"].image(), "c9"),
    )
    for one in begin:
        one()
        session._task = session._launch = None
    assert [command[0] for command in commands] == [
        "train", "predict", "predict", "predict", "import", "add", "add",
    ]  # fmt: skip
    for verb, *words in commands:
        parser_of(verb_named(verb)).parse_intermixed_args(words)


def test_what_a_forgotten_task_left_is_removed(open_session, a_project: Project) -> None:
    left = a_project.cache_folder / "tasks" / "import_1"
    left.mkdir(parents=True)
    (left / "log.txt").write_text("a file of a patient")
    open_session()
    assert not left.exists()


def test_a_folder_is_imported_by_the_real_command_line(tmp_path: Path) -> None:
    from SemiSupSegLib.project.synthetic import write_cohort

    write_cohort(tmp_path / "cohort", cases=2, unlabelled=1, size=(16, 16, 16))
    session = Session(who="ann", threads=False, program=[sys.executable, "-m", "SemiSupSegLib"])
    session.create(tmp_path / "study")
    said = []
    session.signals.message.connect(lambda *what: said.append(what))
    session.import_folder(tmp_path / "cohort")
    until(session, lambda: session.task is None)
    assert said == [("imported 2 of 2 cases", "info")]
    assert [row.id for row in session.case_rows()] == ["synthetic_01", "synthetic_02"]
    assert next(row.name for row in session.organ_rows()) == "synthetic liver"
    assert session.may_train is None
