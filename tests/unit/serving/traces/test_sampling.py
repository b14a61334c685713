"""Which requests are sampled, by OpenTelemetry's variables; what is written wrongly there ends the start."""

import pytest

from serving.errors import ConfigError
from serving.traces.sampling import check_destination, sampling

HALF = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
LOW, HIGH = "f" * 16 + "0" * 16, "0" * 16 + "f" * 16


@pytest.mark.parametrize(
    ("variables", "follows_parent", "share"),
    [
        ({}, True, 1.0),
        ({"OTEL_TRACES_SAMPLER": ""}, True, 1.0),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, False, 1.0),
        ({"OTEL_TRACES_SAMPLER": "always_off", "OTEL_TRACES_SAMPLER_ARG": "1"}, False, 0.0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, True, 0.0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}, True, 1.0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, True, 0.25),
        (HALF, False, 0.5),
    ],
)
def test_each_sampler_of_the_standard_is_known(variables: dict[str, str], follows_parent: bool, share: float) -> None:
    rule = sampling(variables)
    assert (rule.follows_parent, rule.bound) == (follows_parent, round(share * 2**64))


def test_the_callers_decision_holds_only_where_it_is_followed() -> None:
    assert sampling({}).is_sampled(HIGH, is_parent_sampled=True)
    assert not sampling({}).is_sampled(LOW, is_parent_sampled=False)
    assert sampling(HALF).is_sampled(LOW, is_parent_sampled=False)
    assert not sampling(HALF).is_sampled(HIGH, is_parent_sampled=True)


@pytest.mark.parametrize("share", ["-0.1", "1.1", "nan", "inf", "half"])
def test_a_share_is_a_number_from_0_to_1(share: str) -> None:
    with pytest.raises(ConfigError, match="OTEL_TRACES_SAMPLER_ARG: expected a share"):
        sampling(HALF | {"OTEL_TRACES_SAMPLER_ARG": share})


@pytest.mark.parametrize("name", ["parentbased", "jaeger_remote", "Always_On", "parentbased_parentbased_always_on"])
def test_an_unknown_sampler_is_an_error(name: str) -> None:
    with pytest.raises(ConfigError, match="OTEL_TRACES_SAMPLER: expected one of always_on"):
        sampling({"OTEL_TRACES_SAMPLER": name})


def test_what_cannot_be_sent_to_is_an_error() -> None:
    good = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4318"}
    check_destination({})
    check_destination(good)
    check_destination(
        good | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}
    )
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_PROTOCOL: traces are sent by http/protobuf alone"):
        check_destination(good | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_ENDPOINT: expected http"):
        check_destination(good | {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"})
