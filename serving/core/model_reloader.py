"""What is served follows what is in the model's folder: noticed, checked, swapped; or refused and told.

1. A new version is tried when its files have not changed between two looks: until then it is being copied.
2. It is served only after every check of the repository, and if it is not much slower than what is served now.
3. Serving goes on meanwhile. The swap is one reference; work in flight ends where it began (Served).
4. A refused version is passed over, and tried again when its files change; the next older good one stands in.
5. Whatever cannot be read, be it all, leaves what is served as it is. Only at the start it is an error.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from serving.core.classifier import Classifier, Served
from serving.errors import ModelRejectedError
from serving.files import FileStamp
from serving.logging import Logger
from serving.metrics.metrics import Metrics
from serving.models.onnx_session import PIXELS
from serving.models.repository import CHECKS, ModelRepository, ModelVersion
from serving.predictions import Pixels
from serving.version_policy import VersionPolicy

# Of the new version and the served one, in turn; the shortest run counts. A busy machine makes either seem slow, so the
# new one is tried again until it seems fast enough, or for so long.
LEAST_ROUNDS, MOST_ROUNDS, TIMING_SECONDS = 7, 50, 2.0

Load = Callable[[int], ModelVersion]
MakeServed = Callable[[ModelVersion], Served]
Stamp = frozenset[tuple[str, FileStamp | None]]  # of the files of a version, by name


@dataclass(frozen=True, slots=True)
class Refused:
    """A version that should be served and is not."""

    check: str  # one of model_repository.CHECKS
    reason: str
    stamp: Stamp  # of its files when they were tried


class ModelUpdates:
    """Keeps a classifier in step with a repository, from start() to close()."""

    def __init__(
        self,
        repository: ModelRepository,
        policy: VersionPolicy | None,
        load: Load,
        make_served: MakeServed,
        max_slowdown: float,
        classifier: Classifier,
        metrics: Metrics,
        log: Logger,
    ) -> None:
        """`policy`: None as the repository says. `max_slowdown`: of a new version beside the served one; 0: any."""
        self._repository = repository
        self.policy = policy
        self._load = load
        self._make_served = make_served
        self._max_slowdown = max_slowdown
        self._classifier = classifier
        self._metrics = metrics
        self._log = log
        # Made before they are needed: a series that appears with its first event hides that event from rate().
        for outcome in ("served", *CHECKS):
            metrics.model_loads.labels(outcome)
        self.refused: dict[int, Refused] = {}
        self._served: dict[int, Served] = {}
        self._seen: dict[int, Stamp] = {}  # at the last look, of versions that were not tried yet
        self._missing: list[int] = []  # asked for by number, at the last look
        self._trouble = ""  # why the last look could not be taken
        self._one_look = asyncio.Lock()
        self._polling: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def start(self, poll_seconds: float) -> None:
        """Serves what there is, and looks again every `poll_seconds`; 0: only when told.

        Raises ModelRejectedError when nothing can be served.
        """
        await self._look_now(waits_for_copies=False)
        if not self._served:
            refused = [each.reason for each in self.refused.values()]
            checks = [each.check for each in self.refused.values()]
            raise ModelRejectedError("; ".join(refused) or await self._nothing_there(), *checks[:1])
        if poll_seconds:
            self._polling = asyncio.create_task(self._poll(poll_seconds))

    async def look(self) -> None:
        """Looks now, at versions too that may still be copied. Raises ModelRejectedError for what is refused."""
        try:
            await self._look_now(waits_for_copies=False)
        except ModelRejectedError as error:
            self._tell_trouble(error)
            raise
        if self.refused:
            refused = self.refused[max(self.refused)]
            raise ModelRejectedError(refused.reason, refused.check)

    async def close(self) -> None:
        """Looks no more, and closes what is served when it has answered what it holds."""
        if self._polling:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        await asyncio.gather(*self._closing, *(served.batcher.close() for served in self._served.values()))

    async def _poll(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await self._look_now(waits_for_copies=True)
                self._trouble = ""
            except ModelRejectedError as error:
                self._tell_trouble(error)
            except Exception as error:  # the border of a loop: the next look may succeed
                self._log.error("look_failed", exc_info=error)

    def _tell_trouble(self, error: ModelRejectedError) -> None:
        """Once: the same every few seconds would hide everything else."""
        if str(error) != self._trouble:
            self._trouble = str(error)
            self._log.error("model_repository_unusable", why=str(error), kept=list(self._served))

    async def _nothing_there(self) -> str:
        there = await asyncio.to_thread(self._repository.versions)
        asked = f" of those that {self.policy or 'config.pbtxt'} asks for" if there else ""
        return f"{self._repository.folder} holds no version{asked}: train one with `make train`"

    async def _look_now(self, *, waits_for_copies: bool) -> None:
        """One look, and what follows from it."""
        async with self._one_look:
            there, policy = await asyncio.to_thread(self._look_at_disk)
            self._tell_missing(policy, set(there))
            self.refused = {v: each for v, each in self.refused.items() if there.get(v) == each.stamp}
            copying = {
                version: stamp
                for version, stamp in there.items()
                if waits_for_copies and version not in self._served and self._seen.get(version) != stamp
            }
            self._seen = there
            new: dict[int, Served] = {}
            try:
                while True:
                    wanted = policy.wanted(list(there), {*self.refused, *copying})
                    missing = [version for version in wanted if version not in self._served and version not in new]
                    if not missing:
                        break
                    tried = await self._try(missing[-1], there[missing[-1]])
                    if tried:
                        new[missing[-1]] = tried
                self.refused = self._missed(policy, list(there), {*self.refused, *copying})
                self._swap({version: self._served.get(version) or new[version] for version in wanted})
            finally:
                self._close([each for version, each in new.items() if self._served.get(version) is not each])
            self._tell()

    def _look_at_disk(self) -> tuple[dict[int, Stamp], VersionPolicy]:
        """The versions that there are, and which of them to serve: one view for a whole look."""
        stamps = {version: self._repository.stamp(version) for version in self._repository.versions()}
        return stamps, self.policy or self._repository.policy()

    def _missed(self, policy: VersionPolicy, there: Sequence[int], bad: set[int]) -> dict[int, Refused]:
        """Of the refused versions, those that would be served if they were good."""
        return {v: each for v, each in self.refused.items() if v in policy.wanted(there, bad - {v})}

    def _tell_missing(self, policy: VersionPolicy, there: set[int]) -> None:
        """Once for each change: versions that are asked for by number and are not there."""
        missing = sorted(set(policy.versions) - there)
        if missing and missing != self._missing:
            self._log.warning("model_versions_missing", missing=missing, there=sorted(there))
        self._missing = missing

    async def _try(self, version: int, stamp: Stamp) -> Served | None:
        """The version ready to serve; None where it is refused."""
        try:
            loaded = await asyncio.to_thread(self._checked, version)
        except ModelRejectedError as error:
            self.refused[version] = Refused(error.check, str(error), stamp)
            self._metrics.model_loads.labels(error.check).inc()
            self._tell()  # now: GetModel knows it already, and an older version may still be loading
            self._log.error("model_refused", version=version, check=error.check, why=str(error))
            return None
        self._metrics.model_loads.labels("served").inc()
        return self._make_served(loaded)

    def _checked(self, version: int) -> ModelVersion:
        loaded = self._load(version)
        if self._served and self._max_slowdown and version > max(self._served):  # and not on the way back
            beside = self._served[max(self._served)]
            slowdown = _slowdown(loaded, beside.version, beside.batcher.max_batch_size, self._max_slowdown)
            if slowdown > self._max_slowdown:
                raise ModelRejectedError(
                    f"version {version} takes {slowdown:.1f} times as long as the served version "
                    f"{beside.version.version}, at most {self._max_slowdown:g} times are allowed (--max-slowdown)",
                    "slow",
                )
        return loaded

    def _swap(self, served: dict[int, Served]) -> None:
        """Serves these from now on; those that they replace end what they have."""
        if not served or served == self._served:
            return
        before, self._served = self._served, served
        self._classifier.serve([served[version] for version in sorted(served)])
        self._close([each for version, each in before.items() if version not in served])
        if before:
            self._log.info("model_swapped", before=sorted(before), now=sorted(served))

    def _close(self, unused: Sequence[Served]) -> None:
        """Each ends when it has answered what it holds."""
        for each in unused:
            closing = asyncio.create_task(each.batcher.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _tell(self) -> None:
        told = {
            number: {"name": each.version.name, "sha256": each.version.sha256, "device": each.version.model.device}
            for number, each in self._served.items()
        }
        self._metrics.tell_models(told, {version: each.check for version, each in self.refused.items()})


def _slowdown(new: ModelVersion, old: ModelVersion, images: int, allowed: float) -> float:
    """How many times as long the new one takes for a batch of `images`; ends as soon as that is `allowed` or less."""
    pixels = np.zeros((images, PIXELS), np.uint8)
    fastest_new = fastest_old = float("inf")
    ends = time.perf_counter() + TIMING_SECONDS
    for number in range(MOST_ROUNDS):
        fastest_new = min(fastest_new, _seconds(new, pixels))
        fastest_old = min(fastest_old, _seconds(old, pixels))
        is_late = time.perf_counter() > ends
        if number + 1 >= LEAST_ROUNDS and (is_late or fastest_new <= allowed * fastest_old):
            break
    return fastest_new / fastest_old


def _seconds(version: ModelVersion, pixels: Pixels) -> float:
    began = time.perf_counter()
    version.run(pixels)
    return time.perf_counter() - began
