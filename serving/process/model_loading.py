"""How versions of the model are loaded and served: on which device, by how many threads, in which batches."""

from functools import partial

from serving.config import DEFAULT_BATCH_SIZE, Config
from serving.core.batcher import Batcher
from serving.core.candidates.canary import Canary
from serving.core.drift import DriftObserver
from serving.core.registry import Registry, ServedModel
from serving.core.runner import LoopRunner, ThreadRunner
from serving.host.cpu import usable_cpus
from serving.logging import Logger
from serving.metrics.metrics import Metrics
from serving.models.device import Session, open_on_device
from serving.models.loaded_model import LoadedModel
from serving.models.onnx_session import available_providers
from serving.models.repository import ModelRepository
from serving.models.shipped import newer_versions
from serving.process.model_reloader import ModelReloader
from serving.process.promotion import PromotionGate


def make_reloader(
    config: Config,
    registry: Registry,
    metrics: Metrics,
    log: Logger,
    drift: DriftObserver | None = None,
    canary: Canary | None = None,
) -> ModelReloader:
    """Returns what keeps `registry` in step with the model repository of the configuration, not yet started.

    `drift`: observes what the served versions answer. `canary`: chooses the callers of one, and watches it.
    """
    repository = ModelRepository(
        config.model_repository, config.model_name, config.model_public_key, config.model_folder
    )
    threads = config.inference_threads or max(1, usable_cpus() // (config.workers or 1))
    largest_batch = config.max_batch_size or DEFAULT_BATCH_SIZE

    def open_session(graph: bytes, precision: str) -> Session:
        opened = open_on_device(graph, precision, config.device, threads, largest_batch)
        if config.device == "auto":
            chosen = opened.session.device
            log.info("device_chosen", device=chosen, why=opened.why, providers=available_providers())
        return opened.session

    def load(version: int) -> LoadedModel:
        loaded = repository.load(version, open_session, largest_batch, config.precision)
        device = loaded.session.device
        log.info("model_ready", version=loaded.version, device=device, threads=threads, sha256=loaded.sha256)
        return loaded

    def serve(model: LoadedModel) -> ServedModel:
        """Starts a batcher for the model."""
        run = canary.watched(model.version, model.run) if canary else model.run
        runner = LoopRunner(run) if model.session.computes_on_caller else ThreadRunner(run)
        delay = config.max_queue_delay_seconds
        batcher = Batcher(runner, metrics, largest_batch, delay, model.seconds_per_image, drift)
        batcher.start()
        metrics.inference_info.info(
            {
                "precision": model.precision,
                "threads": str(model.session.threads),
                "max_batch_size": str(largest_batch),
                "tuned": str(config.tune).lower(),
            }
        )
        return ServedModel(model, batcher, config.tune)

    held_back = frozenset(each.version for each in (config.shadow, config.canary) if each)
    gate = PromotionGate(config.promote == "manual", config.max_slowdown, config.max_quality_drop, held_back)
    shipped = ModelRepository(config.shipped_models, config.model_name) if config.shipped_models else None
    newer = partial(newer_versions, shipped, repository) if shipped else None
    return ModelReloader(repository, config.model_version, load, serve, gate, registry, metrics, log, newer, canary)
