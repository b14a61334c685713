from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from training.augmentation.degradation import KINDS, binarised, blurred, broken, crossed, degrade, outlined, shaded
from training.data.arrays import LabelledDigits

Kind = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
SEED = (3, 7)


def _images(digits: LabelledDigits) -> npt.NDArray[np.float32]:
    return digits.pixels.reshape(-1, 28, 28).astype(np.float32) / np.float32(255)


def _made(kind: Kind, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(tf.clip_by_value(kind(tf.constant(images), tf.constant(SEED)), 0, 1), np.float32)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_kind_changes_images_and_draws_the_same_again(kind: Kind, digits: LabelledDigits) -> None:
    images = _images(digits)
    once = _made(kind, images)
    np.testing.assert_array_equal(once, _made(kind, images))
    assert np.mean(np.abs(once - images)) > 0.005
    assert once.shape == images.shape


def test_blur_and_outlines_add_no_ink_to_a_blank() -> None:
    blank = np.zeros((50, 28, 28), np.float32)
    for kind in (blurred, outlined):
        assert not _made(kind, blank).any()


def test_binarised_images_have_two_levels(digits: LabelledDigits) -> None:
    assert set(np.unique(_made(binarised, _images(digits)))) == {0.0, 1.0}


def test_outlines_leave_the_inside_of_strokes_empty() -> None:
    block = np.zeros((1, 28, 28), np.float32)
    block[0, 10:18, 10:18] = 1
    outline = _made(outlined, block)[0]
    assert not outline[12:16, 12:16].any()
    assert outline[9, 10:18].min() > 0.5


def test_shade_keeps_ink_darker_than_its_paper(digits: LabelledDigits) -> None:
    images = _images(digits)
    shade = _made(shaded, images)
    ink, paper = (
        np.array([image[mask].mean() for image, mask in zip(shade, where, strict=True)])
        for where in (images > 0.9, images == 0)
    )
    assert np.mean(ink > paper) > 0.97


def test_breaking_takes_ink_away_from_most_digits(digits: LabelledDigits) -> None:
    images = _images(digits)
    strokes = images > 0.9
    assert np.mean((_made(broken, images) < 0.5)[strokes]) > 0.05


def test_paper_is_plain_cloudy_and_stained() -> None:
    shade = _made(shaded, np.zeros((300, 28, 28), np.float32))
    # The largest step between neighbours, of what the picture spans: small in clouds, all of it at a stain's edge.
    span = np.ptp(shade, axis=(1, 2))
    step = np.abs(np.diff(shade, axis=2)).max(axis=(1, 2))
    uneven = span > 0.02
    assert 0.5 < np.mean(uneven) < 0.95
    assert np.mean(step[uneven] < 0.35 * span[uneven]) > 0.2
    assert np.mean(step[uneven] > 0.9 * span[uneven]) > 0.1


def test_lines_over_a_digit_are_thin_and_some_are_bent() -> None:
    ink = _made(crossed, np.zeros((300, 28, 28), np.float32)).reshape(300, -1)
    assert 0.02 < np.mean(ink) < 0.25
    # How much of the ink the best straight line of 5 pixels takes, and then the best one of what it leaves.
    rows, columns = (np.mgrid[:28, :28] - 13.5).reshape(2, -1)
    turns, offsets = np.arange(0, np.pi, np.pi / 36)[:, np.newaxis, np.newaxis], np.arange(-13, 13.5, 0.5)
    distance = np.cos(turns) * columns[:, np.newaxis] + np.sin(turns) * rows[:, np.newaxis] - offsets
    strips = (np.abs(distance) <= 2.5).transpose(0, 2, 1).reshape(-1, 28 * 28).astype(np.float32)
    left = ink
    for _ in range(2):
        left = left * (1 - strips[np.argmax(left @ strips.T, axis=1)])
    outside = left.sum(axis=1) / ink.sum(axis=1)
    assert np.mean(outside < 0.03) > 0.3
    assert np.mean(outside > 0.1) > 0.1


def test_only_the_given_share_is_degraded(digits: LabelledDigits) -> None:
    images = _images(digits)
    changed = np.asarray(degrade(tf.constant(images), 0.45, tf.constant(SEED))) != images
    assert not changed[len(images) * 45 // 100 :].any()
    assert np.mean(changed[: len(images) * 44 // 100].any(axis=(1, 2))) > 0.95
    np.testing.assert_array_equal(degrade(tf.constant(images), 0.0, tf.constant(SEED)), images)


@pytest.mark.parametrize("share", [0.15, 0.2])
@pytest.mark.parametrize("count", [5, 32, 160, 176, 184])
def test_the_share_holds_for_batches_of_any_size(count: int, share: float, digits: LabelledDigits) -> None:
    images = _images(digits)[:count]
    changed = (np.asarray(degrade(tf.constant(images), share, tf.constant(SEED))) != images).any(axis=(1, 2))
    wanted = round(count * share)
    assert not changed[wanted:].any()
    assert np.mean(changed[:wanted]) > 0.9
