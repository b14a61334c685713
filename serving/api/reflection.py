"""gRPC server reflection over every contract that is served, whichever descriptor pool its code registered it in."""

from collections.abc import Sequence

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from protos.inference import open_inference_pb2
from protos.mnist.v1 import digits_pb2

FILES: Sequence[FileDescriptor] = [
    module.DESCRIPTOR for module in (digits_pb2, open_inference_pb2, health_pb2, reflection_pb2)
]


def add_reflection(server: grpc.aio.Server) -> None:
    """Adds the standard grpc.reflection service."""
    pool = DescriptorPool()  # grpcio's servicer looks in one, and these files are in two
    for file in FILES:
        pool.AddSerializedFile(file.serialized_pb)
    services = [service.full_name for file in FILES for service in file.services_by_name.values()]
    reflection.enable_server_reflection(services, server, pool)
