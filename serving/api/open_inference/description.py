"""Messages that describe the server and its model to clients: metadata, configuration, statistics, versions."""

from collections.abc import Mapping
from functools import partial

from protos.inference import open_inference_pb2 as protocol
from serving import __version__
from serving.api.open_inference import totals
from serving.api.open_inference.codec import AcceptedModel
from serving.api.open_inference.outputs import OUTPUTS
from serving.metrics.metrics import IMAGES, IMAGES_BOUNDS
from serving.models.onnx_session import INPUT
from serving.predictions import PIXELS

SERVER_NAME = "mnist-digits"
EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration", "parameters", "statistics"]
PLATFORM = "onnxruntime_onnx"
_NANOSECONDS = 1e9  # in a second
_DATA_TYPES = {
    "BOOL": protocol.TYPE_BOOL,
    "UINT8": protocol.TYPE_UINT8,
    "INT64": protocol.TYPE_INT64,
    "FP32": protocol.TYPE_FP32,
}


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
            protocol.ModelOutput(
                name=name,
                data_type=_DATA_TYPES[output.datatype],
                dims=output.row_shape,
                # The graph returns one value for each image, (n,), and Triton knows no output without dimensions.
                reshape=protocol.ModelTensorReshape() if output.row_shape == (1,) else None,
            )
            for name, output in OUTPUTS.items()
        ],
        dynamic_batching=protocol.ModelDynamicBatching(),  # its presence says that requests are batched
    )
    return protocol.ModelConfigResponse(config=config)


def model_statistics(model: AcceptedModel, values: Mapping[tuple[str, ...], float]) -> protocol.ModelStatisticsResponse:
    """Returns Triton's statistics. `values`: of the whole service's metrics, by name and labels."""

    def total(*key: str) -> float:
        return values.get(key, 0.0)

    def duration(count: float, seconds: float) -> protocol.StatisticDuration:
        return protocol.StatisticDuration(count=int(count), ns=round(seconds * _NANOSECONDS))

    answered, failed = (total(f"{totals.REQUESTS}_total", outcome) for outcome in (totals.SUCCESS, totals.FAILURE))
    seconds = partial(total, f"{totals.SECONDS}_total")
    statistics = protocol.ModelStatistics(
        name=model.name,
        version=str(model.version),
        last_inference=int(total("mnist_last_inference_timestamp_seconds") * 1000),
        # Of every contract: the batches of one and another are the same.
        inference_count=int(total("mnist_batch_size_sum")),
        execution_count=int(total("mnist_batch_size_count")),
        inference_stats=protocol.InferStatistics(
            success=duration(answered, seconds(totals.SUCCESS)),
            fail=duration(failed, seconds(totals.FAILURE)),
            queue=duration(answered, seconds(totals.QUEUE)),
            compute_input=duration(answered, seconds(totals.INPUT)),
            compute_infer=duration(answered, seconds(totals.INFERENCE)),
            compute_output=duration(answered, seconds(totals.OUTPUT)),
        ),
    )
    before = 0.0
    for images, bound in zip(IMAGES, IMAGES_BOUNDS, strict=False):  # a batch above the last bound has no size to name
        batches = total("mnist_batch_size_bucket", bound)
        if batches > before:
            count, nothing = batches - before, duration(batches - before, 0.0)
            inference = duration(count, total("mnist_batch_seconds_total", bound))
            statistics.batch_stats.add(
                batch_size=images, compute_input=nothing, compute_infer=inference, compute_output=nothing
            )
        before = batches
    return protocol.ModelStatisticsResponse(model_stats=[statistics])


def repository_index(model: AcceptedModel | None, refused: Mapping[int, str]) -> protocol.RepositoryIndexResponse:
    """Lists the versions that are served, and those refused with the reason; empty while no model is ready."""
    if model is None:
        return protocol.RepositoryIndexResponse()
    index = protocol.RepositoryIndexResponse.ModelIndex
    ready = [index(name=model.name, version=str(version), state="READY") for version in model.versions]
    others = [
        index(name=model.name, version=str(version), state="UNAVAILABLE", reason=reason)
        for version, reason in refused.items()
    ]
    return protocol.RepositoryIndexResponse(models=ready + others)
