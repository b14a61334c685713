"""A call of no engine, for tests: keeps how it ended."""

import grpc

from serving.api.engine.call import Call, Metadata
from serving.core.batch_queue import NO_DEADLINE


class RecordedCall(Call):
    """`sent`: what its client would have received, as (status, details, message)."""

    def __init__(self) -> None:
        super().__init__(NO_DEADLINE)
        self.sent: list[tuple[grpc.StatusCode, str, bytes | None]] = []

    def peer(self) -> str:
        return "test:"

    def invocation_metadata(self) -> Metadata:
        return ()

    async def read(self) -> bytes | None:
        return None

    async def write(self, message: bytes) -> None:
        raise NotImplementedError

    def _send(self, code: grpc.StatusCode, details: str, message: bytes | None) -> None:
        self.sent.append((code, details, message))
