"""MODEL_CARD.md, written from metadata.json and nothing else, so that the two cannot disagree."""

from training.model_metadata import Metadata


def model_card(metadata: Metadata) -> str:
    """The card's whole text (Markdown)."""
    return f"# {metadata['name']}, version {metadata['version']}\n"
