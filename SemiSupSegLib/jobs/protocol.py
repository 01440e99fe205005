"""Every word that the process of a run and its watchers share. A front end of one version reads runs of another."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "CHECKPOINTS", "CONFIG_FILE", "EVENTS_FILE", "FORMAT_VERSION", "HEARTBEAT_SECONDS", "KEEP_BEST", "LOG_FILE",
    "PROCESS_FILE", "STOP_FILE", "TERMINAL", "EventKind", "RunState",
]  # fmt: skip

FORMAT_VERSION = 1
CONFIG_FILE = "config.json"
EVENTS_FILE = "events.jsonl"
LOG_FILE = "log.txt"
STOP_FILE = "stop"
"""Asks the run to end: empty to go on later, or what :data:`KEEP_BEST` says."""
KEEP_BEST = {"keep": "best"}
"""Content of the stop file when what was learnt is to become a model and the run is to be finished."""
PROCESS_FILE = "process.json"
"""Written by whoever starts the process: pid, creation time, host, launcher command."""
CHECKPOINTS = "checkpoints"
HEARTBEAT_SECONDS = 30.0
"""A living run that has not written an event for so long is *hung*. Long work in between writes HEARTBEAT events."""


class EventKind(StrEnum):
    """What one line of ``events.jsonl`` says; its ``data`` is in the comment."""

    STARTED = "started"  # device, reason, processes, resumed_from (step or null)
    PREPARED = "prepared"
    """cases, holdout, seconds, spacing, patch_size, batch_size, memory_gb, minutes, precision, threads, why (of the
    probe)"""
    PROGRESS = "progress"  # step, fraction in [0, 1], eta_seconds, losses {name: value}, learning_rate, waiting (share)
    HEARTBEAT = "heartbeat"  # doing (words)
    VALIDATED = "validated"  # step, dice {label: value or null}, mean (or null), best (bool)
    CHECKPOINT = "checkpoint"  # step, name
    BACKED_OFF = "backed_off"  # what (words), batch_size, patch_size, device
    ROLLED_BACK = "rolled_back"  # reason, to_step, learning_rate_factor
    RELABELLED = "relabelled"  # round, rounds, gamma, select, added {label: voxels}, precision {label: value or null}
    PROMOTED = "promoted"  # model, score, before (score or null), reason
    NOT_PROMOTED = "not_promoted"  # score, before, reason
    STOPPED = "stopped"  # step: the user asked; `last` is written
    FINISHED = "finished"  # step, seconds, early (true when the user ended it and kept the best checkpoint)
    FAILED = "failed"  # reason: one sentence


class RunState(StrEnum):
    """Derived from the events and the process; never stored."""

    STARTING = "starting"
    RUNNING = "running"
    HUNG = "hung"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"
    CRASHED = "crashed"


TERMINAL = {EventKind.STOPPED: RunState.STOPPED, EventKind.FINISHED: RunState.FINISHED, EventKind.FAILED:
RunState.FAILED}
