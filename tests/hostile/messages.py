"""Requests that nobody means well by, for every method that is served: noise, damage, and every field at its limits."""

import asyncio
import io
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor, FileDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from PIL import Image

from benchmarks.protocols.protobuf import varint
from benchmarks.protocols.protocol import grpc_message
from protos.inference import open_inference_pb2
from protos.mnist.v1 import digits_pb2
from tests.hostile.connection import HostileConnection
from tests.hostile.frames import call_headers, headers, reset
from tests.hostile.load import Attack
from tests.support.tiny_model import image_of

FILES: list[FileDescriptor] = [
    module.DESCRIPTOR for module in (digits_pb2, open_inference_pb2, health_pb2, reflection_pb2)
]
IN_FLIGHT = 32  # at once, on one connection
ANSWER_SECONDS = 20.0
_DEPTH = 3  # of messages in messages
_MANY = 3000  # entries of a list or map

Field = FieldDescriptor
_NUMBERS: dict[int, list[int | float]] = {
    Field.CPPTYPE_INT32: [0, 1, -1, 2**31 - 1, -(2**31)],
    Field.CPPTYPE_INT64: [0, 1, -1, 2**63 - 1, -(2**63), 2**31, 784, 2**62],
    Field.CPPTYPE_UINT32: [0, 1, 255, 256, 2**32 - 1],
    Field.CPPTYPE_UINT64: [0, 1, 2**63, 2**64 - 1],
    Field.CPPTYPE_FLOAT: [0.0, -0.0, 1.0, float("nan"), float("inf"), float("-inf"), 3e38, 1e-45],
    Field.CPPTYPE_DOUBLE: [0.0, 1.0, float("nan"), float("inf"), float("-inf"), 1e308, 5e-324],
    Field.CPPTYPE_BOOL: [0, 1],
    Field.CPPTYPE_ENUM: [0, 1, 77, -1],
}
_WORDS = ["", "mnist", "pixels", "UINT8", "FP32", "BYTES", "1", "0", "-1", "timeout", "\0", "é" * 300, "x" * 100_000]
_WORDS += ["grpc.health.v1.Health", "mnist.v1.Image", "protos/mnist/v1/digits.proto", "9" * 5000, "1e9", " 1", "\u0661"]
_BYTES = [b"", b"\0", bytes(784), image_of(3), b"\xff" * 785, b"\x89PNG\r\n\x1a\n" + bytes(50), bytes(100_000)]


@dataclass(frozen=True, slots=True)
class Method:
    """A method that is served. `ends`: whether an answer does, as a watch does not."""

    service: str
    path: str
    request: type[Message]
    ends: bool

    @property
    def is_ours(self) -> bool:
        """Whether this repository reads its requests, and not grpcio."""
        return not self.service.startswith("grpc.")


def methods(service: str = "") -> list[Method]:
    """Those of one service, or of all."""
    return [
        Method(each.full_name, f"/{each.full_name}/{method.name}", _class_of(method.input_type), _ends(method))
        for file in FILES
        for each in file.services_by_name.values()
        for method in each.methods
        if service in ("", each.full_name)
    ]


def _ends(method: object) -> bool:
    return bool(getattr(method, "client_streaming", False) or not getattr(method, "server_streaming", False))


def random_messages(service: str) -> Attack:
    """The attack of `count` payloads by chance, divided among the methods of a service."""

    async def attack(port: int, count: int) -> Counter[str]:
        chance, of_service = random.Random(count), methods(service)
        of_each = -(-count // len(of_service))
        return await _send_all(port, {each: by_chance(each.request, chance, of_each) for each in of_service})

    return attack


async def limits(port: int, rounds: int) -> Counter[str]:
    """Each field of each request of each method at each of its limits, `rounds` times."""
    outcomes: Counter[str] = Counter()
    for _ in range(rounds):
        outcomes += await _send_all(port, {each: at_limits(each.request) for each in methods() if each.is_ours})
    return outcomes


async def _send_all(port: int, messages: Mapping[Method, Iterator[bytes]]) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    async with HostileConnection(port) as connection:

        async def send_each(method: Method, payloads: Iterator[bytes]) -> None:
            for payload in payloads:
                outcomes[await send(connection, method, payload)] += 1

        for method, payloads in messages.items():
            await asyncio.gather(*(send_each(method, payloads) for _ in range(IN_FLIGHT)))
    return outcomes


async def send(connection: HostileConnection, method: Method, payload: bytes) -> str:
    """Sends one request and says how it ended; what never ends is cancelled at its first answer."""
    stream = connection.new_stream()
    connection.send(headers(stream, call_headers(method.path)))
    await connection.send_body(stream, grpc_message(payload))
    if method.ends:
        return await connection.ended(stream, ANSWER_SECONDS)
    outcome = await connection.answered(stream, ANSWER_SECONDS)
    connection.send(reset(stream))
    return outcome


def by_chance(kind: type[Message], chance: random.Random, count: int) -> Iterator[bytes]:
    """`count` payloads, of each kind in turn."""
    makers = (noise, damaged, wrong_wire_types, extreme, nested)
    return (makers[number % len(makers)](kind, chance) for number in range(count))


def at_limits(kind: type[Message]) -> Iterator[bytes]:
    """A good request with one field, of whatever depth, at one of its limits."""
    good = good_request(kind).SerializeToString()
    for value in _limits(kind, _DEPTH):
        yield good + value


def noise(_: type[Message], chance: random.Random) -> bytes:
    """Any bytes."""
    return chance.randbytes(chance.choice([0, 1, 2, 7, 60, 790, 2000]))


def damaged(kind: type[Message], chance: random.Random) -> bytes:
    """A good request with some bytes changed, cut, doubled or put in."""
    content = bytearray(good_request(kind).SerializeToString())
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, min(len(content), chance.choice([60, 10_000])))
        length = chance.choice([1, 1, 4, 100])
        change = chance.choice(
            [b"", chance.randbytes(length), bytes(content[at : at + length]) * 2, b"\xff" * length, varint(2**64 - 1)]
        )
        content[at : at + length] = change
    return bytes(content)


