"""Calls that are wrong around their message: headers, lengths, compression, how many messages; and cheap bombs."""

import asyncio
import gzip
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from benchmarks.protocols.protocol import grpc_message
from protos.inference.open_inference_pb2 import InferTensorContents, ModelInferRequest
from protos.mnist.v1 import digits_pb2
from tests.hostile.connection import HostileConnection
from tests.hostile.frames import (
    CLASSIFY,
    CLASSIFY_STREAM,
    Text,
    call_headers,
    compressed_frame,
    data,
    headers,
)
from tests.support.tiny_model import image_of

MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
BLOCK = 2**20
AT_ONCE = 8  # calls
GOOD = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(1))]).SerializeToString()
_OFF_CHARSET = b"\xff\xfe"


@dataclass(frozen=True)
class Call:
    """One call, and the endings that are right for it."""

    name: str
    endings: set[str]
    body: bytes = grpc_message(GOOD)
    path: Text = CLASSIFY
    headers: Mapping[str, Text] = field(default_factory=dict)


def odd_calls() -> list[Call]:
    """What is answered with a status, whatever it is, and answered soon. INTERNAL where gRPC's own rules say so."""
    refused, unknown = {"RESOURCE_EXHAUSTED"}, {"UNIMPLEMENTED"}
    broken = {"INTERNAL", "RST_STREAM 1", "RST_STREAM 2", "hung up"}  # HTTP/2's own rules
    either_way = {"OK", "INVALID_ARGUMENT", "HTTP 415", *broken}
    gzipped, deflated = {"grpc-encoding": "gzip"}, {"grpc-encoding": "deflate"}
    fits = {"OK", "UNIMPLEMENTED"}  # a server may take compressed messages or not
    return [
        Call("two messages", {"OK", "UNIMPLEMENTED", "INVALID_ARGUMENT"}, grpc_message(GOOD) * 2),
        Call("a length of 2 GiB", refused, b"\0\x7f\xff\xff\xff" + GOOD),
        Call("a length of 4 GiB", refused, b"\0\xff\xff\xff\xff" + GOOD),
        Call("a length beyond the limit", refused, b"\0\x01\x00\x00\x01" + GOOD),
        Call("compressed without an encoding", {"INTERNAL", "UNIMPLEMENTED"}, compressed_frame(GOOD)),
        Call("gzip that is none", {"INTERNAL", "UNIMPLEMENTED"}, compressed_frame(GOOD), headers=gzipped),
        Call("gzip", fits, compressed_frame(gzip.compress(GOOD)), headers=gzipped),
        Call("deflate", fits, compressed_frame(zlib.compress(GOOD)), headers=deflated),
        Call(
            "gzip cut short", {"INTERNAL", "UNIMPLEMENTED"}, compressed_frame(gzip.compress(GOOD)[:-9]), headers=gzipped
        ),
        Call(
            "an encoding nobody has",
            {"INTERNAL", "UNIMPLEMENTED"},
            compressed_frame(GOOD),
            headers={"grpc-encoding": "br"},
        ),
        Call("no path", {*unknown, *broken}, path=""),
        Call("a path of 10 kB", {*unknown, *refused}, path="/" + "a" * 10_000),
        Call("a path without a slash", unknown, path="Classify"),
        Call("a path of slashes", unknown, path="/" * 100),
        Call("a path upwards", unknown, path="/mnist.v1.DigitClassifier/../../etc/passwd"),
        Call("another content type", either_way, headers={"content-type": "text/plain"}),
        Call("no content type", either_way, headers={"content-type": ""}),
        Call("no te", either_way, headers={"te": ""}),
        Call("a GET", {"HTTP 405", *broken}, headers={":method": "GET"}),
        Call("a deadline that is none", {"INTERNAL"}, headers={"grpc-timeout": "soon"}),
        Call("a deadline that is over", {"DEADLINE_EXCEEDED"}, headers={"grpc-timeout": "0n"}),
        Call("a deadline in 11,000 years", {"OK"}, headers={"grpc-timeout": "99999999H"}),
        Call("a deadline before now", {"INTERNAL"}, headers={"grpc-timeout": "-1S"}),
        Call("metadata that is no text", {"OK", "INTERNAL"}, headers={"x": _OFF_CHARSET}),
        Call("metadata that is no base64", {"INTERNAL"}, headers={"x-bin": "!!!"}),
        Call("metadata in capitals", broken, headers={"X": "y"}),
        Call("400 keys", {"OK", *refused}, headers={f"x-{number}": "y" for number in range(400)}),
        Call("10,000 keys", refused, headers={f"x-{number}": "y" for number in range(10_000)}),
        Call("a key of 100 kB", {*refused, "INTERNAL"}, headers={"x" * 100_000: "y"}),
        Call("a value of 4 MB", refused, headers={"x": "y" * 4_000_000}),
        Call("requesting stages, badly", {"OK"}, headers={"mnist-stages": _OFF_CHARSET}),
    ]


