"""Names that are safe as file names everywhere, and paths that stay inside the project folder."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection
from pathlib import Path, PureWindowsPath

from ..errors import ProjectError

__all__ = ["inside", "safe_id", "slug"]

LONGEST = 64
"""Characters of an id; and 180 bytes, for file systems that count those (255 with endings added)."""
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?$", re.IGNORECASE)
"""Names that Windows keeps for devices, with any ending."""


def safe_id(name: str, taken: Collection[str]) -> str:
    """An id for a case that is a valid folder name on Linux, Windows and macOS.

    Letters and digits of any script and ``-_.`` stay (Unicode NFC), everything else becomes ``_``; no dot or dash in
    front, no dot at the end, no device name of Windows, at most 64 characters (a cut name ends in a hash of the whole),
    ``case`` when nothing is left.

    Args:
        name: what the user or a file name says.
        taken: ids in use; the new one differs from each in more than upper and lower case, by ``_2``, ``_3``, ...
    """
    clean = _clean(name)
    if not clean.strip("_"):
        clean = "case"
    if clean[0] == "-" or RESERVED.match(clean):
        clean = f"_{clean}"
    clean = _shortened(clean, name)
    used = {_folded(other) for other in taken}
    candidate, number = clean, 2
    while _folded(candidate) in used:
        ending = f"_{number}"
        candidate = _cut(clean, LONGEST - len(ending)).rstrip(".") + ending
        number += 1
    return candidate


def slug(label_name: str) -> str:
    """The part of a file name that stands for a label: lower case, ``_`` for blanks, a short hash where more was lost.

    Different names of one label set give different slugs.
    """
    plain = label_name.casefold().replace(" ", "_")
    clean = _clean(plain) or "label"
    if clean != plain:
        clean = f"{clean}_{_hash(plain)}"
    return _shortened(clean, plain)


def inside(root: Path, relative: str) -> Path:
    """The resolved path of a file or folder of the project, symbolic links followed.

    Args:
        root: the project folder, or a case folder.
        relative: a path relative to it, ``/`` between its parts; the file need not exist.

    Raises:
        ProjectError: the path is absolute, contains ``..``, or leads outside ``root`` through a link.
    """
    # Read as Windows would as well: a project made here may be opened there.
    windows = PureWindowsPath(relative)
    problem = windows.anchor or Path(relative).is_absolute() or ".." in windows.parts or "\0" in relative
    if not problem:
        base = root.resolve()
        path = (base / relative).resolve()
        if path.is_relative_to(base):
            return path
    msg = f"{relative!r} leads outside the project folder; paths in a project are relative and stay inside it"
    raise ProjectError(msg)


def _clean(name: str) -> str:
    normal = unicodedata.normalize("NFC", name)
    kept = "".join(c if c in "-_." or unicodedata.category(c)[0] in "LNM" else "_" for c in normal)
    return kept.lstrip(".").rstrip(".")


def _shortened(clean: str, whole: str) -> str:
    if _cut(clean, LONGEST) == clean:
        return clean
    return f"{_cut(clean, LONGEST - 9).rstrip('.')}_{_hash(whole)}"


def _cut(text: str, characters: int) -> str:
    text = text[:characters]
    limit = 180 - (LONGEST - characters)
    while len(text.encode()) > limit:
        text = text[:-1]
    return text


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
