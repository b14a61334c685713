"""The committed Python code is what the pinned grpcio-tools makes of the committed .proto files."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from protos.generate import ROOT, generate

SOURCES = sorted((ROOT / "protos").rglob("*.proto"))


def test_the_generated_code_is_up_to_date(tmp_path: Path) -> None:
    generate(tmp_path)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*"))
    assert {path.suffix for path in made} == {".py", ".pyi", ".binpb"}
    for path in made:
        assert (ROOT / path).read_bytes() == (tmp_path / path).read_bytes(), f"{path} is stale: run `make proto`"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_field_method_and_value_has_a_comment(source: Path) -> None:
    lines = [line.strip() for line in source.read_text().splitlines()]
    declaration = re.compile(r"rpc \w+|service \w+|enum \w+|(repeated )?[\w.]+ \w+ = \d+;|[A-Z_]+ = \d+;")
    bare = [line for before, line in pairwise(lines) if declaration.match(line) and not before.startswith("//")]
    assert bare == []
