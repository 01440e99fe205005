"""The bank of references: what it remembers, for how long, and that it can be saved."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from SemiSupSegLib.methods.reference_bank import ReferenceBank


def a_bank(problems: int = 1, classes: int = 2) -> ReferenceBank:
    return ReferenceBank(problems, classes, 4, batches=3, per_batch=2)


def a_batch(number: float, classes: tuple[int, ...] = (0, 1), problems: int = 1) -> tuple[Tensor, Tensor]:
    """References whose first feature is the batch's number."""
    there = torch.zeros(problems, 2, 2, dtype=torch.bool)
    there[:, list(classes)] = True
    return torch.full((problems, 2, 2, 4), number) * there[..., None], there


def held(bank: ReferenceBank, label: int, problem: int = 0) -> list[float]:
    return sorted(bank.embedding[problem, label][bank.there[problem, label]][:, 0].tolist())


def test_it_remembers_the_last_batches() -> None:
    bank = a_bank()
    for number in range(1, 6):
        bank.add(*a_batch(number))
    assert held(bank, 0) == held(bank, 1) == [3, 3, 4, 4, 5, 5]


def test_a_class_keeps_the_last_batches_in_which_it_was() -> None:
    bank = a_bank()
    bank.add(*a_batch(1))
    for number in range(2, 7):
        bank.add(*a_batch(number, classes=(0,)))
    assert held(bank, 1) == [1, 1]
    assert held(bank, 0) == [4, 4, 5, 5, 6, 6]


def test_a_batch_without_references_changes_nothing() -> None:
    bank = a_bank()
    bank.add(*a_batch(1))
    before = bank.state()
    bank.add(*a_batch(2, classes=()))
    assert all(torch.equal(bank.state()[name], tensor) for name, tensor in before.items())


def test_fewer_references_than_room_are_held_as_fewer() -> None:
    bank = a_bank()
    embedding, there = a_batch(1)
    there[0, 1, 1] = False
    bank.add(embedding, there)
    assert held(bank, 1) == [1]


def test_problems_do_not_mix() -> None:
    bank = a_bank(problems=2)
    embedding, there = a_batch(1, problems=2)
    there[1] = False
    bank.add(embedding, there)
    assert held(bank, 0, problem=0) == [1, 1]
    assert held(bank, 0, problem=1) == []


def test_an_empty_bank_matches_nothing_and_a_full_one_what_is_alike() -> None:
    bank = a_bank()
    votes = {"neighbours": 2, "similarity": 0.7, "margin": 0.6}
    voxels = torch.eye(2, 4)
    assert bank.match(0, voxels, **votes).tolist() == [-1, -1]
    bank.add(torch.eye(2, 4).view(1, 2, 1, 4).expand(1, 2, 2, 4), torch.ones(1, 2, 2, dtype=torch.bool))
    assert bank.match(0, voxels, **votes).tolist() == [0, 1]


def test_it_goes_on_from_its_state_as_if_nothing_had_happened() -> None:
    bank = a_bank()
    for number in range(1, 5):
        bank.add(*a_batch(number))
    other = ReferenceBank.from_state(bank.state())
    for number in range(5, 8):
        bank.add(*a_batch(number))
        other.add(*a_batch(number))
    assert all(torch.equal(other.state()[name], tensor) for name, tensor in bank.state().items())


def test_its_state_is_a_copy_and_always_of_the_same_size() -> None:
    bank = a_bank()
    before = bank.state()
    bank.add(*a_batch(1))
    assert not before["there"].any()
    assert {n: t.shape for n, t in before.items()} == {n: t.shape for n, t in bank.state().items()}


def test_processes_contribute_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes, of which the second one alone has the second class."""
    from SemiSupSegLib.methods import reference_bank

    mine, theirs = a_batch(1, classes=(0,)), a_batch(2)

    def all_gather(gathered: list[Tensor], own: Tensor) -> None:
        gathered[0].copy_(own)
        gathered[1].copy_(theirs[0] if own.ndim == 4 else theirs[1])

    monkeypatch.setattr(reference_bank.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(reference_bank.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(reference_bank.dist, "all_gather", all_gather)
    bank = a_bank()
    bank.add(*mine)
    assert held(bank, 0) == [1, 2]
    assert held(bank, 1) == [2, 2]
