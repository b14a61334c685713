"""Metrics of the supervisor process, without NumPy, which that process never loads."""

from prometheus_client import CollectorRegistry, Counter, Gauge, PlatformCollector, ProcessCollector


class SupervisorMetrics:
    """Instruments of the supervisor, in a registry of their own. They are exposed merged with those of the workers."""

    def __init__(self, canary: int = 0) -> None:
        """`canary`: version of the canary; 0: there is none."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.workers = Gauge("mnist_workers", "Worker processes that answer calls", registry=self.registry)
        self.restarts = Counter(
            "mnist_worker_restarts", "Worker processes that died and were replaced", registry=self.registry
        )
        self.renewals = Counter(
            "mnist_worker_renewals",
            "Worker processes that were replaced because their memory had grown",
            registry=self.registry,
        )
        self.memory = Gauge(
            "mnist_memory_bytes",
            "Private memory of the processes, without mapped files; adds up",
            registry=self.registry,
        )
        self.canary_returns = Counter(
            "mnist_canary_returns",
            "Canaries that returned to the served version by themselves, by reason",
            ("version", "reason"),
            registry=self.registry,
        )
        if canary:  # now: a series that appears with its first event hides that event from rate()
            self.canary_returns.labels(str(canary), "worker_died")
        self.ready = Gauge("mnist_ready", "1 while calls are answered", registry=self.registry)
