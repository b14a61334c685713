import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from serving.image.framing import frame
from serving.image.picture import Quality
from serving.image.reduction import WORKING_SIDE, reduced
from tests.support.examples import examples
from tests.support.likeness import unlike
from tests.support.work import calls_made

Grey = npt.NDArray[np.uint8]
Stroke = list[tuple[float, float]]
# Pen strokes as a tablet sends them: corners (x, y), as a share of the digit's box.
DIGITS: dict[int, list[Stroke]] = {
    2: [[(0.05, 0.2), (0.3, 0.0), (0.6, 0.05), (0.7, 0.25), (0.0, 1.0), (0.8, 0.97)]],
    4: [[(0.5, 0.0), (0.0, 0.6), (0.75, 0.62)], [(0.6, 0.3), (0.55, 1.0)]],
    5: [[(0.7, 0.0), (0.1, 0.02), (0.08, 0.45), (0.5, 0.42), (0.7, 0.7), (0.4, 1.0), (0.0, 0.9)]],
    7: [[(0.0, 0.05), (0.8, 0.0), (0.3, 1.0)], [(0.15, 0.5), (0.7, 0.5)]],
}
LARGEST_SIDE = 1_600


def drawing(digit: int, side: int, box: int, left: int, top: int, pen: int) -> Grey:
    """Black strokes of `pen` pixels on a white canvas of `side`, the digit `box` pixels high."""
    canvas = Image.new("L", (side, side), 255)
    for stroke in DIGITS[digit]:
        corners = [(left + x * box, top + y * box) for x, y in stroke]
        ImageDraw.Draw(canvas).line(corners, fill=0, width=pen)
    return np.array(canvas)


EXPECTED = {digit: frame(drawing(digit, 150, 100, 30, 25, 1)).pixels for digit in DIGITS}


@pytest.mark.parametrize("digit", DIGITS)
@pytest.mark.parametrize(("side", "pen"), [(1_100, 1), (2_000, 1), (3_000, 1), (5_000, 1), (5_000, 3)])
def test_a_thin_line_is_neither_lost_nor_pale_on_a_large_canvas(digit: int, side: int, pen: int) -> None:
    found = frame(drawing(digit, side, side // 2, side // 4, side // 4, pen))
    assert found.quality == Quality(0)
    assert unlike(found.pixels, EXPECTED[digit]) < 0.4


@given(
    st.sampled_from(sorted(DIGITS)),
    st.integers(161, LARGEST_SIDE),
    st.floats(0.12, 0.9),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(1, 3),
    st.booleans(),
)
@examples(40)
def test_a_thin_drawing_has_one_frame_wherever_it_stands_on_whichever_canvas(
    digit: int, side: int, share: float, right: float, down: float, pen: int, is_inverted: bool
) -> None:
    box = max(int(share * side), 40)
    edge = side // 25  # nearer, and it may be cut off by the border
    room = side - box - 2 * edge
    picture = drawing(digit, side, box, edge + int(right * room), edge + int(down * room), pen)
    found = frame(255 - picture if is_inverted else picture)
    assert found.quality & ~Quality.MOSTLY_DARK == Quality(0)
    assert unlike(found.pixels, EXPECTED[digit]) < 0.5


@pytest.mark.parametrize(("paper", "ink"), [(255, 155), (60, 160), (128, 255)])
def test_a_thin_line_has_the_contrast_it_was_drawn_with(paper: int, ink: int) -> None:
    grey = reduced(np.where(drawing(5, 1_100, 900, 100, 100, 1), np.uint8(paper), np.uint8(ink)))
    extreme = grey.min() if ink < paper else grey.max()
    assert (int(np.median(grey)), int(extreme)) == (paper, ink)


def test_a_small_digit_on_a_large_canvas_keeps_the_pixels_it_was_drawn_with() -> None:
    picture = drawing(4, 1_000, 80, 700, 650, 3)
    small = reduced(picture)
    assert max(small.shape) <= 1.6 * 80
    assert (small == 0).sum() == (picture == 0).sum()


def test_a_far_speck_costs_a_small_digit_no_pixels() -> None:
    picture = drawing(4, 1_100, 80, 200, 150, 2)
    clean = reduced(picture)
    picture[1_050:1_054, 1_061:1_063] = picture[1_051:1_053, 1_060:1_064] = 0  # round
    assert max(clean.shape) < WORKING_SIDE
    np.testing.assert_array_equal(reduced(picture), clean)


def test_a_frame_around_the_canvas_does_not_leave_a_thin_line_pale() -> None:
    picture = drawing(5, 1_100, 500, 300, 300, 1)
    picture[:3] = picture[-3:] = picture[:, :3] = picture[:, -3:] = 0
    assert unlike(frame(picture).pixels, EXPECTED[5]) < 0.4


def test_dust_on_the_paper_is_not_brought_out_with_a_thick_stroke() -> None:
    picture = drawing(5, 1_100, 800, 100, 150, 60)
    clean = frame(picture).pixels
    dusty = picture.copy()
    generator = np.random.default_rng(0)
    dusty[tuple(generator.integers(0, 1_100, (2, 3_000)))] = 0
    assert unlike(frame(dusty).pixels, clean) < 0.1


def test_paper_that_is_not_flat_is_reduced_as_a_whole() -> None:
    shadow = np.linspace(0, 80, 600)[None, :]
    photo = drawing(7, 600, 200, 50, 50, 20) * 0.6 + shadow
    assert reduced(photo.astype(np.uint8)).shape == (WORKING_SIDE, WORKING_SIDE)


@given(st.integers(1, WORKING_SIDE), st.integers(1, WORKING_SIDE), st.integers(0, 255))
@examples(30)
def test_a_small_picture_is_not_touched(width: int, height: int, level: int) -> None:
    picture = np.full((height, width), level, np.uint8)
    picture[height // 2, width // 2] = 255 - level
    assert reduced(picture) is picture


@given(
    st.integers(161, 900),
    st.integers(1, 900),
    st.booleans(),
    st.lists(st.integers(0, 255), min_size=1, max_size=3),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
@examples(50)
def test_any_large_picture_is_reduced_and_then_framed_or_blank(
    longer: int, shorter: int, is_upright: bool, levels: list[int], share: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    picture = np.full((longer, shorter), levels[0], np.uint8)
    marked = generator.random(picture.shape) < share**8  # from no pixel over a few to all
    picture[marked] = generator.choice(levels, int(marked.sum()))
    picture = picture if is_upright else picture.T
    small = reduced(picture)
    assert 1 <= min(small.shape) <= max(small.shape) <= WORKING_SIDE
    framed = frame(picture)
    assert framed.is_blank != framed.pixels.any()


@pytest.mark.parametrize("shape", [(1, 1_000_000), (1_000_000, 1), (7, 200_000), (200_000, 7)])
def test_a_picture_of_extreme_shape_is_reduced(shape: tuple[int, int]) -> None:
    picture = np.full(shape, 255, np.uint8)
    picture[0, 0] = picture[-1, -1] = 0
    assert max(reduced(picture).shape) <= WORKING_SIDE


def test_a_picture_full_of_dots_is_reduced_with_the_work_of_a_drawing() -> None:
    dots = np.full((2_000, 2_000), 255, np.uint8)
    dots[::12, ::12] = 0  # each a piece of its own at the working size
    drawn = drawing(5, 2_000, 1_600, 200, 200, 2)
    assert calls_made(lambda: reduced(dots)) < 6 * calls_made(lambda: reduced(drawn))
