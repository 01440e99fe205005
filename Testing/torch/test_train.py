"""The loop, on a small synthetic project and a tiny network, from start to resume."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from SemiSupSegLib.config import Config, DataConfig, NetworkConfig, TrainConfig
from SemiSupSegLib.data.batch import Batch
from SemiSupSegLib.engine import state as state_module
from SemiSupSegLib.engine.checkpoint import load_checkpoint
from SemiSupSegLib.engine.model import Model
from SemiSupSegLib.engine.train import train
from SemiSupSegLib.errors import RunError
from SemiSupSegLib.jobs.events import Event, EventReader
from SemiSupSegLib.jobs.protocol import EventKind
from SemiSupSegLib.jobs.run import Run
from SemiSupSegLib.networks.segmentor import Segmentor
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.synthetic import ORGANS, synthetic_case

REPOSITORY = Path(__file__).parents[2]
STRIDES = ((2, 2, 2), (2, 2, 2))
"""Shallow: instance normalisation of a handful of voxels would blow rounding up to a tenth of the way."""


def optimizer_steps(run: Run) -> set[float]:
    checkpoint = load_checkpoint(run.checkpoints)
    assert checkpoint is not None
    return {float(value) for name, value in checkpoint.optimizers["segmentor"].items() if name.endswith("step")}


@pytest.fixture
def a_project(tmp_path: Path) -> Project:
    """Four cases of four organs: two fully annotated, one partly, one in the hold-out."""
    project = Project.create(tmp_path / "project", label_set=LabelSet.from_names(ORGANS))
    for number in range(4):
        made = synthetic_case(number, size=(36, 30, 24))
        kept = ORGANS if number != 2 else ORGANS[:1]
        labels = made.labels * (made.labels <= len(kept))
        project.add_case(
            f"case_{number}",
            image_from_kji(made.image, made.grid),
            labels=labels[None],
            annotations={name: Annotation(State.COMPLETE) for name in kept},
            modality="MR",
            split="holdout" if number == 3 else "train",
            who="test",
        )
    return project


def a_config(**train: object) -> Config:
    return Config(
        method="smile",
        data=DataConfig(spacing=(8.0, 8.0, 8.0), patch_size=(16, 16, 16)),
        network=NetworkConfig(backbone="dynunet", filters=8, dropout=0.0, strides=STRIDES),
        train=TrainConfig(**{"iterations": 6, "batch_size": 2, "workers": 0, "precision": "float32", **train}),  # type: ignore[arg-type]
    )


def a_run(project: Project, config: Config) -> Run:
    return Run.create(project.runs_folder, config)


def events(run: Run) -> list[Event]:
    return EventReader(run).new()


def kinds(run: Run) -> list[str]:
    return [str(e.kind) for e in events(run) if e.kind not in (EventKind.HEARTBEAT, EventKind.PROGRESS)]


def last_weights(run: Run) -> dict[str, torch.Tensor]:
    checkpoint = load_checkpoint(run.checkpoints)
    assert checkpoint is not None
    return checkpoint.networks["segmentor"]


@pytest.mark.e2e
def test_a_run_from_start_to_promotion(a_project: Project) -> None:
    config = a_config()
    run = a_run(a_project, config)
    outcome = train(run, a_project)
    assert outcome.finished
    assert outcome.promoted == "0001"
    assert kinds(run) == [
        "started",
        "prepared",
        "checkpoint",
        "validated",
        "checkpoint",
        "checkpoint",
        "promoted",
        "finished",
    ]
    assert run.config() == config
    assert sorted(p.name for p in run.folder.iterdir() if p.name != "log.txt") == [
        "checkpoints",
        "config.json",
        "events.jsonl",
        "model",
        "request.json",
    ]
    assert (a_project.models_folder / "0001" / "model.safetensors").is_file()
    assert Model.load(a_project.models_folder / "0001").parts == dict.fromkeys(ORGANS, 1)  # as two cases agree


@pytest.mark.resume
def test_a_stopped_run_goes_on_to_the_same_weights_as_an_uninterrupted_one(
    a_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = a_run(a_project, a_config())
    train(whole, a_project, from_scratch=True, promotes=False)

    halves = a_run(a_project, a_config())
    original = state_module.TrainingState.train_step

    def stop_after_three(self: state_module.TrainingState, *args: object, **kwargs: object) -> dict[str, float]:
        if self.iteration == 2:
            halves.request_stop()
        return original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(state_module.TrainingState, "train_step", stop_after_three)
    assert not train(halves, a_project, from_scratch=True, promotes=False).finished
    assert kinds(halves)[-1] == "stopped"
    monkeypatch.undo()
    halves.clear_stop()
    assert train(halves, a_project, resume=True, promotes=False).finished
    resumed = [e.data["resumed_from"] for e in events(halves) if e.kind == EventKind.STARTED]
    assert resumed == [None, 3]
    for name, weight in last_weights(whole).items():
        assert torch.allclose(weight, last_weights(halves)[name], atol=1e-6), name


def batches_around_a_stop(project: Project, config: Config, monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """What a training of eight steps sees that is stopped after six and goes on."""
    run = a_run(project, config)
    original, seen = state_module.TrainingState.train_step, []

    def watch(self: state_module.TrainingState, batch: Batch, **kwargs: float) -> dict[str, float]:
        seen.append(batch)
        if self.iteration == 5 and len(seen) == 6:
            run.request_stop()
        return original(self, batch, **kwargs)

    monkeypatch.setattr(state_module.TrainingState, "train_step", watch)
    assert not train(run, project, from_scratch=True, promotes=False).finished
    run.clear_stop()
    assert train(run, project, resume=True, promotes=False).finished
    return seen


@pytest.mark.resume
def test_unannotated_cases_come_at_their_share_of_the_budget_also_after_a_resume(
    a_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = synthetic_case(7, size=(36, 30, 24))
    image = image_from_kji(made.image, made.grid)
    a_project.add_case("nobody", image, labels=None, annotations={}, modality="MR", who="test")
    config = a_config(iterations=8)
    config = replace(config, method="mean_teacher", options={"unlabelled_from": 0.5})
    config = replace(config, data=replace(config.data, unlabelled=0.5))
    batches = batches_around_a_stop(a_project, config, monkeypatch)
    assert [int((~batch.annotated.any(dim=1)).sum()) for batch in batches] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_patches_grow_at_their_share_of_the_budget_also_after_a_resume(
    a_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = a_config(iterations=8)
    config = replace(config, data=replace(config.data, first_patch_size=(8, 8, 8), grows_at=0.5))
    batches = batches_around_a_stop(a_project, config, monkeypatch)
    assert [batch.image.shape[-1] for batch in batches] == [8, 8, 8, 8, 16, 16, 16, 16]


@pytest.mark.resume
@pytest.mark.slow
def test_g05_a_killed_training_resumes_from_its_last_checkpoint(
    a_project: Project, distance: Callable[..., float]
) -> None:
    config = a_config(iterations=8, checkpoint_seconds=0.0, optimizer="sgd", learning_rate=0.05)
    whole = a_run(a_project, config)
    train(whole, a_project, from_scratch=True, promotes=False)
    killed = a_run(a_project, config)
    script = f"""
