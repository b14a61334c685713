"""One figure that is compared with a limit: what must be measured for it, its values by round, and its verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.compare.plan import Need
from benchmarks.compare.results import Results, failure_name
from benchmarks.load.arrivals import Tail
from benchmarks.load.measurement import Load, Measurement, OpenLoop, Spread, spread_of
from benchmarks.system.memory_record import MemoryRecord

LATEST = 5  # samples that show the memory at the end of a soak

Figure = Callable[[Measurement], float]


def requests_per_second(measured: Measurement) -> float:
    """The figure that ratios are of, unless another is named."""
    return measured.requests_per_second


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was measured: a comparison, and a soak if there was one."""

    results: Results
    soak: MemoryRecord | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A figure with its limit. `values`: one a round; raises LookupError if it was not measured.

    `is_interval`: the values are an estimate and the ends of its uncertainty, and not rounds.
    """

    needs: tuple[Need, ...]
    values: Callable[[Evidence], Sequence[float]]
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    is_interval: bool = False

    def limit(self) -> str:
        """The limit in words; empty if the figure is only shown."""
        if self.at_least is not None:
            return f"{self.at_least:,g} {self.unit}"
        return "" if self.at_most is None else f"≤ {self.at_most:,g} {self.unit}"

    def spread(self, evidence: Evidence) -> Spread | None:
        """Median and range; None if the figure was not measured, or in too few samples."""
        try:
            return spread_of(self.values(evidence))
        except (LookupError, ValueError):
            return None

    def measured(self, evidence: Evidence) -> str:
        """Median and range in words, one number if the range is empty, or why there are none."""
        spread = self.spread(evidence)
        if spread is None:
            reason = self._failure(evidence)
            return f"failed: {reason.splitlines()[0]}" if reason else "not measured"
        if spread.lowest < spread.highest:
            return f"{spread} {self.unit}"
        digits = 0 if spread.median >= 10 or spread.median == round(spread.median) else 2
        return f"{spread.median:,.{digits}f} {self.unit}"

    def verdict(self, evidence: Evidence) -> str:
        """`yes`, `no`, `?` if there is no figure or if its uncertainty is too large; empty without a limit."""
        if self.at_least is None and self.at_most is None:
            return ""
        spread = self.spread(evidence)
        if spread is None:
            return "no" if self._failure(evidence) else "?"
        if self.is_interval and self._is_met(spread.lowest) != self._is_met(spread.highest):
            return "?"
        return "yes" if self._is_met(spread.median) else "no"

    def _is_met(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def _failure(self, evidence: Evidence) -> str:
        """Why a server that is needed has no figure; empty if none failed."""
        names = [name for server, load in self.needs for name in (failure_name(server), failure_name(server, load))]
        return next((evidence.results.failed[name] for name in names if name in evidence.results.failed), "")


def ratio(
    server: str,
    other: str,
    load: Load,
    figure: Figure = requests_per_second,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Check:
    """One figure of `server` divided by that of `other`, both under `load`: requests a second unless named."""

    def values(evidence: Evidence) -> list[float]:
        rounds = evidence.results.rounds
        pairs = zip(rounds[server][load], rounds[other][load], strict=True)
        return [figure(mine) / figure(theirs) for mine, theirs in pairs]

    return Check(_needs(server, other, load), values, "x", at_least, at_most)


def figure(
    server: str,
    load: Load,
    value: Figure,
    unit: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Check:
    """One figure of `server` under `load`."""

    def values(evidence: Evidence) -> list[float]:
        return [value(measured) for measured in evidence.results.rounds[server][load]]

    return Check(((server, load),), values, unit, at_least, at_most)


def tail(
    server: str, load: OpenLoop, value: Callable[[Tail], float], unit: str, *, at_most: float | None = None
) -> Check:
    """One figure of `server` at a fixed rate."""

    def values(evidence: Evidence) -> list[float]:
        return [value(measured) for measured in evidence.results.tails[server][load.rate]]

    return Check(((server, load),), values, unit, at_most=at_most)


def ready_memory(server: str, *, at_most: float) -> Check:
    """MiB (PSS) of `server` when it has given its first right answer, while no other runs."""
    return Check(((server, None),), lambda found: [found.results.alone[server].ready_mebibytes], "MiB", at_most=at_most)


def soaked_memory(*, at_most: float) -> Check:
    """MiB (PSS) in the last samples of the soak."""

    def values(evidence: Evidence) -> list[float]:
        return [sample.mebibytes for sample in _record(evidence).samples[-LATEST:]]

    return Check((), values, "MiB", at_most=at_most)


def soaked_growth(*, at_most: float) -> Check:
    """MiB an hour that the soak added, with the ends of its uncertainty."""

    def values(evidence: Evidence) -> list[float]:
        found = _record(evidence).growth_an_hour()
        return [found.slope - found.uncertainty, found.slope, found.slope + found.uncertainty]

    return Check((), values, "MiB an hour", at_most=at_most, is_interval=True)


def soaked_bytes() -> Check:
    """Bytes that each call of the soak added, with the ends of their uncertainty. No limit."""

    def values(evidence: Evidence) -> list[float]:
        found = _record(evidence).growth_a_call()
        return [found.slope - found.uncertainty, found.slope, found.slope + found.uncertainty]

    return Check((), values, "bytes a call", is_interval=True)


def _needs(server: str, other: str, load: Load) -> tuple[Need, ...]:
    return (server, load), (other, load)


def _record(evidence: Evidence) -> MemoryRecord:
    if evidence.soak is None:
        raise LookupError("no soak was measured")
    return evidence.soak
