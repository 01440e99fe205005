"""What a training that is ended early leaves behind: its best checkpoint as a model, offered like any other."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from SemiSupSegLib.config import Config, DataConfig, NetworkConfig, TrainConfig
from SemiSupSegLib.engine import checkpoint as checkpoint_module
from SemiSupSegLib.engine import loop as loop_module
from SemiSupSegLib.engine import state as state_module
from SemiSupSegLib.engine import train as train_module
from SemiSupSegLib.engine.checkpoint import load_checkpoint, save_checkpoint
from SemiSupSegLib.engine.keep import MODEL_FOLDER, check_learnt, keep_best
from SemiSupSegLib.engine.model import Model
from SemiSupSegLib.engine.train import Outcome, train
from SemiSupSegLib.engine.validate import Scores
from SemiSupSegLib.errors import ImageError, ModelFileError, RunError
from SemiSupSegLib.jobs.events import Event, EventReader
from SemiSupSegLib.jobs.protocol import EventKind, RunState
from SemiSupSegLib.jobs.run import Run
from SemiSupSegLib.jobs.state import run_state
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.models import promoted_models
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.synthetic import ORGANS

QUIET = (EventKind.HEARTBEAT, EventKind.PROGRESS)


def a_run(project: Project, method: str = "smile", **said: object) -> Run:
    config = Config(
        method=method,
        data=DataConfig(spacing=(8.0, 8.0, 8.0), patch_size=(16, 16, 16)),
        network=NetworkConfig(backbone="dynunet", filters=8, dropout=0.0, strides=((2, 2, 2), (2, 2, 2))),
        train=TrainConfig(**{"iterations": 6, "batch_size": 2, "workers": 0, "precision": "float32", **said}),  # type: ignore[arg-type]
    )
    return Run.create(project.runs_folder, config)


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``stop_at(run, 3)``: while the third step is made, somebody asks for the end."""

    def ask(run: Run, step: int, *, keep_best: bool = True) -> None:
        monkeypatch.undo()
        original = state_module.TrainingState.train_step

        def working(self: state_module.TrainingState, *args: object, **kwargs: object) -> dict[str, float]:
            if self.iteration == step - 1:
                run.request_stop(keep_best=keep_best)
            return original(self, *args, **kwargs)  # type: ignore[arg-type]

        monkeypatch.setattr(state_module.TrainingState, "train_step", working)

    return ask


def events(run: Run) -> list[Event]:
    return [event for event in EventReader(run).new() if event.kind not in QUIET]


def kinds(run: Run) -> list[str]:
    return [event.kind for event in events(run)]


def stopped_at(run: Run, project: Project, step: int, stop_at: Callable[..., None]) -> Run:
    stop_at(run, step, keep_best=False)
    assert not train(run, project).finished
    assert run_state(run)[0] is RunState.STOPPED
    return run


def test_stopped_to_keep_the_best_a_training_leaves_a_model_that_is_offered(
    a_small_study: Project, stop_at: Callable[..., None]
) -> None:
    run = a_run(a_small_study)
    stop_at(run, 3)
    outcome = train(run, a_small_study)
    assert outcome == Outcome(True, run.folder / MODEL_FOLDER, "0001", early=True)
    assert kinds(run)[-3:] == ["checkpoint", "promoted", "finished"]
    assert events(run)[-1].data["early"] is True
    assert run_state(run) == (RunState.FINISHED, "finished early, after 3 steps")
    model = Model.load(run.folder / MODEL_FOLDER, a_small_study.label_set)
    assert (model.step, model.checkpoint, model.run) == (3, "last", run.id)  # nothing was scored before the end


