import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from serving.image.decode import decode
from serving.image.framing import frame
from serving.image.picture import ImageLimits, Quality
from serving.image.stroke_width import stroke_width
from tests.support.examples import examples
from tests.support.likeness import unlike
from tests.support.work import calls_made

Grey = npt.NDArray[np.uint8]


def drawn_seven(height: int = 120, width: int = 90) -> Grey:
    """A thick 7, ink 255 on paper 0, off the middle."""
    picture = np.zeros((height, width), np.uint8)
    picture[20:30, 20:70] = 255
    for row in range(30, 100):
        column = 65 - (row - 30) // 2
        picture[row, column : column + 10] = 255
    return picture


SEVEN = frame(drawn_seven()).pixels.reshape(28, 28)


def difference(framed: Grey) -> float:
    """Mean grey levels by which a framed picture differs from the plain seven."""
    return float(np.abs(framed.reshape(28, 28).astype(int) - SEVEN).mean())


def test_the_ink_fills_the_20_pixel_box_and_its_centre_of_mass_is_at_index_14() -> None:
    rows, columns = np.nonzero(SEVEN)
    assert max(np.ptp(rows), np.ptp(columns)) == 19
    for axis in (0, 1):
        mass = SEVEN.sum(axis=1 - axis)
        assert abs((mass * np.arange(28)).sum() / mass.sum() - 14) <= 0.5


def test_mnists_own_digits_framed_again_are_nearly_themselves() -> None:
    digits = np.load(Path(__file__).parents[3] / "data" / "digits.npz")["pixels"]
    changes = [np.abs(frame(pixels.reshape(28, 28)).pixels.astype(int) - pixels).mean() for pixels in digits]
    assert np.median(changes) < 0.5
    assert np.mean(np.array(changes) < 2) > 0.98  # the others lose a speck


def test_the_aspect_is_kept() -> None:
    stroke = np.zeros((100, 100), np.uint8)
    stroke[10:90, 48:52] = 255
    rows, columns = np.nonzero(frame(stroke).pixels.reshape(28, 28))
    assert np.ptp(rows) == 19
    assert np.ptp(columns) <= 2


def test_inverted_paper_and_ink_give_the_same_digit() -> None:
    assert difference(frame(255 - drawn_seven()).pixels) == 0


@pytest.mark.parametrize(("paper", "ink"), [(30, 90), (200, 140), (0, 60), (255, 128)])
def test_weak_contrast_of_either_polarity_gives_the_same_digit(paper: int, ink: int) -> None:
    assert difference(frame(np.where(drawn_seven() > 0, ink, paper).astype(np.uint8)).pixels) < 1


@given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 80), st.integers(0, 80))
@examples(30)
def test_where_the_digit_stands_does_not_matter(top: int, bottom: int, left: int, right: int) -> None:
    assert difference(frame(np.pad(drawn_seven(), ((top, bottom), (left, right)))).pixels) == 0


@pytest.mark.parametrize("factor", [2, 3])
def test_its_size_does_not_matter(factor: int) -> None:
    assert difference(frame(drawn_seven().repeat(factor, axis=0).repeat(factor, axis=1)).pixels) < 2.5


@given(st.integers(0, 2**32 - 1))
@examples(30)
def test_a_shadow_across_noisy_paper_is_taken_away(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 3, (120, 90))
    paper = 150 + np.linspace(-60, 60, 90)[None, :] + np.linspace(-20, 20, 120)[:, None]
    photo = np.clip(paper + noise - 80 * (drawn_seven() / 255), 0, 255).astype(np.uint8)
    assert unlike(frame(photo).pixels, SEVEN) < 0.2


def test_specks_do_not_move_the_digit() -> None:
    speckled = drawn_seven()
    speckled[5:7, 80:82] = 255
    speckled[110:112, 3:5] = 255
    assert difference(frame(speckled).pixels) == 0


