"""From a JSON object to a frozen dataclass: nothing unknown, nothing of another kind, and one sentence that says where.

cattrs alone takes the word "no" for true and 1.7 for 1, which in a setting would be the opposite of what somebody said.
"""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any, Literal, TypeVar, get_args, get_origin

import cattrs
from cattrs.errors import ClassValidationError

from .errors import ConfigError

__all__ = ["structure"]

T = TypeVar("T")
_converter = cattrs.Converter(forbid_extra_keys=True)


class _WrongKindError(ValueError):
    """A value of another kind than its setting has; the sentence goes on after the setting's name."""


def structure(data: Any, kind: type[T]) -> T:
    """A frozen dataclass from a JSON object, unknown keys refused.

    A whole number stands for a fraction, and 2.0 for 2; nothing else is converted.

    Raises:
        ConfigError: one sentence that names the offending key.
    """
    try:
        return _converter.structure(data, kind)
    except Exception as error:  # cattrs wraps what __post_init__ raises; the user needs the innermost sentence
        raise ConfigError("; ".join(_sentences(error)) or str(error)) from error


def _sentences(error: BaseException, name: str = "") -> list[str]:
    """Of all errors inside, each after the name of its setting where the sentence does not say it already."""
    if isinstance(error, ClassValidationError):
        noted, others = error.group_exceptions()
        inner = [s for e, note in noted for s in _sentences(e, f"{name}.{note.name}" if name else note.name)]
        return inner + [s for e in others for s in _sentences(e, name)]
    if isinstance(error, _WrongKindError):
        return [f"{name}: {error}" if name else str(error)]
    if isinstance(error, ConfigError):
        return [str(error)]
    return cattrs.transform_error(error) if isinstance(error, cattrs.BaseValidationError) else [str(error)]


def _refuse(value: Any, wanted: str) -> _WrongKindError:
    return _WrongKindError(f"{json.dumps(value, ensure_ascii=False, default=str)} is not {wanted}")


def _truth(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise _refuse(value, "true or false")
    return value


def _whole(value: Any, _: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise _refuse(value, "a whole number")
    return int(value)


def _number(value: Any, _: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _refuse(value, "a finite number")
    return float(value)


def _text(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise _refuse(value, "a word")
    return value


def _choice(value: Any, kind: Any) -> Any:
    if value not in get_args(kind):
        raise _refuse(value, f"one of {', '.join(map(str, get_args(kind)))}")
    return value


def _list(value: Any, kind: Any) -> tuple[Any, ...]:
    """A tuple of a fixed length, or with an ellipsis of any."""
    kinds = get_args(kind)
    if not isinstance(value, list | tuple):
        raise _refuse(value, "a list")
    if kinds[-1:] == (Ellipsis,):
        kinds = kinds[:1] * len(value)
    if len(value) != len(kinds):
        raise _refuse(value, f"a list of {len(kinds)}")
    return tuple(_converter.structure(one, each) for one, each in zip(value, kinds, strict=True))


def _made_from(origin: Any, kind: Any) -> bool:
    return get_origin(kind) is origin


_converter.register_structure_hook(bool, _truth)
_converter.register_structure_hook(int, _whole)
_converter.register_structure_hook(float, _number)
_converter.register_structure_hook(str, _text)
_converter.register_structure_hook_func(partial(_made_from, Literal), _choice)
_converter.register_structure_hook_func(partial(_made_from, tuple), _list)
