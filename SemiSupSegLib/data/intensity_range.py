"""How a label looks in one case, as far as its strokes or finished slices tell. Ours.

The same organ in the same volume has the same intensities throughout, more or less: a voxel that is far darker or
brighter than everything that was stroked of a label is not that label. That is wrong for about one in 200 of a label's
own voxels in volumes of six kinds, and finds a twentieth to a half of what surrounds it
(``Testing/benchmarks/bench_implied.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["looks_otherwise"]

PERCENTILES = (1, 99)
"""Of the stroked intensities: a stroke that slips over the border must not widen the range."""
MARGIN = 0.25
"""Of the range between them, by which it is wider on either side: see ``bench_implied.py --margin``."""
LEAST = 50
"""Stroked voxels; fewer do not show how a label looks."""


def looks_otherwise(
    image: NDArray[np.floating[Any]], stroked: NDArray[np.bool_], *, margin: float = MARGIN
) -> NDArray[np.bool_]:
    """Voxels that are darker or brighter than a label is.

    Args:
        image: (M, X, Y, Z) of one case, in any unit.
        stroked: (X, Y, Z) voxels known to be the label.
        margin: share of the range between percentiles.

    Returns:
        (X, Y, Z): outside of the label's range in one of the channels; none where fewer than 50 voxels are stroked.
    """
    found = np.zeros(stroked.shape, bool)
    if int(stroked.sum()) < LEAST:
        return found
    for channel in image:
        low, high = np.percentile(np.asarray(channel[stroked], np.float32), PERCENTILES)
        room = margin * (high - low)
        found |= (channel < low - room) | (channel > high + room)
    return found
