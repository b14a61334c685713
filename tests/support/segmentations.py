"""What holds for the segmentation of every picture."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from serving.image.picture import Quality
from serving.image.segmentation.segmentation import MAX_CANDIDATES, Segmentation
from serving.image.segmentation.strips import FRAME, HEIGHT
from serving.predictions import PIXELS
from serving.readings import Layout


def unread(count: int) -> npt.NDArray[np.float32]:
    """Returns the evidence for candidates that the column network did not read."""
    return np.full((count, 10), np.nan, np.float32)


def read_at_random(strips: Sequence[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.float32]]:
    """Stands in for any column network: sure of some frames, unsure of others, by the ink of each strip."""
    frames = []
    for strip in strips:
        assert strip.dtype == np.uint8
        assert strip.shape[0] == HEIGHT
        assert strip.shape[1] % FRAME == 0
        rng = np.random.default_rng(int(strip.sum(dtype=np.int64)))
        sharpness = rng.choice([0.02, 0.3, 5.0])
        frames.append(rng.dirichlet(np.full(11, sharpness), strip.shape[1] // FRAME).astype(np.float32))
    return frames


def faults_of(found: Segmentation, layout: Layout) -> list[str]:
    """Returns what is wrong with a segmentation, in words; nothing, as a rule."""
    count = len(found.pixels)
    arrays = {"pixels": (np.uint8, PIXELS), "boxes": (np.int32, 4), "spans": (np.int32, 3), "shapes": (np.float32, 5)}
    arrays |= {"evidence": (np.float32, 10)}
    faults = [
        f"{name} of {array.dtype} {array.shape} for {count} candidates"
        for name, (dtype, columns) in arrays.items()
        if (array := getattr(found, name)).dtype != dtype or array.shape != (count, columns)
    ]
    if faults:
        return faults
    x, y, width, height = found.boxes.T
    inside = (x >= 0) & (y >= 0) & (width > 0) & (height > 0)
    inside &= (x + width <= found.width) & (y + height <= found.height)
    evidence = found.evidence[~np.isnan(found.evidence).all(axis=1)]
    claims = {
        f"evidence {evidence.tolist()}": bool(((evidence >= 0) & (evidence.sum(axis=1, keepdims=True) < 1.001)).all()),
        f"{count} candidates": count <= MAX_CANDIDATES,
        f"quality {found.quality!r} of {count} candidates": Quality.BLANK not in found.quality or not count,
        "a candidate without ink": bool(found.pixels.any(axis=1).all()),
        f"boxes outside of {found.width} x {found.height}: {found.boxes[~inside].tolist()}": bool(inside.all()),
        f"shapes {found.shapes.tolist()}": bool((np.isfinite(found.shapes) & (found.shapes >= 0)).all()),
        f"{count} candidates of one digit": layout is not Layout.DIGIT or count <= 1,
        f"lines {np.unique(found.spans[:, 0])} of one": layout is not Layout.LINE or not found.spans[:, 0].any(),
    }
    faults = [words for words, holds in claims.items() if not holds]
    for line in [] if layout is Layout.DIGIT else np.unique(found.spans[:, 0]):
        spans = found.spans[found.spans[:, 0] == line, 1:].tolist()
        atoms = max(last for _, last in spans)
        alone = [[atom, atom + 1] in spans for atom in range(atoms)]
        if not all(alone) or not all(0 <= first < last for first, last in spans):
            faults.append(f"line {line} of {atoms} atoms has the candidates {spans}")
    return faults
