"""Pictures that requests carry show the digits that they are drawn from, to our server and to the peer."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.peers.onnx_session import Session
from benchmarks.peers.pillow_pixels import pixels_of_picture
from benchmarks.protocols.mnist_v1 import HTTP_PNG
from benchmarks.protocols.peer_contracts import picture_http
from benchmarks.protocols.pictures import PICTURES, carrying, drawn
from benchmarks.servers.example_network import graph_file, sample_digits
from serving.image.decode import decode
from serving.image.framing import frame
from serving.image.picture import ImageLimits

MODELS = Path(__file__).parents[4] / "models"
LIMITS = ImageLimits(max_bytes=2**20, max_pixels=10**6)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_complete_file_of_its_format_and_the_same_each_time(name: str) -> None:
    kind, pixels = PICTURES[name], sample_digits()[:2]
    encoded = kind.encode(pixels[:1])
    picture = Image.open(io.BytesIO(encoded))
    picture.load()
    assert (picture.format, *picture.size) == (kind.format, kind.width, kind.height)
    assert encoded == kind.encode(pixels[:1])
    assert encoded != kind.encode(pixels[1:])


def test_strokes_keep_grey_edges() -> None:
    histogram = drawn(sample_digits()[0], 200, 200).histogram()
    grey = sum(histogram[1:255])
    assert histogram[255] > histogram[0] > grey > 100


def test_a_digit_lies_in_the_middle_of_a_wide_picture() -> None:
    inked = np.flatnonzero((np.asarray(drawn(sample_digits()[0], 400, 200)) < 128).any(axis=0))
    assert 100 <= inked.min() < inked.max() < 300


@pytest.mark.parametrize("name", PICTURES)
def test_the_server_and_the_peer_read_the_digit_that_is_shown(name: str) -> None:
    session, pixels = Session(str(graph_file(MODELS))), sample_digits()[:10]
    files = [PICTURES[name].encode(row[None]) for row in pixels]
    ours = np.stack([frame(decode(file, LIMITS)).pixels for file in files])
    peers = np.concatenate([pixels_of_picture(file) for file in files])
    expected = session.run(pixels)["digit"].tolist()
    assert session.run(ours)["digit"].tolist() == expected
    assert session.run(peers)["digit"].tolist() == expected


def test_the_peer_inverts_light_paper_only() -> None:
    dark = Image.new("L", (56, 56), 10)
    dark.paste(200, (20, 20, 36, 36))
    file = io.BytesIO()
    dark.save(file, "PNG")
    pixels = pixels_of_picture(file.getvalue())
    assert (pixels.shape, pixels[0, 0], pixels[0, 14 * 28 + 14]) == ((1, 784), 10, 200)


def test_a_protocol_carries_another_picture_under_its_media_type() -> None:
    for protocol in (HTTP_PNG, picture_http("/read")):
        assert protocol.content_type == "image/png"
        jpeg = carrying(protocol, PICTURES["jpeg"])
        assert (jpeg.content_type, jpeg.path, jpeg.carries_pictures) == ("image/jpeg", protocol.path, True)
        assert jpeg.body(sample_digits()[:1]).startswith(b"\xff\xd8")
