"""LitServe, two workers: JSON with images as base64 in, digits out: `PORT GRAPH`."""

import sys
from typing import Any

import litserve

from benchmarks.peers.onnx_session import Session, pixels_of

WORKERS = 2


class Digits(litserve.LitAPI):  # type: ignore[misc]  # litserve is in an environment of its own, which mypy does not see
    """LitServe's way: decode, predict, encode, in worker processes behind an HTTP process."""

    def __init__(self, graph_file: str) -> None:
        super().__init__(api_path="/read")
        self._graph_file = graph_file

    def setup(self, device: str) -> None:
        """Once in each worker."""
        del device
        self._session = Session(self._graph_file)

    def decode_request(self, request: dict[str, Any]) -> Any:
        """The parsed JSON, to pixels."""
        return pixels_of(request["images"])

    def predict(self, pixels: Any) -> Any:
        """One request."""
        return self._session.run(pixels)["digit"]

    def encode_response(self, output: Any) -> dict[str, list[int]]:
        """What becomes JSON."""
        return {"digits": output.tolist()}


if __name__ == "__main__":
    port, graph_file = sys.argv[1:]
    server = litserve.LitServer(Digits(graph_file), accelerator="cpu", workers_per_device=WORKERS)
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, log_level="warning")
