"""The model reloader: keeps the registry in step with the model repository; finds, checks, swaps or refuses versions.

1. A new version is loaded once its files are unchanged between two looks: until then it may still be copied.
2. It is served only after every check of the repository, and if it is not much slower than the served version.
3. Serving goes on meanwhile. The swap replaces one reference; work in flight ends on the old model.
4. A refused version is passed over, and loaded again when its files change. The next older good one takes its place.
   Of many refused ones only the first are reported each by itself, so that they cost neither the loop nor the log much.
5. A repository that cannot be read leaves the served versions as they are. Only at the start that is an error.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import numpy as np

from serving.core.registry import MOST_REPORTED, RefusedVersion, Registry, ServedModel
from serving.errors import ModelRejectedError
from serving.logging import Logger
from serving.metrics.metrics import Metrics
from serving.models.loaded_model import LoadedModel
from serving.models.repository import CHECKS, ModelRepository, Stamp
from serving.predictions import PIXELS, Pixels
from serving.version_policy import VersionPolicy

# Runs of the new and of the served version, in turn; the shortest of each counts. A busy machine makes either look
# slow, so the comparison goes on until the new version looks fast enough, and ends after TIMING_SECONDS at the latest.
MIN_ROUNDS, MAX_ROUNDS, TIMING_SECONDS = 7, 50, 2.0

Load = Callable[[int], LoadedModel]  # runs every check; raises ModelRejectedError
Serve = Callable[[LoadedModel], ServedModel]


class ModelReloader:
    """Follows the model repository from start() to close()."""

    def __init__(
        self,
        repository: ModelRepository,
        policy: VersionPolicy | None,
        load: Load,
        serve: Serve,
        max_slowdown: float,
        registry: Registry,
        metrics: Metrics,
        log: Logger,
    ) -> None:
        """`policy`: None follows config.pbtxt. `serve`: starts a batcher for a model.

        `max_slowdown`: how many times as long a new version may take as the served one; 0: any.
        """
        self.policy = policy
        self._repository = repository
        self._load = load
        self._serve = serve
        self._max_slowdown = max_slowdown
        self._registry = registry
        self._metrics = metrics
        self._log = log
        # Created before they are needed: a series that appears with its first event hides that event from rate().
        for outcome in ("served", *CHECKS):
            metrics.model_loads.labels(outcome)
        self._served: dict[int, ServedModel] = {}
        self._seen: dict[int, Stamp] = {}  # files of every version at the last look
        self._missing: list[int] = []  # named by the policy and not there, at the last look
        self._last_failure = ""  # of the last look; "" when it succeeded
        self._look_lock = asyncio.Lock()  # polling, SIGHUP and RPCs may look at the same time
        self._polling: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def start(self, poll_seconds: float) -> None:
        """Serves what is there, and looks again every `poll_seconds`; 0: only at reload().

        Raises ModelRejectedError when no version can be served.
        """
        await self._look(waits_for_copies=False)  # a start that waits for a second look would be seconds later
        if not self._served:
            refused = self._registry.refused.values()
            reasons, checks = [each.reason for each in refused], [each.check for each in refused]
            # The first check stands for all: the error has room for one.
            raise ModelRejectedError("; ".join(reasons) or await self._nothing_to_serve(), *checks[:1])
        if poll_seconds:
            self._polling = asyncio.create_task(self._poll(poll_seconds))

    async def reload(self) -> None:
        """Looks now; loads also versions that may still be copied. Raises ModelRejectedError for a refused version."""
        try:
            await self._look(waits_for_copies=False)
        except ModelRejectedError as error:
            self._log_failure(error)
            raise
        if refused := self._registry.refused:
            highest = refused[max(refused)]
            raise ModelRejectedError(highest.reason, highest.check)

    async def close(self) -> None:
        """Stops looking, and closes the batchers, which first answer what they hold."""
        if self._polling:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        await asyncio.gather(*self._closing, *(served.batcher.close() for served in self._served.values()))

    async def _poll(self, seconds: float) -> None:
        """Looks every `seconds` until it is cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self._look(waits_for_copies=True)
                self._last_failure = ""
            except ModelRejectedError as error:
                self._log_failure(error)
            except Exception as error:  # the border of a loop: the next look may succeed
                if repr(error) != self._last_failure:  # as in _log_failure()
                    self._last_failure = repr(error)
                    self._log.error("look_failed", exc_info=error)

    def _log_failure(self, error: ModelRejectedError) -> None:
        """Logs a failure of a look, but not the same one again: a line every few seconds would hide all others."""
        if str(error) != self._last_failure:
            self._last_failure = str(error)
            self._log.error("model_repository_unusable", why=str(error), kept=list(self._served))

    async def _nothing_to_serve(self) -> str:
        if not await asyncio.to_thread(self._repository.versions):
            return str(await asyncio.to_thread(self._repository.no_version))
        wanted = f"of those that {self.policy or 'config.pbtxt'} asks for"
        return f"{self._repository.folder} holds no version {wanted}: train one with `make train`"

    async def _look(self, *, waits_for_copies: bool) -> None:
        """Looks at the repository once. Loads versions that are wanted and new, then swaps what is served."""
        async with self._look_lock:
            there, policy = await asyncio.to_thread(self._read_repository)
            self._log_missing(policy, set(there))
            registry = self._registry
            # A version whose files have changed since it was refused gets another try.
            registry.refused = {v: each for v, each in registry.refused.items() if there.get(v) == each.stamp}
            copying = {  # perhaps: not seen before with these files
                version: stamp
                for version, stamp in there.items()
                if waits_for_copies and version not in self._served and self._seen.get(version) != stamp
            }
            self._seen = there
            new: dict[int, ServedModel] = {}
            wanted: dict[int, ServedModel] = {}
            refused: dict[int, RefusedVersion] = {}
            tried = 0
            try:
                for version in policy.candidates(list(there)):  # where one is refused, an older one takes its place
                    if len(wanted) == policy.most:
                        break
                    if version in copying:
                        continue
                    if version not in self._served and version not in registry.refused:
                        is_reported = tried < MOST_REPORTED
                        if served := await self._try(version, there[version], is_reported=is_reported):
                            new[version] = served
                        else:
                            tried += 1
                    if version in registry.refused:
                        refused[version] = registry.refused[version]
                    else:
                        wanted[version] = self._served.get(version) or new[version]
                if tried > MOST_REPORTED:
                    self._log.error("model_refused_more", versions=tried - MOST_REPORTED)
                registry.refused = refused  # a version that is no longer wanted is no longer a refusal to report
                self._swap(dict(reversed(wanted.items())))
            finally:  # also when a later version raised: those loaded before it are not served
                self._close([each for version, each in new.items() if self._served.get(version) is not each])
            self._publish()

    def _read_repository(self) -> tuple[dict[int, Stamp], VersionPolicy]:
        """Returns the versions on disk and the policy, read together for one look. Blocks; for a thread."""
        stamps = {version: self._repository.stamp(version) for version in self._repository.versions()}
        return stamps, self.policy or self._repository.policy()

    def _log_missing(self, policy: VersionPolicy, there: set[int]) -> None:
        """Logs versions that the policy names and that are not on disk, once for each change."""
        missing = sorted(set(policy.versions) - there)
        if missing and missing != self._missing:
            self._log.warning(
                "model_versions_missing", missing=missing[-MOST_REPORTED:], there=sorted(there)[-MOST_REPORTED:]
            )
        self._missing = missing

    async def _try(self, version: int, stamp: Stamp, *, is_reported: bool) -> ServedModel | None:
        """Loads and checks a version. Returns None when it is refused; `is_reported`: that is logged at once."""
        try:
            # In a thread, and yet it stalls the loop: ONNX Runtime holds the GIL while it makes a session (#27063).
            loaded = await asyncio.to_thread(self._checked, version)
        except ModelRejectedError as error:
            self._registry.refused[version] = RefusedVersion(error.check, str(error), stamp)
            self._metrics.model_loads.labels(error.check).inc()
            if is_reported:
                self._publish()  # now: GetModel shows it already, and loading an older version may take long
                self._log.error("model_refused", version=version, check=error.check, why=str(error))
            return None
        self._metrics.model_loads.labels("served").inc()
        return self._serve(loaded)

    def _checked(self, version: int) -> LoadedModel:
        """Loads a version and compares its speed. Raises ModelRejectedError."""
        loaded = self._load(version)
        if (
            self._served and self._max_slowdown and version > max(self._served)
        ):  # a way back to an older version is always open
            served = self._served[max(self._served)]
            slowdown = _slowdown(loaded, served.model, served.batcher.max_batch_size, self._max_slowdown)
            if slowdown > self._max_slowdown:
                raise ModelRejectedError(
                    f"version {version} takes {slowdown:.1f} times as long as the served version "
                    f"{served.model.version}, at most {self._max_slowdown:g} times are allowed (--max-slowdown)",
                    "slow",
                )
        return loaded

    def _swap(self, served: dict[int, ServedModel]) -> None:
        """Serves `served` from now on. The models that it replaces answer what they hold."""
        # Nothing wanted can be served: what is served stays, however old.
        if not served or served == self._served:
            return
        before, self._served = self._served, served
        self._registry.serve([served[version] for version in sorted(served)])
        self._close([each for version, each in before.items() if version not in served])
        if before:  # not at the start
            self._log.info("model_swapped", before=sorted(before), now=sorted(served))

    def _close(self, unused: Sequence[ServedModel]) -> None:
        """Closes models in the background; each first answers what it holds."""
        for each in unused:
            closing = asyncio.create_task(each.batcher.close())
            self._closing.add(closing)  # the event loop keeps only weak references to tasks
            closing.add_done_callback(self._closing.discard)

    def _publish(self) -> None:
        """Publishes the served and refused versions as metrics."""
        served = {
            version: {"name": each.model.name, "sha256": each.model.sha256, "device": each.model.session.device}
            for version, each in self._served.items()
        }
        refused = {version: each.check for version, each in self._registry.reported().items()}
        self._metrics.set_models(served, refused)


def _slowdown(new: LoadedModel, old: LoadedModel, images: int, allowed: float) -> float:
    """Returns how many times as long `new` takes for a batch of `images` as `old`. Stops early at `allowed` or less."""
    pixels = np.zeros((images, PIXELS), np.uint8)  # by a cascade, blanks take the longest: both stages
    fastest_new = fastest_old = float("inf")
    ends = time.perf_counter() + TIMING_SECONDS
    for number in range(MAX_ROUNDS):
        fastest_new = min(fastest_new, _seconds(new, pixels))
        fastest_old = min(fastest_old, _seconds(old, pixels))
        is_late = time.perf_counter() > ends
        if number + 1 >= MIN_ROUNDS and (is_late or fastest_new <= allowed * fastest_old):
            break
    return fastest_new / fastest_old


def _seconds(model: LoadedModel, pixels: Pixels) -> float:
    began = time.perf_counter()
    model.run(pixels)
    return time.perf_counter() - began
