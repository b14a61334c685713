"""Many callers of every kind at once, against any server of the tiny model; every outcome is counted.

Round after round, `callers` calls are in flight together, each over one of a few connections. What a caller may end
with follows from its kind alone:

1. A patient caller gets its own digits, in its order; so does each request of a stream, under its own id, once.
2. An impatient one, with some milliseconds, gets its own digits too, or a status that says that it was too late.
3. One that leaves gets its own digits, or is cancelled.
4. A bad request is refused as what it is, and an image at which inference raises fails its own caller alone.

Whatever else happens is a fault.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import Enum

import grpc

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from tests.support.tiny_model import image_of, image_that_fails

PATIENCE_SECONDS = 60.0
CONNECTIONS = 8  # enough for each worker to get some
MOST_IMAGES = 24
MOST_FAULTS_SHOWN = 20


class Kind(Enum):
    """Behaviour of a caller."""

    PATIENT = "patient"
    STREAM = "stream"
    IMPATIENT = "impatient"
    LEAVES = "leaves"
    BAD = "bad"
    RAISES = "raises"


OWN = "OK"  # its own digits; every other outcome is the name of a status
PERMITTED = {
    Kind.PATIENT: {OWN},
    Kind.STREAM: {OWN},
    Kind.IMPATIENT: {OWN, "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED"},  # the last: refused at once
    Kind.LEAVES: {OWN, "CANCELLED"},
    Kind.BAD: {"INVALID_ARGUMENT"},
    Kind.RAISES: {"INTERNAL"},
}
# Of 32: a quarter is impatient.
USUAL_KINDS = (Kind.PATIENT,) * 14 + (Kind.IMPATIENT,) * 8 + (Kind.LEAVES,) * 5 + (Kind.STREAM,) * 3 + (Kind.BAD,) * 2
KINDS_WITH_RAISING = (*USUAL_KINDS, Kind.RAISES)

BAD_REQUESTS = (
    digits_pb2.ClassifyRequest(),
    digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(1)), digits_pb2.Image(pixels=bytes(783))]),
    digits_pb2.ClassifyRequest(images=[digits_pb2.Image()]),
    digits_pb2.ClassifyRequest(images=[digits_pb2.Image(encoded=b"no picture")]),
)


@dataclass(slots=True)
class StormResult:
    """Outcomes of the calls; of a stream, each request counts as one."""

    rounds: int = 0
    outcomes: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    faults: int = 0
    first_faults: list[str] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """Number of calls."""
        return self.outcomes.total()

    def add(self, kind: Kind, outcome: str) -> None:
        """Counts one outcome."""
        self.outcomes[kind, outcome] += 1
        if outcome in PERMITTED[kind]:
            return
        self.faults += 1
        if len(self.first_faults) < MOST_FAULTS_SHOWN:
            self.first_faults.append(f"round {self.rounds}: {kind.value} got {outcome}")


async def storm(
    address: str, rounds: int, callers: int = 32, kinds: Sequence[Kind] = USUAL_KINDS, seed: int = 0
) -> StormResult:
    """Storms the server at `address` (host:port). The same seed makes the same calls."""
    result, dice = StormResult(), random.Random(seed)
    async with AsyncExitStack() as stack:
        stubs = []
        for _ in range(CONNECTIONS):
            channel = grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
            await stack.enter_async_context(channel)
            stubs.append(DigitClassifierStub(channel))
        for _ in range(rounds):
            calls = [
                _call(dice.choice(kinds), dice.choice(stubs), random.Random(dice.random())) for _ in range(callers)
            ]
            for kind, outcomes in await asyncio.gather(*calls):
                for outcome in outcomes:
                    result.add(kind, outcome)
            result.rounds += 1
    return result


async def _call(kind: Kind, stub: DigitClassifierStub, dice: random.Random) -> tuple[Kind, list[str]]:
    """One caller, from beginning to end: what became of it, or of each request of its stream."""
    match kind:
        case Kind.STREAM:
            return kind, await _stream(stub, dice)
        case Kind.BAD:
            return kind, [await _unary(stub, dice.choice(BAD_REQUESTS), [], PATIENCE_SECONDS)]
        case Kind.RAISES:
            request = _request([dice.randrange(10)])
            request.images.append(digits_pb2.Image(pixels=image_that_fails()))
            return kind, [await _unary(stub, request, [], PATIENCE_SECONDS)]
    digits = _digits(dice)
    seconds = dice.uniform(0.001, 0.006) if kind is Kind.IMPATIENT else PATIENCE_SECONDS
    turns = dice.randrange(60) if kind is Kind.LEAVES else None
    return kind, [await _unary(stub, _request(digits), digits, seconds, turns)]


async def _unary(
    stub: DigitClassifierStub,
    request: digits_pb2.ClassifyRequest,
    digits: list[int],
    seconds: float,
    turns: int | None = None,
) -> str:
    """Makes a call, and cancels it after so many turns of the loop, if any."""
    call = stub.Classify(request, timeout=seconds)
    if turns is not None:
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
    try:
        return _seen(await call, digits)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    except asyncio.CancelledError:
        if not call.cancelled():
            raise  # the storm itself was
        return "CANCELLED"


async def _stream(stub: DigitClassifierStub, dice: random.Random) -> list[str]:
    """A stream of several requests under ids of its own, and a bad one among them."""
    sent = {identity: _digits(dice) for identity in dice.sample(range(1, 1000), dice.randint(2, 6))}
    bad, *_ = sent
    sent[bad] = []
    outcomes: dict[int, list[str]] = {identity: [] for identity in sent}

    async def requests() -> AsyncIterator[digits_pb2.ClassifyStreamRequest]:
        for identity, digits in sent.items():
            yield digits_pb2.ClassifyStreamRequest(id=identity, request=_request(digits))

    try:
        async for answer in stub.ClassifyStream(requests(), timeout=PATIENCE_SECONDS):
            if answer.WhichOneof("outcome") == "response":
                seen = _seen(answer.response, sent.get(answer.id, []))
            else:
                (seen,) = (code.name for code in grpc.StatusCode if code.value[0] == answer.failure.code)
            if answer.id == bad and seen == "INVALID_ARGUMENT":
                seen = OWN
            outcomes.setdefault(answer.id, []).append(seen)
    except grpc.aio.AioRpcError as error:
        return [f"the stream ended with {error.code().name}"]
    return [seen[0] if len(seen) == 1 else f"{len(seen)} answers: {seen}" for seen in outcomes.values()]


def _digits(dice: random.Random) -> list[int]:
    """Mostly one or a few; sometimes more than a batch holds."""
    return dice.choices(range(10), k=dice.choice((1, 1, 1, 2, 3, 5, 8, MOST_IMAGES)))


def _request(digits: Sequence[int]) -> digits_pb2.ClassifyRequest:
    return digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(digit)) for digit in digits])


def _seen(response: digits_pb2.ClassifyResponse, digits: list[int]) -> str:
    answered = [prediction.digit for prediction in response.predictions]
    return OWN if digits and answered == digits else f"{answered} for {digits}"
