from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from scipy import ndimage

from training.data.arrays import LabelledDigits
from training.evaluation.corruptions import CORRUPTIONS, corrupted

REPOSITORY = Path(__file__).parents[4]
Images = npt.NDArray[np.uint8]
# Share of the 400 digits that the committed model, whichever that is, still reads; chance is 0.1. Without brightness
# and fog: on grey paper, version 1 reads nothing, though anybody else does.
FOUND_AT_LEAST = {
    "shot_noise": 0.6,
    "impulse_noise": 0.15,
    "glass_blur": 0.3,
    "motion_blur": 0.6,
    "shear": 0.9,
    "scale": 0.8,
    "rotate": 0.9,
    "translate": 0.8,
    "stripe": 0.2,
    "spatter": 0.8,
    "dotted_line": 0.6,
    "zigzag": 0.4,
    "canny_edges": 0.15,
}


@pytest.fixture(scope="module")
def digits() -> LabelledDigits:
    with np.load(REPOSITORY / "tests" / "data" / "digits.npz", allow_pickle=False) as file:
        return LabelledDigits(file["pixels"], file["label"])


@pytest.fixture(scope="module")
def committed_model() -> onnxruntime.InferenceSession:
    newest = max((REPOSITORY / "models" / "mnist").glob("*/model.onnx"), key=lambda path: int(path.parent.name))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(newest, options)


def _all_of(value: int, count: int = 400) -> Images:
    return np.full((count, 784), value, np.uint8)


def _with(pixels: Images, name: str, seed: int = 1) -> Images:
    return corrupted(pixels, name, seed).reshape(-1, 28, 28)


def _centres(images: Images) -> npt.NDArray[np.float64]:
    """(n, 2): row and column of each image's centre of mass."""
    return np.array([ndimage.center_of_mass(image) for image in images])


def _bar(rows: slice, columns: slice, count: int = 50) -> Images:
    bar = np.zeros((count, 28, 28), np.uint8)
    bar[:, rows, columns] = 255
    return bar.reshape(count, 784)


def _slope(image: Images) -> float:
    """Of the line through an upright bar: columns per row, downwards."""
    rows = np.flatnonzero(image.sum(axis=1) > 255)
    columns = [ndimage.center_of_mass(image[row])[0] for row in rows]
    return float(np.polyfit(rows, columns, 1)[0])


def test_there_are_the_fifteen_of_the_paper() -> None:
    assert len(CORRUPTIONS) == 15


def test_an_unknown_one_is_refused() -> None:
    with pytest.raises(KeyError, match="snow"):
        corrupted(_all_of(0), "snow", seed=1)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_image_is_changed_and_keeps_its_form(name: str, digits: LabelledDigits) -> None:
    before = digits.pixels.copy()
    result = corrupted(digits.pixels, name, seed=1)
    assert result.shape == before.shape
    assert result.dtype == np.uint8
    assert np.all(np.any(result != before, axis=1))
    np.testing.assert_array_equal(digits.pixels, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_seed_gives_the_same_images(name: str, digits: LabelledDigits) -> None:
    np.testing.assert_array_equal(corrupted(digits.pixels, name, 7), corrupted(digits.pixels, name, 7))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_no_images_give_no_images(name: str) -> None:
    assert corrupted(_all_of(0, count=0), name, seed=1).shape == (0, 784)


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - {"scale", "brightness", "stripe", "canny_edges"}))
def test_another_seed_gives_others(name: str, digits: LabelledDigits) -> None:
    assert np.any(corrupted(digits.pixels, name, 7) != corrupted(digits.pixels, name, 8))


@pytest.mark.parametrize(("name", "least"), FOUND_AT_LEAST.items())
def test_digits_stay_readable(
    name: str, least: float, digits: LabelledDigits, committed_model: onnxruntime.InferenceSession
) -> None:
    found = committed_model.run(["digit"], {"pixels": corrupted(digits.pixels, name, seed=1)})[0]
    assert np.mean(found == digits.labels) >= least


def test_shot_noise_keeps_the_mean_of_faint_ink_and_leaves_paper_blank() -> None:
    assert np.mean(_with(_all_of(51), "shot_noise")) == pytest.approx(51, rel=0.02)  # where counts over 3 are rare
    assert not _with(_all_of(0), "shot_noise").any()


def test_shot_noise_counts_three_photons_at_full_ink() -> None:
    noisy = _with(_all_of(255), "shot_noise")
    assert set(np.unique(noisy)) == {0, 85, 170, 255}
    assert np.mean(noisy == 0) == pytest.approx(np.exp(-3), rel=0.05)


