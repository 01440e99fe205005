"""SMILEr's rounds: what is chosen, what becomes of it, and how a relabelling that was stopped goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from SemiSupSegLib.cli.models import SELECTIONS
from SemiSupSegLib.config import Config, DataConfig, NetworkConfig, TrainConfig
from SemiSupSegLib.data.prepare import prepare, prepare_case
from SemiSupSegLib.data.pseudo import load_pseudo, save_pseudo
from SemiSupSegLib.engine import relabel as relabel_module
from SemiSupSegLib.engine import selection
from SemiSupSegLib.engine.model import Model
from SemiSupSegLib.engine.relabel import Relabelled, Relabelling, relabel, resume_relabelling
from SemiSupSegLib.engine.selection import Ranked, Select, positives, ranking, select_top
from SemiSupSegLib.engine.train import Outcome
from SemiSupSegLib.engine.volume import Statistics
from SemiSupSegLib.errors import ConfigError, RunError
from SemiSupSegLib.jobs.events import EventReader
from SemiSupSegLib.jobs.protocol import EventKind
from SemiSupSegLib.jobs.run import Run
from SemiSupSegLib.jobs.state import runs
from SemiSupSegLib.networks.segmentor import Segmentor
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import image_from_kji
from SemiSupSegLib.project.images import write_volume
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.synthetic import ORGANS, synthetic_case

TWO = LabelSet.from_names(["liver", "spleen"])


def volume(*values: float) -> NDArray[np.float32]:
    """Values along X, (n, 1, 1)."""
    return np.asarray(values, np.float32).reshape(-1, 1, 1)


def chosen_x(mask: NDArray[np.bool_]) -> list[int]:
    return np.flatnonzero(mask).tolist()


# ---- what is chosen


def test_the_top_share_of_the_candidates_by_hand() -> None:
    score, candidates = volume(0.9, 0.6, 0.8, 0.99, 0.7), volume(1, 1, 1, 0, 1).astype(bool)
    assert chosen_x(select_top(score, candidates, 0.5)) == [0, 2]
    assert chosen_x(select_top(score, candidates, 0.51)) == [0, 2, 4]  # rounded up
    assert chosen_x(select_top(score, candidates, 0.01)) == [0]
    assert chosen_x(select_top(score, candidates, 1.0)) == [0, 1, 2, 4]
    assert chosen_x(select_top(score, candidates, 0.0)) == []
    assert not select_top(score, np.zeros_like(candidates), 1.0).any()


def test_ties_are_decided_by_position() -> None:
    candidates = np.ones((4, 1, 1), bool)
    assert chosen_x(select_top(volume(0.5, 0.9, 0.9, 0.9), candidates, 0.5)) == [1, 2]


def test_only_what_is_predicted_likeliest_and_unknown_is_chosen_and_each_label_for_itself() -> None:
    liver, spleen = volume(0.9, 0.8, 0.7, 0.6, 0.4, 0.95), volume(0.1, 0.1, 0.9, 0.1, 0.3, 0.1)
    known = np.zeros((2, 6, 1, 1), bool)
    known[0, 5] = True
    score = np.stack([liver, spleen])
    found = positives(Ranked(score, score), TWO, TWO, known, 0.5)
    assert [chosen_x(mask) for mask in found] == [[0, 1], [2]]  # liver: 2 of 0, 1, 3; spleen: 1 of 2


def test_labels_that_may_overlap_are_chosen_at_the_same_voxel() -> None:
    nested = LabelSet.from_names(["liver", "tumour"], overlaps=[("liver", "tumour")])
    score = np.stack([volume(0.9), volume(0.8)])
    assert positives(Ranked(score, score), nested, nested, np.zeros((2, 1, 1, 1), bool), 1.0).all()


def test_a_label_that_the_model_does_not_know_gets_nothing() -> None:
    score = np.stack([volume(0.9)])
    found = positives(Ranked(score, score), LabelSet.from_names(["spleen"]), TWO, np.zeros((2, 1, 1, 1), bool), 1.0)
    assert found[:, 0, 0, 0].tolist() == [False, True]


def test_the_ranking_decides_who_of_the_candidates_is_chosen_not_who_is_one() -> None:
    score, surety = np.stack([volume(0.9, 0.8, 0.3)]), np.stack([volume(0.1, 0.2, 0.9)])
    liver, known = LabelSet.from_names(["liver"]), np.zeros((1, 3, 1, 1), bool)
    assert chosen_x(positives(Ranked(score, score), liver, liver, known, 0.5)) == [0]
    assert chosen_x(positives(Ranked(score, surety), liver, liver, known, 0.5)) == [1]


def test_uncertainty_ranks_a_voxel_that_another_label_claims_too_below_one_that_none_does(
    a_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    probability = np.zeros((len(ORGANS), 3, 1, 1), np.float16)
    probability[:2, :, 0, 0] = [[0.9, 0.88, 0.8], [0.2, 0.01, 0.01]]

    class Fake:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def run(self, _image: Any, _labels: int, passes: int = 0) -> Statistics:
            asked.append(passes)
            return Statistics(probability, None)

    monkeypatch.setattr(selection, "Inference", Fake)
    found = ranking("uncertainty", a_model, None)(np.zeros((1, 3, 1, 1)))
    assert asked == [8]
    # Bits: H(0.9) + H(0.2) = 1.19, H(0.88) + H(0.01) = 0.61, H(0.8) + H(0.01) = 0.80.
    assert found.surety[0, :, 0, 0] == pytest.approx([-1.19, -0.61, -0.80], abs=0.01)
    assert np.array_equal(found.probability, probability.astype(np.float32))
    assert np.argsort(-ranking("score", a_model, None)(np.zeros((1, 3, 1, 1))).surety[0, :, 0, 0]).tolist() == [0, 1, 2]


def test_the_command_line_offers_every_ranking() -> None:
    assert get_args(Select) == SELECTIONS


# ---- the rounds, with a model that says what the test wants and a training that learns nothing


@pytest.fixture
def a_project(tmp_path: Path) -> Project:
    """Two training cases of different sizes, one without spleen and one without anything, and one in the hold-out."""
    project = Project.create(tmp_path / "project", label_set=LabelSet.from_names(ORGANS))
    for number, kept in enumerate((ORGANS[:3], (), ORGANS)):
        made = synthetic_case(number, size=(30 + 4 * number, 24, 20))
        labels = made.labels * (made.labels <= len(kept))
        project.add_case(
            f"case_{number}",
            image_from_kji(made.image, made.grid),
            labels=labels[None],
            annotations={name: Annotation(State.COMPLETE) for name in kept},
            modality="MR",
            split="holdout" if number == 2 else "train",
            who="test",
        )
    return project


def a_config(dropout: float = 0.2) -> Config:
    return Config(
        data=DataConfig(spacing=(16.0, 16.0, 16.0), patch_size=(8, 8, 8)),
        network=NetworkConfig(filters=8, dropout=dropout, strides=((2, 2, 2), (2, 2, 2))),
        train=TrainConfig(iterations=20, batch_size=2, workers=0, precision="float32", device="cpu", seed=5),
    )


def a_model_of(config: Config) -> Model:
    torch.manual_seed(1)
    weights = Segmentor(config.network, labels=len(ORGANS)).state_dict()
    return Model(config, LabelSet.from_names(ORGANS), weights, "first", "last", 3)


@pytest.fixture
def a_model() -> Model:
    return a_model_of(a_config())


@pytest.fixture
def start(a_project: Project, a_model: Model) -> Path:
    """Folder of m_0."""
    a_model.save(a_project.models_folder / "0001")
    return a_project.models_folder / "0001"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """How each training was started; a run whose number is in the first one's ``stops`` is stopped."""
    told: list[dict[str, Any]] = []

    def train(run: Run, _: Project, *, start: Path, resume: bool = False, promotes: bool = True) -> Outcome:
        told.append({"run": run, "start": start, "resume": resume, "promotes": promotes})
        run.write(EventKind.STARTED, device="cpu")
        if run.stop_requested:
            run.write(EventKind.STOPPED, step=1)
            return Outcome(finished=False)
        shutil.copytree(start, run.folder / "model")
        run.write(EventKind.FINISHED, step=2, seconds=0)
        return Outcome(True, run.folder / "model", "0002" if promotes else None)

    monkeypatch.setattr(relabel_module, "train", train)
    return told


