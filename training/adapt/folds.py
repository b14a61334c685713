"""Parts of a user's pictures that are held out in turn: whole groups, of like sizes."""

import numpy as np
import numpy.typing as npt

FOLDS = 5


def folds_of(groups: npt.NDArray[np.int64], seed: int = 0, folds: int = FOLDS) -> npt.NDArray[np.int64]:
    """The part, from 0, in which each picture is held out, (n,) int64; all of a group are in one.

    Args:
        groups: (n,) int64, at least two different ones. With fewer than `folds`, there are as many parts as groups.
        seed: of the order in which groups of one size are dealt out.
        folds: parts, at most.
    """
    names, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    parts = min(folds, len(names))
    mixed = np.random.default_rng(seed).permutation(len(names))
    part_of, filled = np.zeros(len(names), np.int64), np.zeros(parts, np.int64)
    for group in mixed[np.argsort(-sizes[mixed], kind="stable")]:  # the largest first, each to the smallest part
        part_of[group] = np.argmin(filled)
        filled[part_of[group]] += sizes[group]
    return part_of[group_of]
