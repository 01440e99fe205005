"""The loader: the same batches from any number of workers and processes, measured waiting, errors in one sentence."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from SemiSupSegLib.config import DataConfig
from SemiSupSegLib.data import distance
from SemiSupSegLib.data.batch import Batch
from SemiSupSegLib.data.cache import StoredArray
from SemiSupSegLib.data.distance import crop_distance, crop_distances, with_distance
from SemiSupSegLib.data.loader import _tell, loader
from SemiSupSegLib.data.prepare import prepare, prepare_holdout
from SemiSupSegLib.data.prepared import PreparedCase
from SemiSupSegLib.data.source import PatchSource
from SemiSupSegLib.errors import RunError
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

LABELS = LabelSet.from_names(["liver"])
REPOSITORY = Path(__file__).parents[2]


def case_of(number: int, folder: Path | None = None, state: State = State.COMPLETE) -> PreparedCase:
    """A case of 14 x 12 x 10 voxels; its image in a file when a folder is given."""
    random = np.random.default_rng(number)
    labels = (random.random((1, 14, 12, 10)) < 0.1).astype(np.uint8)
    image = random.normal(size=(1, 14, 12, 10)).astype(np.float16)
    case = PreparedCase.of_arrays(f"case {number}", image, labels, LABELS, [Annotation(state)])
    if folder is not None:
        np.save(folder / f"{number}.npy", image)
        case.arrays["image"] = StoredArray(folder / f"{number}.npy")  # type: ignore[index]
    return case


@pytest.fixture
def a_source() -> Callable[..., PatchSource]:
    """Makes a source over three cases, in memory or in a folder."""

    def make(folder: Path | None = None, **kwargs: Any) -> PatchSource:
        cases = [case_of(n, folder) for n in range(3)]
        config = DataConfig(**{"patch_size": (8, 8, 4), **kwargs.pop("data", {})})
        return PatchSource(cases, LABELS, config, **{"seed": 5, "batch_size": 4, **kwargs})

    return make


def same(a: Batch, b: Batch) -> bool:
    return a.case_ids == b.case_ids and torch.equal(a.image, b.image) and torch.equal(a.labels, b.labels)


def first(count: int, source: PatchSource, **kwargs: Any) -> list[Batch]:
    with loader(source, workers=0, **kwargs) as batches:
        return list(islice(batches, count))


# A machine of one core is told that two workers are many; that is no fault of ours.
TWO_WORKERS = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


@TWO_WORKERS
def test_workers_change_nothing_and_end_with_the_loader(a_source: Callable[..., PatchSource]) -> None:
    expected = first(6, a_source())
    before = set(psutil.Process().children(recursive=True))
    state = torch.get_rng_state()
    with loader(a_source(), workers=2) as batches:
        found = list(islice(batches, 6))
        assert len(set(psutil.Process().children(recursive=True)) - before) >= 2
    assert [same(a, b) for a, b in zip(found, expected, strict=True)] == [True] * 6
    assert torch.equal(torch.get_rng_state(), state)  # the run's own random numbers are left alone
    left = [p for p in set(psutil.Process().children(recursive=True)) - before if "spawn_main" in " ".join(p.cmdline())]
    assert left == []
    batches.close()  # twice does nothing


@TWO_WORKERS
@pytest.mark.parametrize("settings", [{"distance": "crop", "augmentation": "uamt"}, {"distance": "volume"}])
def test_workers_change_no_distance(a_source: Callable[..., PatchSource], settings: dict[str, Any]) -> None:
    sources = [a_source(data=settings), a_source(data=settings)]
    for source in sources:
        if settings["distance"] == "volume":
            source.cases = [with_distance(case, tau=5) for case in source.cases]
    expected = first(3, sources[0])
    with loader(sources[1], workers=2) as batches:
        for one, other in zip(islice(batches, 3), expected, strict=True):
            assert same(one, other)
            assert one.sdm is not None
            assert torch.equal(one.sdm, other.sdm)


def test_the_papers_distance_is_that_of_the_labels_of_each_patch(a_source: Callable[..., PatchSource]) -> None:
    source = a_source(data={"distance": "crop"})
    for i in range(6):
        patch = source[i]
        assert patch.sdm is not None
        assert np.array_equal(patch.sdm[0].numpy(), crop_distance(patch.labels[0].numpy() == 1))


def test_the_papers_distance_of_a_crop_without_the_label_is_0_and_of_an_unknown_label_nothing() -> None:
    label_set = LabelSet.from_names(["liver", "spleen", "kidney"])
    labels = np.zeros((1, 6, 5, 4), np.uint8)
    labels[0, 2:4, 2:4, 2:4] = 1
    maps = crop_distances(labels, label_set, np.array([True, True, False]))
    assert np.array_equal(maps[0], crop_distance(labels[0] == 1))
    assert (maps[1] == 0).all()
    assert (maps[2] == 1).all()


def test_distances_of_whole_cases_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs, a second preparation, and the hold-out: not a single transform more."""
    project = Project.create(tmp_path / "p", label_set=LABELS)
    labels = np.zeros((1, 10, 12, 14), np.uint8)
    labels[0, 4:7, 5:8, 6:9] = 1
    image = image_from_kji(np.arange(labels.size, dtype=np.float32).reshape(10, 12, 14), Grid((14, 12, 10), (1, 1, 1)))
    complete = {"liver": Annotation(State.COMPLETE)}
    for k, (name, split) in enumerate((("a", "train"), ("b", "train"), ("held", "holdout"))):
        labels[0, 0, 0, k] = 1  # the same labels would share their maps
        project.add_case(name, image, labels=labels, annotations=complete, modality="MR", split=split, who="me")
    project.add_case("nobody", image, labels=None, annotations={}, modality="MR", who="me")
    calls: list[int] = []
    original = distance.signed_distance
    monkeypatch.setattr(distance, "signed_distance", lambda *args: calls.append(1) or original(*args))
    config = DataConfig(spacing=(1, 1, 1), patch_size=(8, 8, 4), distance="volume", distance_mm=6)
    cases = prepare(project, config)
    assert len(calls) == 2
    source = PatchSource(cases, LABELS, replace(config, unlabelled=0.5), seed=1, batch_size=4)
    for batch in first(4, source):
        assert batch.sdm is not None
        sure = batch.annotated[:, 0]
        assert ((batch.sdm[:, 0] < 0) <= batch.target[:, 0])[sure].all()
    prepare(project, config)
    prepare_holdout(project, config)
    assert len(calls) == 2
    assert all(case.distance is None for case in prepare_holdout(project, config))
    assert [case.distance is not None for case in cases] == [True, True, False]
    kept = cases[0].arrays["distance"]
    assert isinstance(kept, StoredArray)
    assert kept.open().dtype == np.float16
    assert isinstance(kept.open(), np.memmap)
    prepare(project, replace(config, distance_mm=7))
    assert len(calls) == 4


