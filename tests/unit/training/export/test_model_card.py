import copy
import json
from pathlib import Path
from typing import Any

import pytest

from training.evaluation.figures import OtherSets
from training.export.model_card import model_card

VERSIONS = sorted((Path(__file__).parents[4] / "models").glob("*/*/metadata.json"))
OTHER_SETS: OtherSets = {
    "corruptions": {"fog": 0.95, "stripe": 0.97},
    "corruptions_mean": 0.96,
    "refusal": {"letters": {"images": 5000, "refused": 0.97, "auroc": {"novelty": 0.9912, "energy": 0.93}}},
    "digits": {"sklearn digits": {"images": 1797, "accuracy": 0.9877, "refused": 0.0111}},
    "stand_ins": {"photos": {"images": 1000, "accuracy": 0.992, "refused": 0.004}},
}
RECENT = {
    "columns": 1,
    "wild": 0.1,
    "degraded": 0.2,
    "synthetic_images": 32,
    "novelty_weight": 0.5,
    "teacher": "",
    "teacher_weight": 0.7,
    "largest_refused_share_elsewhere": 0.02,
}


@pytest.fixture
def metadata() -> dict[str, Any]:
    """Of a version from before novelty was learned; the repository's first when it still is, cut down to it if not."""
    content: dict[str, Any] = json.loads(VERSIONS[0].read_text(encoding="utf-8"))
    content.pop("precision", None)
    content.pop("other_sets", None)
    for name in (*RECENT, "depths", "convolution_precision", "start"):
        content["training"].pop(name, None)
    return content


def card_of(metadata: dict[str, Any], changes: dict[str, Any], **training: Any) -> str:
    changed = copy.deepcopy(metadata) | changes
    changed["training"] |= training
    return model_card(changed)  # type: ignore[arg-type]  # read from JSON


def test_an_adapted_version_says_what_it_began_with_what_changed_and_what_speaks_against_it() -> None:
    change = {"pictures": 750, "before": 0.8653, "after": 0.956, "interval": [0.0412, 0.1385]}
    adaptation = {
        "start": {"name": "mnist", "version": 3, "sha256": "ab" * 32},
        **{
            "pictures": 750,
            "digits": 740,
            "groups": 3,
            "by": "writer",
            "parts": 3,
            "sha256": "cd" * 32,
            "own_images": 32,
            "interpolation": 0.5,
        },
        "own": {"answered rightly": change},
        "populations": {"maps, held out": {"accuracy": {**change, "pictures": 330}}},
        "objections": [],
    }
    sets: dict[str, Any] = {"digits": OTHER_SETS["digits"], "stand_ins": OTHER_SETS["stand_ins"]}
    sets["refusal"] = {"letters": {"images": 5000, "refused": 0.97, "auroc": {}}}
    content = json.loads(VERSIONS[0].read_text(encoding="utf-8")) | {"adaptation": adaptation, "other_sets": sets}
    content["training"]["start"] = "mnist/3/model.onnx"
    card = model_card(content)
    assert f"Training began with `mnist/3` (model.onnx: `{'ab' * 32}`). 750 pictures of a user joined, 740" in card
    assert "| own pictures, held out: answered rightly (750) | 86.53% | 95.60% | +4.12 to +13.85 |" in card
    assert "| maps, held out: accuracy (330) | 86.53%" in card
    assert "as it is in this revision" not in card
    assert "in spite of" not in card
    assert "Measured by `python -m training adapt`" in card
    assert "MNIST-C" not in card
    adaptation["objections"] = ["accuracy of maps, held out: 98.48% before, 90.00% after"]
    assert "- accuracy of maps, held out: 98.48% before, 90.00% after" in model_card(content)


def test_there_is_a_committed_version() -> None:
    assert VERSIONS


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: f"{path.parts[-3]}-{path.parts[-2]}")
def test_committed_cards_are_those_their_metadata_gives(path: Path) -> None:
    metadata = json.loads(path.read_text(encoding="utf-8"))
    assert path.with_name("MODEL_CARD.md").read_text(encoding="utf-8") == model_card(metadata)


