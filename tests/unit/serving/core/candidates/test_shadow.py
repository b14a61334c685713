"""What of the answered requests is sent to the shadow process, and when it is dropped instead."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from serving.auth.api_keys import Caller
from serving.core.batcher import Batcher
from serving.core.candidates.shadow import MOST_WAITING, Shadow
from serving.core.registry import Registry, ServedModel
from serving.core.runner import LoopRunner
from serving.metrics.merge import values
from serving.metrics.metrics import Metrics
from serving.predictions import Pixels, Predictions
from serving.shadow.messages import MOST_BYTES, MOST_IMAGES, REFUSED, Answered, Truth, key_of, unpacked
from serving.version_policy import Candidate
from tests.support.tiny_model import image_of, load_version

CALLER = Caller("ipv4:127.0.0.1:40000", request_id="a")


class Sender:
    """A served model, the shadow of another version, and the other end of its socket."""

    def __init__(self, repository: Path) -> None:
        self.metrics = Metrics(CollectorRegistry())
        model = load_version(repository)
        self.batcher = Batcher(LoopRunner(model.run), self.metrics, max_batch_size=64)
        self.registry = Registry()
        self.registry.serve([ServedModel(model, self.batcher, is_tuned=False)])
        ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.shadow = Shadow(ours.fileno(), Candidate(2, 1.0), self.registry, self.metrics)
        ours.close()
        self.theirs.setblocking(False)

    async def answered(self, *digits: int) -> tuple[Pixels, Predictions]:
        """Pixels of these digits, and what the model says."""
        pixels = np.stack([np.frombuffer(image_of(digit), np.uint8) for digit in digits])
        return pixels, await self.batcher.submit(pixels)

    def received(self) -> list[Answered | Truth]:
        """What has been sent."""
        found: list[Answered | Truth] = []
        try:
            while True:
                found.append(unpacked(self.theirs.recv(MOST_BYTES)))
        except BlockingIOError:
            return found

    def dropped(self, reason: str) -> float:
        """Images that were dropped for this reason."""
        return values(self.metrics.registry.collect())["mnist_shadow_dropped_total", reason]


@pytest.fixture
async def sender(tiny_repository: Path) -> AsyncIterator[Sender]:
    made = Sender(tiny_repository)
    made.batcher.start()
    yield made
    await made.batcher.close()
    made.shadow.close()
    made.theirs.close()


async def test_an_answered_request_is_sent_in_the_loops_next_turn(sender: Sender) -> None:
    pixels, predictions = await sender.answered(3, 7)
    predictions.batch.refusals = np.array([0, 1], np.uint8)
    sender.shadow.offer(CALLER, pixels, predictions)
    assert sender.received() == []
    await asyncio.sleep(0)
    (found,) = sender.received()
    assert isinstance(found, Answered)
    assert (found.key, found.version, found.answers.tolist()) == (key_of("", "a"), 1, [3, REFUSED])
    assert np.array_equal(found.pixels, pixels)


async def test_of_a_large_request_the_first_images_are_sent(sender: Sender) -> None:
    pixels, predictions = await sender.answered(*[1] * (2 * MOST_IMAGES))
    sender.shadow.offer(CALLER, pixels, predictions)
    await asyncio.sleep(0)
    (found,) = sender.received()
    assert isinstance(found, Answered)
    assert len(found.pixels) == MOST_IMAGES


async def test_where_work_waits_nothing_is_sent(sender: Sender) -> None:
    pixels, predictions = await sender.answered(3)
    sender.shadow.offer(CALLER, pixels, predictions)
    waiting = asyncio.ensure_future(sender.batcher.submit(pixels))
    sender.batcher.enqueue(pixels, float("inf"), asyncio.get_running_loop().create_future())
    await waiting
    assert sender.received() == []
    assert sender.dropped("busy") == 1


async def test_what_has_no_room_is_dropped_and_nothing_waits_for_it(sender: Sender) -> None:
    pixels, predictions = await sender.answered(*[3] * MOST_IMAGES)
    for _ in range(16):  # nobody reads
        sender.shadow.offer(CALLER, pixels, predictions)
        await asyncio.sleep(0)
    for _ in range(2 * MOST_WAITING):  # within one turn
        sender.shadow.offer(CALLER, pixels, predictions)
    sent = len(sender.received())
    assert 0 < sent < 16
    assert sender.dropped("full") == (16 - sent) * MOST_IMAGES
    assert sender.dropped("busy") == MOST_WAITING * MOST_IMAGES


async def test_a_reader_that_is_gone_costs_nothing_but_the_comparison(sender: Sender) -> None:
    pixels, predictions = await sender.answered(3)
    sender.theirs.close()
    sender.shadow.offer(CALLER, pixels, predictions)
    await asyncio.sleep(0)
    assert sender.dropped("full") == 1


async def test_answers_of_other_versions_and_of_the_candidate_itself_are_not_sent(sender: Sender) -> None:
    pixels, predictions = await sender.answered(3)
    model = replace(sender.registry.served().model, version=2)
    for version, served in ((2, sender.registry.served()), (2, replace(sender.registry.served(), model=model))):
        predictions.batch.version = version
        sender.registry.serve([served])
        sender.shadow.offer(CALLER, pixels, predictions)
        await asyncio.sleep(0)
    assert sender.received() == []


async def test_a_truth_is_sent_at_once(sender: Sender) -> None:
    sender.shadow.judge(CALLER, "a", 5, -1)
    assert sender.received() == [Truth(key_of("", "a"), 5, -1)]
