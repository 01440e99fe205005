"""Wishes: settings of a run that somebody names, in place of what was planned, such as ``train.learning_rate``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import Config
from ..errors import ConfigError

__all__ = ["split_options", "with_wishes"]

SECTIONS = ("data", "network", "train")


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the method, and those of the run: names with a point in them."""
    wished = {name: value for name, value in options.items() if "." in name}
    return {name: value for name, value in options.items() if name not in wished}, wished


def with_wishes(config: Config, wished: Mapping[str, Any]) -> Config:
    """A planned configuration with some of its settings changed.

    Args:
        config: as planned, the method's own changes included.
        wished: by ``SECTION.NAME``, as in a run's ``config.json``.

    Raises:
        ConfigError: there is no such setting, or the value is of the wrong kind or range.
    """
    for name, value in wished.items():
        config = _with_wish(config, name, value)
    return config


def _with_wish(config: Config, name: str, value: Any) -> Config:
    section, _, setting = name.partition(".")
    if section not in SECTIONS:
        msg = f"no setting {name!r}: it begins with one of {', '.join(f'{s}.' for s in SECTIONS)}"
        raise ConfigError(msg)
    said = config.to_json()
    if setting not in said[section]:
        msg = f"no setting {name!r}: choose one of {', '.join(f'{section}.{known}' for known in said[section])}"
        raise ConfigError(msg)
    said[section][setting] = value
    try:
        return Config.from_json(said)
    except ConfigError as error:
        if name in str(error):
            raise
        msg = f"{name}: {value!r} does not fit ({error})"
        raise ConfigError(msg) from error
