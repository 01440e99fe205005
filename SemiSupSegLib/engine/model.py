"""Model: the weights that predict, with everything that is needed to use them. A folder, no pickle in it.

``model.safetensors`` holds numbers and nothing that could run; ``model.json`` holds the settings, the labels in
channel order and the SHA-256 of the weights. Both are checked before anything is built from them (guarantee G1).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..config import Config
from ..errors import ConfigError, ModelFileError, ProjectError
from ..networks.segmentor import Segmentor
from ..project import atomic
from ..project.labels import LabelSet

__all__ = ["Model"]

FORMAT_VERSION = 1
KIND = "semisupseg-model"
WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
LARGEST_HEADER = 8 << 20
"""Bytes of a safetensors header (names and shapes); ours have less than 0.1 MB."""
LARGEST_DESCRIPTION = 8 << 20
"""Bytes of ``model.json``."""
PICKLES = frozenset({".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib", ".npy"})
"""Kinds of file that may hold a pickle; opening one can run whatever its author wanted."""


@dataclass(frozen=True)
class Model:
    """A segmentor that can predict."""

    config: Config
    label_set: LabelSet
    """Channel c of the network is ``label_set[c]``; the project's set when the model was made, or a part of it."""
    weights: dict[str, Tensor]
    """State of the segmentor, on the CPU."""
    run: str
    checkpoint: str
    """``last`` or ``best``."""
    step: int
    parts: dict[str, int] = field(default_factory=dict)
    """How many connected parts of a label all cases have that it was learnt from; labels without such a number are
    left out, see :func:`.parts.agreed_parts`."""
    moved: dict[str, float] = field(default_factory=dict)
    """By how much a label's logit was moved in the weights after training, see :mod:`.threshold`."""
    atlases: tuple[str, ...] = ()
    """Cases of its project that are laid over what it predicts, see :mod:`.atlases`; where it is used without them, the
    network predicts alone."""
    atlas_share: float = 0.0
    """Share of their votes in what is predicted, [0, 1)."""
    scores: dict[str, Any] = field(default_factory=dict)
    """What the hold-out said: plain JSON."""
    name: str = ""
    """Name of the folder it was loaded from, ``0002``; empty for one that was never saved."""
    preview: bool = False
    """Whether it is a moment of a training that no model was kept from, see :mod:`.preview`."""

    def segmentor(self) -> Segmentor:
        """The network with these weights, in eval mode, on the CPU.

        Raises:
            ModelFileError: names or shapes of tensors do not fit the configuration.
        """
        network = self._network()
        _check_fit(network.state_dict(), self.weights, self.name or "this model")
        network.load_state_dict(self.weights)
        return network.eval()

    def check_labels(self, label_set: LabelSet) -> None:
        """Nothing, if a project with these labels has all that this model predicts.

        Raises:
            ModelFileError: it does not.
        """
        missing = sorted({*self.label_set.names} - {*label_set.names})
        if missing:
            msg = f"{self.name or f'run {self.run}'} predicts {', '.join(missing)}, which this project does not have"
            raise ModelFileError(msg)

    def _network(self) -> Segmentor:
        heads = ("logits", "sdm") if "sdm_head.weight" in self.weights else ("logits",)  # an option may add one
        return Segmentor(self.config.network, labels=len(self.label_set), heads=heads)

    def save(self, folder: Path, *, scores: dict[str, Any] | None = None) -> None:
        """Write into a folder that holds no model yet. The description comes last: without it there is no model.

        Args:
            folder: made when missing.
            scores: what is known about the model now, in place of :attr:`scores`.

        Raises:
            ModelFileError: a model is there already.
        """
        if (folder / DESCRIPTION).exists():
            msg = f"{folder.name} holds a model already, and a model is never overwritten"
            raise ModelFileError(msg)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in self.weights.items()}
        with atomic.replacing(folder / WEIGHTS) as temp:
            save_file(tensors, temp, metadata={"format": "pt"})
        atomic.write_json(folder / DESCRIPTION, self._description(_sha256(folder / WEIGHTS), scores))

    def _description(self, sha256: str, scores: dict[str, Any] | None) -> dict[str, Any]:
        return {
            "format": FORMAT_VERSION,
            "kind": KIND,
            "run": self.run,
            "checkpoint": self.checkpoint,
            "step": self.step,
            "parts": self.parts,
            "moved": self.moved,
            "atlases": list(self.atlases),
            "atlas_share": self.atlas_share,
            "scores": self.scores if scores is None else scores,
            "sha256": sha256,
            "label_set": self.label_set.to_json(),
            "config": self.config.to_json(),
        }

    @classmethod
    def load(cls, folder: Path, label_set: LabelSet | None = None) -> Model:
        """Read what :meth:`save` wrote.

        Args:
            folder: a model's folder.
            label_set: the project's labels; a model that predicts a label which is not among them is refused.

        Raises:
            ModelFileError: one sentence that says what is wrong: a file that may hold a pickle, anything else that is
            not
                safetensors, a header or description that is too large, an unknown or newer format, a wrong checksum, or
                tensors that do not fit.
        """
        _refuse_pickles(folder)
        data = _read_description(folder)
        _check_header(folder / WEIGHTS)
        if _sha256(folder / WEIGHTS) != data.get("sha256"):
            msg = (
                f"{folder.name}/{WEIGHTS}: its checksum is not the one in {DESCRIPTION}; it is damaged or was exchanged"
            )
            raise ModelFileError(msg)
        model = _build(cls, data, folder)
        if label_set is not None:
            model.check_labels(label_set)
        _check_fit(_expected(model), model.weights, folder.name)
        return model


