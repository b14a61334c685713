"""What the column network says of a strip, as evidence for digits and for cuts.

For each frame of a strip the network gives the probability of each digit, and of none of them (the blank). Neighbouring
frames that show the same digit are one digit, as in connectionist temporal classification (Graves et al., 2006), so a
span of frames shows a string of digits. From the frames follows, exactly, how likely a span shows one digit alone.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

BLANK = 10
LEAST_LIKELY = 1e-3  # of the probability that a strip is digits cut at some of its cuts: less, and nothing is known
LEAST_POSTERIOR = 0.002  # of a cut that stays

Frames = npt.NDArray[np.float32]  # (t, 11): of ten digits and the blank
Doubles = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
ReadStrips = Callable[[Sequence[npt.NDArray[np.uint8]]], list[Frames]]  # the column network


def unread(_: Sequence[npt.NDArray[np.uint8]]) -> list[Frames]:
    """Stands in for the column network where there is none: reads no strip, so that nothing is known."""
    return []


def single_digits(frames: Sequence[Frames], edges: Sequence[Numbers]) -> list[Doubles]:
    """Returns for each strip the probability that what lies between two edges shows one digit alone, (m, m, 10).

    A digit that the frames beyond an edge show as well would be cut there: that it ends at both edges is a part of the
    probability. The first axis is the edge at which a span starts. All strips are worked on together: NumPy takes a
    microsecond for each call.

    Args:
        frames: of each strip, (t, 11).
        edges: of each strip, (m,), ascending.
    """
    longest, most = max(map(len, frames), default=0), max(map(len, edges), default=0)
    # Row t + 1 is frame t. Before a strip and behind it nothing is shown.
    levels = np.zeros((len(frames), longest + 2, BLANK + 1))
    places = np.full((len(frames), most), longest + 1)  # of edges; of those that a strip has not: beyond all frames
    for row, (some, here) in enumerate(zip(frames, edges, strict=True)):
        levels[row, 1 : len(some) + 1] = some
        places[row, : len(here)] = here
    none = np.zeros((len(frames), most, 1))  # blanks alone since each edge
    within, after = np.zeros((2, len(frames), most, BLANK))  # in the digit; blanks after it
    found = np.zeros((len(frames), most, most, BLANK))
    for time in range(longest + 1):
        rows, columns = np.nonzero(places == time)
        found[rows, :, columns] = (within + after)[rows]
        none[rows, columns] = 1.0
        blank, digits = levels[:, None, time + 1, BLANK:], levels[:, None, time + 1, :BLANK]
        after = (after + within) * blank
        within = (within + none) * digits
        none = none * blank
    rows = np.arange(len(frames))[:, None]
    ends = np.minimum(places, longest)
    found *= (1 - levels[rows, ends, :BLANK])[:, :, None] * (1 - levels[rows, ends + 1, :BLANK])[:, None]
    found[:, *np.tril_indices(most)] = 0.0
    return [each[: len(here), : len(here)] for each, here in zip(found, edges, strict=True)]


def likely_cuts(singles: Doubles) -> npt.NDArray[np.bool_]:
    """Returns which edges are worth a cut, (m,): the first, the last, and those that probable readings cut at.

    `singles`: of single_digits(). All of them where the strip shows no digits.
    """
    spans = singles.sum(axis=2)
    edges = len(spans)
    before, after = np.zeros((2, edges))
    before[0] = after[-1] = 1.0
    for edge in range(1, edges):
        before[edge] = before[:edge] @ spans[:edge, edge]
    if before[-1] < LEAST_LIKELY:
        return np.ones(edges, np.bool_)
    for edge in range(edges - 2, -1, -1):
        after[edge] = spans[edge, edge + 1 :] @ after[edge + 1 :]
    kept: npt.NDArray[np.bool_] = before * after >= LEAST_POSTERIOR * before[-1]
    return kept