def test_impulse_noise_hits_17_percent_of_the_pixels_half_with_ink_half_with_paper() -> None:
    noisy = _with(_all_of(100), "impulse_noise")
    assert np.mean(noisy == 255) == pytest.approx(0.085, abs=0.003)
    assert np.mean(noisy == 0) == pytest.approx(0.085, abs=0.003)
    assert np.mean(noisy == 100) == pytest.approx(0.83, abs=0.003)


def test_glass_blur_keeps_the_ink_and_scatters_it() -> None:
    dots = _bar(slice(13, 15), slice(13, 15), count=400)
    blurred = _with(dots, "glass_blur").astype(float)
    assert blurred.sum(axis=(1, 2)).mean() == pytest.approx(4 * 255, rel=0.03)
    places = np.stack([image > 0 for image in blurred])
    assert np.mean(np.any(places != places[0], axis=(1, 2))) > 0.9


def test_motion_blur_smears_across_keeps_the_ink_and_its_rows_but_not_its_place() -> None:
    dots = _bar(slice(13, 15), slice(20, 22), count=400)
    smeared = _with(dots, "motion_blur")
    assert smeared.sum(axis=(1, 2)).mean() == pytest.approx(4 * 255, rel=0.05)
    centres = _centres(smeared)
    assert np.all(centres[:, 1] < 20)  # to the left, at any angle up to 45 degrees
    assert np.abs(centres[:, 0].mean() - 13.5) < 0.2
    assert centres[:, 0].std() > 0.3


def test_shear_slants_an_upright_bar_and_leaves_a_level_one_level() -> None:
    sheared = _with(_bar(slice(4, 24), slice(12, 16)), "shear")
    slopes = np.array([_slope(image) for image in sheared])
    np.testing.assert_allclose(np.abs(slopes), np.sin(0.4), rtol=0.01)
    assert 0.2 < np.mean(slopes > 0) < 0.8
    np.testing.assert_allclose(_centres(sheared), 13.5, atol=0.05)
    level = _with(_bar(slice(13, 15), slice(4, 24)), "shear")
    np.testing.assert_allclose(_centres(level), 13.5, atol=0.05)
    assert np.all(level[:, :9].max(axis=(1, 2)) == 0)  # a level bar stays level: this is no rotation


def test_scale_shrinks_to_70_percent_about_the_centre() -> None:
    scaled = _with(_bar(slice(4, 24), slice(4, 24)), "scale")
    np.testing.assert_allclose(scaled.sum(axis=(1, 2)) / 255, (20 * 0.7) ** 2, rtol=0.02)
    np.testing.assert_allclose(_centres(scaled), 13.5, atol=1e-6)


def test_rotate_turns_by_23_degrees_either_way_about_the_centre() -> None:
    turned = _with(_bar(slice(4, 24), slice(12, 16)), "rotate")
    angles = []
    for image in turned:
        places = np.argwhere(image > 127) - 13.5
        axis = np.linalg.eigh(places.T @ places)[1][:, 1]  # where the bar is longest
        angles.append(np.degrees(np.arctan(axis[1] / axis[0])))
    np.testing.assert_allclose(np.abs(angles), np.degrees(0.4), atol=1)
    assert 0.2 < np.mean(np.array(angles) > 0) < 0.8
    np.testing.assert_allclose(_centres(turned), 13.5, atol=0.05)


def test_translate_moves_three_pixels_on_each_axis_to_all_four_sides() -> None:
    moved = _with(_bar(slice(10, 18), slice(11, 17)), "translate")
    assert {(row - 13.5, column - 13.5) for row, column in _centres(moved)} == {(-3, -3), (-3, 3), (3, -3), (3, 3)}
    np.testing.assert_array_equal(moved.sum(axis=(1, 2), dtype=int), 8 * 6 * 255)


def test_brightness_adds_half_of_the_range(digits: LabelledDigits) -> None:
    brighter = corrupted(digits.pixels, "brightness", seed=1).astype(int)
    np.testing.assert_allclose(brighter, np.minimum(digits.pixels + 127.5, 255), atol=0.51)


