"""ReferenceBank: embeddings of annotated voxels of the last batches, by class, with which others are compared."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributed as dist

from ..losses.class_map import UNKNOWN
from ..losses.embedding import match

__all__ = ["ReferenceBank"]


class ReferenceBank:
    """For each class the references of the last batches in which it was; older ones make place, first in, first out.

    A class that is rare keeps its references for longer, so that it does not get lost; they may then be of an older
    teacher, to which voxels of today are less alike. All processes hold the same bank. Of fixed size, so that it can
    be saved: :meth:`state`.

    Args:
        problems: P, each with a bank of its own (see ``losses.embedding``).
        classes: C of each.
        features: F.
        batches: how many of them are remembered of each class.
        per_batch: R, references of a class in one batch.
    """

    def __init__(self, problems: int, classes: int, features: int, *, batches: int, per_batch: int) -> None:
        self.embedding = torch.zeros(problems, classes, batches, per_batch, features)
        self.there = torch.zeros(problems, classes, batches, per_batch, dtype=torch.bool)
        self.next = torch.zeros(problems, classes, dtype=torch.int64)
        """Which batch of a class is replaced next."""

    def add(self, embedding: Tensor, there: Tensor) -> None:
        """Remember the references of one batch of all processes; each of them must call this.

        Args:
            embedding: (P, C, R, F) of length 1.
            there: (P, C, R) bool: which of them are; a class that has none keeps what it had.
        """
        self._to(embedding.device)
        embedding, there = _of_all_processes(embedding.to(self.embedding.dtype), there)
        problem, label = there.any(dim=2).nonzero(as_tuple=True)
        slot = self.next[problem, label]
        self.embedding[problem, label, slot] = embedding[problem, label]
        self.there[problem, label, slot] = there[problem, label]
        self.next[problem, label] = (slot + 1) % self.there.shape[2]

    def match(self, problem: int, embedding: Tensor, *, neighbours: int, similarity: float, margin: float) -> Tensor:
        """(N,) int16 classes of embeddings (N, F), -1 where nothing matches: see ``losses.embedding.match``."""
        if not self.there[problem].any():
            return torch.full((len(embedding),), UNKNOWN, dtype=torch.int16, device=embedding.device)
        self._to(embedding.device)
        references, there = self.embedding[problem].flatten(1, 2), self.there[problem].flatten(1)
        return match(embedding, references, there, neighbours=neighbours, similarity=similarity, margin=margin)

    def state(self) -> dict[str, Tensor]:
        """What :meth:`from_state` needs, copied to the CPU; always of the same sizes."""
        tensors = {"embedding": self.embedding, "there": self.there, "next": self.next}
        return {name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> ReferenceBank:
        """The bank that gave this state."""
        problems, classes, batches, per_batch, features = state["embedding"].shape
        bank = cls(problems, classes, features, batches=batches, per_batch=per_batch)
        bank.embedding, bank.there, bank.next = (state[name].clone() for name in ("embedding", "there", "next"))
        return bank

    def _to(self, device: torch.device) -> None:
        self.embedding, self.there, self.next = (x.to(device) for x in (self.embedding, self.there, self.next))


def _of_all_processes(embedding: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """As many references as one process gave, taken in turn from those that have any; the same in every process."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return embedding, there
    processes, count = dist.get_world_size(), there.shape[2]
    embeddings = [torch.empty_like(embedding, memory_format=torch.contiguous_format) for _ in range(processes)]
    found = [torch.empty_like(there, dtype=torch.uint8) for _ in range(processes)]
    dist.all_gather(embeddings, embedding.contiguous())
    dist.all_gather(found, there.to(torch.uint8))
    all_embeddings = torch.stack(embeddings, dim=3).flatten(2, 3)  # first of each process, second of each, ...
    all_there = torch.stack(found, dim=3).flatten(2, 3).bool()
    order = (~all_there).to(torch.uint8).argsort(dim=2, stable=True)[..., :count]
    chosen = order[..., None].expand(*order.shape, embedding.shape[3])
    return all_embeddings.gather(2, chosen), all_there.gather(2, order)
