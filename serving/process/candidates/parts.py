"""Candidate versions of one process: assembles the shadow and the canary, and keeps the canary's model."""

from collections.abc import Awaitable, Callable, Collection, Mapping

from serving.config import Config
from serving.core.candidates.canary import Canary
from serving.core.candidates.shadow import Shadow
from serving.core.registry import RefusedVersion, Registry, ServedModel
from serving.logging import Logger
from serving.metrics.metrics import Metrics
from serving.models.repository import Stamp


def make_shadow(config: Config, descriptor: int | None, registry: Registry, metrics: Metrics) -> Shadow | None:
    """Returns what sends requests to the shadow process over the socket `descriptor`; None where there is none."""
    if descriptor is None or config.shadow is None:
        return None
    return Shadow(descriptor, config.shadow, registry, metrics)


def make_canary(
    config: Config, registry: Registry, metrics: Metrics, log: Logger, returned: Callable[[], None]
) -> Canary | None:
    """Returns the canary of the configuration; None where there is none. `returned`: ends it in other workers."""
    if config.canary is None:
        return None
    return Canary(config.canary, config.canary_bounds, registry, metrics.canary, log, returned)


class CanaryModel:
    """The canary's loaded model, from look to look of the model reloader."""

    def __init__(self, canary: Canary | None, registry: Registry) -> None:
        self._canary = canary
        self._registry = registry
        self.model: ServedModel | None = None

    async def choose(
        self,
        there: Mapping[int, Stamp],
        others: Collection[int],
        refused: dict[int, RefusedVersion],
        load: Callable[[int], Awaitable[ServedModel | None]],
    ) -> ServedModel | None:
        """Returns the model to go on or to begin with; None: there is none, or it is in `refused` now.

        `others`: versions that are served, or still copied. `load`: returns None for a version that it has refused.
        """
        version = self._canary.version if self._canary else 0
        if version not in there or version in others:
            return None
        if self.model and self.model.model.version == version:
            return self.model
        before = self._registry.refused.get(version)
        if (before is None or before.check == "waiting") and (model := await load(version)):
            return model
        refused[version] = self._registry.refused[version]
        return None

    def use(self, model: ServedModel | None) -> list[ServedModel]:
        """Has `model` answer its share from now on; None: there is none, or no more. Returns the one to be closed."""
        if self._canary is None:
            return []
        before, self.model = self.model, model
        # It may have returned while it was loaded.
        self._registry.canary = model if self._canary.version else None
        self._canary.follow()
        return [before] if before and before is not model else []
