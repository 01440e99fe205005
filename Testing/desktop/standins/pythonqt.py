"""PySide6 with PythonQt's manners: properties are attributes, ``connect("clicked()", f)``, one flat module ``qt``."""

from __future__ import annotations

import ctypes
import sys
import types
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

__all__ = ["WIDGETS", "install", "own"]

WIDGETS: dict[str, type] = {}
"""Widgets that a Designer file may name: ours by their names in Slicer."""
METHODS = {"singleShot", "sizeHint", "minimumSizeHint"}
"""Methods with the name of a property that stay methods: static ones, and those that Qt itself calls in a subclass."""


def own(cls: type) -> type:
    """Let Designer files name this class, and give it PythonQt's manners."""
    WIDGETS[cls.__name__] = cls
    cls.connect = connect  # type: ignore[attr-defined]
    return cls


def connect(sender: Any, signature: str, slot: Callable[..., Any]) -> None:
    """``connect("name(types)", slot)``; the slot gets what the signature says, which may be less than is sent."""
    name, _, types_ = signature.rstrip(")").partition("(")
    wanted = len([t for t in types_.split(",") if t])
    getattr(sender, name).connect(lambda *sent: slot(*sent[:wanted]))


def _lend_none() -> None:
    """PySide6 gives a reference to None away in every call that returns nothing; before Python 3.12, where None cannot
    be freed, the process ends when none is left: after some ten thousand calls, which a slow machine reaches."""
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40


def install() -> Any:
    """Put ``qt`` among the modules.

    Returns:
        The application.
    """
    _lend_none()
    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(sys.argv[:1])
    qt = types.ModuleType("qt")
    for part in (QtCore, QtGui, QtWidgets):
        vars(qt).update(
            {name: getattr(part, name) for name in dir(part) if name.startswith("Q")}
        )  # made when asked for
    for name, cls in list(vars(qt).items()):
        if isinstance(cls, type) and issubclass(cls, QtCore.QObject) and not name.startswith("QAbstract"):
            setattr(qt, name, _mannered(cls))
    qt.QUiLoader = _loader(qt)  # type: ignore[attr-defined]
    _attributes()
    QtCore.QObject.className = lambda self: self.metaObject().className()
    for cls in WIDGETS.values():
        cls.connect = connect  # type: ignore[attr-defined]
    ctk = types.ModuleType("ctk")
    vars(ctk).update({name: cls for name, cls in WIDGETS.items() if name.startswith("ctk")})
    sys.modules.update(qt=qt, ctk=ctk)
    return application


def _mannered(cls: type) -> type:
    """A subclass with string connections; PySide6 lets nothing replace ``connect`` of its own classes."""
    more: dict[str, Any] = {"connect": connect}
    if issubclass(cls, QtWidgets.QMenu):
        more["addAction"] = _add_action
        more["addMenu"] = _add_menu
    try:
        return type(cls.__name__, (cls,), more)
    except TypeError:  # a final class
        return cls


def _add_action(menu: Any, words: str) -> Any:
    action = sys.modules["qt"].QAction(words, menu)  # type: ignore[attr-defined]
    QtWidgets.QMenu.addAction(menu, action)
    return action


def _add_menu(menu: Any, words: str) -> Any:
    inner = sys.modules["qt"].QMenu(words, menu)  # type: ignore[attr-defined]
    QtWidgets.QMenu.addMenu(menu, inner)
    return inner


def _loader(qt: Any) -> type:
    class QUiLoader(QtUiTools.QUiLoader):
        def createWidget(self, name: str, parent: Any = None, called: str = "") -> Any:  # noqa: N802
            cls = WIDGETS.get(name) or getattr(qt, name, None)
            if cls is None:
                msg = f"no stand-in for {name}"
                raise RuntimeError(msg)
            widget = cls(parent)
            widget.setObjectName(called)
            return widget

    return QUiLoader


def _attributes() -> None:
    """Every Qt property as an attribute, where a method had its name; ``name`` is the object's."""
    for part in (QtCore, QtWidgets):
        for cls in [getattr(part, name) for name in dir(part) if name.startswith("Q")]:
            if not (isinstance(cls, type) and issubclass(cls, (QtWidgets.QWidget, QtWidgets.QStyle, QtCore.QTimer))):
                continue
            described = cls.staticMetaObject
            for number in range(described.propertyOffset(), described.propertyCount()):
                name = described.property(number).name()
                if name not in METHODS and (cls, name) != (QtWidgets.QProgressBar, "text"):
                    setattr(cls, name, _property(name))
    QtWidgets.QWidget.name = property(lambda self: self.property("objectName"))


def _property(name: str) -> property:
    return property(lambda self: self.property(name), lambda self, value: self.setProperty(name, value))
