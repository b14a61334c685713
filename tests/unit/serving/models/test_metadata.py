import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import MOST_SHOWN, ModelRejectedError
from serving.models.metadata import MOST_TEXT, Form, read_form
from tests.support.tiny_model import write_tiny_version

FIELDS = [
    ("schema_version",),
    ("name",),
    ("version",),
    ("created",),
    ("precision",),
    ("novelty_threshold",),
    ("metrics",),
    ("metrics", "mnist_test"),
    ("metrics", "mnist_test", "accuracy"),
    ("files",),
    ("files", "model.onnx"),
    ("files", "golden.npz"),
    ("training",),
]
TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too
NESTED = st.integers(1, 900).map(lambda depth: json.loads("[" * depth + "]" * depth))
LONG = st.sampled_from(["n" * (MOST_TEXT + 1), "n" * 5_000_000, 10**4000, "float32\n", "0" * 64 + "\n"])
NUMBERS = st.integers() | st.floats() | st.integers(min_value=10**300, max_value=10**400)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT | LONG | NESTED,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXT, values, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_version(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def sound(version: Path) -> dict[str, Any]:
    metadata: dict[str, Any] = json.loads((version / "metadata.json").read_text())
    return metadata


def read(version: Path, content: bytes) -> Form | None:
    """The form that is read; None where it is refused, with a reason that every protocol can carry."""
    (version / "metadata.json").write_bytes(content)
    try:
        return read_form(version, "mnist", 1)
    except (ModelRejectedError, OSError) as error:  # the latter for too large a file
        reason = str(error)
    assert reason.isprintable()
    assert len(reason) <= MOST_SHOWN
    return None


def assert_every_field_can_be_shown(form: Form) -> None:
    for text in (form.name, form.created, form.precision, *form.checksums.values()):
        assert text.isprintable()
        assert len(text) <= MOST_TEXT
        text.encode()
    for number in (form.novelty_threshold, form.test_accuracy):
        assert isinstance(number, float)
        assert math.isfinite(number)
        assert 0 <= number <= 1
    form.has_training_of(form)


@given(st.sampled_from(FIELDS), VALUES)
def test_any_value_of_a_field_can_be_shown_or_is_refused_with_a_short_reason(
    version: Path, sound: dict[str, Any], field: tuple[str, ...], value: object
) -> None:
    metadata = json.loads(json.dumps(sound))
    *above, last = field
    fields = metadata
    for name in above:
        fields = fields[name]
    fields[last] = value
    form = read(version, json.dumps(metadata).encode())
    if form is not None:
        assert_every_field_can_be_shown(form)


@given(
    st.binary()
    | TEXT.map(lambda text: text.encode("utf-16", "surrogatepass"))
    | VALUES.map(repr).map(ascii).map(str.encode)
)
def test_any_content_is_refused_with_a_short_reason(version: Path, content: bytes) -> None:
    assert read(version, content) is None


@pytest.mark.parametrize("field", FIELDS, ids=".".join)
def test_only_precision_and_training_may_be_missing(
    version: Path, sound: dict[str, Any], field: tuple[str, ...]
) -> None:
    metadata = json.loads(json.dumps(sound))
    *above, last = field
    fields = metadata
    for name in above:
        fields = fields[name]
    fields.pop(last, None)
    form = read(version, json.dumps(metadata).encode())
    assert (form is not None) == (last in ("precision", "training"))
