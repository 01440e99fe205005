"""The probe: what it may choose, and that what it chose is what networks then do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import FrozenInstanceError

import pytest
import torch

from SemiSupSegLib.config import Config, NetworkConfig, TrainConfig
from SemiSupSegLib.engine import probe as module
from SemiSupSegLib.engine.probe import Probe, autocast, available_threads, prepare_network, probe
from SemiSupSegLib.networks.segmentor import Segmentor

BF16, EXACT, CONTIGUOUS = ("bfloat16", True), ("float32", True), ("float32", False)


def a_config(precision: str = "auto") -> Config:
    train = TrainConfig(iterations=1, precision=precision)  # type: ignore[arg-type]
    return Config(network=NetworkConfig(backbone="vnet", filters=8), train=train)


@pytest.fixture(autouse=True)
def _nothing_probed() -> Iterator[None]:
    threads = torch.get_num_threads()
    module._probed.cache_clear()
    yield
    module._probed.cache_clear()
    torch.set_num_threads(threads)


def measured(monkeypatch: pytest.MonkeyPatch, times: dict[tuple[str, bool], float]) -> None:
    monkeypatch.setattr(module, "_measure", lambda filters, candidates: {c: times[c] for c in candidates})  # noqa: ARG005


def test_a_real_probe_chooses_by_what_it_measured() -> None:
    state = torch.get_rng_state()
    found = probe(a_config(), "cpu")
    assert found.device == "cpu"
    assert "ms" in found.reason
    assert found.threads >= 1
    assert found.channels_last or found.precision == "float32"
    assert torch.equal(torch.get_rng_state(), state)  # what is drawn later does not depend on the machine
    with pytest.raises(FrozenInstanceError):
        found.threads = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({BF16: 1.0, EXACT: 3.0, CONTIGUOUS: 2.0}, BF16),
        ({BF16: 1.0, EXACT: 1.1, CONTIGUOUS: 2.0}, EXACT),  # not worth the rounding
        ({BF16: 9.0, EXACT: 3.0, CONTIGUOUS: 2.0}, CONTIGUOUS),
    ],
)
def test_the_fastest_wins_and_bfloat16_only_when_clearly(
    monkeypatch: pytest.MonkeyPatch, times: dict[tuple[str, bool], float], expected: tuple[str, bool]
) -> None:
    measured(monkeypatch, times)
    found = probe(a_config(), torch.device("cpu"))
    assert (found.precision, found.channels_last) == expected


def test_a_precision_that_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, {BF16: 9.0, EXACT: 2.0, CONTIGUOUS: 3.0})
    low = probe(a_config("bfloat16"), "cpu")
    assert (low.precision, low.channels_last) == BF16
    assert "asked for" in low.reason
    exact = probe(a_config("float32"), "cpu")
    assert (exact.precision, exact.channels_last) == CONTIGUOUS  # exact, and the same every time


def test_it_measures_once_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, {BF16: 1.0, EXACT: 2.0, CONTIGUOUS: 3.0})
    first = probe(a_config(), "cpu")
    measured(monkeypatch, {BF16: 3.0, EXACT: 2.0, CONTIGUOUS: 1.0})
    assert probe(a_config(), "cpu") == first


def test_it_stops_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, bool]] = []

    def step(block: object, image: object, candidate: tuple[str, bool]) -> float:  # noqa: ARG001
        calls.append(candidate)
        return 1.0

    monkeypatch.setattr(module, "SECONDS", 0.0)
    monkeypatch.setattr(module, "_step", step)
    times = module._measure(8, [BF16, EXACT, CONTIGUOUS])
    assert calls == [BF16, EXACT, CONTIGUOUS]
    assert set(times) == {BF16, EXACT, CONTIGUOUS}


@pytest.mark.parametrize("choice", [BF16, EXACT, CONTIGUOUS])
def test_networks_do_what_was_found(choice: tuple[str, bool]) -> None:
    precision, channels_last = choice
    found = Probe("cpu", precision, channels_last, 1, "")  # type: ignore[arg-type]
    segmentor = Segmentor(NetworkConfig(backbone="vnet", filters=8), labels=2)
    prepared = prepare_network(segmentor, found)
    assert prepared is segmentor
    with autocast(found):
        features = segmentor.features(torch.randn(1, 1, 16, 16, 16))
    assert features.dtype == (torch.bfloat16 if precision == "bfloat16" else torch.float32)
    assert segmentor.backbone.downs[0][0].weight.is_contiguous(memory_format=torch.channels_last_3d) == channels_last
    if precision == "bfloat16":  # torch computes a small float32 convolution of one patch in one thread contiguously
        assert features.is_contiguous(memory_format=torch.channels_last_3d)
    assert all(parameter.dtype == torch.float32 for parameter in segmentor.parameters())
    assert torch.get_num_threads() == 1


def test_threads_are_no_more_than_the_processors_allowed() -> None:
    assert 1 <= available_threads() <= torch.get_num_threads()
    if hasattr(os, "sched_setaffinity"):
        allowed = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, {min(allowed)})
            assert available_threads() == 1
        finally:
            os.sched_setaffinity(0, allowed)


@pytest.mark.gpu
def test_a_gpu_computes_in_bfloat16_where_it_can() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    found = probe(a_config(), "cuda")
    assert (found.precision == "bfloat16") == torch.cuda.is_bf16_supported()
    segmentor = prepare_network(Segmentor(NetworkConfig(backbone="vnet", filters=8), labels=2), found).cuda()
    with autocast(found):
        logits = segmentor(torch.randn(1, 1, 16, 16, 16, device="cuda")).logits
    logits.float().mean().backward()
