"""Assembles what keeps pictures and takes feedback, by the settings of the store."""

from typing import TYPE_CHECKING

from serving.auth.rate_limits import RateLimits
from serving.config import Config
from serving.core.candidates.shadow import Shadow
from serving.core.feedback import Feedback, Recorder, StoreObserver
from serving.logging import Logger
from serving.metrics.metrics import Metrics
from serving.store.memory import RecentMemory, RecentPlace
from serving.store.records import FEEDBACK

if TYPE_CHECKING:
    from serving.store.keeper import Keeper
    from serving.store.recent import RecentImages


class StoreParts:
    """The store's parts of one process, from start() to close(). Without a store all do nothing.

    `recorder`: keeps answers at hand; None without a store. `feedback`: the use case.
    """

    def __init__(
        self,
        config: Config,
        recent: RecentPlace | None,
        rates: RateLimits,
        metrics: Metrics,
        log: Logger,
        shadow: Shadow | None = None,
    ) -> None:
        """`recent`: memory of all workers; None: of this process alone. `shadow`: takes the truths."""
        self._keeper: Keeper | None = None
        self._memory: RecentMemory | None = None
        self._recent: RecentImages | None = None
        self.recorder: Recorder | None = None
        takes_feedback = FEEDBACK in config.stored
        if takes_feedback and recent is None:
            self._memory = RecentMemory(config.store_recent_images, 1)
            recent = self._memory.place
        if config.store:
            observer = StoreObserver(metrics.feedback, log)
            self._keeper, self._recent = _made(config, recent if takes_feedback else None, observer)
            self.recorder = Recorder(self._keeper, self._recent, config.stored, config.store_unsure_below, log)
        self.feedback = Feedback(self._keeper if takes_feedback else None, rates, metrics.feedback, shadow)

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


def _made(config: Config, place: RecentPlace | None, observer: StoreObserver) -> "tuple[Keeper, RecentImages | None]":
    # Imported here: a server without a store loads no SQLite.
    from serving.store.keeper import Keeper
    from serving.store.recent import RecentImages

    if config.store is None:
        raise RuntimeError("a store is assembled without a file: this is a bug")
    recent = RecentImages(place) if place else None
    return Keeper(config.store, config.store_max_bytes, config.store_max_age_seconds, recent, observer), recent
