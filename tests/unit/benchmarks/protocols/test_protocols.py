"""Hand-written requests are what protobuf parses, and responses are parsed as protobuf writes them."""

import asyncio
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from benchmarks.protocols.open_inference import infer_digits, infer_request
from benchmarks.protocols.our_http import CLASSIFY_HTTP, INFER_HTTP
from benchmarks.protocols.peer_contracts import base64_json, json_digits, raw_digits, tutorial_digits, tutorial_request
from benchmarks.protocols.protobuf import field, fields, first_field, packed_varints, read_varint, varint
from benchmarks.protocols.protocol import grpc_message
from serving.process.standalone import Standalone
from tests.support.tiny_model import image_of

PIXELS = np.arange(2 * 784, dtype=np.uint32).astype(np.uint8).reshape(2, 784)
ROOT = Path(__file__).parents[4]
OPEN_INFERENCE = """
syntax = "proto3";
package inference;
message Contents { repeated int64 int64_contents = 3; }
message Tensor { string name = 1; string datatype = 2; repeated int64 shape = 3; Contents contents = 5; }
message Request { string model_name = 1; repeated Tensor inputs = 5; repeated bytes raw_input_contents = 7; }
message Response { string model_name = 1; repeated Tensor outputs = 5; repeated bytes raw_output_contents = 6; }
"""


def message_class(proto: Path, folder: Path, name: str) -> Any:
    """A message class of a .proto, in a pool of its own: its names may be taken in the default one."""
    compiled = folder / "descriptors"
    # A process of its own: next to other libraries that bring protobuf's C++ along, the compiler may crash.
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{proto.parent}", f"--descriptor_set_out={compiled}"]
    subprocess.run([*command, str(proto)], check=True)
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes()).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def open_inference_class(folder: Path, name: str) -> Any:
    proto = folder / "open_inference.proto"
    proto.write_text(OPEN_INFERENCE)
    return message_class(proto, folder, f"inference.{name}")


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**32, 2**63])
def test_a_number_is_read_as_it_was_written(value: int) -> None:
    assert read_varint(varint(value) + b"more", 0) == (value, len(varint(value)))


@pytest.mark.parametrize("message", [b"\x0a\x05abc", b"\x0a", b"\xff" * 11, b"\x0b"])
def test_bytes_that_are_not_a_message_are_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"short|longer|wire type"):
        list(fields(message))


def test_fields_of_every_wire_type_are_decoded() -> None:
    message = varint(8) + varint(5) + varint(1 << 3 | 5) + b"abcd" + varint(2 << 3 | 1) + b"12345678" + field(3, b"x")
    assert list(fields(message)) == [(1, 5), (1, b"abcd"), (2, b"12345678"), (3, b"x")]
    assert first_field(message, 3) == b"x"
    assert first_field(message, 9) == b""
    assert packed_varints(varint(1) + varint(300)) == [1, 300]


def test_an_inference_request_is_what_protobuf_reads(tmp_path: Path) -> None:
    request = open_inference_class(tmp_path, "Request").FromString(infer_request(PIXELS, "mnist"))
    (tensor,) = request.inputs
    assert (request.model_name, tensor.name, tensor.datatype, list(tensor.shape)) == (
        "mnist",
        "pixels",
        "UINT8",
        [2, 784],
    )
    assert list(request.raw_input_contents) == [PIXELS.tobytes()]


@pytest.mark.parametrize("is_raw", [True, False])
def test_digits_are_read_from_raw_and_typed_outputs(tmp_path: Path, is_raw: bool) -> None:
    response = open_inference_class(tmp_path, "Response")(model_name="mnist")
    for name, values in (("novelty", [9]), ("digit", [3, 7, 0])):
        tensor = response.outputs.add(name=name, datatype="INT64", shape=[len(values)])
        if is_raw:
            response.raw_output_contents.append(struct.pack(f"<{len(values)}q", *values))
        else:
            tensor.contents.int64_contents.extend(values)
    assert infer_digits(response.SerializeToString()) == [3, 7, 0]


def test_an_inference_response_without_digits_is_refused() -> None:
    with pytest.raises(LookupError, match="digit"):
        infer_digits(b"")


def test_a_tutorial_request_is_what_its_proto_reads(tmp_path: Path) -> None:
    proto = ROOT / "benchmarks/peers/grpcio_tutorial/digits.proto"
    request = message_class(proto, tmp_path, "tutorial.ReadRequest").FromString(tutorial_request(PIXELS))
    np.testing.assert_allclose([image.pixels for image in request.images], PIXELS / 255, rtol=1e-6)
    response = message_class(proto, tmp_path, "tutorial.ReadResponse")(digits=[4, 0, 9], probabilities=[1, 1, 1])
    assert tutorial_digits(response.SerializeToString()) == [4, 0, 9]


def test_responses_over_http_are_parsed() -> None:
    assert raw_digits(np.eye(10, dtype=np.float32)[[5, 2]].tobytes()) == [5, 2]
    assert json_digits(b"[5, 2]") == json_digits(b'{"digits": [5, 2]}') == [5, 2]
    assert len(json.loads(base64_json("/read").body(PIXELS))["images"]) == 2


async def test_our_server_reads_the_requests_over_http_and_its_digits_are_found(server: Standalone) -> None:
    digits = [7, 2, 5]
    pixels = np.frombuffer(b"".join(map(image_of, digits)), np.uint8).reshape(-1, 784)
    for protocol in (CLASSIFY_HTTP, INFER_HTTP):
        found = await asyncio.to_thread(protocol.classify, server.http_port, pixels)
        assert found == digits
        assert await asyncio.to_thread(protocol.classify, server.http_port, pixels[:1]) == digits[:1]


def test_a_grpc_message_begins_with_its_length() -> None:
    assert grpc_message(b"abc") == b"\0\0\0\0\3abc"
