"""What calls take for images: one or several, in every form that can mean only one thing; the rest is refused."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from mnist_digits.classify_codec import image_bytes
from mnist_digits.images import each_image

ROOT = Path(__file__).parents[3]
PIXELS = np.arange(784, dtype=np.uint16).astype(np.uint8)
ONE_IMAGE = [(784,), (28, 28), (28, 28, 1)]


def contents(images: Any) -> list[bytes]:
    """What is sent for each image of a call."""
    return [image_bytes(image) for image in each_image(images)]


def as_file(picture: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("shape", ONE_IMAGE, ids=str)
def test_one_array_is_one_image_and_a_stack_is_as_many_as_it_holds(shape: tuple[int, ...]) -> None:
    one = PIXELS.reshape(shape)
    expected = image_bytes(PIXELS.tobytes())
    assert contents(one) == contents([one]) == contents(one[np.newaxis]) == [expected]
    assert contents(one.tolist()) == contents([one.tolist()]) == [expected]
    stack = np.stack([one, one[::-1], one])
    assert contents(stack) == contents(list(stack)) == contents(stack.tolist()) == contents([*stack.tolist()])
    assert contents(stack) == [image_bytes(image.tobytes()) for image in stack]
    assert contents(stack[:0]) == []


def test_twenty_eight_images_are_not_taken_for_one() -> None:
    for shape in ONE_IMAGE:
        assert len(contents(np.zeros((28, *shape), np.uint8))) == 28


sides = st.sampled_from([1, 2, 7, 14, 28, 56, 112, 783, 784])


@settings(deadline=None)  # a busy machine stalls now and then
@given(st.lists(sides, max_size=4).filter(lambda shape: np.prod(shape) <= 5000))
def test_an_array_of_any_other_shape_is_refused_with_the_shapes_that_are_taken(shape: list[int]) -> None:
    assume(tuple(shape) not in ONE_IMAGE and tuple(shape[1:]) not in ONE_IMAGE)
    check_refused(np.zeros(shape, np.uint8), "(784,), (28, 28) or (28, 28, 1)")


@pytest.mark.parametrize(
    "shape", [(14, 56), (56, 14), (1, 14, 56), (784, 1), (28, 28, 3), (28, 28, 4), (3, 28, 28, 3), ()]
)
def test_an_array_of_784_elements_in_another_shape_or_with_colours_is_refused(shape: tuple[int, ...]) -> None:
    check_refused(np.zeros(shape, np.uint8), f"(n, 784), (n, 28, 28) or (n, 28, 28, 1), got {shape}")


def check_refused(array: npt.NDArray[Any], words: str) -> None:
    for images in (array, [array], array.tolist() if array.ndim else [array]):
        with pytest.raises(ValueError, match="expected pixels of shape") as raised:
            contents(images)
        assert words in str(raised.value)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, np.bool_])
def test_an_array_of_another_type_is_refused_and_floats_get_the_conversion(kind: type[np.generic]) -> None:
    with pytest.raises(
        ValueError, match=f"expected pixels of uint8, 0 = paper and 255 = ink, got {kind.__name__}"
    ) as raised:
        contents(PIXELS.astype(kind))
    assert ("(array * 255).astype(numpy.uint8)" in str(raised.value)) == (np.dtype(kind).kind == "f")


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([0.5] * 784, "expected pixels of uint8"),
        ([[True] * 28] * 28, "expected pixels of uint8"),
        ([256] * 784, "expected pixels from 0 = paper to 255 = ink, got 256 to 256"),
        ([[-1] * 28] * 28, "expected pixels from 0 = paper to 255 = ink, got -1 to -1"),
        ([[0] * 28] * 27 + [[0] * 27], "got lists of different lengths"),
        ([0] * 783, r"got \(783,\)"),
        ([[]], "expected pixels of shape"),
        ([b"file", [[0] * 784] * 2], "expected one image, got an array of 2"),
        ([PIXELS, np.zeros((3, 784), np.uint8)], "expected one image, got an array of 3"),
    ],
)
def test_lists_that_are_no_pixels_are_refused(numbers: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        contents(numbers)


def test_one_file_is_one_image_in_any_form(tmp_path: Path) -> None:
    content = as_file(Image.new("L", (9, 9)), "PNG")
    path = tmp_path / "x.png"
    path.write_bytes(content)
    expected = [image_bytes(content)]
    forms: list[Any] = [content, bytearray(content), memoryview(content), path, str(path)]
    for form in forms:
        assert contents(form) == contents([form]) == contents((form,)) == contents(iter([form])) == expected
    assert contents([*forms, PIXELS, PIXELS.tolist()]) == expected * 5 + [image_bytes(PIXELS.tobytes())] * 2


@pytest.mark.parametrize("text", ["no-such.png", "x" * 5000, "\0", ""])
def test_text_that_is_no_file_is_refused_as_a_path(text: str) -> None:
    for images in (text, [text]):
        with pytest.raises(
            FileNotFoundError, match=r"no such file \(text is taken for the path of a picture\)"
        ) as raised:
            contents(images)
        assert len(str(raised.value)) < 300


@pytest.mark.parametrize("nothing", [None, 3, object(), {"a": 1}, [None], [3, b""]])
def test_anything_else_is_refused(nothing: Any) -> None:
    with pytest.raises((TypeError, FileNotFoundError), match=r"expected an image: bytes, a path|no such file"):
        contents(nothing)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "I", "F"])
def test_a_picture_of_pillows_is_sent_as_a_file_with_its_pixels(mode: str) -> None:
    picture = Image.linear_gradient("L").convert(mode) if mode != "I;16" else Image.new(mode, (28, 28), 1000)
    [content] = contents(picture)
    assert contents([picture]) == [content]
    sent = Image.open(io.BytesIO(content[content.index(b"\x89PNG" if b"\x89PNG" in content else b"II*\0") :]))
    assert np.array_equal(np.asarray(sent.convert("F" if mode == "F" else sent.mode)), np.asarray(picture))


def test_a_photo_of_pillows_is_sent_upright_and_in_less_bytes_than_the_server_takes() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    photo = Image.open(io.BytesIO(as_jpeg(Image.fromarray(noise).resize((400, 300)).resize((4000, 3000)), exif)))
    [content] = contents(photo)
    assert len(content) < 8 * 2**20
    assert Image.open(io.BytesIO(content[content.index(b"\xff\xd8\xff") :])).size == (3000, 4000)


def as_jpeg(picture: Image.Image, exif: Image.Exif) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", exif=exif)
    return file.getvalue()


def test_the_client_does_not_load_pillow() -> None:
    program = "import sys, mnist_digits; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=ROOT / "client").returncode == 0