def test_a_case_that_goes_during_the_training_does_not_take_the_model_with_it(
    a_small_study: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        message = "the image of case a cannot be read"
        raise ImageError(message)

    monkeypatch.setattr("SemiSupSegLib.engine.keep.prepare", gone)
    outcome = train(a_run(a_small_study), a_small_study)
    assert outcome.promoted == "0001"


def test_a_plain_stop_makes_no_model_and_can_be_gone_on_with(
    a_small_study: Project, stop_at: Callable[..., None]
) -> None:
    run = stopped_at(a_run(a_small_study), a_small_study, 3, stop_at)
    assert not (run.folder / MODEL_FOLDER).exists()
    assert promoted_models(a_small_study.models_folder) == []
    assert run_state(run) == (RunState.STOPPED, "stopped at step 3")


def test_the_best_checkpoint_on_the_hold_out_is_kept_not_the_last(
    a_small_study: Project, monkeypatch: pytest.MonkeyPatch, stop_at: Callable[..., None]
) -> None:
    run, dice = a_run(a_small_study), iter([0.2, 0.9, 0.1, 0.3, 0.2])
    stop_at(run, 4)
    monkeypatch.setattr(loop_module, "SECONDS_BETWEEN_VALIDATIONS", -1.0)
    monkeypatch.setattr(loop_module, "VALIDATION_SHARE", 1e9)
    monkeypatch.setattr(loop_module, "validate", lambda *_said, **_more: Scores({}, next(dice)))
    assert train(run, a_small_study).early
    model = Model.load(run.folder / MODEL_FOLDER)
    assert (model.checkpoint, model.step) == ("best", 2)
    last = load_checkpoint(run.checkpoints)
    assert last is not None
    assert last.step == 4


def test_a_training_that_has_learnt_nothing_keeps_nothing(a_small_study: Project) -> None:
    run = a_run(a_small_study)
    run.request_stop(keep_best=True)
    assert train(run, a_small_study) == Outcome(finished=False)
    assert kinds(run)[-1] == "stopped"
    assert promoted_models(a_small_study.models_folder) == []
    with pytest.raises(RunError, match="ended before its first checkpoint, so there is nothing to keep"):
        check_learnt(run)


def test_random_weights_are_never_offered(a_small_study: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(a_small_study)
    original = train_module.first_checkpoint

    def then_stop(*said: object) -> object:
        checkpoint = original(*said)  # type: ignore[arg-type]
        run.request_stop(keep_best=True)
        return checkpoint

    monkeypatch.setattr(train_module, "first_checkpoint", then_stop)
    assert not train(run, a_small_study).finished
    assert kinds(run)[-2:] == ["checkpoint", "stopped"]
    with pytest.raises(RunError, match="nothing to keep"):
        keep_best(run, a_small_study)
    assert promoted_models(a_small_study.models_folder) == []
    assert run_state(run) == (RunState.STOPPED, "stopped at step 0")  # the refusal left no trace


def test_what_is_kept_early_is_not_used_when_the_hold_out_gets_worse(
    a_small_study: Project, monkeypatch: pytest.MonkeyPatch, stop_at: Callable[..., None]
) -> None:
    first = a_run(a_small_study, iterations=1)
    assert train(first, a_small_study).promoted == "0001"
    run = a_run(a_small_study)
    stop_at(run, 2)
    dice = {first.id: 0.8, run.id: 0.5}
    monkeypatch.setattr("SemiSupSegLib.engine.promote._score", lambda _p, model, _a: dice[model.run])
    outcome = train(run, a_small_study)
    assert (outcome.early, outcome.promoted) == (True, None)
    assert kinds(run)[-2:] == ["not_promoted", "finished"]
    assert promoted_models(a_small_study.models_folder) == ["0001"]
    assert (run.folder / MODEL_FOLDER / "model.safetensors").is_file()


@pytest.mark.parametrize("method", ["sassnet", "uamt"])
def test_every_method_is_kept_as_the_segmentor_that_predicts(
    a_small_study: Project, stop_at: Callable[..., None], method: str
) -> None:
    run = a_run(a_small_study, method)
    stop_at(run, 1)
    assert train(run, a_small_study, promotes=False).promoted == "0001"  # kept early: offered, in a first round too
    Model.load(run.folder / MODEL_FOLDER).segmentor()


def test_a_run_that_was_stopped_before_is_kept_afterwards(a_small_study: Project, stop_at: Callable[..., None]) -> None:
    run = stopped_at(a_run(a_small_study), a_small_study, 2, stop_at)
    keep_best(run, a_small_study)
    assert kinds(run)[-2:] == ["promoted", "finished"]
    assert run_state(run) == (RunState.FINISHED, "finished early, after 2 steps")
    assert promoted_models(a_small_study.models_folder) == ["0001"]


def test_a_run_whose_process_died_between_promotion_and_end_is_not_promoted_twice(
    a_small_study: Project, stop_at: Callable[..., None]
) -> None:
    run = stopped_at(a_run(a_small_study), a_small_study, 2, stop_at)
    keep_best(run, a_small_study)
    keep_best(run, a_small_study)
    assert promoted_models(a_small_study.models_folder) == ["0001"]


def test_a_resumed_run_that_is_ended_while_its_cases_are_prepared_keeps_what_it_learnt_before(
    a_small_study: Project, stop_at: Callable[..., None]
) -> None:
    run = stopped_at(a_run(a_small_study), a_small_study, 2, stop_at)
    shutil.rmtree(a_small_study.cache_folder)  # or there is nothing to prepare
    run.request_stop(keep_best=True)
    assert train(run, a_small_study, resume=True).early
    assert Model.load(run.folder / MODEL_FOLDER).step == 2


def test_a_label_that_is_gone_is_named(a_small_study: Project, stop_at: Callable[..., None]) -> None:
    run = stopped_at(a_run(a_small_study), a_small_study, 1, stop_at)
    a_small_study.label_set = LabelSet.from_names(ORGANS[1:])
    with pytest.raises(ModelFileError, match=f"predicts {ORGANS[0]}, which this project does not have"):
        keep_best(run, a_small_study)


def test_a_label_that_was_added_since_changes_nothing(a_small_study: Project, stop_at: Callable[..., None]) -> None:
    run = stopped_at(a_run(a_small_study), a_small_study, 1, stop_at)
    a_small_study.label_set = LabelSet.from_names(("thymus", *ORGANS))
    keep_best(run, a_small_study)
    assert Model.load(run.folder / MODEL_FOLDER).label_set.names == ORGANS


@pytest.mark.robustness
def test_a_checkpoint_that_is_removed_under_the_reader_is_given_up_for_the_newer_one(
    a_small_study: Project, monkeypatch: pytest.MonkeyPatch, stop_at: Callable[..., None]
) -> None:
    run = stopped_at(a_run(a_small_study), a_small_study, 1, stop_at)
    first, original = load_checkpoint(run.checkpoints), checkpoint_module._load_tensors
    assert first is not None
    removed: list[Path] = []

    def reading(path: Path) -> object:
        if not removed:
            first.step = 9
            save_checkpoint(run.checkpoints, first)
            removed.append(path.parent)
            shutil.rmtree(path.parent)
        return original(path)

    monkeypatch.setattr(checkpoint_module, "_load_tensors", reading)
    found = load_checkpoint(run.checkpoints, optimizers=False)
    assert found is not None
    assert (found.step, found.optimizers) == (9, {})


@pytest.mark.robustness
def test_a_damaged_checkpoint_is_said_and_not_read_for_ever(
    a_small_study: Project, stop_at: Callable[..., None]
) -> None:
    run = stopped_at(a_run(a_small_study), a_small_study, 1, stop_at)
    for file in run.checkpoints.glob("step-*/networks.safetensors"):
        file.write_bytes(b"{")
    with pytest.raises(ModelFileError, match="cannot be read"):
        check_learnt(run)
