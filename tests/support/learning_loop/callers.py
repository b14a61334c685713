"""Callers of the loop: departments with keys that send pictures and feedback. Every call is counted."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from typing import TypeVar

from mnist_digits import CallError, DigitClient
from mnist_digits.results import Prediction
from tests.support.learning_loop.findings import BIN_SECONDS, Findings

COUNTER = "counter"  # the caller that goes on with ordinary digits all the time
DEPARTMENTS = tuple(f"department-{number}" for number in range(8))
_ORDINARY_SECONDS, _NEW_SECONDS = 1.0, 0.1  # between two calls of those that go on all the time

_T = TypeVar("_T")
Labelled = Sequence[tuple[bytes, int]]


@dataclass(frozen=True, slots=True)
class Traffic:
    """Pictures or 784 raw pixels that callers send."""

    ordinary: Sequence[bytes]
    new: Labelled  # of the new population, from which feedback is given to learn from
    fresh: Labelled  # by other writers: read before, meanwhile and after, never learned
    moved: str  # feature of drift by which the new population differs from all that is ordinary


class Callers:
    """A client for each key, which knows both addresses of the service."""

    def __init__(self, ports: Sequence[int], keys: Mapping[str, str], findings: Findings) -> None:
        address = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
        self._clients = {
            name: DigitClient(address, api_key=key, timeout_seconds=60, coalesce=False) for name, key in keys.items()
        }
        self._findings = findings
        self._lock = threading.Lock()
        self._answers = Counter[int]()  # to the caller that sends pictures of the new population, by version
        self._has_answer = threading.Condition()

    def classify(self, name: str, pictures: bytes | Sequence[bytes]) -> list[Prediction]:
        return self._counted("classify", lambda: self._clients[name].classify(pictures))

    def feedback(self, name: str, prediction: Prediction, digit: int) -> None:
        self._counted("feedback", lambda: self._clients[name].feedback(prediction, digit))

    def read(self, labelled: Labelled, with_feedback: bool = False) -> list[tuple[str, Prediction, bool]]:
        """One call for each picture, from each department in turn: who sent it, the answer, and True if it is right."""
        found = []
        for name, (picture, digit) in zip(cycle(DEPARTMENTS), labelled, strict=False):
            (prediction,) = self.classify(name, picture)
            if with_feedback:
                self.feedback(name, prediction, digit)
            found.append((name, prediction, _is_right(prediction, digit)))
        return found

    @contextmanager
    def ordinary(self, pictures: Sequence[bytes]) -> Iterator[None]:
        """COUNTER calls with ordinary digits, one after the other, until the block ends."""

        def call(picture: bytes) -> None:
            self.classify(COUNTER, picture)

        with _going_on(call, pictures, _ORDINARY_SECONDS):
            yield

    @contextmanager
    def of_new_population(self, labelled: Labelled, began: float) -> Iterator[None]:
        """Departments send these in turn until the block ends; the findings then have the time line of the answers.

        `began`: time.monotonic() from which the time line counts.
        """
        pictures, wrong = Counter[tuple[int, int]](), Counter[tuple[int, int]]()
        names = cycle(DEPARTMENTS)

        def call(each: tuple[bytes, int]) -> None:
            picture, digit = each
            (prediction,) = self.classify(next(names), picture)
            start = int((time.monotonic() - began) // BIN_SECONDS * BIN_SECONDS)
            pictures[start, prediction.model_version] += 1
            wrong[start, prediction.model_version] += not _is_right(prediction, digit)
            with self._has_answer:
                self._answers[prediction.model_version] += 1
                self._has_answer.notify_all()

        try:
            with _going_on(call, labelled, _NEW_SECONDS):
                yield
        finally:
            self._findings.answers = [(*each, count, wrong[each]) for each, count in sorted(pictures.items())]

    def wait_for_answers(self, version: int, count: int, seconds: float) -> None:
        """Returns when the caller with the new population has had so many answers of a version since this call.

        Raises AssertionError when it has not had them after `seconds`.
        """
        with self._has_answer:
            enough = self._answers[version] + count
            if not self._has_answer.wait_for(lambda: self._answers[version] >= enough, seconds):
                raise AssertionError(f"not seen: {count} answers of version {version}")

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def _counted(self, kind: str, call: Callable[[], _T]) -> _T:
        try:
            result = call()
        except CallError as error:
            with self._lock:
                self._findings.failures.append(f"{kind}: {error}")
            raise
        with self._lock:
            self._findings.calls[kind] += 1
        return result


def _is_right(prediction: Prediction, digit: int) -> bool:
    return prediction.digit == digit and not prediction.refused


@contextmanager
def _going_on(call: Callable[[_T], None], arguments: Sequence[_T], seconds: float) -> Iterator[None]:
    """Calls again and again, with a pause of so many seconds, in a thread of its own until the block ends."""
    ended = threading.Event()

    def go_on() -> None:
        for argument in cycle(arguments):
            with suppress(CallError):  # counted
                call(argument)
            if ended.wait(seconds):
                return

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
