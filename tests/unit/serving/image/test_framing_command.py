"""`python -m serving.image` as its callers run it."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from serving.config import Config
from serving.image.__main__ import LIMITS
from serving.image.decode import decode
from serving.image.framing import frame
from serving.image.picture import ImageLimits, Quality
from serving.image.segmentation.columns import unread
from serving.image.segmentation.cuts import without_slant
from serving.image.segmentation.segmentation import segment_grey
from serving.image.segmentation.strips import strip_of
from tests.support.processes import ROOT, completed

DIGITS = np.load(ROOT / "tests" / "data" / "digits.npz")["pixels"][:5].reshape(5, 28, 28)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return completed([sys.executable, "-m", "serving.image", *arguments])


def test_each_stack_comes_back_framed_with_its_flags(tmp_path: Path) -> None:
    blank = np.full((2, 9, 13), 200, np.uint8)
    np.savez(tmp_path / "in.npz", digits=DIGITS, blank=blank, none=np.zeros((0, 8, 8), np.uint8))
    done = run(tmp_path / "in.npz", tmp_path / "out.npz")
    assert (done.returncode, done.stderr) == (0, "")
    with np.load(tmp_path / "out.npz") as out:
        assert set(out.files) == {"digits", "digits_flags", "blank", "blank_flags", "none", "none_flags"}
        np.testing.assert_array_equal(out["digits"], [frame(digit).pixels for digit in DIGITS])
        assert not out["blank"].any()
        assert out["blank_flags"].tolist() == [Quality.BLANK] * 2
        assert out["none"].shape == (0, 784)
        assert (out["digits"].dtype, out["digits_flags"].dtype) == (np.uint8, np.uint16)


def test_candidates_are_those_of_the_segmentation(tmp_path: Path) -> None:
    blank = np.full((40, 120), 255, np.uint8)
    pair = np.pad(255 - np.hstack(list(DIGITS[:2])), 20, constant_values=255)
    alone = np.pad(255 - DIGITS[2], ((20, 20), (20, 48)), constant_values=255)
    np.savez(
        tmp_path / "in.npz", numbers=np.stack([pair, alone]), blank=blank[None], none=np.zeros((0, 8, 8), np.uint8)
    )
    done = run("--candidates", tmp_path / "in.npz", tmp_path / "out.npz")
    assert (done.returncode, done.stderr) == (0, "")
    expected = [segment_grey(pair, unread), segment_grey(alone, unread)]
    with np.load(tmp_path / "out.npz") as out:
        np.testing.assert_array_equal(out["numbers"], np.concatenate([each.pixels for each in expected]))
        np.testing.assert_array_equal(out["numbers_boxes"], np.concatenate([each.boxes for each in expected]))
        counts = [len(each.boxes) for each in expected]
        assert out["numbers_pictures"].tolist() == [0] * counts[0] + [1] * counts[1]
        for name in ("blank", "none"):
            assert (out[name].shape, out[f"{name}_boxes"].shape) == ((0, 784), (0, 4))
            assert out[f"{name}_pictures"].tolist() == []


def slanted(digit: npt.NDArray[np.uint8], slant: float) -> npt.NDArray[np.uint8]:
    """Returns the digit whose rows are shifted to the right, more the lower they are, on a sheet with some paper."""
    sheet = np.zeros((len(digit) + 6, digit.shape[1] + 40), np.uint8)
    for row, line in enumerate(digit):
        start = 20 + round(slant * (row - len(digit) / 2))
        sheet[row + 2, start : start + len(line)] = line
    return sheet


def test_strips_are_those_of_the_column_network_with_where_each_point_lies(tmp_path: Path) -> None:
    pictures = np.stack([slanted(digit, slant) for digit in DIGITS for slant in (-0.6, -0.2, 0.0, 0.3)])
    pictures = pictures.repeat(2, axis=1).repeat(2, axis=2)
    np.savez(tmp_path / "in.npz", ink=pictures, none=np.zeros((0, 8, 8), np.uint8))
    done = run("--strips", tmp_path / "in.npz", tmp_path / "out.npz")
    assert (done.returncode, done.stderr) == (0, "")
    with np.load(tmp_path / "out.npz") as out:
        strips, widths, columns = (out[f"ink{suffix}"] for suffix in ("", "_widths", "_columns"))
        assert (strips.dtype, widths.dtype, columns.dtype) == (np.uint8, np.int64, np.float64)
        assert strips.shape == (len(pictures), 32, widths.max())
        assert [out[f"none{suffix}"].shape for suffix in ("", "_widths", "_columns")] == [(0, 32, 0), (0,), (0, 3)]
    for picture, strip, width, (a, b, c) in zip(pictures, strips, widths, columns, strict=True):
        rows, left = np.nonzero(picture)
        expected = strip_of(without_slant(picture[rows.min() : rows.max() + 1, left.min() : left.max() + 1])[0])
        np.testing.assert_array_equal(strip[:, :width], expected.pixels)
        assert not strip[:, width:].any()
        inked = np.flatnonzero(strip.any(axis=0))
        firsts = a * left + b * (rows + 0.5) + c
        assert abs(firsts.min() - inked[0]) <= 1  # a row is shifted by whole columns
        assert abs(firsts.max() + a - (inked[-1] + 1)) <= 1


def test_a_picture_without_ink_has_no_strip(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", ink=np.zeros((1, 9, 9), np.uint8))
    done = run("--strips", tmp_path / "in.npz", tmp_path / "out.npz")
    assert (done.returncode, done.stderr) == (2, "picture 0 of a stack has no ink, of which --strips makes a strip\n")


@pytest.mark.parametrize("flag", ["--candidates", "--strips"])
def test_it_needs_nothing_of_serving_but_what_the_training_image_holds(flag: str, tmp_path: Path) -> None:
    copied = re.findall(r"^COPY (serving/.*) /new/app/(\S*)$", (ROOT / "deploy/training.Dockerfile").read_text(), re.M)
    for sources, target in copied:
        for source in sources.split():
            into = tmp_path / target
            if source.endswith("/"):
                shutil.copytree(ROOT / source, into)
            else:
                into.mkdir(exist_ok=True)
                shutil.copy(ROOT / source, into)
    np.savez(tmp_path / "in.npz", digits=DIGITS)
    command = [sys.executable, "-m", "serving.image", flag, "in.npz", "out.npz"]
    done = completed(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stderr) == (0, "")
    program = "import serving; print(serving.__file__)"
    elsewhere = completed(
        [sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    assert elsewhere.stdout.startswith(str(tmp_path))


def test_a_large_picture_is_reduced_as_the_server_reduces_it(tmp_path: Path) -> None:
    large = 255 - DIGITS[:1].repeat(20, axis=1).repeat(20, axis=2)
    png = io.BytesIO()
    Image.fromarray(large[0]).save(png, "PNG")
    np.savez(tmp_path / "in.npz", large=large)
    assert run(tmp_path / "in.npz", tmp_path / "out.npz").returncode == 0
    served = frame(decode(png.getvalue(), ImageLimits(max_bytes=10**6, max_pixels=10**6))).pixels
    with np.load(tmp_path / "out.npz") as out:
        np.testing.assert_array_equal(out["large"], [served])


def test_files_are_decoded_and_framed_within_the_servers_limits_and_faults_are_named(tmp_path: Path) -> None:
    Image.fromarray(255 - DIGITS[0]).save(tmp_path / "digit.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "digit.png").read_bytes()[:60])
    with (tmp_path / "long.png").open("wb") as file:
        file.truncate(LIMITS.max_bytes + 1)
    Image.new("RGB", (6001, 6000)).save(tmp_path / "wide.png")
    os.mkfifo(tmp_path / "pipe.png")
    names = ["digit.png", "broken.png", "long.png", "wide.png", "pipe.png", "missing.png", "nul\0.png"]
    (tmp_path / "paths.json").write_text(json.dumps([str(tmp_path / name) for name in names]))
    done = run("--files", tmp_path / "paths.json", tmp_path / "out.npz")
    assert (done.returncode, done.stderr) == (0, "")
    with np.load(tmp_path / "out.npz", allow_pickle=False) as out:
        served = frame(decode((tmp_path / "digit.png").read_bytes(), LIMITS))
        np.testing.assert_array_equal(out["pixels"][0], served.pixels)
        assert not out["pixels"][1:].any()
        assert out["flags"].tolist() == [served.quality, *[0] * 6]
        errors = out["errors"].tolist()
    assert errors[0] == ""
    assert all(errors[1:])
    assert "bytes" in errors[2]
    assert "regular" in errors[4]


def test_the_limits_on_files_are_the_servers_own() -> None:
    config = Config()
    assert ImageLimits(config.max_image_bytes, config.max_image_pixels) == LIMITS


@pytest.mark.parametrize("content", ["[3]", "{}", "[", ""])
def test_what_is_no_list_of_paths_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "paths.json").write_text(content)
    done = run("--files", tmp_path / "paths.json", tmp_path / "out.npz")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def damaged(path: Path) -> None:
    np.savez_compressed(path, digits=DIGITS)
    content = bytearray(path.read_bytes())
    content[80:120] = bytes(40)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "No such file"),  # noqa: ARG005 - nothing is written
        (lambda path: path.write_bytes(b"no archive"), "no readable .npz archive"),
        (lambda path: path.write_bytes(b""), "no readable .npz archive"),
        (damaged, "no readable .npz archive"),
        (lambda path: np.savez(path, a=DIGITS.astype(np.float32)), "'a' of .* expected .n, h, w. uint8 .* float32"),
        (lambda path: np.savez(path, a=DIGITS[0]), "'a' of .* got .28, 28. uint8"),
        (lambda path: np.savez(path, a=np.array([None])), "no readable .npz archive"),
        (lambda path: np.savez(path, a=DIGITS, a_flags=DIGITS), "'a_flags' .* needed for the flags"),
        (lambda path: np.savez(path, a=DIGITS, a_boxes=DIGITS), "'a_boxes' .* needed for the boxes"),
        (lambda path: np.savez(path, a=DIGITS, a_columns=DIGITS), "'a_columns' .* needed for the columns"),
    ],
)
def test_input_that_cannot_be_used_is_one_line_and_status_2(
    write: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    write(tmp_path / "in.npz")
    done = run(tmp_path / "in.npz", tmp_path / "out.npz")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert re.search(message, done.stderr)
    assert not (tmp_path / "out.npz").exists()


def test_missing_arguments_print_the_usage() -> None:
    done = run("in.npz")
    assert (done.returncode, done.stderr) == (
        2,
        "usage: python -m serving.image"
        " [--candidates | --strips | --measures | --pixel-measures | --files] IN OUT.npz\n",
    )


def test_measures_of_pictures_and_of_framed_pixels_come_by_name(tmp_path: Path) -> None:
    blank = np.full((1, 28, 28), 255, np.uint8)
    np.savez(
        tmp_path / "in.npz", digits=np.pad(255 - DIGITS, ((0, 0), (8, 8), (8, 8)), constant_values=255), blank=blank
    )
    assert run("--measures", tmp_path / "in.npz", tmp_path / "out.npz").returncode == 0
    with np.load(tmp_path / "out.npz") as out:
        assert out["digits_polarity"].tolist() == [0] * 5
        assert (out["digits_contrast"] > 200).all()
        assert np.isnan(out["blank_polarity"]).all()
        assert out["blank_remark"].tolist() == [1]
    np.savez(tmp_path / "in.npz", digits=DIGITS, blank=np.zeros((1, 28, 28), np.uint8))
    assert run("--pixel-measures", tmp_path / "in.npz", tmp_path / "out.npz").returncode == 0
    with np.load(tmp_path / "out.npz") as out:
        np.testing.assert_allclose(out["digits_ink"], DIGITS.mean(axis=(1, 2)) / 255, rtol=1e-5)
        np.testing.assert_array_equal(out["digits_level"], DIGITS.max(axis=(1, 2)))
        assert (abs(out["digits_row"] - 14.5) <= 0.5).all()  # the centre of mass is at pixel index 14
        assert out["blank_size"].tolist() == [0]


def test_pixel_measures_need_framed_pixels(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", wide=np.zeros((1, 9, 13), np.uint8))
    done = run("--pixel-measures", tmp_path / "in.npz", tmp_path / "out.npz")
    assert done.returncode == 2
    assert "framed pixels, (n, 28, 28)" in done.stderr
