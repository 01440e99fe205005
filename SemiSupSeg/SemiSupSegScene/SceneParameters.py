"""What the module remembers in the scene. Scenes are sent to colleagues: nothing here says who a patient is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

__all__ = ["SceneParameters", "projectKey"]

MODULE = "SemiSupSeg"
DEFAULTS = {
    "projectKey": "",
    "label": "",
    "map": "uncertainty",
    "threshold": "0.2",
    "opacity": "0.5",
    "overlayVisible": "1",
    "preset": "quick",
}
"""All that is saved: ids, choices and numbers. Case ids, names of files and folders may tell who a patient is."""


def projectKey(root: Path) -> str:
    """What names a project in a scene; the way back to its folder is in this computer's settings, not in the scene."""
    return hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]


class SceneParameters:
    """The scene's one parameter node of this module, the same that Slicer's own parameter wrapper would find."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene

    @property
    def node(self) -> Any:
        """The node; made when the scene has none, as after closing it."""
        node = self._scene.GetSingletonNode(MODULE, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = self._scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)  # Python holds a reference of its own
            node.SetSingletonTag(MODULE)
            node.SetAttribute("ModuleName", MODULE)
            node.SetModuleName(MODULE)
            node.SetName(MODULE)
            node = self._scene.AddNode(node)
        return node

    def get(self, name: str) -> str:
        """A value as text; its default when it was never set.

        Raises:
            KeyError: not one of :data:`DEFAULTS`.
        """
        default = DEFAULTS[name]
        node = self.node
        return str(node.GetParameter(name)) if name in node.GetParameterNames() else default

    def set(self, name: str, value: object) -> None:
        """Remember a value.

        Raises:
            KeyError: not one of :data:`DEFAULTS`: what is saved is decided there.
        """
        if name not in DEFAULTS:
            raise KeyError(name)
        self.node.SetParameter(name, str(value))
