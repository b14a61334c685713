"""Assembles what keeps pictures and takes feedback, by the settings of the store."""

from serving.auth.rate_limits import RateLimits
from serving.config import Config
from serving.core.feedback import Feedback, Recorder, StoreObserver
from serving.logging import Logger
from serving.metrics.metrics import Metrics
from serving.store.keeper import Keeper
from serving.store.memory import RecentMemory, RecentPlace
from serving.store.recent import RecentImages
from serving.store.records import FEEDBACK


class StoreParts:
    """The store's parts of one process, from start() to close(). Without a store all do nothing.

    `recorder`: keeps answers at hand; None without a store. `feedback`: the use case.
    """

    def __init__(
        self, config: Config, recent: RecentPlace | None, rates: RateLimits, metrics: Metrics, log: Logger
    ) -> None:
        """`recent`: memory of all workers; None: of this process alone."""
        self._keeper: Keeper | None = None
        self._memory: RecentMemory | None = None
        self._recent: RecentImages | None = None
        self.recorder: Recorder | None = None
        counts = metrics.feedback
        takes_feedback = FEEDBACK in config.stored
        if config.store:
            if takes_feedback:
                if recent is None:
                    self._memory = RecentMemory(config.store_recent_images, 1)
                self._recent = RecentImages(recent or self._memory.place)  # type: ignore[union-attr]  # one is there
            self._keeper = Keeper(
                config.store,
                config.store_max_bytes,
                config.store_max_age_seconds,
                self._recent,
                StoreObserver(counts, log),
            )
            self.recorder = Recorder(self._keeper, self._recent, config.stored, config.store_unsure_below, log)
        self.feedback = Feedback(self._keeper if takes_feedback else None, rates, counts)

    def start(self) -> None:
        """Opens the store; one that cannot be used is logged, and tried again."""
        if self._keeper:
            self._keeper.start()

    async def close(self) -> None:
        """Writes what waits."""
        if self._keeper:
            await self._keeper.close()
        if self._recent:
            self._recent.close()
        if self._memory:
            self._memory.close()
