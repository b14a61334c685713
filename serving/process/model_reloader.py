"""The model reloader: keeps the registry in step with the model repository; finds, checks, swaps or refuses versions.

1. A new version is loaded once its files are unchanged between two looks: until then it may still be copied.
2. It is served only after every check of the repository, and if the gate lets it: it is not worse than the served
   version, not much slower, and does not wait for a command.
3. Serving goes on meanwhile. The swap replaces one reference; work in flight ends on the old model.
4. A refused version is passed over, and loaded again when its files change. The next older good one takes its place.
   Of many refused ones only the first are reported each by itself, so that they cost neither the loop nor the log much.
5. A repository that cannot be read leaves the served versions as they are. Only at the start that is an error.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence

from serving.core.candidates.canary import Canary
from serving.core.registry import MOST_REPORTED, RefusedVersion, Registry, ServedModel
from serving.errors import ModelRejectedError
from serving.logging import Logger
from serving.metrics.metrics import Metrics
from serving.models.loaded_model import LoadedModel
from serving.models.repository import CHECKS, ModelRepository, Stamp
from serving.process.candidates.parts import CanaryModel
from serving.process.promotion import PromotionGate
from serving.version_policy import VersionPolicy

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
        gate: PromotionGate,
        registry: Registry,
        metrics: Metrics,
        log: Logger,
        newer_shipped: Callable[[], list[int]] | None = None,
        canary: Canary | None = None,
    ) -> None:
        """`policy`: None follows config.pbtxt. `serve`: starts a batcher for a model. `gate`: what may be promoted.

        `newer_shipped`: returns versions of the image that are newer and not in the repository; blocks.
        """
        self._canary = CanaryModel(canary, registry)
        self.policy = policy
        self._repository = repository
        self._load = load
        self._serve = serve
        self._gate = gate
        self._registry = registry
        self._metrics = metrics
        self._log = log
        self._newer_shipped = newer_shipped
        # Created before they are needed: a series that appears with its first event hides that event from rate().
        for outcome in ("served", *CHECKS):
            metrics.model_loads.labels(outcome)
        self._served: dict[int, ServedModel] = {}
        self._compared: dict[int, int] = {}  # by version, the one with whose figures its own were compared
        self._seen: dict[int, Stamp] = {}  # files of every version at the last look
        self._missing: list[int] = []  # named by the policy and not there, at the last look
        self._not_copied: list[int] = []  # newer versions of the image, at the last look
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
        refused = {version: each for version, each in self._registry.refused.items() if each.check != "waiting"}
        if refused:
            highest = refused[max(refused)]
            raise ModelRejectedError(highest.reason, highest.check)

    async def close(self) -> None:
        """Stops looking, and closes the batchers, which first answer what they hold."""
        if self._polling:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        self._close([*self._served.values(), *self._canary.use(None)])
        await asyncio.gather(*self._closing)

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
        there, policy = await asyncio.to_thread(self._read_repository)
        named = ", ".join(map(str, sorted(there)[-MOST_REPORTED:]))
        setting = "--model-version, or leave it out" if self.policy else "python -m serving versions pin"
        return f"{self._repository.folder} holds no version of {policy}, only {named}: name one of them with {setting}"

    async def _look(self, *, waits_for_copies: bool) -> None:
        """Looks at the repository once. Loads versions that are wanted and new, then swaps what is served."""
        async with self._look_lock:
            there, policy = await asyncio.to_thread(self._read_repository)
            self._log_missing(policy, set(there))
            if self._newer_shipped and there != self._seen:
                self._report_not_copied(await asyncio.to_thread(self._newer_shipped))
            registry = self._registry
            # A version whose files have changed since it was refused gets another try.
            registry.refused = {
                version: each
                for version, each in registry.refused.items()
                if there.get(version) == each.stamp and self._stands(version, each, policy)
            }
            copying = {  # perhaps: not seen before with these files
                version: stamp
                for version, stamp in there.items()
                if waits_for_copies and version not in self._served and self._seen.get(version) != stamp
            }
            self._seen = there
            new: dict[int, ServedModel] = {}
            try:
                wanted, refused = await self._choose(policy, there, copying, new)
                while not wanted and "worse" in {each.check for each in refused.values()}:
                    # Than one that is refused itself: compared again, with what is left.
                    registry.refused = {v: each for v, each in refused.items() if each.check != "worse"}
                    wanted, refused = await self._choose(policy, there, copying, new)
                # First: the canary is compared with what is served, and must not keep that from answering.
                self._swap({version: wanted[version] for version in sorted(wanted)})
                canary = await self._canary.choose(
                    there,
                    {*wanted, *copying},
                    refused,
                    lambda version: self._try(version, there[version], is_named=True, is_reported=True),
                )
                for version in self._gate.waiting(there, wanted)[-MOST_REPORTED:]:
                    if version not in refused and not (canary and canary.model.version == version):
                        refused[version] = self._as_waiting(version, there[version])
                registry.refused = refused  # a version that is no longer wanted is no longer a refusal to report
                self._close(self._canary.use(canary))
            finally:  # also when a later version raised: those loaded before it are not served
                self._close([each for version, each in new.items() if self._served.get(version) is not each])
            self._publish()

    async def _choose(
        self, policy: VersionPolicy, there: dict[int, Stamp], copying: Collection[int], new: dict[int, ServedModel]
    ) -> tuple[dict[int, ServedModel], dict[int, RefusedVersion]]:
        """Loads the versions that `policy` selects of those `there` into `new`; passes over those that are refused.

        Returns the versions to serve and the refused ones.
        """
        wanted: dict[int, ServedModel] = {}
        refused: dict[int, RefusedVersion] = {}
        tried = 0
        candidates, most = self._gate.candidates(policy, list(there))
        for version in candidates:  # where one is refused, an older one takes its place
            if len(wanted) == most:
                break
            if version in copying:
                continue
            known = self._served.get(version) or new.get(version)
            before = self._registry.refused.get(version)
            if not known and (before is None or before.check == "waiting"):
                is_named, is_reported = version in policy.versions, tried < MOST_REPORTED
                known = await self._try(version, there[version], is_named=is_named, is_reported=is_reported)
                if known:
                    new[version] = known
                else:
                    tried += 1
            if known:
                wanted[version] = known
            else:
                refused[version] = self._registry.refused[version]
        if tried > MOST_REPORTED:
            self._log.error("model_refused_more", versions=tried - MOST_REPORTED)
        return wanted, refused

    def _stands(self, version: int, refused: RefusedVersion, policy: VersionPolicy) -> bool:
        """Returns True while nothing but the version's files can change the refusal's reason."""
        if refused.check != "worse":
            return True
        return version not in policy.versions and self._compared.get(version) == max(self._served, default=0)

    def _as_waiting(self, version: int, stamp: Stamp) -> RefusedVersion:
        """Makes the report of a version that waits to be promoted, and logs it once."""
        before = self._registry.refused.get(version)
        if before and before.check == "waiting":
            return before
        why = self._gate.why_waiting(version)
        self._metrics.model_loads.labels("waiting").inc()
        self._log.info("model_waits", version=version, why=why)
        return RefusedVersion("waiting", why, stamp)

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

    def _report_not_copied(self, versions: list[int]) -> None:
        """Reports versions of the image that the repository lacks; logs them once for each change."""
        if versions and versions != self._not_copied:
            why = f"newer ones of the image are not in {self._repository.folder}"
            do = "python -m serving versions copy; with Compose: docker compose run --rm versions copy"
            self._log.warning("model_not_copied", versions=versions[-MOST_REPORTED:], why=why, do=do)
        self._not_copied = versions
        self._metrics.set_not_copied(versions[-MOST_REPORTED:])

    async def _try(self, version: int, stamp: Stamp, *, is_named: bool, is_reported: bool) -> ServedModel | None:
        """Loads and checks a version. Returns None when it is refused; `is_reported`: that is logged at once."""
        try:
            # In a thread, and yet it stalls the loop: ONNX Runtime holds the GIL while it makes a session (#27063).
            loaded = await asyncio.to_thread(self._checked, version, is_named)
        except ModelRejectedError as error:
            self._registry.refused[version] = RefusedVersion(error.check, str(error), stamp)
            self._metrics.model_loads.labels(error.check).inc()
            if is_reported:
                self._publish()  # now: GetModel shows it already, and loading an older version may take long
                self._log.error("model_refused", version=version, check=error.check, why=str(error))
            return None
        self._metrics.model_loads.labels("served").inc()
        return self._serve(loaded)

    def _checked(self, version: int, is_named: bool) -> LoadedModel:
        """Loads a version, compares its quality unless the policy names it, and its speed. Raises ModelRejectedError.

        Where nothing is served yet, it is compared with the version that was served before, as far as the disk tells.
        """
        loaded = self._load(version)
        served = self._served.get(max(self._served, default=0))
        if served and version < served.model.version:  # a way back to an older version is always open
            return loaded
        if not is_named:
            best, figures = (
                (served.model.version, served.model.figures)
                if served
                else self._repository.best_below(
                    version, self._gate.max_quality_drop, {*self._registry.refused, *self._gate.held_back}
                )
            )
            self._compared[version] = best
            self._gate.check_quality(loaded, best, figures)
        if served:
            self._gate.check_speed(loaded, served.model, served.batcher.max_batch_size)
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
