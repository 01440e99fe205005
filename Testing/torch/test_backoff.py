"""What is given up when memory runs out, in which order."""

from __future__ import annotations

import pytest

from SemiSupSegLib.config import Config, DataConfig, TrainConfig
from SemiSupSegLib.engine.backoff import is_out_of_memory, smaller


def test_first_the_batch_then_the_patch_then_the_gpu() -> None:
    config = Config(train=TrainConfig(minutes=1, batch_size=4), data=DataConfig(patch_size=(64, 64, 32)))
    said = []
    device = "cuda"
    while (step := smaller(config, device=device, multiple=(16, 16, 16))) is not None:
        config, words = step
        said.append(words)
        device = "cpu" if config.train.device == "cpu" else device
    assert said == [
        "batch of 4 -> 2 patches",
        "batch of 2 -> 1 patches",
        "patch of (64, 64, 32) -> (32, 64, 32) voxels",
        "patch of (32, 64, 32) -> (32, 32, 32) voxels",
        "GPU -> CPU",
    ]


def test_a_patch_that_became_smaller_has_no_smaller_one_before_it() -> None:
    data = DataConfig(patch_size=(64, 64, 32), first_patch_size=(64, 32, 32))
    step = smaller(Config(train=TrainConfig(minutes=1, batch_size=1), data=data), device="cpu", multiple=(16, 16, 16))
    assert step is not None
    assert step[0].data.patch_size == (32, 64, 32)
    assert step[0].data.first_patch_size is None


def test_a_batch_keeps_a_patch_for_every_process() -> None:
    config = Config(train=TrainConfig(minutes=1, batch_size=2), data=DataConfig(patch_size=(32, 32, 32)))
    assert smaller(config, device="cpu", multiple=(16, 16, 16), processes=2) is None


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 5 bytes"), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error: Exception, answer: bool) -> None:
    assert is_out_of_memory(error) is answer