def paths_that_are_no_text() -> list[Call]:
    """Methods that are not UTF-8: alone, and behind one that there is."""
    endings = {"CANCELLED", "UNIMPLEMENTED", "INVALID_ARGUMENT", "INTERNAL"}
    return [Call("a path that is no text", endings, path=path + _OFF_CHARSET) for path in (b"/", CLASSIFY.encode())]


def unfinished_calls() -> list[Call]:
    """Calls that end before their message does."""
    refused = {"INTERNAL", "INVALID_ARGUMENT", "UNIMPLEMENTED", "CANCELLED"}
    return [
        Call("no message", refused, b""),
        Call("a length and no message", refused, grpc_message(GOOD)[:5]),
        Call("a message cut short", refused, grpc_message(GOOD)[:-1]),
        Call("half a length", refused, b"\0\0"),
    ]


def bombs() -> list[Call]:
    """A megabyte or less that would be a gigabyte, if anybody unpacked it."""
    refused = {"RESOURCE_EXHAUSTED", "UNIMPLEMENTED"}
    gzipped, deflated = {"grpc-encoding": "gzip"}, {"grpc-encoding": "deflate"}
    gigabyte = _gzipped(1024)
    return [
        Call("gzip of 1 GiB", refused, compressed_frame(gigabyte), headers=gzipped),
        Call("deflate of 64 MiB", refused, compressed_frame(zlib.compress(bytes(64 * BLOCK))), headers=deflated),
        Call("gzip of 17 MiB on a stream", refused, compressed_frame(_gzipped(17)), CLASSIFY_STREAM, gzipped),
        Call("gzip of gzip", refused, compressed_frame(gzip.compress(gigabyte * 40)), headers=gzipped),
    ]


def held_messages(size: int) -> list[Call]:
    """Requests of `size` bytes that are refused at a glance."""
    image = digits_pb2.Image(pixels=bytes(size - 100))
    request = digits_pb2.ClassifyRequest(images=[image]).SerializeToString()
    return [Call("an image too long", {"INVALID_ARGUMENT"}, grpc_message(request))]


def swelling_messages(size: int) -> list[Call]:
    """Messages of `size` bytes, made of the cheapest entries: each costs the parser far more than its bytes."""
    half = size // 2
    tensor = ModelInferRequest.InferInputTensor
    shape = tensor(name="pixels", datatype="UINT8", shape=[1] * (size - 100))
    contents = InferTensorContents(uint_contents=bytes(size - 100))
    typed = tensor(name="pixels", datatype="UINT8", shape=[1, 784], contents=contents)
    refused = {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "NOT_FOUND"}
    infer = [
        ("empty inputs", b"\x2a\0" * half),
        ("empty outputs", b"\x32\0" * half),
        ("empty raw contents", b"\x3a\0" * half),
        ("empty parameters", b"\x22\0" * half),
        ("dimensions", ModelInferRequest(model_name="mnist", inputs=[shape]).SerializeToString()),
        ("elements", ModelInferRequest(model_name="mnist", inputs=[typed]).SerializeToString()),
        ("unknown fields", b"\x78\0" * half),
    ]
    return [
        Call("empty images", refused, grpc_message(b"\x0a\0" * half)),
        *(Call(name, refused, grpc_message(message), MODEL_INFER) for name, message in infer),
    ]


async def make(connection: HostileConnection, call: Call, seconds: float = 20.0) -> str:
    """Makes the call and says how it ended."""
    stream = connection.new_stream()
    connection.send(headers(stream, call_headers(call.path, call.headers)))
    if call.body:
        await connection.send_body(stream, call.body)
    else:
        connection.send(data(stream, b""))
    return await connection.ended(stream, seconds)


async def make_all(port: int, calls: list[Call], rounds: int = 1) -> Counter[str]:
    """Each call on a connection of its own; a wrong ending is counted with the call's name."""

    async def named_ending(call: Call) -> str:
        async with HostileConnection(port) as connection:
            await connection.settled()
            ending = await make(connection, call)
            return ending if ending in call.endings else f"{call.name}: {ending}"

    outcomes: Counter[str] = Counter()
    for _ in range(rounds):
        for at in range(0, len(calls), AT_ONCE):
            outcomes.update(await asyncio.gather(*map(named_ending, calls[at : at + AT_ONCE])))
    return outcomes


@cache
def _gzipped(blocks: int) -> bytes:
    """So many MiB of zeros: one block's bytes again and again, which takes no time."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(BLOCK)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(blocks):
        checksum = zlib.crc32(bytes(BLOCK), checksum)
    end = checksum.to_bytes(4, "little") + (blocks * BLOCK % 2**32).to_bytes(4, "little")
    return gzip.compress(b"")[:10] + block * blocks + b"\x03\x00" + end
