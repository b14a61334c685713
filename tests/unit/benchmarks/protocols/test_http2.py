"""Frames are parsed wherever the stream of bytes is split, and request templates are legal frames."""

import pytest
from hpack import Decoder
from hyperframe.frame import DataFrame, HeadersFrame, PingFrame, SettingsFrame, WindowUpdateFrame

from benchmarks.protocols.http2 import RequestTemplate, data_frames, header_block, take_frames


def test_frames_are_parsed_however_the_bytes_arrive() -> None:
    sent = [SettingsFrame(0, settings={3: 100}), PingFrame(0, b"12345678"), WindowUpdateFrame(7, window_increment=9)]
    received, found = bytearray(), []
    for byte in b"".join(frame.serialize() for frame in sent):
        received.append(byte)
        found += list(take_frames(received))
    settings, ping, window_update = found
    assert isinstance(settings, SettingsFrame)
    assert settings.settings == {SettingsFrame.MAX_CONCURRENT_STREAMS: 100}
    assert isinstance(ping, PingFrame)
    assert isinstance(window_update, WindowUpdateFrame)
    assert (window_update.stream_id, window_update.window_increment) == (7, 9)
    assert not received


@pytest.mark.parametrize("stream", [1, 3, 2**31 - 1])
def test_a_long_body_is_cut_into_frames_that_every_server_takes(stream: int) -> None:
    body = bytes(range(256)) * 150
    headers, *data = take_frames(bytearray(RequestTemplate(b"headers", body).on_stream(stream)))
    assert isinstance(headers, HeadersFrame)
    assert (headers.data, set(headers.flags)) == (b"headers", {"END_HEADERS"})
    assert all(isinstance(frame, DataFrame) for frame in data)
    assert [frame.body_len for frame in data] == [16_384, 16_384, 5_632]
    assert [set(frame.flags) for frame in data] == [set(), set(), {"END_STREAM"}]
    assert b"".join(frame.data for frame in data if isinstance(frame, DataFrame)) == body
    assert {frame.stream_id for frame in (headers, *data)} == {stream}


def test_an_empty_body_is_one_frame_that_ends_the_stream() -> None:
    (frame,) = data_frames(5, b"")
    assert (frame.data, set(frame.flags)) == (b"", {"END_STREAM"})


def test_a_header_block_changes_no_table_of_the_receiver() -> None:
    headers = [(":method", "POST"), (":path", "/a/b"), ("te", "trailers")]
    decoder = Decoder()
    for _ in range(2):
        assert [(str(name), str(value)) for name, value in decoder.decode(header_block(headers))] == headers
        assert list(decoder.header_table.dynamic_entries) == []