def wrong_wire_types(kind: type[Message], chance: random.Random) -> bytes:
    """Fields with the schema's numbers and any wire type, the two that do not exist too."""
    content = b""
    for _ in range(chance.randint(1, 6)):
        number = chance.choice([*kind.DESCRIPTOR.fields_by_number, 19_000, 2**29 - 1, 0])
        content += varint(number << 3 | chance.randint(0, 7)) + chance.randbytes(chance.randint(0, 12))
    return content


def extreme(kind: type[Message], chance: random.Random) -> bytes:
    """A sound message with every field at one of its limits, or left out."""
    return _extreme(kind, chance, _DEPTH).SerializeToString()


def nested(kind: type[Message], chance: random.Random) -> bytes:
    """Groups in groups, or a field whose length says more than there is, within itself."""
    number = chance.choice([*kind.DESCRIPTOR.fields_by_number, 15])
    depth = chance.choice([10, 99, 101, 20_000])
    if chance.random() < 0.5:
        return varint(number << 3 | 3) * depth + varint(number << 3 | 4) * chance.choice([0, depth])
    return (varint(number << 3 | 2) + b"\x7f") * depth


def good_request(kind: type[Message]) -> Message:
    """One that is answered with OK."""
    known: dict[str, Message] = {
        "mnist.v1.ClassifyRequest": _classify_request(),
        "mnist.v1.ClassifyStreamRequest": digits_pb2.ClassifyStreamRequest(id=7, request=_classify_request()),
        "inference.ModelInferRequest": _infer_request(),
        "grpc.reflection.v1alpha.ServerReflectionRequest": reflection_pb2.ServerReflectionRequest(list_services="*"),
    }
    name = kind.DESCRIPTOR.full_name
    fields = {"name": "mnist"} if "name" in kind.DESCRIPTOR.fields_by_name else {}
    return known[name] if name in known else kind(**fields)


def _classify_request() -> digits_pb2.ClassifyRequest:
    buffer = io.BytesIO()
    Image.fromarray(np.full((9, 9), 200, np.uint8)).save(buffer, "PNG")
    images = [digits_pb2.Image(pixels=image_of(1)), digits_pb2.Image(encoded=buffer.getvalue())]
    return digits_pb2.ClassifyRequest(images=images, model_version=1)


def _infer_request() -> open_inference_pb2.ModelInferRequest:
    request = open_inference_pb2.ModelInferRequest
    tensor = request.InferInputTensor(name="pixels", datatype="UINT8", shape=[1, 784])
    outputs = [request.InferRequestedOutputTensor(name=name) for name in ("digit", "probabilities")]
    return request(model_name="mnist", inputs=[tensor], outputs=outputs, raw_input_contents=[image_of(2)])


def _limits(kind: type[Message], depth: int) -> Iterator[bytes]:
    """Messages with one field set, to be put behind a good one: protobuf reads both as one."""
    for field in kind.DESCRIPTOR.fields:
        if field.message_type is not None:
            inner = list(_limits(_class_of(field.message_type), depth - 1)) if depth else [b""]
            tag = varint(field.number << 3 | 2)
            yield from (tag + varint(len(value)) + value for value in inner)
            yield (tag + b"\0") * _MANY
            continue
        for value in _values(field):
            yield kind(**{field.name: [value] if field.is_repeated else value}).SerializeToString()
        if field.is_repeated:
            yield kind(**{field.name: [_values(field)[0]] * _MANY}).SerializeToString()


def _extreme(kind: type[Message], chance: random.Random, depth: int) -> Message:
    message = kind()
    for field in kind.DESCRIPTOR.fields:
        if chance.random() < 0.3 or (field.message_type is not None and not depth):
            continue
        times = chance.choice([0, 1, 1, 2, 5]) if field.is_repeated else 1
        if field.message_type is None:
            values = [chance.choice(_values(field)) for _ in range(times)]
            message.MergeFrom(kind(**{field.name: values if field.is_repeated else values[0]}))
            continue
        inner = _class_of(field.message_type)
        for _ in range(times):
            content = _extreme(inner, chance, depth - 1).SerializeToString()
            message.MergeFromString(varint(field.number << 3 | 2) + varint(len(content)) + content)
    return message


def _class_of(descriptor: Any) -> type[Message]:  # one of two classes, of which the stubs know one to be right
    return GetMessageClass(descriptor)


def _values(field: Any) -> list[Any]:  # as above
    if field.cpp_type != Field.CPPTYPE_STRING:
        return list(_NUMBERS[field.cpp_type])
    return list(_BYTES if field.type == Field.TYPE_BYTES else _WORDS)
