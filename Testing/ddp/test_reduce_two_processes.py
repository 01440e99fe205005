"""Two processes over gloo give the loss and the gradient of one process that has all the patches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch import distributed as dist
from torch import multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from SemiSupSegLib.losses.consistency import masked_squared_difference
from SemiSupSegLib.losses.masked import added_positives, marginal_cross_entropy, masked_bce, masked_dice
from SemiSupSegLib.losses.nonadjacency import non_adjacency, relative_non_adjacency, soft_adjacency
from SemiSupSegLib.losses.sdm import masked_sdm_mse
from SemiSupSegLib.losses.weighted import batch_dice, weighted_cross_entropy, with_background

FORBIDDEN = torch.zeros(3, 3, dtype=torch.bool)
FORBIDDEN[1, 2] = FORBIDDEN[2, 1] = True

LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "bce": lambda z, target, known: masked_bce(z[:, 1:], target, known),
    "dice": lambda z, target, known: masked_dice(z[:, 1:].sigmoid(), target, known),
    "marginal": marginal_cross_entropy,
    "added": lambda z, target, known: added_positives(F.logsigmoid(z[:, 1:]), target & ~known, known[:, :1]),
    "consistency": lambda z, target, known: masked_squared_difference(z[:, 1:].sigmoid(), target.double(), known),
    "distances": lambda z, target, known: masked_sdm_mse(z[:, 1:].tanh(), target.double(), known),
    "non-adjacency": lambda z, _, known: non_adjacency(soft_adjacency(z.softmax(1), known[:, :1]), FORBIDDEN),
    "relative non-adjacency": lambda z, _, known: relative_non_adjacency(
        soft_adjacency(z.sigmoid(), known[:, :1]), FORBIDDEN
    ),
    "weighted": lambda z, target, known: weighted_cross_entropy(z, target, known, torch.tensor([4.0, 1.0, 0.5])),
    "batch dice": lambda z, target, known: batch_dice(z.softmax(1), *with_background(target, known)),
}
ARRANGEMENTS = {
    "uneven": lambda known: known,
    "all labels on one process": lambda known: known & (torch.arange(4) >= 2).view(4, 1, 1, 1, 1),
    "one label on each process": lambda known: known
    & torch.tensor([[True, False], [True, False], [False, True], [False, True]]).view(4, 2, 1, 1, 1),
    "nothing known": torch.zeros_like,
}


def four_patches(arrangement: str) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(5)
    image = torch.randn(4, 1, 4, 4, 4, generator=draw, dtype=torch.float64)
    label = torch.randint(0, 3, (4, 4, 4, 4), generator=draw)
    target = torch.stack([label == 1, label == 2], dim=1)
    share = torch.tensor([0.02, 0.3, 0.9, 1.0]).view(4, 1, 1, 1, 1)
    known = torch.rand(4, 2, 4, 4, 4, generator=draw) < share
    return image, target, ARRANGEMENTS[arrangement](known)


def a_network() -> nn.Module:
    torch.manual_seed(2)
    return nn.Conv3d(1, 3, 3, padding=1).double()


def train(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", 2)  # a file, not a port: no socket to collide with
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=60))
    results = {}
    for arrangement in ARRANGEMENTS:
        image, target, known = (x[2 * rank : 2 * rank + 2] for x in four_patches(arrangement))
        for name, loss in LOSSES.items():
            network = DistributedDataParallel(a_network())
            value = loss(network(image), target, known)
            value.backward()
            mean = value.detach().clone()
            dist.all_reduce(mean)
            results[f"{arrangement}, {name}, value"] = mean / 2
            results |= {f"{arrangement}, {name}, {n}": p.grad.clone() for n, p in network.module.named_parameters()}
    save_file(results, f"{folder}/{rank}.safetensors")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    folder: Path = tmp_path_factory.mktemp("processes")
    mp.spawn(train, (str(folder),), nprocs=2)
    return [load_file(folder / f"{rank}.safetensors") for rank in range(2)]


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
@pytest.mark.parametrize("name", LOSSES)
def test_two_processes_equal_one(two_processes: list[dict], arrangement: str, name: str) -> None:
    image, target, known = four_patches(arrangement)
    network = a_network()
    value = LOSSES[name](network(image), target, known)
    value.backward()
    for results in two_processes:
        assert torch.allclose(results[f"{arrangement}, {name}, value"], value, rtol=1e-10, atol=1e-12)
        for part, parameter in network.named_parameters():
            assert torch.allclose(results[f"{arrangement}, {name}, {part}"], parameter.grad, rtol=1e-9, atol=1e-12)
