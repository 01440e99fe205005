"""A preview: what a training would propose, read from its folder while it goes on."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from SemiSupSegLib.cli.main import main
from SemiSupSegLib.config import Config, DataConfig, NetworkConfig, TrainConfig
from SemiSupSegLib.engine import state as state_module
from SemiSupSegLib.engine.preview import preview_inference, preview_model
from SemiSupSegLib.engine.probe import available_threads
from SemiSupSegLib.engine.train import train
from SemiSupSegLib.errors import ModelFileError, ProjectError, RunError
from SemiSupSegLib.jobs.process_tree import ProcessIdentity
from SemiSupSegLib.jobs.protocol import RunState
from SemiSupSegLib.jobs.run import Run
from SemiSupSegLib.jobs.state import run_state
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.candidates import candidates
from SemiSupSegLib.project.geometry import image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.proposals import accept
from SemiSupSegLib.project.synthetic import ORGANS, synthetic_case


@pytest.fixture(scope="module")
def a_finished_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two cases, one annotated; its one run was stopped after the second step."""
    project = Project.create(tmp_path_factory.mktemp("preview") / "study", label_set=LabelSet.from_names(ORGANS))
    for number in range(2):
        made = synthetic_case(number, size=(36, 30, 24))
        project.add_case(
            f"case_{number}",
            image_from_kji(made.image, made.grid),
            labels=None if number else made.labels[None],
            annotations={} if number else {name: Annotation(State.COMPLETE) for name in ORGANS},
            modality="MR",
            who="test",
        )
    config = Config(
        data=DataConfig(spacing=(8.0, 8.0, 8.0), patch_size=(16, 16, 16)),
        network=NetworkConfig(backbone="dynunet", filters=8, dropout=0.0, strides=((2, 2, 2), (2, 2, 2))),
        train=TrainConfig(iterations=6, batch_size=2, workers=0, precision="float32"),
    )
    run = Run.create(project.runs_folder, config)
    original = state_module.TrainingState.train_step

    def stopping(self: state_module.TrainingState, *said: object, **more: object) -> dict[str, float]:
        if self.iteration == 1:
            run.request_stop()
        return original(self, *said, **more)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state_module.TrainingState, "train_step", stopping)
        assert not train(run, project).finished
    return project


@pytest.fixture
def study(a_finished_project: Project, tmp_path: Path) -> Project:
    """A copy, so that no test changes what another one sees."""
    shutil.copytree(a_finished_project.root, tmp_path / "study")
    return Project.open(tmp_path / "study")


@pytest.fixture
def run(study: Project) -> Run:
    """The run of the project."""
    (folder,) = study.runs_folder.iterdir()
    return Run.open(folder)


