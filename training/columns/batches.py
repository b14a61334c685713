"""Batches of strips of like widths, distorted, with what the network is to say of each frame and of the whole."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from training.columns.strips import BLANK, FRAME, HEIGHT, StripSet

SIZE = 128  # strips in a batch
IGNORED = -1  # target of a frame of which nothing is asked
_STEP = 16  # columns by which batches differ in width, so that few widths are compiled for
_WIDENING = 0.12  # largest change of width, as a natural logarithm
_SHIFT = 2.0  # largest shift, in columns
# Of a digit's half width: a frame so near its middle is the digit; from there to the second share either is right.
_CERTAIN, _UNCERTAIN = 0.25, 0.55

Ink = npt.NDArray[np.uint8]
Targets = npt.NDArray[np.int32]


class Batches:
    """Batches of an epoch, a function of the strips, the seed and the number of the epoch."""

    def __init__(self, strips: StripSet, seed: int) -> None:
        self._strips = strips
        self._seed = seed

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._strips) // SIZE)

    def epoch(self, epoch: int) -> Iterator[tuple[Ink, Targets]]:
        """Ink (n, 32, w, 1) and targets (n, 5 + w / 4), w of their own, for each step of an epoch."""
        generator = np.random.default_rng([self._seed, epoch])
        # Neighbours in a batch differ from epoch to epoch, the widths in it by little.
        order = np.argsort(self._strips.lengths + generator.uniform(-6, 6, len(self._strips)))
        batches = np.array_split(order, self.steps)
        for number in generator.permutation(self.steps):
            strips = self._strips.take(batches[number])
            widest = strips.pixels.shape[2]
            needed = int(strips.lengths.max()) * np.exp(_WIDENING) + _SHIFT
            width = min(widest, -(-int(np.ceil(needed)) // _STEP) * _STEP)
            distorted = _distorted(strips, width, generator)
            yield distorted.pixels[..., np.newaxis], targets(distorted)


def targets(strips: StripSet) -> Targets:
    """What the loss compares the outputs with, (n, 5 + frames): the digits in order, then the target of each frame.

    A frame at the middle of a digit is that digit, as is the one nearest to it. Between digits it is BLANK. What lies
    between is IGNORED. The digits' places behind the last are NO_DIGIT.
    """
    middles = np.arange(FRAME / 2, strips.pixels.shape[2], FRAME)
    frames = np.full((len(strips), len(middles)), BLANK, np.int32)
    for place in range(strips.labels.shape[1]):
        is_there = strips.labels[:, place, np.newaxis] >= 0
        away = np.abs(middles - strips.centres[:, place, np.newaxis])
        half = strips.widths[:, place, np.newaxis] / 2
        frames[is_there & (away <= half * _UNCERTAIN) & (frames == BLANK)] = IGNORED
        is_digit = is_there & ((away <= half * _CERTAIN) | (away == away.min(axis=1, keepdims=True)))
        frames = np.where(is_digit, strips.labels[:, place, np.newaxis], frames).astype(np.int32)
    return np.concatenate([strips.labels.astype(np.int32), frames], axis=1)


def _distorted(strips: StripSet, width: int, generator: np.random.Generator) -> StripSet:
    """The strips, `width` wide, stretched, slanted and shifted; strokes of half of them thinner, thicker or blurred."""
    count = len(strips)
    across = np.exp(generator.uniform(-_WIDENING, _WIDENING, count))
    down = np.exp(generator.uniform(-0.08, 0.04, count))
    slant = generator.uniform(-0.18, 0.18, count)
    right, below = generator.uniform(-_SHIFT, _SHIFT, count), generator.uniform(-1.5, 1.5, count)
    kinds, radii = generator.random(count), generator.uniform(0.4, 1.1, count)
    pixels = np.zeros((count, HEIGHT, width), np.uint8)
    middle = HEIGHT / 2
    for row, strip in enumerate(strips.pixels):
        # Where the ink of each place comes from: x = (x' - right - slant (y - middle)) / across, y from y' likewise.
        a, e = 1 / across[row], 1 / down[row]
        f = middle - (middle + below[row]) * e
        b = -slant[row] * e * a
        c = -(right[row] + slant[row] * (f - middle)) * a
        picture = Image.fromarray(strip).transform(
            (width, HEIGHT), Image.Transform.AFFINE, (a, b, c, 0, e, f), Image.Resampling.BILINEAR
        )
        if 0.3 <= kinds[row] < 0.5:
            picture = picture.filter(ImageFilter.GaussianBlur(float(radii[row])))
        pixels[row] = np.asarray(picture)
    thinner, thicker = kinds < 0.12, (kinds >= 0.12) & (kinds < 0.3)
    pixels[thinner] = _over_neighbours(pixels[thinner], np.minimum)
    pixels[thicker] = _over_neighbours(pixels[thicker], np.maximum)
    centres = strips.centres * across[:, np.newaxis] + right[:, np.newaxis]
    widths = strips.widths * across[:, np.newaxis]
    return StripSet(pixels, strips.lengths, strips.labels, centres.astype(np.float32), widths.astype(np.float32))


def _over_neighbours(pixels: Ink, choose: np.ufunc) -> Ink:
    """Each pixel, its left and its upper neighbour and the one between them: the least or the most of their ink."""
    padded = np.pad(pixels, ((0, 0), (1, 0), (1, 0)), mode="edge")
    across = choose(padded[:, :, 1:], padded[:, :, :-1])
    return np.asarray(choose(across[:, 1:], across[:, :-1]), np.uint8)
