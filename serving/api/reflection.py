"""gRPC server reflection (grpc.reflection.v1alpha) over every contract that is served."""

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
    """Registers the reflection service, which lists mnist.v1, inference, health and itself."""
    # A third pool with all files: grpcio's servicer searches one pool, and open_inference_pb2 registers in a pool of
    # its own (kserve/kserve#3099, protos/generate.py).
    pool = DescriptorPool()
    for file in FILES:
        pool.AddSerializedFile(file.serialized_pb)
    services = [service.full_name for file in FILES for service in file.services_by_name.values()]
    reflection.enable_server_reflection(services, server, pool)