def test_a_version_that_learned_no_novelty_says_where_it_takes_it_from(metadata: dict[str, Any]) -> None:
    card = card_of(metadata, {})
    assert "ten outputs" in card
    assert "for no digit: 1 - the largest probability" in card
    assert "in float32" in card
    for absent in ("synthesised", "columns", "in int8", "stand-ins", "came from the outputs", "Beyond MNIST"):
        assert absent not in card


def test_a_card_names_a_learned_novelty_and_its_source(metadata: dict[str, Any]) -> None:
    card = card_of(metadata, {}, **RECENT)
    for part in (
        "eleven outputs: the ten digits, and novelty",
        "for no digit: learned from synthesised non-digits",
        "10% of the\nimages by up to twice as much",
        "20% of the images were also blurred",
        "32 synthesised pictures besides MNIST's",
        "at most 2% of any one\nof their stand-ins",
    ):
        assert part in card
    assert "1 - the largest probability" not in card


def test_columns_teacher_and_integers_are_named(metadata: dict[str, Any]) -> None:
    card = card_of(metadata, {"precision": "int8"}, **(RECENT | {"columns": 3, "teacher": "accurate-1,accurate-2"}))
    assert "The mean of 3 columns" in card
    assert "its convolutions but the first, and its hidden layer, in int8" in card
    assert "70% of the digits' loss came from the outputs of the runs accurate-1,accurate-2" in card


def test_the_seeds_of_a_committee_are_named(metadata: dict[str, Any]) -> None:
    members = [{"run": f"accurate-{seed}", "seed": seed, "data_seed": seed} for seed in (2, 3, 4)]
    assert "each column is\na run of its own, with the seeds 2, 3, 4" in card_of(metadata, {}, members=members)


def test_what_differs_between_the_members_of_a_committee_is_named_for_each(metadata: dict[str, Any]) -> None:
    members = [
        {"run": "one", "seed": 2, "data_seed": 2, "epochs": 24, "other_handwriting_images": 24, "revision": "b" * 40},
        {"run": "other", "seed": 3, "data_seed": 4, "epochs": 24, "other_handwriting_images": 16, "revision": "a" * 40},
    ]
    card = card_of(metadata, {}, members=members)
    assert "where they differ the lines above are of the first:" in card
    handwriting = "pictures of other handwriting in a batch"
    assert f"- seed 2, data seed 2, 24 epochs, 24 {handwriting}, revision `{'b' * 40}`\n" in card
    assert f"- seed 3, data seed 4, 24 epochs, 16 {handwriting}, revision `{'a' * 40}`." in card


def test_a_card_names_depth_precision_and_start(metadata: dict[str, Any]) -> None:
    deeper = {"filters": [32, 64, 128], "depths": [1, 2, 2], "convolution_precision": "bfloat16"}
    card = card_of(metadata, {}, **RECENT, **deeper, start="models/mnist/3/model.onnx")
    assert "5 convolutions with pooling (32, 64, 64, 128, 128 filters)" in card
    assert "began with the weights of `models/mnist/3/model.onnx`" in card
    assert "multiplied in bfloat16; all weights are float32" in card


def test_figures_of_other_sets_have_a_section_of_their_own(metadata: dict[str, Any]) -> None:
    card = card_of(metadata, {"other_sets": OTHER_SETS})
    assert "## Beyond MNIST" in card
    assert "| letters (5,000) | 97.0% | 0.9912 |" in card
    assert "| sklearn digits (1,797) | 98.77% | 1.11% |" in card
    assert "| photos, made from validation rows (1,000) | 99.20% | 0.40% |" in card
    assert "test rows: 96.00%\n(fog 95.0%, stripe 97.0%)" in card


def test_a_version_that_learned_other_handwriting_names_those_who_made_it(metadata: dict[str, Any]) -> None:
    """CC BY 4.0 asks for it."""
    learned = card_of(metadata, {}, **RECENT, other_handwriting_images=32, split="writers")
    for name in ("Alpaydin", "Alimoglu", "Duin", "Lake", "CC BY 4.0", "MIT licence"):
        assert name in learned
    assert "Each batch had 32 pictures of other handwriting" in learned
    assert "5,000 others, by people who wrote none of the former, decided temperature" in learned
    former = card_of(metadata, {}, **RECENT, other_handwriting_images=0, split="rows")
    assert "other handwriting" not in former.lower()
    assert "5,000 others decided" in former
