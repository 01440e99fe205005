"""What the engine needs, what is there, and what must never change.

It imports neither the engine nor any package that the engine needs, so it works in an application that has none of
them yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ..errors import SemiSupSegError

__all__ = ["PROTECTED", "TORCH", "InstallError", "Versions", "constraints", "installed_versions", "is_protected"]
__all__ += ["missing", "read_requirements"]

TORCH = Requirement("torch>=2.4")
"""Installed by Slicer's PyTorch extension, which picks the build for the graphics card; nowhere else listed."""
TORCH_FAMILY = (TORCH.name, "torchvision", "torchaudio")
"""Built for one another: one of them alone in another version breaks the others."""
PROTECTED = ("numpy", "simpleitk", "itk", "vtk", "pydicom")
"""Slicer is built against these: another version of one of them can keep it from starting."""

Versions = Mapping[str, str]
"""Version of each installed package, by its name in lower case with dashes."""


class InstallError(SemiSupSegError):
    """The engine cannot be installed: why, in one sentence; ``detail`` holds what pip said, perhaps nothing."""

    def __init__(self, sentence: str, detail: str = "") -> None:
        super().__init__(sentence)
        self.detail = detail


def is_protected(name: str) -> bool:
    """Whether a package belongs to Slicer: NumPy, SimpleITK, VTK, pydicom, ITK and all of ITK's parts."""
    plain = canonicalize_name(name)
    return plain in PROTECTED or plain.startswith(("itk-", "vtk-", "simpleitk-"))


def read_requirements(path: Path) -> tuple[Requirement, ...]:
    """Requirements of a file, one a line; comments, blank lines and options of pip are passed over.

    Raises:
        InstallError: the file cannot be read, a line is no requirement, or one names torch or a protected package.
    """
    try:
        lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        msg = f"the list of packages cannot be read: {path.name}: {error.strerror}"
        raise InstallError(msg) from error
    found = []
    for line in lines:
        if not line or line.startswith("-"):
            continue
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            msg = f"{path.name}: {line!r} does not name a package and its versions"
            raise InstallError(msg) from error
        if is_protected(requirement.name) or canonicalize_name(requirement.name) == TORCH.name:
            msg = f"{path.name} must not list {requirement.name}: it comes with Slicer or its PyTorch extension"
            raise InstallError(msg)
        found.append(requirement)
    return tuple(found)


def installed_versions() -> dict[str, str]:
    """What is installed in this Python now, however recently."""
    found: dict[str, str] = {}
    for package in metadata.distributions():
        name = package.metadata["Name"]
        if name:  # a half-removed package leaves metadata without a name
            found.setdefault(canonicalize_name(name), package.version)
    return found


def missing(requirements: Iterable[Requirement], installed: Versions) -> tuple[Requirement, ...]:
    """Those of the requirements that are absent or of a version outside their range; markers that do not apply pass."""
    return tuple(
        wanted
        for wanted in requirements
        if (wanted.marker is None or wanted.marker.evaluate())
        and not _fits(wanted, installed.get(canonicalize_name(wanted.name)))
    )


def _fits(wanted: Requirement, version: str | None) -> bool:
    return version is not None and wanted.specifier.contains(version, prereleases=True)


def constraints(installed: Versions) -> str:
    """A constraints file for pip that holds each protected package at its version; empty when none is installed.

    A PyTorch that is new enough is held too. Otherwise pip would replace the build for this graphics card, because the
    newest MONAI asks for a newer PyTorch than an older MONAI, which does as well.
    """
    kept = [name for name in installed if is_protected(name)]
    if _fits(TORCH, installed.get(TORCH.name)):
        kept += [name for name in TORCH_FAMILY if name in installed]
    return "".join(f"{name}=={installed[name]}\n" for name in sorted(kept))