@pytest.fixture
def a_mixed_source() -> PatchSource:
    """Half of each batch of four comes from the case without any annotation."""
    config = DataConfig(patch_size=(8, 8, 4), unlabelled=0.5)
    return PatchSource([case_of(1), case_of(2, state=State.UNKNOWN)], LABELS, config, seed=5, batch_size=4)


def bare(batch: Batch) -> int:
    """Patches of a case without any annotation."""
    return int((~batch.annotated.any(dim=1)).sum())


@pytest.mark.parametrize("workers", [0, 1])
def test_unannotated_cases_come_when_the_training_asks_for_them(a_mixed_source: PatchSource, workers: int) -> None:
    with loader(a_mixed_source, mixed_from=None, workers=workers) as batches:
        before = [bare(batch) for batch in islice(batches, 5)]
        begin = batches.mix(5)
        after = [bare(batch) for batch in islice(batches, 8)]
    assert before == [0] * 5
    assert after == [0] * (begin - 5) + [2] * (13 - begin)  # what the workers had begun stays as it was


def test_a_resume_has_them_from_the_same_iteration(a_mixed_source: PatchSource) -> None:
    assert [bare(batch) for batch in first(4, a_mixed_source, first_iteration=5, mixed_from=7)] == [0, 0, 2, 2]
    assert [bare(batch) for batch in first(2, a_mixed_source)] == [2, 2]


def size(batch: Batch) -> tuple[int, ...]:
    return tuple(batch.image.shape[2:])


@pytest.mark.parametrize("workers", [0, 1])
def test_patches_grow_when_the_training_says_so(a_source: Callable[..., PatchSource], workers: int) -> None:
    with loader(a_source(data={"first_patch_size": (4, 4, 4)}), grown_from=None, workers=workers) as batches:
        before = [size(batch) for batch in islice(batches, 3)]
        begin = batches.grow(3)
        after = [size(batch) for batch in islice(batches, 8)]
    assert before == [(4, 4, 4)] * 3
    assert after == [(4, 4, 4)] * (begin - 3) + [(8, 8, 4)] * (11 - begin)  # what the workers had begun stays as it was


def test_a_resume_has_small_and_large_patches_in_the_same_iterations(a_source: Callable[..., PatchSource]) -> None:
    source = a_source(data={"first_patch_size": (4, 4, 4)})
    found = first(4, source, first_iteration=5, grown_from=7)
    assert [size(batch) for batch in found] == [(4, 4, 4)] * 2 + [(8, 8, 4)] * 2
    assert same(found[2], first(8, source)[7])


