"""Registry of model versions: those served now, and those refused, with the reason.

The model reloader writes it; use cases and services read it. Used from the event loop alone, so it needs no lock.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from serving.core.batcher import Batcher
from serving.errors import NotReadyError, UnknownVersionError
from serving.models.loaded_model import LoadedModel
from serving.models.repository import Stamp

MOST_REPORTED = 20  # refused versions


@dataclass(frozen=True, slots=True)
class ServedModel:
    """Loaded model version with its own batcher.

    No batch mixes versions, and a version that is replaced still answers the requests that it has begun.
    """

    model: LoadedModel
    batcher: Batcher
    is_tuned: bool  # its batch size, threads and precision were measured on this host


@dataclass(frozen=True, slots=True)
class RefusedVersion:
    """Version that the policy selects and that failed a check."""

    check: str  # one of models.repository.CHECKS
    reason: str
    stamp: Stamp  # of its files when they were checked: it is tried again when they change


class Registry:
    """Served and refused versions of one model. Not ready until the first serve()."""

    def __init__(self) -> None:
        self.refused: dict[int, RefusedVersion] = {}
        self.versions: tuple[int, ...] = ()  # served now, ascending
        self.canary: ServedModel | None = None  # answers a share of the callers, and is not one of the served versions
        self._served: dict[int, ServedModel] = {}  # by version
        self._default: ServedModel | None = None
        self._closed_because: str | None = None

    def reported(self) -> dict[int, RefusedVersion]:
        """Returns the highest refused versions, MOST_REPORTED at most, ascending."""
        return {version: self.refused[version] for version in heapq.nlargest(MOST_REPORTED, self.refused)[::-1]}

    def serve(self, served: Sequence[ServedModel]) -> None:
        """Replaces the served versions by these, one or more, ascending. The last is the default for requests."""
        self._served = {each.model.version: each for each in served}
        self._default = served[-1]
        self.versions = tuple(self._served)

    def close(self, reason: str) -> None:
        """Refuses every later served() with NotReadyError and this reason. Admitted requests are still answered."""
        self._closed_because = reason

    def served(self, version: int = 0) -> ServedModel:
        """Returns the served version for a new request; 0 stands for the highest.

        Raises NotReadyError before the first serve() and after close(), and UnknownVersionError.
        """
        if self._closed_because:
            raise NotReadyError(self._closed_because)
        return self.served_after_admission(version)

    def served_after_admission(self, version: int) -> ServedModel:
        """Returns the served version for a request that was admitted before close(). Raises as served() does."""
        if self._default is None:
            raise NotReadyError("no model is ready yet; try again soon")
        if not version:
            return self._default
        if version not in self._served:
            raise UnknownVersionError(requested=version, served=self.versions)
        return self._served[version]

    def default_model(self) -> LoadedModel | None:
        """Returns the model that answers by default; None before the first serve()."""
        return self._default.model if self._default else None

    @property
    def is_idle(self) -> bool:
        """Indicates that no batch of any version runs and no request waits for one."""
        return all(served.batcher.is_idle for served in self._all())

    def queued_images(self) -> int:
        """Returns the number of images that wait for a batch, over all versions."""
        return sum(served.batcher.queued_images for served in self._all())

    def running_since(self) -> float | None:
        """Returns when the longest-running inference began, in time.monotonic() seconds; None when none runs."""
        began = [served.batcher.running_since for served in self._all()]
        return min((each for each in began if each is not None), default=None)

    def _all(self) -> list[ServedModel]:
        return [*self._served.values(), *([self.canary] if self.canary else [])]
