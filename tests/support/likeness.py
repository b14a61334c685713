"""How alike two framed pictures are."""

import numpy as np
import numpy.typing as npt


def unlike(framed: npt.NDArray[np.uint8], expected: npt.NDArray[np.uint8]) -> float:
    """Returns by how much framed pixels differ from what was expected: 0 for the same, about 1 for another digit.

    One pixel of shift is forgiven: a centre of mass halfway between two pixels is rounded either way.
    """
    moving, still = (pixels.reshape(28, 28).astype(float) for pixels in (framed, expected))
    shifted = [np.roll(moving, (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return min(float(np.abs(moved - still).sum() / still.sum()) for moved in shifted)