import os, signal
from pathlib import Path
from SemiSupSegLib.engine import state, train
from SemiSupSegLib.jobs.run import Run
from SemiSupSegLib.networks.segmentor import Segmentor
from SemiSupSegLib.project.project import Project
original = state.TrainingState.train_step
def step(self, *args, **kwargs):
    if self.iteration == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, *args, **kwargs)
state.TrainingState.train_step = step
train.train(Run.open(Path({str(killed.folder)!r})), Project.open(Path({str(a_project.root)!r})), from_scratch=True)
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    child = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    checkpoint = load_checkpoint(killed.checkpoints)
    assert checkpoint is not None
    assert checkpoint.step == 5
    assert train(killed, a_project, resume=True, promotes=False).finished
    assert distance(last_weights(whole), last_weights(killed), a_project.label_set, config) < 1e-3


def test_a_round_starts_from_the_model_in_use_unless_told_otherwise(a_project: Project) -> None:
    first = a_run(a_project, a_config())
    train(first, a_project)
    model = Model.load(a_project.models_folder / "0001")
    before = load_checkpoint(first.checkpoints, model.checkpoint)
    warm, cold = a_run(a_project, a_config(iterations=1, learning_rate=1e-12)), a_run(a_project, a_config(iterations=1))
    train(warm, a_project, promotes=False)
    train(cold, a_project, promotes=False, from_scratch=True)

    assert before is not None
    raw = before.networks["segmentor"]
    assert all(torch.allclose(raw[name], weight, atol=1e-5) for name, weight in last_weights(warm).items())
    assert not all(torch.allclose(raw[name], weight, atol=1e-5) for name, weight in last_weights(cold).items())
    assert optimizer_steps(warm) == {model.step + 1}  # a fresh optimizer would begin with large steps
    assert optimizer_steps(cold) == {1}


def test_a_model_whose_run_is_gone_or_that_another_method_goes_on_with_gives_its_weights(a_project: Project) -> None:
    first = a_run(a_project, a_config())
    train(first, a_project)
    other = a_run(a_project, replace(a_config(iterations=1), method="naive"))
    train(other, a_project, promotes=False)
    assert optimizer_steps(other) == {1}
    shutil.rmtree(first.folder)
    same = a_run(a_project, a_config(iterations=1, learning_rate=1e-12))
    train(same, a_project, promotes=False)
    assert optimizer_steps(same) == {1}
    used = Model.load(a_project.models_folder / "0001").weights
    assert all(torch.allclose(used[name], weight, atol=1e-5) for name, weight in last_weights(same).items())