@pytest.fixture
def say(study: Project, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a verb on the project: exit code, standard output, standard error."""

    def call(verb: str, *words: str) -> tuple[int, str, str]:
        code = main([verb, str(study.root), *words])
        out, err = capfd.readouterr()
        return code, out, err

    return call


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_case_is_previewed_by_its_verb_and_the_run_stays_as_it_was(study: Project, run: Run, say) -> None:
    before = content(run.folder)
    code, out, err = say("predict", "--case", "case_1", "--run", run.id, "--passes", "0", "--all-parts", "--json")
    assert code == 0, err
    name = f"preview of run {run.id} at step 2"
    assert json.loads(out)["model"] == name
    assert content(run.folder) == before
    said = json.loads((study.predictions_folder / "case_1" / "prediction.json").read_text())
    assert (said["model"], said["run"], said["checkpoint"], said["preview"]) == (name, run.id, "step 2", True)
    (found, *_) = candidates(study)
    assert found.reason.startswith(f"{name}, not the model in use; ")
    with pytest.raises(ProjectError, match="not of the model in use"):
        accept(study, "case_1", found.label, who="ann")
    assert "next: semisupseg accept" not in say("review")[1]
    assert json.loads(say("status", "--json")[1])["cases"][1]["proposed"] == []
    reference = study.root.parent / "reference"
    reference.mkdir()
    shutil.copy(study.case("case_0").folder / str(study.case("case_0").labels_file), reference / "case_1.seg.nrrd")
    code, _, err = say("evaluate", "--reference", str(reference))
    assert (code, err) == (
        1, "semisupseg evaluate: nothing is predicted in this project yet: run `semisupseg predict` first\n"
    )  # fmt: skip


def test_before_the_first_step_there_is_nothing_to_preview(study: Project, run: Run, say) -> None:
    for pointed in run.checkpoints.glob("step-*/state.json"):
        pointed.write_text(json.dumps({**json.loads(pointed.read_text()), "step": 0}))  # random weights
    with pytest.raises(RunError, match="no checkpoint yet: the first comes after about a minute"):
        preview_model(run, study.label_set)
    (run.checkpoints / "last.json").unlink()
    code, _, err = say("predict", "--case", "case_1", "--run", run.id)
    assert code == 1
    assert err.endswith(f"run {run.id} has no checkpoint yet: the first comes after about a minute of training\n")
    assert not study.predictions_folder.exists() or not list(study.predictions_folder.iterdir())


def test_labels_of_a_preview_are_those_of_the_training_whatever_was_added_since(run: Run) -> None:
    more = LabelSet.from_names(("thymus", *ORGANS))
    model = preview_model(run, more)
    assert model.label_set.names == ORGANS
    model.segmentor()
    with pytest.raises(ModelFileError, match=f"predicts {ORGANS[0]}, which this project does not have"):
        preview_model(run, LabelSet.from_names(ORGANS[1:]))


def test_beside_a_training_a_preview_leaves_it_the_gpu_and_half_of_the_processors(
    study: Project, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = preview_model(run, study.label_set)
    threads, before = max(available_threads() // 2, 1), torch.get_num_threads()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    beside = preview_inference(model, beside_training=True)
    assert (beside.device, beside.probed.device, beside.probed.threads) == ("cpu", "cpu", threads)
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--run", "x"), "name them with --case"),
        (("--run", "x", "--case", "case_1", "--model", "0001"), "without --model or --images"),
        (("--run", "x", "--images", "i", "--output", "o"), "name them with --case"),
    ],
)
def test_a_preview_is_of_named_cases(say, words: tuple[str, ...], expected: str) -> None:
    code, _, err = say("predict", *words)
    assert code == 2
    assert expected in err


def test_a_run_that_is_not_there_is_said_with_a_similar_one(run: Run, say) -> None:
    code, _, err = say("predict", "--case", "case_1", "--run", run.id + "x")
    assert (code, err) == (1, f"semisupseg predict: no run '{run.id}x' in this project: did you mean {run.id}?\n")


# ---- stop --keep-best, of a run on which no process works


def test_a_stopped_run_is_kept_by_its_verb(study: Project, run: Run, say) -> None:
    code, out, _ = say("stop", "--keep-best")
    assert code == 0
    said = "finished early, after 2 steps; model 0001 is in use now: there is no hold-out"
    assert out.startswith(f"run {run.id}: {said}")
    assert run_state(run)[0] is RunState.FINISHED
    assert (study.models_folder / "0001" / "model.safetensors").is_file()
    code, _, err = say("stop", "--keep-best")
    assert (code, err) == (
        1, f"semisupseg stop: run {run.id} is finished: what it learnt is a model already, and was judged at its end\n"
    )  # fmt: skip
    assert "is finished" in say("resume")[2]


def test_a_run_that_crashed_is_kept_and_told_as_json(run: Run, say) -> None:
    events = run.folder / "events.jsonl"
    kept = [line for line in events.read_text().splitlines(keepends=True) if '"stopped"' not in line]
    events.write_text("".join(kept))
    ProcessIdentity(2**22 - 1, created=1.0, host=platform.node()).save(run.folder)
    assert run_state(run)[0] is RunState.CRASHED
    code, out, err = say("stop", run.id, "--keep-best", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["state"], found["words"], found["model"]) == ("finished", "finished early, after 2 steps", "0001")
    assert found["verdict"].startswith("there is no hold-out to compare on")


def test_a_run_without_a_checkpoint_is_refused_and_can_still_be_resumed(run: Run, say) -> None:
    (run.checkpoints / "last.json").unlink()
    code, _, err = say("stop", "--keep-best")
    assert (code, err) == (
        1, f"semisupseg stop: run {run.id} ended before its first checkpoint, so there is nothing to keep\n"
    )  # fmt: skip
    assert run_state(run)[0] is RunState.STOPPED
