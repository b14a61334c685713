"""Frames are cut out of a stream of bytes wherever it is split, and requests are made of legal frames."""

from benchmarks.wire import http2


def test_frames_are_found_however_the_bytes_arrive() -> None:
    content = http2.settings({3: 100}) + http2.frame(http2.PING, 0, 0, b"12345678") + http2.window_update(7, 9)
    received, found = bytearray(), []
    for byte in content:
        received.append(byte)
        found += list(http2.take_frames(received))
    assert [frame.kind for frame in found] == [http2.SETTINGS, http2.PING, http2.WINDOW_UPDATE]
    assert http2.read_settings(found[0].payload) == {http2.MAX_CONCURRENT_STREAMS: 100}
    assert (found[2].stream, found[2].payload) == (7, b"\0\0\0\x09")
    assert not received


def test_a_long_body_is_cut_into_frames_that_every_server_takes() -> None:
    frames = list(http2.take_frames(bytearray(http2.request_frames(3, b"headers", bytes(40_000)))))
    assert [frame.kind for frame in frames] == [http2.HEADERS, http2.DATA, http2.DATA, http2.DATA]
    assert [len(frame.payload) for frame in frames[1:]] == [16_384, 16_384, 7_232]
    assert [frame.flags for frame in frames] == [http2.END_HEADERS, 0, 0, http2.END_STREAM]


def test_headers_are_literals_without_a_table() -> None:
    assert http2.literal_headers([("te", "trailers")]) == b"\0\x02te\x08trailers"