def _expected(model: Model) -> dict[str, Tensor]:
    """Names and shapes of the tensors that the settings ask for, without memory for them."""
    with torch.device("meta"):
        return model._network().state_dict()


def _build(cls: type[Model], data: dict[str, Any], folder: Path) -> Model:
    try:
        return cls(
            config=Config.from_json(data["config"]),
            label_set=LabelSet.from_json(data["label_set"]),
            weights=load_file(folder / WEIGHTS),
            run=str(data["run"]),
            checkpoint=str(data["checkpoint"]),
            step=int(data["step"]),
            parts={str(name): int(count) for name, count in data.get("parts", {}).items()},
            moved={str(name): float(shift) for name, shift in data.get("moved", {}).items()},
            atlases=tuple(str(case_id) for case_id in data.get("atlases", ())),
            atlas_share=_share(data.get("atlas_share", 0.0)),
            scores=dict(data.get("scores", {})),
            name=folder.name,
        )
    except (KeyError, TypeError, ValueError, SafetensorError, ConfigError, ProjectError) as error:
        msg = f"{folder.name}: the model cannot be read ({type(error).__name__}: {error})"
        raise ModelFileError(msg) from error


def _share(said: Any) -> float:
    share = float(said)
    if not 0 <= share < 1:
        msg = f"atlas_share {share} is not a share"
        raise ValueError(msg)
    return share


def _refuse_pickles(folder: Path) -> None:
    if folder.suffix.lower() in PICKLES and not folder.is_dir():
        msg = (
            f"{folder.name}: {folder.suffix} files can run code when they are opened, so they are never read; "
            f"expected a folder with {WEIGHTS} and {DESCRIPTION}"
        )
        raise ModelFileError(msg)
    if not (folder / WEIGHTS).is_file():
        found = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        others = [name for name in found if Path(name).suffix.lower() in PICKLES]
        instead = f"; {others[0]} can run code when it is opened, so it is never read" if others else ""
        msg = f"{folder.name}: expected a folder with {WEIGHTS} and {DESCRIPTION}{instead or ', found none'}"
        raise ModelFileError(msg)


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        if path.stat().st_size > LARGEST_DESCRIPTION:
            msg = f"{folder.name}/{DESCRIPTION} has {path.stat().st_size} bytes, more than any model's"
            raise ModelFileError(msg)
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{folder.name}/{DESCRIPTION} is missing or cannot be read ({type(error).__name__})"
        raise ModelFileError(msg) from error
    if not isinstance(data, dict) or data.get("kind") != KIND or not isinstance(data.get("format"), int):
        msg = f"{folder.name}/{DESCRIPTION} does not describe a model of this program"
        raise ModelFileError(msg)
    if data["format"] > FORMAT_VERSION:
        msg = f"{folder.name} has model format {data['format']}; known is {FORMAT_VERSION}: please update this program"
        raise ModelFileError(msg)
    return data


def _check_header(path: Path) -> None:
    """A safetensors file begins with the length of its JSON header; a zip, a pickle or garbage gives nonsense there."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        first = file.read(1)
    if not 2 <= length <= min(LARGEST_HEADER, size - 8) or first != b"{":
        msg = f"{path.parent.name}/{path.name} is no safetensors file, whatever its name says; nothing else is read"
        raise ModelFileError(msg)


def _check_fit(expected: dict[str, Tensor], found: dict[str, Tensor], name: str) -> None:
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or extra:
        what = f"tensor {missing[0]} is missing" if missing else f"tensor {extra[0]} is unknown"
        msg = f"{name}: the weights do not fit the settings: {what}"
        raise ModelFileError(msg)
    for key, tensor in expected.items():
        if tensor.shape != found[key].shape:
            msg = f"{name}: tensor {key} has shape {tuple(found[key].shape)}, the settings need {tuple(tensor.shape)}"
            raise ModelFileError(msg)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
