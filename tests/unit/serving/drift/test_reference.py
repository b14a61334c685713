import json
from typing import Any

import pytest

from serving.drift.reference import FEATURES, DriftReferenceError, read_reference
from tests.support.committed_models import committed


def stored(**changes: Any) -> bytes:
    polarity = {"edges": [0], "populations": {"photos": [90, 10], "scans": [1, 1]}} | changes
    return json.dumps({"schema_version": 1, "features": {"polarity": polarity}}).encode()


def test_a_reference_names_its_bins_and_knows_the_mean_of_its_populations() -> None:
    feature = read_reference(stored()).features["polarity"]
    assert feature.bins == ("dark_on_light", "light_on_dark")
    assert feature.shares() == pytest.approx([0.7, 0.3])


def test_a_reference_is_read_again_from_its_own_text() -> None:
    first = read_reference(stored())
    assert read_reference(first.text.encode()) == first


def test_features_of_a_later_release_are_passed_over() -> None:
    content = json.loads(stored())
    content["features"]["pressure"] = {"edges": "none", "populations": 7}
    assert set(read_reference(json.dumps(content).encode()).features) == {"polarity"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"schema_version": 2, "features": {}}',
        b'{"schema_version": 1}',
        b'{"schema_version": 1, "features": []}',
        b'{"schema_version": 1, "features": {"ink": {"edges": [1e999], "populations": {"a": [1, 1]}}}}',
        b'{"schema_version": 1, "features": {"ink": {"edges": [2, 1], "populations": {"a": [1, 1, 1]}}}}',
        b'{"schema_version": 1, "features": {"ink": {"edges": [1, 1.0000000001], "populations": {"a": [1, 1, 1]}}}}',
        stored(edges=[]),
        stored(edges=[1]),
        stored(edges=["0"]),
        stored(edges=[False]),
        stored(edges=[None]),
        stored(edges=None),
        stored(populations={}),
        stored(populations=[]),
        stored(populations={"a": [0, 0]}),
        stored(populations={"a": [1]}),
        stored(populations={"a": [1, -1]}),
        stored(populations={"a": [1, 1.5]}),
        stored(populations={"a": [1, True]}),
        stored(populations={"a": [1, 2**50]}),
        stored(populations={"a": 2}),
        stored(populations={'"} evil{': [1, 1]}),
        stored(populations={"": [1, 1]}),
        stored(populations={str(number): [1, 1] for number in range(33)}),
    ],
)
def test_what_training_would_not_write_is_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(DriftReferenceError, match=r"^drift\.json [^\n]+$"):
        read_reference(content)


@pytest.mark.parametrize("model", ["mnist", "mnist-int8", "mnist-accurate", "mnist-cascade", "mnist-cascade-int8"])
def test_the_committed_references_have_every_feature(model: str) -> None:
    reference = read_reference((committed(model) / "drift.json").read_bytes())
    assert set(reference.features) == set(FEATURES)
    assert {"MNIST", "maps", "pen digits", "photos"} <= set(reference.features["ink"].populations)
    assert "photos" in reference.features["contrast"].populations
