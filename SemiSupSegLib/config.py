"""Config: every setting of a run, frozen, saved as JSON next to the result. An unknown key is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import cattrs

from .errors import ConfigError
from .structure import structure

__all__ = ["DEFAULT_METHOD", "PRESETS", "Config", "DataConfig", "NetworkConfig", "Preset", "TrainConfig"]

FORMAT_VERSION = 1
DEFAULT_METHOD = "auto"
"""What a training does that was told nothing: file ``methods/auto.py``."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """How cases become batches."""

    spacing: tuple[float, float, float] = (1.5, 1.5, 1.5)
    """Training grid in mm along X, Y, Z (RAS)."""
    patch_size: tuple[int, int, int] = (64, 64, 48)
    """Training patch in voxels (X, Y, Z) after resampling; each a multiple of what the backbone halves."""
    first_patch_size: tuple[int, int, int] | None = None
    """Smaller patch to begin with, as its steps are faster; None: ``patch_size`` from the start."""
    grows_at: float = 0.5
    """Share of the budget after which patches have ``patch_size``, 0 to 1."""
    intensity: Literal["ct", "zscore"] = "zscore"
    """``ct``: clip at the 0.5 and 99.5 percentiles of the training cases, fixed mean and deviation; ``zscore``: per
    volume."""
    ct_window: tuple[float, float, float, float] | None = None
    """For ``ct``: lower, upper, mean, standard deviation in HU, measured on the training cases."""
    rotation: float = 20.0
    """Largest rotation in degrees about the slice normal; a third of it about the other axes. 0 switches it off."""
    scaling: float = 0.15
    """Largest relative scaling, 0 to 0.5."""
    elastic: float = 4.0
    """Standard deviation in mm of the elastic displacement's control points; 0 switches it off."""
    flips: tuple[bool, bool, bool] = (False, False, False)
    """Whether to mirror along X, Y, Z. The planner never does: no patient is mirrored, and to learn eight bodies for
    one takes the time of a short budget (left atrium, 600 steps: Dice 0.78 with all three, 0.83 without)."""
    mirrored: bool = False
    """Whether half of the patches show the patient's mirror image, with left and right labels exchanged. The planner
    does it where labels and images look the same in a mirror, see ``engine/symmetry.py``."""
    intensity_strength: float = 1.0
    """Scales noise, blur, gamma, contrast and bias-field augmentation; 0 switches them off."""
    foreground: float = 0.67
    """Share of patches centred on a voxel of an annotated label, 0 to 1; the label is drawn first, each as often."""
    unlabelled: float = 0.0
    """Share of the batch drawn from cases without any annotation, 0 to 1; methods that learn from them raise it."""
    augmentation: Literal["ours", "uamt"] = "ours"
    """``ours``: rotation, scaling, elastic, flips and intensity as set above; ``uamt``: none of them, but quarter turns
    in the axial plane and always one flip, as UA-MT, SASSNet and their successors do."""
    distance: Literal["none", "volume", "crop"] = "none"
    """Signed distance maps in the batches: ``volume``: in mm, made once a case; ``crop``: anew for each patch, as
    published (SASSNet). Methods that learn them switch it on."""
    distance_mm: float = 20.0
    """For ``volume``: mm at which the distance is clipped, and by which it is divided; above 0."""

    def __post_init__(self) -> None:
        for name, low, high in (("scaling", 0, 0.5), ("foreground", 0, 1), ("unlabelled", 0, 1), ("grows_at", 0, 1)):
            if not low <= getattr(self, name) <= high:
                msg = f"data.{name}: {getattr(self, name)} is not between {low} and {high}"
                raise ConfigError(msg)
        if self.mirrored and self.flips[0]:
            msg = "data.mirrored exchanges left and right and data.flips along X does not: choose one of them"
            raise ConfigError(msg)
        if not self.distance_mm > 0:
            msg = f"data.distance_mm: {self.distance_mm} is not above 0"
            raise ConfigError(msg)
        if min(self.spacing) <= 0 or min(*self.patch_size, *(self.first_patch_size or (1,))) < 1:
            msg = f"data.spacing {self.spacing}, data.patch_size {self.patch_size} and data.first_patch_size "
            msg += f"{self.first_patch_size} must be positive"
            raise ConfigError(msg)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The segmentor."""

    backbone: Literal["vnet", "monai_vnet", "dynunet", "segresnet", "modsegnet", "resnet2d"] = "dynunet"
    """``vnet``: 3x3x3 V-Net of UA-MT and SASSNet; ``monai_vnet``: MONAI's 5x5x5 V-Net; ``dynunet``, ``segresnet``:
    MONAI's. Slice by slice: ``modsegnet``: NonAdjLoss's 2.5D network, seven slices in, the middle one out;
    ``resnet2d``: MONAI's 2D ResNet-18 with a decoder, for SMILE's own setting."""
    filters: int = 16
    """Channels at full resolution, a multiple of 8; ``modsegnet`` was published with 32."""
    norm: Literal["instance", "batch", "none"] = "instance"
    """``batch`` is most papers' choice; it mixes the cases of a batch and depends on how they fall on processes.
    ``none`` is ``modsegnet`` as published; no other backbone takes it. ``instance`` takes a slice of a slice-wise
    backbone for an instance."""
    slice_axis: Literal["x", "y", "z"] = "z"
    """For ``modsegnet`` and ``resnet2d``: the axis across the slices (RAS: ``x`` sagittal, ``y`` coronal, ``z``
    axial). NonAdjLoss takes coronal ones, SMILE axial ones."""
    activation: Literal["sigmoid", "softmax"] = "sigmoid"
    """``sigmoid``: one binary problem per label (SMILE); ``softmax``: exclusive labels with a background channel."""
    dropout: float = 0.2
    """Channel dropout before the last convolution, 0 to 0.9; what Monte Carlo passes switch."""
    bottleneck_dropout: float = 0.0
    """For ``vnet``: channel dropout after the coarsest level, 0 to 0.9, in training alone: UA-MT's network has 0.5."""
    strides: tuple[tuple[int, int, int], ...] | None = None
    """Downsampling (1 or 2) along X, Y, Z between the levels, first from full resolution; None halves all axes.

    1 along an axis that is much coarser than the others. ``vnet`` takes four of them, ``dynunet`` any number."""

    @property
    def sliced(self) -> bool:
        """Whether the backbone works slice by slice."""
        return self.backbone in ("modsegnet", "resnet2d")

    def __post_init__(self) -> None:
        if self.strides is not None and not all(step in (1, 2) for stride in self.strides for step in stride):
            msg = f"network.strides: {self.strides} holds something else than 1 and 2"
            raise ConfigError(msg)
        for name in ("dropout", "bottleneck_dropout"):
            if not 0 <= getattr(self, name) <= 0.9:
                msg = f"network.{name}: {getattr(self, name)} is not between 0 and 0.9"
                raise ConfigError(msg)
        if self.bottleneck_dropout and self.backbone != "vnet":
            msg = f"network.bottleneck_dropout: backbone {self.backbone} has none, found {self.bottleneck_dropout}"
            raise ConfigError(msg)
        if self.filters < 8 or self.filters % 8:
            msg = f"network.filters: {self.filters} is not a multiple of 8"
            raise ConfigError(msg)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The loop. Exactly one of ``minutes`` and ``iterations`` ends it."""

    minutes: float | None = None
    """Wall-clock budget in minutes, data preparation not counted."""
    iterations: int | None = None
    """Number of optimizer steps."""
    batch_size: int = 4
    """Patches per step over all processes."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """``sgd``: momentum 0.9, the papers' choice."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    schedule: Literal["poly", "step"] = "poly"
    """How it decays: ``poly`` to 0 at the end of the budget as (1 - progress) ** 0.9; ``step`` to a tenth after each
    2500/6000 of the budget, as UA-MT and SASSNet do."""
    schedule_span: tuple[float, float] = (0.0, 1.0)
    """The part of the schedule that this run goes through: rounds of a relabelling share one, each goes on with the
    learning rate at which the one before ended."""
    weight_decay: float = 1e-4
    """Decoupled for adamw, L2 for sgd."""
    ema_decay: float = 0.99
    """Decay per step of the averaged weights that predict; 0 predicts with the raw ones."""
    gradient_clip: float = 12.0
    """Largest norm of the gradient; 0 switches clipping off."""
    seed: int = 1
    """One seed for everything that is drawn."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """``auto`` lets a short probe decide per machine."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    atlases: bool = True
    """Whether annotated cases are laid over what the model predicts, where that is found to help at the end of the
    training; each takes some seconds of every prediction."""
    workers: int = 1
    """Loader processes; 0 loads in the training process."""
    checkpoint_seconds: float = 60.0
    """Longest time between two checkpoints: what a power cut can cost."""

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.iterations is None):
            msg = f"train: give minutes ({self.minutes}) or iterations ({self.iterations}), one of them"
            raise ConfigError(msg)
        if not 0 <= self.schedule_span[0] < self.schedule_span[1] <= 1:
            msg = f"train.schedule_span: {self.schedule_span} is not two shares of the schedule, the first one smaller"
            raise ConfigError(msg)
        for name in ("minutes", "iterations", "batch_size", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                msg = f"train.{name}: {value} is not above 0"
                raise ConfigError(msg)


@dataclass(frozen=True, kw_only=True)
class Config:
    """All of a run's settings."""

    method: str = DEFAULT_METHOD
    """Name of a file in ``methods/``."""
    options: dict[str, Any] = field(default_factory=dict)
    """The method's own settings, checked by the method."""
    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    train: TrainConfig

    def to_json(self) -> dict[str, Any]:
        """A readable JSON object; :meth:`from_json` is its inverse."""
        return {"format": FORMAT_VERSION, **cattrs.unstructure(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Config:
        """Inverse of :meth:`to_json`.

        Raises:
            ConfigError: an unknown key, a value of the wrong kind or range, or a newer format.
        """
        data = dict(data)
        version = data.pop("format", FORMAT_VERSION)
        if version > FORMAT_VERSION:
            msg = (
                f"this configuration has format {version}; this program knows up to {FORMAT_VERSION}: please update it"
            )
            raise ConfigError(msg)
        return structure(data, cls)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Config:
        """Read what :meth:`save` wrote."""
        return cls.from_json(json.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Preset:
    """How much work a run may be."""

    minutes: float
    """Default budget on the machine at hand."""
    voxels: int
    """Number of voxels that a typical volume has on the training grid, where that is fine enough for the labels."""
    most_voxels: int
    """Largest number that it may have where labels are small."""
    patch_voxels: int
    """Voxels of a patch; as many as a typical volume has, as nothing teaches faster than to see all."""
    batch_size: int
    """Patches per step."""
    filters: int
    """Channels at full resolution."""

    def with_labels(self, labels: int) -> Preset:
        """As much work with so many labels: fewer voxels where the losses of labels take more time than the network.

        Args:
            labels: their number, at least 1; all numbers of a preset are those for a single one.
        """
        cost = 1 + (labels - 1) / COSTLY
        numbers = {name: int(getattr(self, name) / cost) for name in ("voxels", "most_voxels", "patch_voxels")}
        return replace(self, **numbers)


COSTLY = 93
"""Labels whose losses take as long as the network, on a CPU (``Testing/benchmarks/bench_losses.py``)."""


PRESETS: dict[str, Preset] = {
    "quick": Preset(minutes=5, voxels=150_000, most_voxels=500_000, patch_voxels=210_000, batch_size=2, filters=16),
    "balanced": Preset(
        minutes=15, voxels=300_000, most_voxels=1_000_000, patch_voxels=300_000, batch_size=2, filters=16
    ),
    "thorough": Preset(
        minutes=60, voxels=500_000, most_voxels=3_000_000, patch_voxels=500_000, batch_size=2, filters=24
    ),
}
