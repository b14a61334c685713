"""Windows of drift are told the time: days pass here within a second."""

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Metric

from serving.drift.counts import DriftCounts
from serving.drift.reference import DriftReference, read_reference
from serving.drift.windows import FEWEST, STEPS, DriftWindows, Histogram, nearest_index, stability_index
from serving.metrics.merge import summed, values

REFERENCE = read_reference(
    b'{"schema_version": 1, "features": {"polarity": {"edges": [0], "populations": {"a": [999, 1], "b": [500, 500]}},'
    b' "ink": {"edges": [0.1, 0.2], "populations": {"a": [1000, 8000, 1000]}}}}'
)


class Service:
    """Some processes with their counts, and the windows over their sums."""

    def __init__(self, processes: int = 1, reference: DriftReference | None = REFERENCE) -> None:
        self.registries = [CollectorRegistry() for _ in range(processes)]
        self.counts = [DriftCounts(registry) for registry in self.registries]
        self.windows = DriftWindows()
        for each in self.counts:
            each.follow(3, reference)

    def families(self, now: float) -> list[Metric]:
        return self.windows.with_gauges(summed(list(registry.collect()) for registry in self.registries), now)

    def scrape(self, now: float) -> dict[tuple[str, ...], float]:
        return values(self.families(now))


def index(found: dict[tuple[str, ...], float], feature: str, window: str) -> float | None:
    return found.get(("mnist_drift_psi", "3", feature, window))


def images(found: dict[tuple[str, ...], float], window: str) -> float:
    return found["mnist_drift_images", "3", "ink", window]


def test_counts_of_all_processes_make_one_index() -> None:
    service = Service(processes=2)
    for counts in service.counts:
        counts.count_all("ink", np.full(FEWEST // 2, 0.5))
    found = service.scrape(1.0)
    assert images(found, "5m") == FEWEST
    assert (index(found, "ink", "5m") or 0) > 1
    assert found["mnist_drift_share", "3", "ink", "+Inf", "1h"] == 1
    assert found["mnist_drift_observations_total", "3", "ink", "+Inf"] == FEWEST
    assert found["mnist_drift_reference_share", "3", "ink", "0.2"] == pytest.approx(0.8)


def test_too_few_images_have_no_index() -> None:
    service = Service()
    service.counts[0].count_all("ink", np.full(FEWEST - 1, 0.5))
    assert index(service.scrape(1.0), "ink", "5m") is None


def test_a_shorter_window_forgets_while_a_longer_one_remembers() -> None:
    service = Service()
    service.scrape(0.0)
    service.counts[0].count_all("ink", np.full(1000, 0.5))
    # Each of these scrapes adds ordinary traffic.
    for now in range(15, 700, 15):
        service.counts[0].count_all("ink", np.repeat([0.05, 0.15, 0.25], [10, 80, 10]))
        found = service.scrape(float(now))
    assert index(found, "ink", "5m") == 0
    assert (index(found, "ink", "1h") or 0) > 0.1
    assert 2000 <= images(found, "5m") <= 2300
    assert images(found, "1d") == 1000 + 100 * len(range(15, 700, 15))


def test_memory_does_not_grow_with_time_or_scrapes() -> None:
    service = Service()
    for second in range(0, 3 * 86400, 100):
        service.scrape(float(second))
    assert all(len(each) <= STEPS + 2 for each in service.windows._remembered.values())


def test_a_version_that_replaces_another_starts_anew_and_one_that_returns_too() -> None:
    service = Service()
    service.counts[0].count_all("ink", np.full(1000, 0.5))
    service.scrape(1.0)
    service.counts[0].follow(4, REFERENCE)
    found = service.scrape(2.0)
    assert ("mnist_drift_images", "3", "ink", "5m") not in found
    assert found["mnist_drift_images", "4", "ink", "5m"] == 0
    service.counts[0].follow(3, REFERENCE)
    service.counts[0].count_all("ink", np.full(10, 0.5))
    assert images(service.scrape(3.0), "1d") == 0  # what was counted before the first scrape of its return
    service.counts[0].count_all("ink", np.full(10, 0.5))
    assert images(service.scrape(4.0), "1d") == 10


def test_counts_that_fall_with_a_dead_process_make_no_negative_share() -> None:
    service = Service(processes=2)
    service.counts[1].count_all("ink", np.full(1000, 0.5))
    for now in (0.0, 200.0, 400.0):
        service.scrape(now)
    service.registries.pop()
    service.counts[0].count_all("ink", np.full(10, 0.15))
    found = service.scrape(401.0)
    assert found["mnist_drift_share", "3", "ink", "0.2", "5m"] == 1
    assert all(value >= 0 for value in found.values())


def test_a_version_without_a_reference_has_no_gauges() -> None:
    service = Service(reference=None)
    service.counts[0].count_all("ink", np.full(1000, 0.5))
    assert not [name for name in service.scrape(1.0) if name[0].startswith("mnist_drift")]


def test_the_reference_itself_is_for_the_windows_alone() -> None:
    names = {family.name for family in Service().families(1.0)}
    assert "mnist_drift_reference" not in names
    assert "mnist_drift_reference_share" in names


def test_no_number_and_single_values_are_counted_as_many_are() -> None:
    service = Service(processes=2)
    found = [0.05, 0.1, 0.15, 7.0]
    service.counts[0].count_all("ink", np.array(found))
    for value in found:
        service.counts[1].count("ink", value)
    service.counts[0].count("unknown", 1.0)
    one, other = (
        {key[2:]: value for key, value in values(registry.collect()).items() if key[0].endswith("_total")}
        for registry in service.registries
    )
    assert one == other
    assert sum(one.values()) == len(found)


POPULATIONS = [[900, 90, 9, 1], [10, 10, 100, 880], [250, 250, 250, 250]]


def test_chance_makes_no_drift_of_a_known_population_or_of_any_mixture() -> None:
    """A hundred thousand images in windows of a thousand, of each population and of random mixtures of them."""
    generator = np.random.default_rng(1)
    shares = [np.array(each) / sum(each) for each in POPULATIONS]
    known = [Histogram(each) for each in POPULATIONS]
    mixtures = [*np.eye(3), *generator.dirichlet(np.ones(3), 7)]
    for weights in mixtures:
        mixed = sum(weight * share for weight, share in zip(weights, shares, strict=True))
        for _ in range(100):
            found = Histogram(generator.multinomial(1000, mixed).tolist())
            assert nearest_index(found, known) < 0.1


def test_an_index_is_zero_for_the_same_and_grows_with_the_difference() -> None:
    same, other, far = [100, 800, 100], [150, 700, 150], [800, 100, 100]
    indices = [stability_index(Histogram(each), Histogram(same)) for each in (same, other, far)]
    assert indices[0] == 0
    assert indices == sorted(indices)
    assert indices[2] == pytest.approx(2 * 0.7 * np.log(8), rel=0.05)