@pytest.fixture
def sees(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.bool_]]:
    """What the model takes for spleen: the voxels at x = t, t + 1, t + 2 in round t, the one at t most surely."""
    asked: list[Any] = []

    def fake(_select: str, _model: Model, _head: Any) -> Callable[[NDArray[Any]], Ranked]:
        asked.append(None)
        first = len(asked)

        def rank(image: NDArray[Any]) -> Ranked:
            score = np.zeros((len(ORGANS), *image.shape[1:]), np.float32)
            for place, value in enumerate((0.9, 0.8, 0.7)):
                score[3, first + place, 0, 0] = value
            return Ranked(score, score)

        return rank

    monkeypatch.setattr(relabel_module, "ranking", fake)
    return asked


def perform(run: Run, work: Callable[[], Outcome]) -> Outcome:
    run.clear_stop()
    return work()


def stopping_in(number: int) -> Callable[[Run, Callable[[], Outcome]], Outcome]:
    """Performs, and asks the run of one round to stop."""
    seen: list[Run] = []

    def stop(run: Run, work: Callable[[], Outcome]) -> Outcome:
        seen.append(run)
        if len(seen) == number:
            run.request_stop()
        return work()

    return stop


def spleen_at_x(project: Project, run: Run, case: str = "case_1") -> list[int]:
    shape = next(c for c in prepare(project, a_config().data) if c.case_id == case).shape
    added = load_pseudo(run.folder / "pseudo", case, (len(ORGANS), *shape))
    assert not added[:3].any()
    return np.flatnonzero(added[3, :, 0, 0]).tolist()


