"""The verb relabel, with real trainings of a few steps on a few coarse volumes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from SemiSupSegLib.cli.main import main
from SemiSupSegLib.config import Config, DataConfig, NetworkConfig, TrainConfig
from SemiSupSegLib.data.loader import loader
from SemiSupSegLib.engine import loop as loop_module
from SemiSupSegLib.engine import relabel as relabel_module
from SemiSupSegLib.engine.model import Model
from SemiSupSegLib.engine.train import Outcome
from SemiSupSegLib.jobs.protocol import EventKind, RunState
from SemiSupSegLib.jobs.run import Run
from SemiSupSegLib.jobs.state import run_state, runs
from SemiSupSegLib.networks.segmentor import Segmentor
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import image_from_kji
from SemiSupSegLib.project.images import write_volume
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.models import add_promoted
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.synthetic import ORGANS, synthetic_case

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def complete_labels(tmp_path: Path) -> Path:
    """Folder of the reference."""
    folder = tmp_path / "complete"
    folder.mkdir()
    return folder


@pytest.fixture
def a_project(tmp_path: Path, complete_labels: Path) -> Project:
    """One case with two of four organs annotated, one with none, and a model that sees organs everywhere."""
    label_set = LabelSet.from_names(ORGANS)
    project = Project.create(tmp_path / "study", label_set=label_set)
    for number, kept in enumerate((ORGANS[:2], ())):
        made = synthetic_case(number, size=(30, 24, 20))
        project.add_case(
            f"case_{number}",
            image_from_kji(made.image, made.grid),
            labels=(made.labels * (made.labels <= len(kept)))[None],
            annotations={name: Annotation(State.COMPLETE) for name in kept},
            modality="MR",
            split="train",
            who="test",
        )
        write_volume(image_from_kji(made.labels, made.grid), complete_labels / f"case_{number}.nii.gz")
    network = NetworkConfig(filters=8, strides=((2, 2, 2), (2, 2, 2)))
    torch.manual_seed(1)
    weights = Segmentor(network, labels=len(ORGANS)).state_dict()
    weights["head.bias"] = torch.full((len(ORGANS),), 1.0)
    data = DataConfig(spacing=(16.0, 16.0, 16.0), patch_size=(8, 8, 8))
    config = Config(data=data, network=network, train=TrainConfig(iterations=1, precision="float32", device="cpu"))
    Model(config, label_set, weights, "first", "last", 1).save(project.models_folder / "0001")
    add_promoted(project.models_folder, "0001")
    return project


@pytest.fixture
def say(a_project: Project, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Runs relabel on the project, batches made in this process: exit code, standard output, standard error."""

    def in_this_process(source: Any, **how: Any) -> Any:
        return loader(source, **{**how, "workers": 0})

    monkeypatch.setattr(loop_module, "loader", in_this_process)

    def call(*words: str) -> tuple[int, str, str]:
        code = main(["relabel", str(a_project.root), "--device", "cpu", "--preset", "quick", *words])
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.mark.parametrize("select", ["score", "uncertainty", "confidence"])
def test_two_rounds_add_voxels_tell_how_many_are_right_and_end_with_a_model_in_use(
    say: Say, a_project: Project, complete_labels: Path, select: str
) -> None:
    words = ("--rounds", "2", "--iterations", "2", "--select", select, "--reference", str(complete_labels), "--json")
    code, out, err = say(*words)
    assert code == 0, err
    said = json.loads(out)
    assert (said["finished"], said["promoted"]) == (True, "0002")
    assert [(one["round"], one["gamma"], one["select"]) for one in said["rounds"]] == [
        (1, 0.5, select),
        (2, 1.0, select),
    ]
    for name in ORGANS:
        added = [one["added"][name] for one in said["rounds"]]
        assert added[0] <= added[1]  # nothing that was added goes away
        shares = [one["precision"][name] for one, count in zip(said["rounds"], added, strict=True) if count]
        assert all(0 <= share <= 1 for share in shares)
    assert sum(said["rounds"][0]["added"].values()) > 0
    assert [run_state(run)[0] for run in runs(a_project.runs_folder)] == [RunState.FINISHED] * 2
    assert "round 1: added voxels of" in err


def test_without_a_model_the_first_one_is_trained_and_people_are_told_each_round(say: Say, a_project: Project) -> None:
    code, out, err = say("--rounds", "1", "--iterations", "2", "--from-scratch", "--spacing", "10")
    assert code == 0, err
    assert "round 1 of 1, gamma 1.00: added voxels: synthetic liver" in out
    assert "is in use" in out
    assert [run.id.split("_", 2)[2] for run in runs(a_project.runs_folder)] == ["smile", "smile_relabel1"]


def test_a_stopped_relabelling_is_taken_up_with_its_settings(
    say: Say, a_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(run: Run, *_: Any, **__: Any) -> Outcome:
        run.write(EventKind.STOPPED, step=0)
        return Outcome(finished=False)

    with monkeypatch.context() as patched:
        patched.setattr(relabel_module, "train", stopped)
        code, out, _ = say("--rounds", "2", "--iterations", "2", "--recompute")
    assert code == 0
    assert f"stopped: `semisupseg relabel {a_project.root} --resume` goes on" in out

    code, out, err = say("--resume", "--json")
    assert code == 0, err
    said = json.loads(out)
    assert [one["round"] for one in said["rounds"]] == [2]
    assert said["finished"]
    assert [run_state(run)[0] for run in runs(a_project.runs_folder)] == [RunState.FINISHED] * 2
    code, _, err = say("--resume")
    assert code == 1
    assert "the last relabelling of this project is finished" in err


def test_a_wrong_way_to_select_is_explained(say: Say, a_project: Project) -> None:
    code, _, err = say("--select", "magic")
    assert code == 2
    assert "invalid choice: 'magic'" in err
    assert runs(a_project.runs_folder) == []
