"""Sends a share of the answered requests to the shadow process of a candidate version, whose answers nobody gets.

1. Only after the answers have left, in the loop's next turn, and only where nothing waits or runs then. What was chosen
   and finds the worker busy is dropped, and so is what the shadow process has no room for: nothing here waits.
2. Requests are compared that the version for most requests has answered; of pictures what the model says of them.
3. Nothing that fails here may fail an answer.
"""

import asyncio
import os
import random
import socket
from collections import deque
from collections.abc import Sequence

from serving.auth.api_keys import Caller
from serving.core.registry import Registry
from serving.metrics.metrics import Metrics
from serving.predictions import Pixels, Predictions
from serving.shadow.messages import MOST_IMAGES, Truth, answers_of, key_of, packed_request, packed_truth
from serving.version_policy import Candidate

MOST_WAITING = 16  # requests, for the loop's next turn


class Shadow:
    """Sends answered requests, and the truth about them. Used from the event loop alone."""

    def __init__(self, descriptor: int, candidate: Candidate, registry: Registry, metrics: Metrics) -> None:
        """`descriptor`: of the socket to the shadow process; it stays the caller's."""
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._candidate = candidate
        self._registry = registry
        self._waiting: deque[tuple[Caller, Pixels, Predictions]] = deque()
        # Created before they are needed: a series that appears with its first event hides that event from rate().
        self._busy, self._full = (metrics.shadow_dropped.labels(reason) for reason in ("busy", "full"))

    def is_chosen(self) -> bool:
        """Returns True for the candidate's share of the requests."""
        return random.random() < self._candidate.share

    def offer(self, caller: Caller, pixels: Pixels, predictions: Predictions) -> None:
        """Takes a chosen request, (n, 784), once its answer has left. Raises nothing."""
        served = self._registry.default_model()
        if served is None or predictions.version != served.version or served.version == self._candidate.version:
            return
        if len(self._waiting) == MOST_WAITING:
            self._busy.inc(min(len(pixels), MOST_IMAGES))
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append((caller, pixels[:MOST_IMAGES], predictions))

    def judge(self, caller: Caller, request_id: str, index: int, digit: int) -> None:
        """Takes the truth about an image of the caller's. `digit`: 0 to 9, or -1 for no digit. Raises nothing."""
        self._send(packed_truth(Truth(key_of(caller.owner, request_id), index, digit)))

    def close(self) -> None:
        """Sends nothing from now on."""
        self._waiting.clear()
        self._socket.close()

    def _flush(self) -> None:
        while self._waiting:
            caller, pixels, predictions = self._waiting.popleft()
            images = len(pixels)
            if not self._registry.is_idle:
                self._busy.inc(images)
                continue
            answers = answers_of(predictions.digits[:images], predictions.refusals[:images])
            key = key_of(caller.owner, caller.request_id)
            if not self._send(packed_request(key, predictions.version, answers, pixels)):
                self._full.inc(images)

    def _send(self, packet: Sequence[bytes]) -> bool:
        """Returns False where the shadow process has no room for the packet."""
        try:
            # Not a setting of the socket, which all workers share.
            self._socket.sendmsg(packet, (), socket.MSG_DONTWAIT)
        except OSError:
            return False
        return True