def test_a_small_patch_has_distances_and_marks_of_its_size(a_source: Callable[..., PatchSource]) -> None:
    source = a_source(data={"first_patch_size": (4, 4, 4), "distance": "crop"})
    patch = source.patch(3, grown=False)
    assert patch.sdm is not None
    assert patch.labels.shape[1:] == patch.sdm.shape[1:] == (4, 4, 4)


def test_processes_share_each_batch(a_source: Callable[..., PatchSource]) -> None:
    whole = first(3, a_source())
    parts = [first(3, a_source(), rank=rank, processes=3) for rank in range(3)]
    for iteration, batch in enumerate(whole):
        for rank in range(3):
            assert same(parts[rank][iteration], batch.select(torch.arange(rank, 4, 3)))


def test_a_resume_goes_on_where_it_was(a_source: Callable[..., PatchSource]) -> None:
    whole, rest = first(5, a_source()), first(2, a_source(), first_iteration=3)
    assert [same(a, b) for a, b in zip(whole[3:], rest, strict=True)] == [True, True]


def test_another_seed_gives_other_batches(a_source: Callable[..., PatchSource]) -> None:
    assert not same(first(1, a_source())[0], first(1, a_source(seed=6))[0])


def test_waiting_is_measured_from_the_second_batch_on(a_source: Callable[..., PatchSource]) -> None:
    batches = loader(a_source(), workers=0)
    next(batches)
    assert batches.waiting_seconds == 0
    assert batches.first_seconds > 0
    next(batches)
    assert batches.waiting_seconds > 0


def test_fewer_patches_than_processes_are_refused(a_source: Callable[..., PatchSource]) -> None:
    with pytest.raises(RunError, match="5 processes cannot share a batch of 4 patches"):
        loader(a_source(), processes=5)
    with pytest.raises(ValueError, match="batches of 4 patches, not 2"):
        loader(a_source(), batch_size=2)


@pytest.mark.robustness
@pytest.mark.parametrize("workers", [0, 1])
def test_a_deleted_cache_ends_the_run_in_one_sentence(
    a_source: Callable[..., PatchSource], tmp_path: Path, workers: int
) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    with loader(a_source(folder), workers=workers) as batches:
        next(batches)
        shutil.rmtree(folder)
        with pytest.raises(RunError) as error:
            list(islice(batches, 20))  # some were made before
    assert "start again" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.robustness
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_dead_worker_ends_the_run_in_one_sentence(a_source: Callable[..., PatchSource]) -> None:
    before = set(psutil.Process().children(recursive=True))
    handler = signal.getsignal(signal.SIGCHLD)
    with loader(a_source(), workers=1) as batches:
        next(batches)
        assert signal.getsignal(signal.SIGCHLD) == handler  # nothing may interrupt a training step
        for process in set(psutil.Process().children(recursive=True)) - before:
            if "spawn_main" in " ".join(process.cmdline()):
                process.kill()
        with pytest.raises(RunError) as error:
            list(islice(batches, 20))  # some were made before
    assert "ended unexpectedly" in str(error.value)
    assert "resume" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("lost", [BrokenPipeError(), ConnectionResetError(), EOFError(), None])
def test_a_worker_tells_errors_but_not_that_the_training_process_is_gone(
    lost: Exception | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a worker's thread says when Ctrl-C comes just while it hands a tensor over; None: any other error."""
    error = lost or ValueError("a fault of ours")
    _tell(type(error), error, None)
    assert capsys.readouterr().err == ("" if lost else "ValueError: a fault of ours\n")


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what was started in the background ignores Ctrl-C
sys.path.insert(0, "Testing/torch")
from test_loader import DataConfig, LABELS, PatchSource, case_of, loader

if __name__ == "__main__":
    source = PatchSource([case_of(n) for n in range(3)], LABELS, DataConfig(patch_size=(8, 8, 4)), seed=1, batch_size=2)
    try:
        with loader(source, workers=1) as batches:
            print("starting", flush=True)
            for n, _ in enumerate(batches):
                if n == 2:
                    print("training", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.slow
@pytest.mark.robustness
@pytest.mark.skipif(os.name == "nt", reason="process groups")
@pytest.mark.parametrize("moment", ["starting", "training"])
def test_ctrl_c_prints_no_traceback_of_a_worker(tmp_path: Path, moment: str) -> None:
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script)], cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    while (said := process.stdout.readline().strip()) != moment:
        assert said, "the script ended early"
    try:
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert "interrupted" in out
    assert err == ""
    assert process.returncode == 0
