"""Batches made ahead of the training step by worker processes, and a measure of how long the step waits for them."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from types import TracebackType

import torch
from torch.utils.data import DataLoader, Dataset

from ..errors import RunError, SemiSupSegError
from .batch import Batch
from .patch import Patch, collate
from .source import PatchSource

__all__ = ["Batches", "loader"]

AHEAD = 3
"""Batches that each worker makes ahead."""
DRAIN_SECONDS = 10.0
"""Longest wait for batches that were begun when the loader is closed."""
FEEDER_SECONDS = 1.0
"""Longest wait for the thread that feeds a worker, once it was told to end."""


class Batches(Iterator[Batch]):
    """The batches of one process, without end, from a given iteration on. Close it: that ends the workers."""

    waiting_seconds: float
    """Time spent in ``next`` so far, but for the first batch."""
    first_seconds: float
    """Time that the first batch took, the start of the workers included."""

    def __init__(
        self,
        source: PatchSource,
        *,
        first_iteration: int,
        mixed_from: int | None,
        grown_from: int | None,
        rank: int,
        processes: int,
        workers: int,
    ) -> None:
        self.waiting_seconds = self.first_seconds = 0.0
        self._begun, self._by_workers = False, workers > 0
        self._order = order = _Order(
            source.batch_size, first_iteration, mixed_from, grown_from, range(rank, source.batch_size, processes)
        )
        self._ahead = AHEAD * max(workers, 0)
        if workers < 1:
            patches = (collate([source.patch(i, mixed=mixed, grown=grown) for i, mixed, grown in one]) for one in order)
            self._batches: Iterator[Batch | SemiSupSegError] = patches
            return
        batches: DataLoader[Patch | SemiSupSegError] = DataLoader(
            _ErrorsAsValues(source),
            batch_sampler=order,
            num_workers=workers,
            collate_fn=_collate,
            worker_init_fn=_begin_worker,
            prefetch_factor=AHEAD,
            multiprocessing_context=multiprocessing.get_context("spawn"),  # a fork would copy running threads' locks
            generator=torch.Generator().manual_seed(0),  # leaves the run's random numbers alone
        )
        with _signals_left_alone():
            self._batches = iter(batches)

    def __iter__(self) -> Batches:
        return self

    def mix(self, iteration: int) -> int:
        """From now on batches have their share of unannotated cases; the first iteration whose batch has.

        Args:
            iteration: of the next batch. What the workers may have begun by then stays as it is, so that all processes
                of a training change in the same iteration.
        """
        self._order.mixed_from = iteration + self._ahead
        return self._order.mixed_from

    def grow(self, iteration: int) -> int:
        """From now on patches have their full size; the first iteration whose patches have, as of :meth:`mix`."""
        self._order.grown_from = iteration + self._ahead
        return self._order.grown_from

    def __next__(self) -> Batch:
        """The next batch.

        Raises:
            RunError: a worker process ended, or the prepared volumes are gone.
        """
        begin = time.perf_counter()
        try:
            batch = next(self._batches)
        except (RuntimeError, EOFError, ConnectionError, FileNotFoundError) as error:
            # The last three: it died while it handed a tensor over.
            said = "DataLoader worker" in str(error) and "exited unexpectedly" in str(error)
            if not self._by_workers or (isinstance(error, RuntimeError) and not said):
                raise
            msg = (
                "a process that loads data ended unexpectedly (most often because memory ran out): resume goes on from "
                "the last checkpoint; fewer loader processes (train.workers) need less memory"
            )
            raise RunError(msg) from error
        finally:
            took = time.perf_counter() - begin
            if self._begun:
                self.waiting_seconds += took
            else:
                self.first_seconds, self._begun = took, True
        if isinstance(batch, SemiSupSegError):
            raise batch
        return batch

    def close(self) -> None:
        """End the workers; the iterator is of no use afterwards. Closing twice does nothing.

        What was begun is made and thrown away first, some tenths of a second: a worker that is ended while it hands a
        tensor over aborts with a message of the C++ library. Where Ctrl-C came just as a batch was handed over, torch
        waits for that batch for ever, so the wait is bounded.
        """
        self._order.ended = True
        drain = threading.Thread(target=_drain, args=(self._batches,), daemon=True)
        drain.start()
        drain.join(DRAIN_SECONDS)
        # torch has no public names for these. The threads that fed the workers hold the last of some semaphores: ended
        # with the process, they would leave them half removed, of which Python warns.
        shut_down = getattr(self._batches, "_shutdown_workers", None)
        feeders = [getattr(queue, "_thread", None) for queue in getattr(self._batches, "_index_queues", ())]
        if shut_down is not None:
            shut_down()
        for feeder in feeders:
            if feeder is not None:
                feeder.join(FEEDER_SECONDS)
        self._batches = iter(())

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def loader(
    source: PatchSource,
    *,
    first_iteration: int = 0,
    mixed_from: int | None = 0,
    grown_from: int | None = 0,
    batch_size: int | None = None,
    rank: int = 0,
    processes: int = 1,
    workers: int = 1,
) -> Batches:
    """The batches of one training process.

    Args:
        source: the run's patches; its ``batch_size`` counts.
        first_iteration: where to begin: a resume begins where the checkpoint was.
        mixed_from: iteration from which batches have their share of unannotated cases; None: not before
            :meth:`Batches.mix`.
        grown_from: iteration from which patches have their full size; None: not before :meth:`Batches.grow`.
        batch_size: when given, must be the source's.
        rank: of this training process; it takes slots ``rank::processes`` of each iteration's batch.
        processes: number of training processes.
        workers: loader processes; 0 makes batches when they are asked for, in this process.

    Raises:
        ValueError: ``batch_size`` is not the source's.
        RunError: there are fewer patches in a batch than processes.
    """
    if batch_size not in (None, source.batch_size):
        msg = f"the source makes batches of {source.batch_size} patches, not {batch_size}"
        raise ValueError(msg)
    if source.batch_size < processes:
        msg = f"{processes} processes cannot share a batch of {source.batch_size} patches: raise train.batch_size"
        raise RunError(msg)
    return Batches(
        source,
        first_iteration=first_iteration,
        mixed_from=mixed_from,
        grown_from=grown_from,
        rank=rank,
        processes=processes,
        workers=workers,
    )


class _Order:
    """The patch numbers of each of a process's batches, each with whether its batch has unannotated cases, and whether
    its patches have their full size."""

    def __init__(
        self, batch_size: int, first_iteration: int, mixed_from: int | None, grown_from: int | None, slots: range
    ) -> None:
        self.batch_size, self.first_iteration, self.slots = batch_size, first_iteration, slots
        self.mixed_from, self.grown_from = mixed_from, grown_from
        self.ended = False

    def __iter__(self) -> Iterator[list[tuple[int, bool, bool]]]:
        for iteration in count(self.first_iteration):
            if self.ended:
                return
            mixed, grown = (since is not None and iteration >= since for since in (self.mixed_from, self.grown_from))
            yield [(iteration * self.batch_size + slot, mixed, grown) for slot in self.slots]


class _ErrorsAsValues(Dataset["Patch | SemiSupSegError"]):
    """Hands an error for the user on as a value: raised in a worker it would arrive with the worker's traceback in
    its text."""

    def __init__(self, source: PatchSource) -> None:
        self.source = source

    def __getitem__(self, which: tuple[int, bool, bool]) -> Patch | SemiSupSegError:
        index, mixed, grown = which
        try:
            return self.source.patch(index, mixed=mixed, grown=grown)
        except SemiSupSegError as error:
            return error


def _collate(patches: Sequence[Patch | SemiSupSegError]) -> Batch | SemiSupSegError:
    good = [patch for patch in patches if isinstance(patch, Patch)]
    return next((p for p in patches if isinstance(p, SemiSupSegError)), None) or collate(good)


def _drain(batches: Iterator[object]) -> None:
    with suppress(Exception):  # a dead worker has nothing to hand over, and nobody wants these batches
        for _ in batches:
            pass


def _begin_worker(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the training process's to handle; it ends the workers
    sys.excepthook = _tell
    torch.set_num_threads(1)


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """``sys.excepthook`` of a worker: the thread that hands tensors over has lost a training process that was
    interrupted just then, which is nothing to tell."""
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


@contextmanager
def _signals_left_alone() -> Iterator[None]:
    """Workers started in here ignore Ctrl-C from their first instruction, and torch's handler for dead children goes.

    That handler would raise in the middle of a training step; ``next`` notices a dead worker by itself within seconds.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    child = getattr(signal, "SIGCHLD", None)
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, child) if number is not None}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in kept.items():
            if handler is not None:
                signal.signal(number, handler)
