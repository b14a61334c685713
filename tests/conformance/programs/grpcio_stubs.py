"""grpcio: generated stubs, the standard health service, and reflection as grpcurl uses it."""

import sys
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from protos.mnist.v1 import digits_pb2, digits_pb2_grpc
from tests.conformance.programs.calls import DIGITS, PIXELS, report

CHANNEL = grpc.insecure_channel(sys.argv[1])
DIGIT_CLASSIFIER = "mnist.v1.DigitClassifier"
STUB = digits_pb2_grpc.DigitClassifierStub(CHANNEL)
HEALTH: Any = health_pb2_grpc.HealthStub(CHANNEL)
SERVICES = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "inference.GRPCInferenceService",
    DIGIT_CLASSIFIER,
]


def request() -> digits_pb2.ClassifyRequest:
    return digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=row.tobytes()) for row in PIXELS])


def classify(**options: Any) -> list[int]:
    return [each.digit for each in STUB.Classify(request(), timeout=10, **options).predictions]


def streamed() -> list[int]:
    def requests() -> Iterator[digits_pb2.ClassifyStreamRequest]:
        for number in range(3):
            yield digits_pb2.ClassifyStreamRequest(id=number, request=request())

    return sorted(response.id for response in STUB.ClassifyStream(requests(), timeout=10))


def watched() -> int:
    call = HEALTH.Watch(health_pb2.HealthCheckRequest(), timeout=10)
    status = next(call).status
    call.cancel()
    return int(status)


def reflected() -> list[int]:
    """Digits of a call whose messages reflection alone describes."""
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(CHANNEL))
    method = pool.FindServiceByName(DIGIT_CLASSIFIER).methods_by_name["Classify"]
    response_type: Any = GetMessageClass(method.output_type)
    call: Any = CHANNEL.unary_unary(
        f"/{DIGIT_CLASSIFIER}/Classify",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=response_type.FromString,
    )
    message = GetMessageClass(method.input_type).FromString(request().SerializeToString())
    return [each.digit for each in call(message, timeout=10).predictions]


def status_of_an_empty_request() -> str:
    try:
        STUB.Classify(digits_pb2.ClassifyRequest(), timeout=10)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


if __name__ == "__main__":
    check, every = health_pb2.HealthCheckRequest(service=DIGIT_CLASSIFIER), health_pb2.HealthListRequest()  # type: ignore[attr-defined]  # types older than List
    serving = health_pb2.HealthCheckResponse.SERVING
    report(
        {
            "Classify": (classify, DIGITS),
            "Classify, gzip": (lambda: classify(compression=grpc.Compression.Gzip), DIGITS),
            "ClassifyStream": (streamed, [0, 1, 2]),
            "GetModel": (lambda: STUB.GetModel(digits_pb2.GetModelRequest(), timeout=10).name, "mnist"),
            "no image": (status_of_an_empty_request, "INVALID_ARGUMENT"),
            "Health.Check": (lambda: HEALTH.Check(check, timeout=10).status, serving),
            "Health.Watch": (watched, serving),
            "Health.List": (lambda: HEALTH.List(every, timeout=10).statuses[""].status, serving),
            "reflection, list": (lambda: sorted(ProtoReflectionDescriptorDatabase(CHANNEL).get_services()), SERVICES),
            "reflection, call": (reflected, DIGITS),
        }
    )
