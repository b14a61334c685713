"""Messages that describe the server and its model to clients: metadata, configuration, statistics, versions."""

from collections.abc import Mapping
from dataclasses import dataclass

from protos.inference import open_inference_pb2 as protocol
from serving import __version__
from serving.api.open_inference.codec import AcceptedModel
from serving.api.open_inference.outputs import OUTPUTS
from serving.metrics.metrics import Metrics
from serving.models.onnx_session import INPUT
from serving.predictions import PIXELS

SERVER_NAME = "mnist-digits"
EXTENSIONS = ["classification", "model_configuration", "parameters", "statistics"]
PLATFORM = "onnxruntime_onnx"
_NANOSECONDS = 1e9  # in a second
_DATA_TYPES = {
    "BOOL": protocol.TYPE_BOOL,
    "UINT8": protocol.TYPE_UINT8,
    "INT64": protocol.TYPE_INT64,
    "FP32": protocol.TYPE_FP32,
}


@dataclass(slots=True)
class CallTotals:
    """Number of calls with one outcome, and the nanoseconds that they took in all."""

    count: int = 0
    nanoseconds: int = 0

    def add(self, nanoseconds: int) -> None:
        """Counts a call."""
        self.count += 1
        self.nanoseconds += nanoseconds


def server_metadata() -> protocol.ServerMetadataResponse:
    """Describes the server: name, version, extensions of the protocol."""
    return protocol.ServerMetadataResponse(name=SERVER_NAME, version=__version__, extensions=EXTENSIONS)


def model_metadata(model: AcceptedModel) -> protocol.ModelMetadataResponse:
    """Describes the model's inputs and outputs, with -1 for the number of images."""
    tensor = protocol.ModelMetadataResponse.TensorMetadata
    return protocol.ModelMetadataResponse(
        name=model.name,
        versions=[str(version) for version in model.versions],
        platform=PLATFORM,
        inputs=[tensor(name=INPUT[0], datatype="UINT8", shape=[-1, PIXELS])],
        outputs=[
            tensor(name=name, datatype=output.datatype, shape=[-1, *output.row_shape])
            for name, output in OUTPUTS.items()
        ],
    )


def model_config(model: AcceptedModel) -> protocol.ModelConfigResponse:
    """Describes the model in Triton's terms, where dimensions are those of one image."""
    config = protocol.ModelConfig(
        name=model.name,
        platform=PLATFORM,
        backend="onnxruntime",
        max_batch_size=model.max_images,
        input=[protocol.ModelInput(name=INPUT[0], data_type=protocol.TYPE_UINT8, dims=[PIXELS])],
        output=[
            protocol.ModelOutput(name=name, data_type=_DATA_TYPES[output.datatype], dims=output.row_shape)
            for name, output in OUTPUTS.items()
        ],
        dynamic_batching=protocol.ModelDynamicBatching(),  # its presence says that requests are batched
    )
    return protocol.ModelConfigResponse(config=config)


def model_statistics(
    model: AcceptedModel, metrics: Metrics, answered: CallTotals, failed: CallTotals
) -> protocol.ModelStatisticsResponse:
    """Returns Triton's statistics, from the metrics and from the ModelInfer calls that were `answered` or `failed`."""

    def total(name: str) -> float:
        return metrics.registry.get_sample_value(name) or 0.0

    def observed(histogram: str) -> protocol.StatisticDuration:
        seconds = total(f"{histogram}_sum")
        return protocol.StatisticDuration(count=int(total(f"{histogram}_count")), ns=int(seconds * _NANOSECONDS))

    # Since the start of this worker, and of both contracts: the metrics do not tell them apart.
    inference = observed("mnist_inference_seconds")
    statistics = protocol.ModelStatistics(
        name=model.name,
        version=str(model.version),
        inference_count=int(total("mnist_batch_size_sum")),
        execution_count=inference.count,
        inference_stats=protocol.InferStatistics(
            success=protocol.StatisticDuration(count=answered.count, ns=answered.nanoseconds),
            fail=protocol.StatisticDuration(count=failed.count, ns=failed.nanoseconds),
            queue=observed("mnist_queue_wait_seconds"),
            compute_infer=inference,
        ),
    )
    return protocol.ModelStatisticsResponse(model_stats=[statistics])


def repository_index(model: AcceptedModel | None, refused: Mapping[int, str]) -> protocol.RepositoryIndexResponse:
    """Lists the versions that are served, and those refused with the reason; empty while no model is ready."""
    if model is None:
        return protocol.RepositoryIndexResponse()
    index = protocol.RepositoryIndexResponse.ModelIndex
    ready = [index(name=model.name, version=str(version), state="READY") for version in model.versions]
    others = [
        index(name=model.name, version=str(version), state="UNAVAILABLE", reason=reason)
        for version, reason in sorted(refused.items())
    ]
    return protocol.RepositoryIndexResponse(models=ready + others)
