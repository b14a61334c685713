"""Open-loop accounting: when each request is due, and how late its response is. It has no clock: callers pass the time.

1. Request k is due at begin + k / rate, whatever happened to those before it.
2. Latency counts from when the request was due, not from when it was sent: while a server stalls, a client that
   waits for it would leave out the very requests that suffer (coordinated omission).
3. A request without a response counts with all the time until counting ended.
"""

from dataclasses import dataclass

from benchmarks.load.measurement import percentile


@dataclass(frozen=True, slots=True)
class Tail:
    """Latency at one rate, in milliseconds from when each request was due."""

    rate: float  # requests a second that were due
    p50_ms: float
    p99_ms: float
    p999_ms: float
    worst_ms: float
    unanswered: int
    sent_late_ms: float  # p99 of how late requests were sent: what the client itself adds


class Arrivals:
    """`count` requests, due at a fixed `rate` a second from `begin` on. All times in seconds of one clock."""

    def __init__(self, rate: float, count: int, begin: float) -> None:
        self._rate = rate
        self._begin = begin
        self._sent: list[float | None] = [None] * count
        self._answered: list[float | None] = [None] * count

    @property
    def count(self) -> int:
        """Number of requests, sent or not."""
        return len(self._sent)

    def due(self, number: int) -> float:
        """The time at which request `number`, from 0, is to be sent."""
        return self._begin + number / self._rate

    def record_sent(self, number: int, now: float) -> None:
        """Records when request `number` was sent."""
        self._sent[number] = now

    def record_response(self, number: int, now: float) -> None:
        """Records when the response to request `number` was complete."""
        self._answered[number] = now

    @property
    def outstanding(self) -> int:
        """Number of requests without a response, including those not yet sent."""
        return self._answered.count(None)

    def tail(self, now: float) -> Tail:
        """Latency of all requests, if counting ends now."""
        due = [self.due(number) for number in range(self.count)]
        ends = [now if answered is None else answered for answered in self._answered]
        latencies = sorted((end - start) * 1000 for start, end in zip(due, ends, strict=True))
        lateness = sorted(
            ((now if sent is None else sent) - start) * 1000 for start, sent in zip(due, self._sent, strict=True)
        )
        return Tail(
            rate=self._rate,
            p50_ms=percentile(latencies, 50),
            p99_ms=percentile(latencies, 99),
            p999_ms=percentile(latencies, 99.9),
            worst_ms=latencies[-1],
            unanswered=self.outstanding,
            sent_late_ms=percentile(lateness, 99),
        )