def test_a_picture_of_specks_alone_is_framed() -> None:
    specks = np.zeros((60, 60), np.uint8)
    specks[1::3, 1::3] = 255
    assert not frame(specks).is_blank


def test_thousands_of_pieces_cost_no_multiple_of_a_digit() -> None:
    digit = np.pad(drawn_seven(), ((20, 20), (35, 35)))
    specks = np.zeros_like(digit)
    specks[1::2, 1::2] = 255
    assert calls_made(lambda: frame(specks)) < 10 * calls_made(lambda: frame(digit))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_even_paper_is_blank(level: int) -> None:
    framed = frame(np.full((40, 50), level, np.uint8))
    assert framed.is_blank
    assert not framed.pixels.any()


def test_noise_that_no_ink_stands_out_of_is_blank() -> None:
    assert frame(np.random.default_rng(0).normal(200, 4, (100, 100)).astype(np.uint8)).is_blank


@pytest.mark.parametrize("side", [37, 3, 20, 21, 320])
def test_a_single_line_is_never_lost(side: int) -> None:
    line = np.zeros((side, side), np.uint8)
    line[side // 2] = 255
    assert frame(line).pixels.max() == 255


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
@example(1, 37, 38)  # a line lost by Pillow's box filter left nothing to centre
@examples(60)
def test_any_picture_is_framed_or_blank(height: int, width: int, seed: int) -> None:
    framed = frame(np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8))
    assert framed.pixels.shape == (784,)
    assert framed.is_blank != framed.pixels.any()


SAMPLES = np.load(Path(__file__).parents[3] / "data" / "digits.npz")["pixels"][::16].reshape(-1, 28, 28)


def enlarged(digit: Grey, side: int) -> Grey:
    return np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC))


