"""One file a method. Importing this package imports every file in it, and each registers its method by itself."""

from __future__ import annotations

import importlib
import pkgutil

from .base import METHODS, Method, MethodConfig

__all__ = ["METHODS", "Method", "MethodConfig"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")  # an import error is an error: no method disappears silently
