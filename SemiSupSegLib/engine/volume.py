"""Inference on a prepared volume: what the network says at each voxel of the training grid, and how sure it is.

The volume goes through in one piece where memory allows, else in the largest windows that do. What dropout does not
touch is computed once: the Monte Carlo passes repeat the head alone.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import Config
from ..data.mirror import mean_of_both
from ..errors import RunError
from ..networks.segmentor import Segmentor
from ..project.laterality import counterparts
from .backoff import is_out_of_memory
from .device import choose_device
from .model import Model
from .probe import Probe, autocast, prepare_network, probe
from .uncertainty import binary_entropy, monte_carlo_statistics
from .windows import Window, Windows, plan_windows

if TYPE_CHECKING:
    from ..data.prepare import PreparedCase

__all__ = ["Inference", "Statistics", "predict_prepared"]

Size = tuple[int, int, int]
LARGEST_BUDGET_GB = 3.0
"""Memory that inference takes on the CPU unless told otherwise; never more than half of what is free."""
KEPT_FEATURES = {
    "vnet": 5.0,
    "monai_vnet": 9.5,
    "dynunet": 6.5,
    "segresnet": 5.5,
    "modsegnet": 9.0,
    "resnet2d": 7.5,
}
"""Peak memory of the backbone in float32 numbers per voxel and filter, measured on 3 million voxels (the last two
on 0.6 million)."""
NUMBERS_PER_LABEL = 4
"""The same per voxel and label: probability, entropy, and their way into the totals."""


@dataclass(frozen=True)
class Statistics:
    """What the passes over one volume gave, on the training grid."""

    probability: NDArray[np.float16]
    """(K, X, Y, Z) mean over the passes."""
    entropy: NDArray[np.float16] | None
    """(K, X, Y, Z) mean over the passes of the entropy of each, in bits; None for one deterministic pass."""

    def uncertainty(self, channel: int) -> NDArray[np.float32]:
        """(X, Y, Z) predictive entropy H(mean p) of a label, [0, 1]."""
        return binary_entropy(self._mean(channel)).numpy()

    def mutual_information(self, channel: int) -> NDArray[np.float32]:
        """(X, Y, Z) its epistemic part, [0, 1]; 0 everywhere when there was one deterministic pass."""
        if self.entropy is None:
            return np.zeros(self.probability.shape[1:], np.float32)
        aleatoric = torch.from_numpy(self.entropy[channel].astype(np.float32))
        return binary_entropy(self._mean(channel)).sub_(aleatoric).clamp_(min=0).numpy()

    def _mean(self, channel: int) -> Tensor:
        return torch.from_numpy(self.probability[channel].astype(np.float32))


class Inference:
    """A segmentor made ready for volumes of any size on one machine.

    Args:
        segmentor: its weights are taken as they are; it is put into eval mode and moved to the device.
        config: patch size (no window is smaller) and seed (of the dropped channels).
        device: ``auto``, ``cpu`` or ``cuda``.
        memory_gb: what inference may take; None: at most :data:`LARGEST_BUDGET_GB` and half of what is free.
        probed: what the probe found for this machine; None runs it.
        names: of the labels that the segmentor predicts, where it shall look at the mirror image of each window, too,
            if it was trained on mirrored cases: left and right are then exchanged back, and the mean of both is taken.

    Raises:
        RunError: ``cuda`` was asked for and cannot be used.
    """

    def __init__(
        self,
        segmentor: Segmentor,
        config: Config,
        *,
        device: str = "auto",
        memory_gb: float | None = None,
        probed: Probe | None = None,
        names: Sequence[str] = (),
    ) -> None:
        self.device, self.reason = choose_device(device)
        self.probed = probed or probe(config, torch.device(self.device))
        self.segmentor = cast(Segmentor, prepare_network(segmentor, self.probed).to(self.device).eval())
        self.config = config
        self.others = counterparts(names) if config.data.mirrored else ()
        self.memory_gb = memory_gb or _budget_gb(self.device)

    def windows(self, size: Size, labels: int, share: float = 1.0) -> Windows:
        """How a volume of that size will be cut.

        Batch normalisation: in one piece where the budget allows. Instance normalisation: in windows of the training
        patch's size, as a whole volume has other statistics than a patch, and a network trained on patches loses by it
        (``Testing/benchmarks/README.md``: mean Dice 0.465 by patches, 0.374 in one piece, after a short training).
        """
        network = self.config.network
        if network.norm == "instance":
            x, y, z = (min(n, p) for n, p in zip(size, self.config.data.patch_size, strict=True))
            return Windows(size, (x, y, z))
        a_voxel = 4 * (KEPT_FEATURES[network.backbone] * network.filters + NUMBERS_PER_LABEL * labels)
        return plan_windows(
            size,
            largest_voxels=share * self.memory_gb * 1e9 / a_voxel,
            multiple=cast(Size, self.segmentor.multiple),
            at_least=self.config.data.patch_size,
        )

    @torch.inference_mode()
    def run(
        self,
        image: NDArray[Any],
        labels: int,
        *,
        passes: int = 0,
        windows: Windows | None = None,
        on_progress: Callable[[int, int], None] | None = None,
        scratch: Path | None = None,
    ) -> Statistics:
        """All windows of a volume.

        Args:
            image: (M, X, Y, Z), normalised.
            labels: K.
            passes: T dropout passes; 0, or a network without dropout, for one deterministic pass.
            windows: how to cut; None: as memory allows, smaller when it runs out all the same.
            on_progress: told windows done and their number.
            scratch: folder for temporary files of volumes that are too large for memory; None: the system's.

        Raises:
            RunError: the network gives something else than finite numbers, or memory runs out with the smallest window.
        """
        size = (image.shape[1], image.shape[2], image.shape[3])
        share = 1.0
        while True:
            cut = windows or self.windows(size, labels, share)
            try:
                return self._all_windows(image, labels, passes, cut, on_progress, scratch)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or windows is not None:
                    raise
                if self.windows(size, labels, share := share / 2) == cut and len(cut) > 1:
                    msg = f"memory ran out with windows of {cut.window} voxels, the smallest there are"
                    raise RunError(msg) from error

    def _all_windows(
        self,
        image: NDArray[Any],
        labels: int,
        passes: int,
        cut: Windows,
        on_progress: Callable[[int, int], None] | None,
        scratch: Path | None,
    ) -> Statistics:
        masks = None
        if (
            passes and self.config.network.dropout
        ):  # the same passes in all windows, so that overlapping ones can be averaged
            masks = self.segmentor.dropout_masks(passes, torch.Generator().manual_seed(self.config.train.seed))
        shape = (labels, *cut.size)
        totals = [_empty(shape, self.memory_gb, scratch) for _ in range(1 if masks is None else 2)]
        for done, window in enumerate(cut):
            found = self._statistics(_patch(image, window, self.device), masks)
            for total, values in zip(totals, found, strict=False):
                part = total[(slice(None), *window.slices)]
                if len(cut) == 1:
                    part[:] = values.half().cpu().numpy()
                else:
                    part += window.weighted(values).half().cpu().numpy()
            if on_progress is not None:
                on_progress(done + 1, len(cut))
        return Statistics(totals[0], totals[1] if masks is not None else None)

    def _statistics(self, image: Tensor, masks: Tensor | None) -> tuple[Tensor, ...]:
        """As :meth:`_one_way`, or the mean of it and of what the mirror image gives."""
        found = self._one_way(image, masks)
        if not self.others:
            return found
        turned = self._one_way(image.flip(-3), masks)
        return tuple(mean_of_both(own, other, self.others) for own, other in zip(found, turned, strict=True))

    def _one_way(self, image: Tensor, masks: Tensor | None) -> tuple[Tensor, ...]:
        """(K, *window) probability and, for dropout passes, entropy; in float32 where bfloat16 gave no finite
        numbers.
        """
        for precision in (self.probed, None):
            with autocast(precision) if precision else torch.autocast(self.device, enabled=False):
                features = self.segmentor.features(image)
                if masks is None:
                    found: tuple[Tensor, ...] = (self.segmentor.probabilities(self.segmentor.head(features))[0],)
                else:
                    found = monte_carlo_statistics(self.segmentor, features, masks)
            if math.isfinite(float(found[0].sum())):
                return found
        msg = "the network does not give finite numbers for this volume: look for extreme intensities, or train again"
        raise RunError(msg)


def predict_prepared(model: Model, prepared: PreparedCase, *, device: str = "auto") -> NDArray[np.float32]:
    """Deterministic probabilities (K, X, Y, Z) of a case that is prepared for training, K of the model's label set."""
    inference = Inference(model.segmentor(), model.config, device=device, names=model.label_set.names)
    return inference.run(prepared.image, len(model.label_set)).probability.astype(np.float32)


def _patch(image: NDArray[Any], window: Window, device: str) -> Tensor:
    """(1, M, *window) float32."""
    piece = np.ascontiguousarray(image[(slice(None), *window.slices)], np.float32)
    return torch.from_numpy(piece)[None].to(device).to(memory_format=torch.channels_last_3d)


def _budget_gb(device: str) -> float:
    if device == "cuda":
        return 0.7 * float(torch.cuda.mem_get_info()[0]) / 1e9
    return min(LARGEST_BUDGET_GB, 0.5 * float(psutil.virtual_memory().available) / 1e9)


def _empty(shape: tuple[int, ...], memory_gb: float, scratch: Path | None) -> NDArray[np.float16]:
    """Zeros in memory, or in a temporary file that disappears with the array where they would take half of the
    budget.
    """
    if math.prod(shape) * 2 / 1e9 < memory_gb / 2:
        return np.zeros(shape, np.float16)
    with tempfile.TemporaryFile(dir=scratch) as file:
        return np.memmap(file, np.float16, "w+", shape=shape)
