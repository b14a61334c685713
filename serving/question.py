"""A call of Classify on its way from the HTTP side to whoever answers it, perhaps another process; and its answer."""

from dataclasses import dataclass

from serving.error_status import ErrorStatus

# A mnist.v1.ClassifyResponse, or why there is none.
Answer = bytes | ErrorStatus


@dataclass(frozen=True, slots=True)
class Question:
    """One call. `request`: a mnist.v1.ClassifyRequest. `seconds`: within which its answer is wanted."""

    request: bytes
    seconds: float
    address: str  # of whoever asks
    metadata: tuple[tuple[str, str], ...]  # lower-case names; where an API key may be

    def peer(self) -> str:
        """Among whom the room is divided, as a call of gRPC's tells it."""
        return self.address

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """As a call of gRPC's has it."""
        return self.metadata