def test_stripe_inverts_seven_columns_on_both_sides_and_twice_is_nothing(digits: LabelledDigits) -> None:
    images, striped = digits.pixels.reshape(-1, 28, 28), _with(digits.pixels, "stripe")
    np.testing.assert_array_equal(striped[:, :, :7], 255 - images[:, :, :7])
    np.testing.assert_array_equal(striped[:, :, 21:], 255 - images[:, :, 21:])
    np.testing.assert_array_equal(striped[:, :, 7:21], images[:, :, 7:21])
    np.testing.assert_array_equal(corrupted(striped.reshape(-1, 784), "stripe", seed=1), digits.pixels)


def test_fog_is_smooth_differs_between_images_and_leaves_a_quarter_of_the_contrast() -> None:
    bars = _bar(slice(4, 24), slice(13, 28), count=60)
    foggy = _with(bars, "fog").astype(float)
    at_the_edge = foggy[:, 4:24, 13] - foggy[:, 4:24, 12]
    assert at_the_edge.mean() == pytest.approx(255 / 4, rel=0.05)
    assert np.abs(np.diff(foggy[:, :, :13], axis=2)).mean() < 6  # fog alone, from pixel to pixel
    assert foggy[:, :, :13].mean(axis=(1, 2)).std() > 15


def test_spatter_covers_a_part_of_every_image_with_dark_grey_and_darkens_full_ink() -> None:
    on_paper, on_ink = _with(_all_of(0), "spatter"), _with(_all_of(255), "spatter")
    assert on_paper.max() == 63
    assert 0.05 < np.mean(on_paper > 0) < 0.4
    assert set(np.unique(on_paper)).isdisjoint(range(1, 50))  # mud under 80 % is wiped away
    np.testing.assert_array_equal(on_ink < 255, on_paper > 0)


def test_dotted_line_has_two_columns_of_dot_two_of_gap_and_only_adds_ink(digits: LabelledDigits) -> None:
    on_paper = _with(_all_of(0), "dotted_line")
    inked = on_paper.max(axis=1) > 0
    np.testing.assert_array_equal(
        inked, np.broadcast_to(np.isin(np.arange(28) % 4, (2, 3)) & (np.arange(28) < 27), (400, 28))
    )
    assert len(np.unique(on_paper, axis=0)) > 200
    assert np.all(corrupted(digits.pixels, "dotted_line", seed=1) >= digits.pixels)


def test_zigzag_swings_to_and_fro_across_the_image_and_only_adds_ink(digits: LabelledDigits) -> None:
    on_paper = _with(_all_of(0), "zigzag").astype(float)
    whole = on_paper[(on_paper[:, 0].max(axis=1) == 0) & (on_paper[:, -1].max(axis=1) == 0)]  # not cut off
    assert len(whole) > 200
    rows = np.arange(28)[:, np.newaxis]
    course = (whole[:, :, 3:25] * rows).sum(axis=1) / whole[:, :, 3:25].sum(axis=1)
    course -= np.linspace(course[:, :4].mean(axis=1), course[:, -4:].mean(axis=1), 22).T
    turns = np.count_nonzero(np.diff(np.sign(np.diff(course)), axis=1), axis=1)
    assert np.all(turns >= 4)
    assert np.all(np.ptp(course, axis=1) < 6)
    assert np.all(corrupted(digits.pixels, "zigzag", seed=1) >= digits.pixels)


def test_canny_edges_outline_a_square_by_one_thin_closed_line() -> None:
    edges = _with(_bar(slice(8, 20), slice(8, 20), count=1), "canny_edges")[0]
    assert set(np.unique(edges)) == {0, 255}
    parts, count = ndimage.label(edges == 0)
    assert count == 2  # inside and outside: 4-connected paper cannot cross the line
    assert parts[13, 13] != parts[0, 0]
    assert not edges[11:17, 11:17].any()
    assert not edges[:6].any()
    assert not ndimage.binary_erosion(edges > 0, np.ones((3, 3))).any()


def test_canny_edges_keep_a_weak_edge_only_where_a_strong_one_leads_to_it() -> None:
    faint = np.zeros((2, 28, 28), np.uint8)
    faint[:, 14:, :] = 15  # a gradient between the two thresholds
    faint[1, 14:, 14:] = 40
    edges = _with(faint.reshape(2, 784), "canny_edges")
    assert not edges[0].any()
    assert np.all(edges[1, 12:16, 2:10].any(axis=0))


def test_canny_edges_of_one_image_do_not_depend_on_its_neighbours(digits: LabelledDigits) -> None:
    together = corrupted(digits.pixels[:20], "canny_edges", seed=1)
    alone = np.concatenate([corrupted(row[np.newaxis], "canny_edges", seed=1) for row in digits.pixels[:20]])
    np.testing.assert_array_equal(together, alone)
