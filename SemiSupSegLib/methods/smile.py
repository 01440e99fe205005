"""SMILE: train on what is known, and on nothing else.

Petit, Thome, Charnoz, Hostettler, Soler, "Handling missing annotations for semantic segmentation with deep ConvNets",
DLMIA 2018. One binary problem per label; the weight w_k of a voxel is 1 where label k is annotated in the case, or
where another annotated label is that excludes it, else 0: L = sum_k w_k BCE(y_k, y*_k). The rule itself is
``Batch.known``. Published with cross-entropy alone (``dice_weight`` 0); the Dice term over annotated labels is ours.
"""

from __future__ import annotations

from .base import Method

__all__ = ["Smile"]


class Smile(Method):
    """Masked training on partly annotated cases: all of it is :meth:`Method.supervised`."""

    name = "smile"
    summary = "Learns from partly annotated cases: a missing annotation counts as unknown, never as background."