@pytest.mark.usefixtures("sees")
def test_shares_grow_to_gamma_max_and_each_round_starts_from_the_one_before(
    a_project: Project, start: Path, trained: list[dict[str, Any]]
) -> None:
    told: list[Relabelled] = []
    how = Relabelling(rounds=3, gamma_max=0.9)
    outcome = relabel(a_project, a_config(), how, start=start, perform=perform, on_round=told.append)
    assert outcome.promoted == "0002"
    assert [one.gamma for one in told] == pytest.approx([0.3, 0.6, 0.9])
    made = [one["run"] for one in trained]
    assert made == runs(a_project.runs_folder)
    assert [one["start"] for one in trained] == [start, made[0].folder / "model", made[1].folder / "model"]
    assert [one["promotes"] for one in trained] == [False, False, True]
    assert [run.config().train.seed for run in made] == [6, 7, 8]
    assert [run.id.rsplit("_", 1)[1] for run in made] == ["relabel1", "relabel2", "relabel3"]


@pytest.mark.usefixtures("sees")
def test_a_round_that_is_kept_early_ends_the_relabelling_and_the_rounds_after_it_can_follow_later(
    a_project: Project, start: Path, trained: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = relabel_module.train

    def kept(run: Run, project: Project, **said: Any) -> Outcome:
        return replace(fake(run, project, **said), promoted="0002", early=True)

    with monkeypatch.context() as patch:
        patch.setattr(relabel_module, "train", kept)
        outcome = relabel(a_project, a_config(), Relabelling(rounds=3), start=start, perform=perform)
    assert (outcome.early, outcome.promoted, len(trained)) == (True, "0002", 1)
    assert resume_relabelling(a_project, perform=perform).finished
    assert [one["run"].id.rsplit("_", 1)[1] for one in trained] == ["relabel1", "relabel2", "relabel3"]


@pytest.mark.parametrize(("keep_earlier", "at_x"), [(True, [1, 2, 3, 4]), (False, [2, 3, 4])])
@pytest.mark.usefixtures("sees")
def test_a_round_adds_to_the_earlier_choice_or_chooses_anew(
    a_project: Project, start: Path, trained: list[dict[str, Any]], keep_earlier: bool, at_x: list[int]
) -> None:
    told: list[Relabelled] = []
    how = Relabelling(rounds=2, keep_earlier=keep_earlier)
    relabel(a_project, a_config(), how, start=start, perform=perform, on_round=told.append)
    first, second = (one["run"] for one in trained)
    assert spleen_at_x(a_project, first) == [1, 2]  # ceil(3 / 2), the surest
    assert spleen_at_x(a_project, second) == at_x
    said = [e.data for e in EventReader(second).new() if e.kind == EventKind.RELABELLED]
    assert said == [
        {
            "round": 2,
            "rounds": 2,
            "gamma": 1.0,
            "select": "score",
            "added": told[1].added,
            "precision": told[1].precision,
        }
    ]
    assert told[1].added == {**dict.fromkeys(ORGANS[:3], 0), ORGANS[3]: 2 * len(at_x)}  # in each image for itself
    assert set(told[1].precision.values()) == {None}


@pytest.mark.usefixtures("sees", "trained")
def test_what_is_added_is_never_known_never_excludes_others_and_never_enters_the_hold_out(
    a_project: Project, start: Path
) -> None:
    relabel(a_project, a_config(), Relabelling(rounds=1), start=start, perform=perform)
    (run,) = runs(a_project.runs_folder)
    assert sorted(p.name for p in (run.folder / "pseudo").iterdir()) == ["case_0.npz", "case_1.npz"]
    for before, case in zip(prepare(a_project, a_config().data), a_project.train_cases(), strict=True):
        after = prepare_case(a_project, case, a_config().data, pseudo=run.folder / "pseudo")
        assert after.has_pseudo
        assert np.array_equal(after.known(), before.known())
    assert not after.known().any()  # nobody annotated anything in case_1


def references(project: Project, folder: Path) -> Path:
    """Complete labels of the training cases, in which the spleen is wherever x is below the middle."""
    for case in project.train_cases():
        grid = case.grid()
        labels = np.full(grid.shape, 4, np.uint8)
        folder.mkdir(exist_ok=True)
        write_volume(image_from_kji(labels, grid), folder / f"{case.id}.nii.gz")
    return folder


@pytest.mark.usefixtures("sees", "trained")
def test_with_a_reference_the_share_that_is_right_is_told(a_project: Project, start: Path, tmp_path: Path) -> None:
    told: list[Relabelled] = []
    how = Relabelling(rounds=1, reference=references(a_project, tmp_path / "complete"))
    relabel(a_project, a_config(), how, start=start, perform=perform, on_round=told.append)
    assert told[0].precision == {**dict.fromkeys(ORGANS[:3], None), ORGANS[3]: 1.0}


@pytest.mark.usefixtures("trained")
def test_a_reference_that_lacks_a_case_is_refused_before_anything_is_done(
    a_project: Project, start: Path, tmp_path: Path
) -> None:
    folder = references(a_project, tmp_path / "complete")
    (folder / "case_1.nii.gz").unlink()
    with pytest.raises(RunError, match="no labels of case_1"):
        relabel(a_project, a_config(), Relabelling(reference=folder), start=start, perform=perform)
    assert runs(a_project.runs_folder) == []


def test_uncertainty_without_dropout_is_refused(a_project: Project) -> None:
    config = a_config(dropout=0.0)
    a_model_of(config).save(a_project.models_folder / "0001")
    with pytest.raises(ConfigError, match="needs dropout"):
        relabel(
            a_project,
            config,
            Relabelling(select="uncertainty"),
            start=a_project.models_folder / "0001",
            perform=perform,
        )


@pytest.mark.usefixtures("trained")
def test_confidence_trains_a_head_within_the_rounds_budget_and_keeps_it_beside_what_it_chose(
    a_project: Project, start: Path
) -> None:
    relabel(a_project, a_config(), Relabelling(rounds=2, select="confidence"), start=start, perform=perform)
    for run in runs(a_project.runs_folder):
        assert run.config().train.iterations == 18  # and 2 for the head
        assert (run.folder / "confidence" / "confidence.safetensors").is_file()
        doing = [e.data["doing"] for e in EventReader(run).new() if e.kind == EventKind.HEARTBEAT]
        assert doing[0] == "learning which answers of the model to trust"
        assert doing[-1] == "relabelling case 2 of 2"


# ---- stopped and taken up again


@pytest.mark.resume
@pytest.mark.usefixtures("sees")
@pytest.mark.parametrize("select", ["score", "confidence"])
def test_a_relabelling_that_was_stopped_goes_on_with_all_rounds_that_remain(
    a_project: Project, start: Path, trained: list[dict[str, Any]], select: Select
) -> None:
    how = Relabelling(rounds=3, keep_earlier=False, select=select)
    assert not relabel(a_project, a_config(), how, start=start, perform=stopping_in(2)).finished
    assert len(trained) == 1  # it was stopped while it relabelled
    stopped = runs(a_project.runs_folder)[-1]
    assert [e.kind for e in EventReader(stopped).new()][-1] == EventKind.STOPPED
    assert not (stopped.folder / "pseudo").exists()

    told: list[Relabelled] = []
    outcome = resume_relabelling(a_project, perform=perform, on_round=told.append)
    assert outcome.promoted == "0002"
    assert [one.round for one in told] == [2, 3]
    assert [one["resume"] for one in trained] == [False, True, False]
    assert trained[1]["run"] == stopped
    assert trained[1]["start"] == trained[0]["run"].folder / "model"
    assert [one["run"].config().train.seed for one in trained] == [6, 7, 8]
    assert {one["run"].config().train.iterations for one in trained} == {20 if select == "score" else 18}
    with pytest.raises(RunError, match="is finished"):
        resume_relabelling(a_project, perform=perform)


@pytest.mark.resume
@pytest.mark.usefixtures("sees")
def test_a_round_that_was_stopped_while_training_is_not_relabelled_again(
    a_project: Project, start: Path, trained: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = relabel_module.train

    def stopped(run: Run, project: Project, **how: Any) -> Outcome:
        run.request_stop()
        return original(run, project, **how)

    monkeypatch.setattr(relabel_module, "train", stopped)
    assert not relabel(a_project, a_config(), Relabelling(rounds=1), start=start, perform=perform).finished
    monkeypatch.setattr(relabel_module, "train", original)
    told: list[Relabelled] = []
    assert resume_relabelling(a_project, perform=perform, on_round=told.append).finished
    assert told == []
    assert [(one["resume"], one["start"]) for one in trained] == [(False, start), (True, start)]


@pytest.mark.resume
@pytest.mark.usefixtures("sees")
def test_a_round_that_another_command_finished_is_followed_by_the_next(
    a_project: Project, start: Path, trained: list[dict[str, Any]]
) -> None:
    def killed(_: Run, work: Callable[[], Outcome]) -> Outcome:
        work()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        relabel(a_project, a_config(), Relabelling(rounds=2), start=start, perform=killed)
    assert resume_relabelling(a_project, perform=perform).finished
    assert [one["promotes"] for one in trained] == [False, True]
    assert spleen_at_x(a_project, trained[1]["run"]) == [1, 2, 3, 4]


@pytest.mark.resume
@pytest.mark.usefixtures("sees", "trained")
def test_what_cannot_be_taken_up_is_said(a_project: Project, start: Path) -> None:
    with pytest.raises(RunError, match="no relabelling to go on with"):
        resume_relabelling(a_project, perform=perform)
    relabel(a_project, a_config(), Relabelling(rounds=1), start=start, perform=perform)
    (run,) = runs(a_project.runs_folder)
    (run.folder / "relabelling.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RunError, match=r"relabelling\.json cannot be read"):
        resume_relabelling(a_project, perform=perform)


@pytest.mark.usefixtures("trained")
def test_with_gamma_1_every_batch_holds_what_people_know_to_be_absent(a_project: Project, start: Path) -> None:
    """Slots without a drawn label come from annotated cases, where what is annotated is absent elsewhere."""
    from SemiSupSegLib.data.loader import loader
    from SemiSupSegLib.data.source import PatchSource

    relabel(a_project, a_config(), Relabelling(rounds=1), start=start, perform=perform)
    (run,) = runs(a_project.runs_folder)
    save_pseudo(run.folder / "pseudo", a_project.case("case_1"), _everywhere(a_project))
    cases = prepare(a_project, a_config().data, pseudo=run.folder / "pseudo")
    source = PatchSource(cases, a_project.label_set, a_config().data, seed=1, batch_size=4)
    batches = [batch for batch, _ in zip(loader(source, workers=0), range(25), strict=False)]
    with_negatives = [bool((batch.known & ~batch.target).any()) for batch in batches]
    assert all(with_negatives)


def _everywhere(project: Project) -> NDArray[np.bool_]:
    shape = next(c for c in prepare(project, a_config().data) if c.case_id == "case_1").shape
    return np.ones((len(ORGANS), *shape), bool)
