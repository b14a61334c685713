"""Makes the tracer of a serving process, where traces are on. Nothing else of the server imports OpenTelemetry."""

from typing import TYPE_CHECKING

from serving.config import Config
from serving.errors import ConfigError
from serving.logging import Logger
from serving.options import open_telemetry_variables
from serving.traces.sampling import check_destination, sampling

if TYPE_CHECKING:  # importing it loads OpenTelemetry, which the plain server need not have
    from serving.traces.tracer import SpanTracer


def make_tracer(config: Config, log: Logger) -> "SpanTracer | None":
    """Returns a tracer, not yet started; None where traces are off.

    Raises ConfigError where OpenTelemetry is not installed, or for a variable of it that cannot be used.
    """
    if not config.traces:
        return None
    variables = open_telemetry_variables()
    rule = sampling(variables)
    check_destination(variables)
    try:
        from serving.traces.tracer import SpanTracer
    except ImportError as error:
        raise ConfigError(f"--traces needs OpenTelemetry ({error}): pip install 'mnist-digits[traces]'") from error
    return SpanTracer(rule, log)
