"""Callers without end, like programs that use our client: what became of each call, and whether it was right."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mnist_digits import AsyncDigitClient, CallError
from tests.support.tiny_model import image_of


@dataclass(slots=True)
class CallOutcomes:
    """Calls that were answered, that failed, and whose response was another's."""

    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # by message
    wrong: int = 0

    @property
    def lost(self) -> int:
        """Calls that got no response or another's."""
        return self.failed.total() + self.wrong


@asynccontextmanager
async def calling(addresses: list[str], callers: int = 8, connections: int = 4) -> AsyncIterator[CallOutcomes]:
    """Runs callers, each with one call after the other, over connections of our client that know all `addresses`.

    The client's retries are on; nothing else is done again. A call that began before the block ends is waited for.
    """
    outcomes, stop = CallOutcomes(), asyncio.Event()
    target = addresses[0] if len(addresses) == 1 else "ipv4:" + ",".join(addresses)
    clients = [AsyncDigitClient(target, coalesce=False, timeout_seconds=30) for _ in range(connections)]

    async def call(number: int) -> None:
        client = clients[number % connections]
        digits = [(number + n) % 10 for n in range(1 + number % 3)]
        images = [image_of(digit) for digit in digits]
        while not stop.is_set():
            try:
                predictions = await client.classify(images)
            except CallError as error:
                outcomes.failed[str(error)] += 1
            else:
                outcomes.answered += 1
                outcomes.wrong += [prediction.digit for prediction in predictions] != digits

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(callers):
                group.create_task(call(number))
            yield outcomes
            stop.set()
    finally:
        await asyncio.gather(*(client.close() for client in clients))


async def until_answered(outcomes: CallOutcomes, more: int) -> None:
    """Returns when so many more calls were answered."""
    goal = outcomes.answered + more
    async with asyncio.timeout(60):
        while outcomes.answered < goal:
            await asyncio.sleep(0.001)
