"""What can go wrong for a user, one sentence each.

A mistake of the user, of a file or of a machine is a :class:`SemiSupSegError`; front ends show its text and nothing
else. A bug of ours is any other exception, and keeps its traceback.
"""

from __future__ import annotations

__all__ = ["ConfigError", "ImageError", "ModelFileError", "ProjectError", "RunError", "SemiSupSegError"]


class SemiSupSegError(Exception):
    """Base of all errors whose text is written for the user: what was expected, what was found, and where."""


class ConfigError(SemiSupSegError):
    """A setting is unknown, out of range, or contradicts another."""


class ImageError(SemiSupSegError):
    """A volume cannot be read, or its size, type or geometry does not fit."""


class ProjectError(SemiSupSegError):
    """The project folder, one of its cases, labels or annotation states is not as it should be."""


class RunError(SemiSupSegError):
    """A training or a prediction cannot start, go on, or be found."""


class ModelFileError(SemiSupSegError):
    """A file with weights or optimizer state is refused: wrong kind, damaged, or not made by this program."""
