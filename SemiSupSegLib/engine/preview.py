"""Preview: what a training that goes on would propose now. It reads the run's folder and writes nothing there."""

from __future__ import annotations

from dataclasses import replace

from ..errors import RunError
from ..jobs.run import Run
from ..project.labels import LabelSet
from .checkpoint import load_checkpoint
from .keep import model_of
from .model import Model
from .probe import Probe, available_threads
from .volume import Inference

__all__ = ["preview_inference", "preview_model"]


def preview_model(run: Run, label_set: LabelSet) -> Model:
    """The run's newest checkpoint as a model that no folder holds; its name says whose preview it is.

    Args:
        run: may go on meanwhile.
        label_set: the project's labels.

    Raises:
        RunError: it has no checkpoint after its first step yet.
        ModelFileError: its checkpoint is damaged, or predicts a label that is not in ``label_set``.
    """
    checkpoint = load_checkpoint(run.checkpoints, optimizers=False)
    if checkpoint is None or checkpoint.step == 0:  # random weights, or those of the model in use
        msg = f"run {run.id} has no checkpoint yet: the first comes after about a minute of training"
        raise RunError(msg)
    # Not `last`: that name means what the run ends with, and its proposals are another's.
    model = model_of(checkpoint, run, f"step {checkpoint.step}", label_set)
    model.check_labels(label_set)
    return replace(model, name=f"preview of run {run.id} at step {checkpoint.step}", preview=True)


def preview_inference(model: Model, *, device: str = "auto", beside_training: bool) -> Inference:
    """The network of a preview, made ready.

    Args:
        model: from :func:`preview_model`.
        device: ``auto``, ``cpu`` or ``cuda``. Beside a training ``auto`` is the CPU, as memory of the GPU that a
            preview takes would make the training's batch smaller; and there half of the threads, not timed anew.
        beside_training: whether a process works on the run.
    """
    names = model.label_set.names
    if not beside_training or device == "cuda":
        return Inference(model.segmentor(), model.config, device=device, names=names)
    threads = max(available_threads() // 2, 1)
    beside = Probe("cpu", "float32", channels_last=False, threads=threads, reason="a training is under way")
    return Inference(model.segmentor(), model.config, device="cpu", probed=beside, names=names)