def test_a_model_that_makes_the_hold_out_worse_is_not_promoted(a_project: Project) -> None:
    good = a_run(a_project, a_config(iterations=25, learning_rate=1e-2, atlases=False))
    assert train(good, a_project).promoted == "0001"
    bad = a_run(a_project, a_config(iterations=1, atlases=False))  # atlases may save what has learnt nothing
    assert train(bad, a_project, from_scratch=True).promoted is None
    assert kinds(bad)[-2] == "not_promoted"
    reason = next(e.data["reason"] for e in events(bad) if e.kind == EventKind.NOT_PROMOTED)
    assert "would get worse" in reason


def test_memory_that_runs_out_makes_the_batch_smaller_and_loses_no_step(
    a_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(a_project, a_config())
    original = state_module.TrainingState.train_step

    def step(self: state_module.TrainingState, batch: object, **kwargs: object) -> dict[str, float]:
        if self.iteration == 3 and self.config.train.batch_size > 1:
            raise MemoryError
        return original(self, batch, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(state_module.TrainingState, "train_step", step)
    assert train(run, a_project, promotes=False).finished
    told = next(e.data for e in events(run) if e.kind == EventKind.BACKED_OFF)
    assert told["what"] == "batch of 2 -> 1 patches"
    checkpoint = load_checkpoint(run.checkpoints)
    assert checkpoint is not None
    assert checkpoint.step == 6
    assert Config.from_json(checkpoint.state["config"]).train.batch_size == 1


def nothing(segmentor: Segmentor) -> torch.Tensor:
    """A loss that is no number."""
    return segmentor.head.bias.sum() * torch.nan


def steep(segmentor: Segmentor) -> torch.Tensor:
    """A loss of 0 with a gradient that is no number."""
    return (segmentor.head.bias.sum() * 0).sqrt()


@pytest.mark.parametrize("loss", [nothing, steep])
def test_g19_what_is_not_finite_rolls_back_with_a_lower_rate_and_gives_up_after_three(
    a_project: Project, monkeypatch: pytest.MonkeyPatch, loss: Callable[[Segmentor], torch.Tensor]
) -> None:
    run = a_run(a_project, a_config())
    original = state_module.TrainingState.train_step

    def step(self: state_module.TrainingState, batch: object, **kwargs: object) -> dict[str, float]:
        if self.iteration == 3:
            self.optimize("segmentor", loss(self.segmentor))
        return original(self, batch, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(state_module.TrainingState, "train_step", step)
    with pytest.raises(RunError, match="after 3 roll-backs"):
        train(run, a_project, promotes=False)
    factors = [e.data["learning_rate_factor"] for e in events(run) if e.kind == EventKind.ROLLED_BACK]
    assert factors == [0.5, 0.25, 0.125]
    assert kinds(run)[-1] == "failed"
    assert all(torch.isfinite(w).all() for w in last_weights(run).values())


@pytest.mark.parametrize("clip", [12.0, 0.0])
def test_a_gradient_that_is_not_finite_changes_no_weight(
    a_project: Project, monkeypatch: pytest.MonkeyPatch, clip: float
) -> None:
    original, seen = state_module.TrainingState.train_step, []

    def step(self: state_module.TrainingState, batch: object, **kwargs: object) -> dict[str, float]:
        before = [p.detach().clone() for p in self.segmentor.parameters()]
        with pytest.raises(FloatingPointError, match="the gradient of segmentor is not finite"):
            self.optimize("segmentor", steep(self.segmentor))
        seen.append(all(map(torch.equal, before, self.segmentor.parameters())))
        return original(self, batch, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(state_module.TrainingState, "train_step", step)
    assert train(a_run(a_project, a_config(iterations=2, gradient_clip=clip)), a_project, promotes=False).finished
    assert seen == [True, True]


def test_training_refuses_a_project_without_a_positive_voxel(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "empty", label_set=LabelSet.from_names(ORGANS))
    run = a_run(project, a_config())
    with pytest.raises(RunError, match="no training case has an annotation"):
        train(run, project)
    assert json.loads((run.folder / "events.jsonl").read_text().splitlines()[-1])["kind"] == "failed"


def test_averaged_weights_predict_and_raw_ones_do_without_an_average(a_project: Project) -> None:
    for decay in (0.99, 0.0):
        config = a_config(iterations=2, ema_decay=decay)
        run = a_run(a_project, config)
        train(run, a_project, promotes=False)
        checkpoint = load_checkpoint(run.checkpoints)
        assert checkpoint is not None
        assert ("segmentor@average" in checkpoint.networks) is (decay > 0)


def test_the_loop_learns_the_organs(a_project: Project) -> None:
    config = a_config(iterations=60, learning_rate=1e-2)
    run = a_run(a_project, replace(config, data=replace(config.data, rotation=0, elastic=0)))
    train(run, a_project)
    scores = [e.data["mean"] for e in events(run) if e.kind == EventKind.VALIDATED]
    assert scores[-1] > 0.3
