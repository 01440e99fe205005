"""Arguments from which a run's settings are planned; train and relabel share them."""

from __future__ import annotations

import argparse
import json
from typing import Any, get_args, get_type_hints

from ..config import PRESETS, Config, NetworkConfig, TrainConfig
from ..project.project import Project

__all__ = ["add_budget", "add_plan", "planned"]


def add_budget(parser: argparse.ArgumentParser, what: str) -> None:
    """``--minutes`` or ``--iterations``; the preset's time when neither is given.

    Args:
        parser: of the verb.
        what: what the budget is for, such as ``for everything together``.
    """
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=_positive, metavar="N", help=f"time {what}, instead of the preset's")
    budget.add_argument("--iterations", type=_steps, metavar="N", help=f"optimizer steps {what}, instead of a time")


def add_plan(parser: argparse.ArgumentParser) -> None:
    """``--preset --spacing --backbone --activation --option --seed --device``."""
    backbones, devices = _choices(NetworkConfig, "backbone"), _choices(TrainConfig, "device")
    activations = _choices(NetworkConfig, "activation")
    parser.add_argument("--preset", choices=tuple(PRESETS), default="balanced", help="how much (default: %(default)s)")
    parser.add_argument("--spacing", type=_spacing, metavar="MM", help="training grid, MM or X,Y,Z (default: planned)")
    parser.add_argument("--backbone", choices=backbones, help="network (default: the usual one)")
    parser.add_argument(
        "--activation", choices=activations, help="softmax: exclusive labels with a background (default: sigmoid)"
    )
    options = "a setting of the method, or of the run: data.NAME, network.NAME, train.NAME as in its config.json"
    parser.add_argument("--option", type=_option, action="append", default=[], metavar="NAME=VALUE", help=options)
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of all that is drawn (default: %(default)s)")
    parser.add_argument("--device", choices=devices, default="auto", help="where to train (default: %(default)s)")


def planned(project: Project, args: argparse.Namespace, *, method: str) -> Config:
    """The settings of a run, from the project and from what :func:`add_budget` and :func:`add_plan` read, and
    ``--from-scratch``.

    Raises:
        SemiSupSegError: a setting is wrong, or there is nothing to train on.
    """
    from ..engine.plan import plan

    return plan(
        project,
        method=method,
        preset=args.preset,
        minutes=args.minutes,
        iterations=args.iterations,
        spacing=args.spacing,
        backbone=args.backbone,
        activation=args.activation,
        seed=args.seed,
        device=args.device,
        options=dict(args.option),
        from_scratch=args.from_scratch,
    )


def _choices(config: type, field: str) -> tuple[str, ...]:
    return get_args(get_type_hints(config)[field])


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        msg = f"{text!r} is not a number above 0"
        raise argparse.ArgumentTypeError(msg)
    return value


def _steps(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        msg = f"{text!r} is not a whole number above 0"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _spacing(text: str) -> tuple[float, float, float]:
    values = [_positive(part) for part in text.split(",")]
    if len(values) not in (1, 3):
        msg = f"{text!r} is not one number of mm or three, X,Y,Z"
        raise argparse.ArgumentTypeError(msg)
    x, y, z = values * (3 // len(values))
    return x, y, z


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        msg = f"{text!r} is not NAME=VALUE"
        raise argparse.ArgumentTypeError(msg)
    try:
        return name.strip(), json.loads(value)  # numbers, true, false, null, [lists]
    except ValueError:
        return name.strip(), value
