"""Settings of traces from OpenTelemetry's standard environment variables, read strictly: a typing error ends the start.

The SDK falls back to sampling everything where it cannot read OTEL_TRACES_SAMPLER, and sends to any protocol's port.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from serving.errors import ConfigError, shown

SAMPLER, SHARE = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
# For all signals, and for traces, which takes precedence.
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOL = "http/protobuf"
_SAMPLERS = ("always_on", "always_off", "traceidratio")
_PARENT_BASED = "parentbased_"
_IDS = 2**64  # the lower half of a trace id decides, as in OpenTelemetry's own sampler


@dataclass(frozen=True, slots=True)
class Sampling:
    """Rule by which requests are sampled. `bound`: of the lower 64 bits of trace ids, those below it are."""

    follows_parent: bool  # a caller's own decision holds for its requests
    bound: int

    def is_sampled(self, trace_id: str, is_parent_sampled: bool) -> bool:
        """Returns True where a request that continues a caller's trace is sampled."""
        return is_parent_sampled if self.follows_parent else int(trace_id[16:], 16) < self.bound


def sampling(variables: Mapping[str, str]) -> Sampling:
    """Returns the rule that the variables set; without them, all requests whose caller has not decided otherwise.

    Raises ConfigError, which names the variable.
    """
    given = variables.get(SAMPLER) or f"{_PARENT_BASED}always_on"
    follows_parent, name = given.startswith(_PARENT_BASED), given.removeprefix(_PARENT_BASED)
    if name not in _SAMPLERS:
        known = ", ".join([*_SAMPLERS, *(_PARENT_BASED + each for each in _SAMPLERS)])
        raise ConfigError(f"{SAMPLER}: expected one of {known}, got {shown(given)!r}")
    share = {"always_on": 1.0, "always_off": 0.0}.get(name)
    return Sampling(follows_parent, round((_share(variables) if share is None else share) * _IDS))


def check_destination(variables: Mapping[str, str]) -> None:
    """Raises ConfigError where the variables request what is not sent: another protocol, an address that is no URL."""
    protocol = next(((name, variables[name]) for name in PROTOCOLS if variables.get(name)), None)
    if protocol and protocol[1] != PROTOCOL:
        raise ConfigError(f"{protocol[0]}: traces are sent by {PROTOCOL} alone, got {shown(protocol[1])!r}")
    for name in ENDPOINTS:
        address = variables.get(name)
        if address and not address.startswith(("http://", "https://")):
            raise ConfigError(f"{name}: expected http://HOST:PORT or https://HOST:PORT, got {shown(address)!r}")


def _share(variables: Mapping[str, str]) -> float:
    text = variables.get(SHARE) or "1"
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigError(f"{SHARE}: expected a share, 0 to 1, got {shown(text)!r}")
    return share
