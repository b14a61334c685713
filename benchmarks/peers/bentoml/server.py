"""BentoML, one worker, its adaptive batching on: JSON with images as base64 in, digits out."""

import os

import bentoml

from benchmarks.peers.onnx_session import Session, pixels_of


@bentoml.service(workers=1, traffic={"timeout": 30, "max_concurrency": 1024}, logging={"access": {"enabled": False}})
class Digits:
    """BentoML's way."""

    def __init__(self) -> None:
        self._session = Session(os.environ["GRAPH_FILE"])

    @bentoml.api(batchable=True, max_batch_size=512)  # type: ignore[untyped-decorator]  # mypy does not see it
    def read(self, images: list[str]) -> list[int]:
        """The digits of as many images as there are."""
        digits: list[int] = self._session.run(pixels_of(images))["digit"].tolist()
        return digits
