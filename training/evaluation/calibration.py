"""Calibration: the temperature that logits are divided by, and the novelty above which an image is refused.

Both are fitted on validation rows, which the weights have not been trained on. Pure numpy.
"""

from collections.abc import Sequence

import numpy as np

from training.data.arrays import Doubles, Floats, Labels

_TEMPERATURES = (0.05, 20.0)  # beyond these the network is broken, not miscalibrated
_GOLDEN = (np.sqrt(5) - 1) / 2


def softmax(logits: Floats, temperature: float) -> Floats:
    """Calibrated probabilities (n, 10) float32 of `logits` (n, 10) divided by `temperature`, in float32 throughout."""
    scaled = logits / np.float32(temperature)
    powers = np.exp(scaled - np.max(scaled, axis=1, keepdims=True))
    return np.asarray(powers / np.sum(powers, axis=1, keepdims=True), np.float32)


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """The temperature at which the labels are most likely: the minimum of the mean negative log-likelihood.

    The loss has one minimum in the logarithm of the temperature; it is found by golden-section search to 1e-6.
    """
    wide = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        scaled = wide / np.exp(log_temperature)
        return float(np.mean(np.logaddexp.reduce(scaled, axis=1) - scaled[np.arange(len(labels)), labels]))

    low, high = np.log(_TEMPERATURES)
    while high - low > 1e-6:
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def sigmoid(logits: Floats) -> Floats:
    """Novelty (n,) float32 in 0..1 of the novelty logits (n,): 0 for a typical digit, 1 for no digit at all."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), np.float32)


def shared_threshold(digits: Floats, share: float, elsewhere: Sequence[Floats], share_elsewhere: float) -> float:
    """The smallest threshold that refuses at most `share` of the novelties `digits`, and at most `share_elsewhere` of
    each of those in `elsewhere`: other people's digits look less like training's, and are digits all the same.
    """
    others = [novelty_threshold(each, share_elsewhere) for each in elsewhere]
    return max([novelty_threshold(digits, share), *others])


def novelty_threshold(novelties: Floats | Doubles, largest_refused_share: float) -> float:
    """The smallest threshold that refuses at most this share of `novelties` (n,), all of them of real digits.

    An image is refused when its novelty is greater than the threshold.
    """
    may_refuse = int(largest_refused_share * len(novelties))
    if may_refuse >= len(novelties):
        return 0.0
    return float(np.sort(novelties)[::-1][may_refuse])
