"""Callers without end, as programs are that use our client: what each was told, and whether it was right."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mnist_digits import AsyncDigitClient, CallError
from tests.support.tiny_model import image_of


@dataclass(slots=True)
class Told:
    """What became of the calls."""

    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # by what they were told
    wrong: int = 0

    @property
    def lost(self) -> int:
        """Calls that got no answer or another's."""
        return self.failed.total() + self.wrong


@asynccontextmanager
async def calling(addresses: list[str], callers: int = 8, connections: int = 4) -> AsyncIterator[Told]:
    """Callers, each with one call after the other, over connections of our client that know all `addresses`.

    The client's retries are on; nothing else is done again. A call that began before the block ends is waited for.
    """
    told, stop = Told(), asyncio.Event()
    target = addresses[0] if len(addresses) == 1 else "ipv4:" + ",".join(addresses)
    clients = [AsyncDigitClient(target, coalesce=False, timeout_seconds=30) for _ in range(connections)]

    async def call(number: int) -> None:
        client = clients[number % connections]
        digits = [(number + n) % 10 for n in range(1 + number % 3)]
        images = [image_of(digit) for digit in digits]
        while not stop.is_set():
            try:
                answers = await client.classify(images)
            except CallError as error:
                told.failed[str(error)] += 1
            else:
                told.answered += 1
                told.wrong += [answer.digit for answer in answers] != digits

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(callers):
                group.create_task(call(number))
            yield told
            stop.set()
    finally:
        await asyncio.gather(*(client.close() for client in clients))


async def until_answered(told: Told, more: int) -> None:
    """Returns when so many more calls were answered."""
    goal = told.answered + more
    async with asyncio.timeout(60):
        while told.answered < goal:
            await asyncio.sleep(0.001)