def filling(digit: Grey, side: int) -> Grey:
    """The digit cut out tightly and reduced until its longer side is `side`: it touches the border all around."""
    rows, columns = np.nonzero(digit > 60)
    box = Image.fromarray(digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
    scale = side / max(box.size)
    width, height = (max(1, round(length * scale)) for length in box.size)
    return np.asarray(box.resize((width, height), Image.Resampling.BOX))


@given(st.sampled_from(range(len(SAMPLES))), st.booleans(), st.integers(0, 40), st.integers(0, 40), st.integers(1, 4))
@examples(40)
def test_mnists_digits_inverted_padded_and_enlarged_stay_themselves(
    index: int, is_inverted: bool, top: int, left: int, factor: int
) -> None:
    large = SAMPLES[index].repeat(factor, axis=0).repeat(factor, axis=1)
    picture = np.pad(large, ((top, 3), (left, 3)))
    assert unlike(frame(255 - picture if is_inverted else picture).pixels, frame(SAMPLES[index]).pixels) < 0.5


@given(st.sampled_from(range(len(SAMPLES))), st.sampled_from(["PNG", "BMP", "WEBP", "TIFF", "JPEG"]), st.booleans())
@examples(25)
@example(14, "PNG", False)  # its centre of mass lies between two pixels
def test_file_format_and_colour_do_not_matter(index: int, kind: str, is_inverted: bool) -> None:
    share = enlarged(SAMPLES[index], 84)[..., np.newaxis] / 255
    paper, ink = np.array([250, 240, 220]), np.array([20, 30, 120])
    if is_inverted:
        paper, ink = ink, paper
    buffer = io.BytesIO()
    Image.fromarray((paper + share * (ink - paper)).astype(np.uint8)).save(buffer, kind)
    grey = decode(buffer.getvalue(), ImageLimits(max_bytes=100_000, max_pixels=100_000))
    assert unlike(frame(grey).pixels, frame(SAMPLES[index]).pixels) < 0.5


@pytest.mark.parametrize("side", [8, 12, 16])
def test_a_tiny_digit_that_fills_its_picture_has_the_same_frame_in_either_polarity(side: int) -> None:
    tiny = [filling(digit, side) for digit in SAMPLES]
    framed = [(frame(255 - digit), frame(digit)) for digit in tiny]
    differences = [9.0 if dark.is_blank else unlike(light.pixels, dark.pixels) for light, dark in framed]
    assert np.mean(np.array(differences) < 0.1) >= 0.9


def test_tiny_digits_are_enlarged_to_what_mnist_has() -> None:
    assert np.median([unlike(frame(filling(digit, 10)).pixels, digit) for digit in SAMPLES]) < 0.6


def stroke_width_of(framed: Grey) -> float:
    return stroke_width(framed.reshape(28, 28).astype(np.float64))


@pytest.mark.parametrize("thickness", [1, 2, 30, 60, 70])
def test_strokes_of_any_thickness_become_as_wide_as_mnists(thickness: int) -> None:
    canvas = Image.new("L", (300, 300), 255)
    ImageDraw.Draw(canvas).line([(80, 60), (220, 60), (130, 250)], fill=0, width=thickness)
    assert 1.2 <= stroke_width_of(frame(np.asarray(canvas)).pixels) <= 4.8


@pytest.mark.parametrize("dot", [50, 2])
@pytest.mark.parametrize("side", [28, 100])
def test_a_pale_block_with_one_dark_dot_is_framed(side: int, dot: int) -> None:
    picture = np.zeros((side, side), np.uint8)
    picture[side // 4 : -side // 4, side // 4 : -side // 4] = 97  # paler than an outline's level: redrawing loses it
    picture[dot * side // 100, dot * side // 100] = 255
    assert frame(picture).pixels.max() == 255
    assert frame(255 - picture).pixels.max() == 255


def test_remnants_of_ruled_lines_are_dropped() -> None:
    picture = np.pad(drawn_seven(), 20)
    clean = frame(picture).pixels
    picture[:4] = 255
    picture[:, -3:] = 255
    picture[60:, :2] = 255
    assert unlike(frame(picture).pixels, clean) < 0.15
    assert unlike(frame(255 - picture).pixels, clean) < 0.15


def test_a_frame_all_around_is_no_ink() -> None:
    picture = np.pad(drawn_seven(), 15)
    clean = frame(picture).pixels
    framed = np.pad(picture, 4, constant_values=255)
    assert unlike(frame(255 - framed).pixels, clean) < 0.15


def test_a_stroke_of_the_digit_along_the_border_stays() -> None:
    five = np.zeros((32, 24), np.uint8)
    five[:3, 4:22] = 255  # the bar, broken off by one row
    five[4:18, 3:7] = 255
    five[15:19, 3:20] = 255
    five[18:30, 18:22] = 255
    five[28:32, 2:20] = 255
    assert frame(five).pixels.reshape(28, 28)[4:6].max() > 100
    rows = np.flatnonzero(frame(five).pixels.reshape(28, 28).any(axis=1))
    assert np.ptp(rows) == 19


def quality(picture: Grey) -> Quality:
    return frame(picture).quality


def test_a_clean_dark_digit_on_light_paper_gets_no_remark() -> None:
    assert quality(255 - drawn_seven()) == Quality(0)


@pytest.mark.parametrize(
    ("picture", "remark"),
    [
        (np.full((20, 20), 255, np.uint8), Quality.BLANK),
        (np.hstack([255 - drawn_seven(), 255 - drawn_seven()]), Quality.SEVERAL_GLYPHS),
        (255 - drawn_seven()[20:], Quality.TOUCHES_BORDER),
        (255 - drawn_seven() // 6, Quality.LOW_CONTRAST),
        (drawn_seven(), Quality.MOSTLY_DARK),
    ],
)
def test_each_remark_is_made_of_its_own_picture_alone(picture: Grey, remark: Quality) -> None:
    assert quality(picture) == remark


def test_mnists_digits_are_one_glyph_each() -> None:
    assert np.mean([Quality.SEVERAL_GLYPHS in quality(digit) for digit in SAMPLES]) == 0
