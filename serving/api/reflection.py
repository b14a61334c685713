"""gRPC server reflection, v1 and v1alpha, over every contract that is served.

The two versions differ in the name of their package alone, so the answers are made once, by grpcio's v1alpha servicer.
"""

from collections.abc import Sequence

import grpc
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from protos.inference import open_inference_pb2
from protos.mnist.v1 import digits_pb2
from serving.api.engine.call import Call, Method
from serving.api.wire_format import parse_message
from serving.errors import InvalidRequestError

FILES: Sequence[FileDescriptor] = [
    module.DESCRIPTOR for module in (digits_pb2, open_inference_pb2, health_pb2, reflection_pb2)
]
V1ALPHA, V1 = "grpc.reflection.v1alpha", "grpc.reflection.v1"
SERVICE = "ServerReflection"


def services() -> list[ServiceDescriptor]:
    """Returns the services of every contract that is served."""
    return [service for file in FILES for service in file.services_by_name.values()]


def reflection_methods() -> list[Method]:
    """Returns the reflection services, which list mnist.v1, inference, health and themselves."""
    # A third pool with all files: grpcio's servicer searches one pool, and open_inference_pb2 registers in a pool of
    # its own (kserve/kserve#3099, protos/generate.py).
    pool = DescriptorPool()
    for file in FILES:
        pool.AddSerializedFile(file.serialized_pb)
    pool.AddSerializedFile(_v1().SerializeToString())
    names = [service.full_name for service in services()]
    servicer = reflection.ReflectionServicer([*names, f"{V1}.{SERVICE}"], pool)

    def begin(call: Call, _: bytes) -> None:
        call.run(_answer(call, servicer))

    return [Method(f"{package}.{SERVICE}", "ServerReflectionInfo", "bidi_stream", begin) for package in (V1, V1ALPHA)]


async def _answer(call: Call, servicer: reflection.ReflectionServicer) -> None:
    while (message := await call.read()) is not None:
        try:
            request = parse_message(reflection_pb2.ServerReflectionRequest, message)
        except InvalidRequestError as error:
            call.finish(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            return
        # The servicer does not use its second argument, the context.
        for response in servicer.ServerReflectionInfo(iter([request]), None):  # type: ignore[arg-type]
            await call.write(response.SerializeToString())
    call.finish()


def _v1() -> FileDescriptorProto:
    """Returns the file of v1, made of v1alpha's, which grpcio ships alone."""
    file = FileDescriptorProto.FromString(reflection_pb2.DESCRIPTOR.serialized_pb)
    file.name, file.package = file.name.replace("v1alpha", "v1"), V1
    for message in file.message_type:
        for field in message.field:
            if field.type_name:  # setting it makes the field a message's
                field.type_name = field.type_name.replace(V1ALPHA, V1)
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(V1ALPHA, V1)
            method.output_type = method.output_type.replace(V1ALPHA, V1)
    return file
