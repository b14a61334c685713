"""What the gRPC tutorial leads to: a synchronous server on a thread pool, pixels as repeated float: `PORT GRAPH`."""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np

from benchmarks.peers.onnx_session import Session

THREADS = 10  # the tutorial's
messages, services = grpc.protos_and_services("benchmarks/peers/grpcio_tutorial/digits.proto")


class DigitReader(services.DigitReaderServicer):  # type: ignore[name-defined,misc]  # generated as it is imported
    """The service."""

    def __init__(self, graph_file: str) -> None:
        self._session = Session(graph_file)

    def Read(self, request: Any, _: grpc.ServicerContext) -> Any:  # noqa: N802  # gRPC's name
        """Floats to pixels, as the graph takes them; the likeliest digits back."""
        pixels = np.array([image.pixels for image in request.images], np.float32)
        answers = self._session.run(np.rint(pixels * 255).astype(np.uint8))
        return messages.ReadResponse(digits=answers["digit"], probabilities=answers["probabilities"].max(axis=1))


def main(port: str, graph_file: str) -> None:
    """Serves until it is ended."""
    server = grpc.server(ThreadPoolExecutor(max_workers=THREADS))
    services.add_DigitReaderServicer_to_server(DigitReader(graph_file), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
