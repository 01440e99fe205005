"""A checkpoint appears whole or not at all, and restores what it saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from SemiSupSegLib.engine import checkpoint as module
from SemiSupSegLib.engine.checkpoint import (
    Checkpoint,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from SemiSupSegLib.errors import ModelFileError


def a_checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step, {"segmentor": {"w": torch.full((2,), float(step))}}, {"segmentor": {}}, {"elapsed": 1.5})


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, a_checkpoint(7))
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.step == 7
    assert loaded.state == {"elapsed": 1.5}
    assert loaded.networks["segmentor"]["w"].tolist() == [7.0, 7.0]


def test_there_is_none_before_the_first(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None


def test_last_and_best_are_kept_while_older_ones_go(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, a_checkpoint(1), names=("last", "best"))
    for step in range(2, 7):
        save_checkpoint(tmp_path, a_checkpoint(step))
    assert {p.name for p in tmp_path.glob("step-*")} == {"step-0000001", "step-0000005", "step-0000006"}
    best, last = load_checkpoint(tmp_path, "best"), load_checkpoint(tmp_path)
    assert best is not None
    assert last is not None
    assert (best.step, last.step) == (1, 6)


@pytest.mark.resume
@pytest.mark.parametrize("fails_at", ["networks.safetensors", "optimizers.safetensors", "state.json", "last.json"])
def test_g05_an_interrupted_save_leaves_the_checkpoint_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    save_checkpoint(tmp_path, a_checkpoint(1))

    def save_file(*args: object, **kwargs: object) -> None:
        if Path(str(args[1])).name == fails_at:
            raise OSError
        original_save(*args, **kwargs)  # type: ignore[arg-type]

    def write_json(path: Path, data: object) -> None:
        if path.name == fails_at:
            raise OSError
        original_json(path, data)

    original_save, original_json = module.save_file, module.atomic.write_json
    monkeypatch.setattr(module, "save_file", save_file)
    monkeypatch.setattr(module.atomic, "write_json", write_json)
    with pytest.raises(OSError):  # noqa: PT011  any
        save_checkpoint(tmp_path, a_checkpoint(2))
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.step == 1


def test_saving_the_same_step_twice_never_removes_what_last_points_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, a_checkpoint(3))
    monkeypatch.setattr(module, "_save_tensors", lambda *_: (_ for _ in ()).throw(OSError()))
    with pytest.raises(OSError):  # noqa: PT011  any
        save_checkpoint(tmp_path, a_checkpoint(3))
    assert load_checkpoint(tmp_path) is not None


@pytest.mark.security
def test_a_damaged_checkpoint_is_refused_in_a_sentence(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path, a_checkpoint(3))
    (folder / "networks.safetensors").write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(ModelFileError, match="step-0000003 cannot be read"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_an_optimizer_goes_on_exactly_where_it_was(kind: str) -> None:
    def an_optimizer(parameter: torch.nn.Parameter) -> torch.optim.Optimizer:
        if kind == "sgd":
            return torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
        return torch.optim.AdamW([parameter], lr=0.1)

    def step(parameter: torch.nn.Parameter, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        (parameter**2).sum().backward()
        optimizer.step()

    first = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = an_optimizer(first)
    for _ in range(3):
        step(first, optimizer)
    second = torch.nn.Parameter(first.detach().clone())
    resumed = an_optimizer(second)
    restore_optimizer(resumed, optimizer_tensors(optimizer))
    step(first, optimizer)
    step(second, resumed)
    assert torch.equal(first, second)
