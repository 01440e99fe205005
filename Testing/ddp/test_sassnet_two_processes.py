"""Two processes over gloo take the steps of SASSNet's two players that one process with all the patches takes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch import distributed as dist
from torch import multiprocessing as mp
from torch.func import functional_call
from torch.nn.parallel import DistributedDataParallel

from SemiSupSegLib.config import NetworkConfig
from SemiSupSegLib.data.batch import Batch
from SemiSupSegLib.methods.sassnet import Sassnet
from SemiSupSegLib.networks.segmentor import Segmentor
from SemiSupSegLib.project.labels import LabelSet

LABELS = LabelSet.from_names(["left", "right"])
ROWS = {"uneven": (1, 1, 1, 0), "kinds apart": (1, 1, 0, 0), "all labelled": (1, 1, 1, 1)}
"""Which of four images are labelled; each process has two of them."""
SIZE = (8, 8, 8)


class PlainDistributed(DistributedDataParallel):
    """As Fabric's wrapper, hands out what the network has."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)


class PlainStep:
    """Gradient descent on bare or on distributed networks."""

    def __init__(self, method: Sassnet) -> None:
        self.raw = {name: net.double() for name, net in method.networks().items()}
        self.raw["discriminator"].dropout.p = 0.0  # what is drawn is each process's own
        many = dist.is_initialized()
        self.networks: dict[str, nn.Module] = {n: PlainDistributed(x) if many else x for n, x in self.raw.items()}
        self.averages: dict[str, nn.Module] = {}
        self.iteration, self.progress = 0, 0.9

    def optimize(self, network: str, loss: Tensor) -> None:
        self.networks[network].zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in self.networks[network].parameters():
                parameter -= 0.1 * parameter.grad

    def frozen(self, network: str) -> Callable[..., Any]:
        net = self.raw[network]
        fixed = {name: parameter.detach() for name, parameter in net.named_parameters()}
        return lambda *args: functional_call(net, fixed, args)


def a_batch(annotated: tuple[int, ...]) -> Batch:
    draw = torch.Generator().manual_seed(3)
    said = torch.tensor(annotated, dtype=torch.bool)[:, None].expand(-1, 2)
    return Batch(
        image=torch.randn(4, 1, *SIZE, generator=draw, dtype=torch.float64),
        labels=torch.randint(0, 3, (4, 1, *SIZE), generator=draw).byte(),
        annotated=said,
        everywhere=said,
        region=None,
        valid=torch.rand(4, 1, *SIZE, generator=draw) < torch.tensor([0.1, 0.4, 0.9, 1.0]).view(4, 1, 1, 1, 1),
        pseudo=None,
        label_set=LABELS,
        case_ids=("a", "b", "c", "d"),
        sdm=2 * torch.rand(4, 2, *SIZE, generator=draw, dtype=torch.float64) - 1,
    )


def weights_after(batch: Batch) -> dict[str, Tensor]:
    torch.manual_seed(0)
    network = NetworkConfig(backbone="dynunet", filters=8, dropout=0.0, strides=((2, 2, 2), (2, 2, 2)))
    method = Sassnet({"discriminator_filters": 4, "adversarial_weight": 1.0}, LABELS, network)
    step = PlainStep(method)
    for _ in range(2):
        method.training_step(batch, step)
    assert isinstance(step.raw["segmentor"], Segmentor)
    return {f"{name}.{part}": p.detach() for name, net in step.raw.items() for part, p in net.named_parameters()}


def train(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=60))
    results = {}
    for rows, annotated in ROWS.items():
        own = a_batch(annotated).select(torch.arange(2 * rank, 2 * rank + 2))
        results |= {f"{rows}: {name}": value.clone() for name, value in weights_after(own).items()}
    save_file(results, f"{folder}/{rank}.safetensors")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    mp.spawn(train, (str(tmp_path),), nprocs=2)
    two = [load_file(tmp_path / f"{rank}.safetensors") for rank in range(2)]
    for rows, annotated in ROWS.items():
        for name, value in weights_after(a_batch(annotated)).items():
            for results in two:
                assert torch.allclose(results[f"{rows}: {name}"], value, rtol=1e-7, atol=1e-9), (rows, name)
