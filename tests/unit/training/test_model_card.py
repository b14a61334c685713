import json
from pathlib import Path

from training.model_card import model_card

VERSIONS = sorted(path.parent for path in (Path(__file__).parents[3] / "models" / "mnist").glob("*/metadata.json"))


def test_there_is_a_committed_version() -> None:
    assert VERSIONS


def test_committed_cards_are_those_their_metadata_gives() -> None:
    for version in VERSIONS:
        metadata = json.loads((version / "metadata.json").read_text(encoding="utf-8"))
        assert (version / "MODEL_CARD.md").read_text(encoding="utf-8") == model_card(metadata)
