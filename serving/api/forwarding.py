"""A call on its way from the HTTP side to whoever answers it, maybe another process; and its answer."""

from dataclasses import dataclass
from typing import Literal

from serving.api.status import ErrorStatus

Method = Literal["Classify", "Explain"]  # of mnist.v1.DigitClassifier
# The method's response, serialised, or why there is none.
Answer = bytes | ErrorStatus


@dataclass(frozen=True, slots=True)
class Question:
    """One call. `request`: the method's, serialised. `seconds`: within which its answer is wanted."""

    method: Method
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
