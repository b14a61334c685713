import json
from typing import Any

import pytest

from serving.models.quality import read_figures, what_is_worse
from tests.support.committed_models import committed


def metadata(accuracy: float = 0.995, images: int = 10_000, refused: float = 0.002, **other: Any) -> dict[str, Any]:
    return {
        "metrics": {"mnist_test": {"images": images, "accuracy": accuracy, "refused": refused}},
        "other_sets": {"refusal": other},
    }


def worse(new: dict[str, Any], old: dict[str, Any], allowed: float = 0.0) -> str:
    return what_is_worse(read_figures(new), read_figures(old), allowed)


def test_a_toy_is_worse_than_the_committed_model() -> None:
    assert worse(metadata(0.970), metadata(0.9957)) == "accuracy of mnist_test is 97.00%, 99.57% before"


@pytest.mark.parametrize("drop", [0.0, 0.0007, -0.004])
def test_chance_and_gains_are_not_worse(drop: float) -> None:
    assert not worse(metadata(0.9957 - drop), metadata(0.9957))


def test_what_is_chance_depends_on_how_many_images_were_seen() -> None:
    assert not worse(metadata(0.97, images=100), metadata(0.99, images=100))
    assert worse(metadata(0.97), metadata(0.99))
    assert worse(metadata(0.9899, images=0), metadata(0.99, images=0))


def test_an_allowed_drop_counts_beyond_chance() -> None:
    assert worse(metadata(0.97), metadata(0.9957), 0.01)
    assert not worse(metadata(0.97), metadata(0.9957), 0.03)


def test_refusing_more_digits_and_fewer_other_things_is_worse() -> None:
    assert worse(metadata(refused=0.02), metadata()) == "refused of mnist_test is 2.00%, 0.20% before"
    noise = {"images": 5000, "refused": 0.99}
    assert "no digits" in worse(metadata(noise=noise | {"refused": 0.1}), metadata(noise=noise))
    assert not worse(metadata(noise=noise), metadata(noise=noise | {"refused": 0.1}))


def test_without_a_figure_on_mnist_a_version_is_worse_and_other_sets_are_compared_where_both_have_them() -> None:
    bare = {"metrics": {"mnist_test": {"accuracy": 0.999}}}
    assert worse(bare, metadata()) == "it records no refused of mnist_test, which is 0.20%"
    assert not worse(metadata(), metadata(noise={"images": 5000, "refused": 0.99}))
    assert not worse(metadata(), bare | {"metrics": {}})


@pytest.mark.parametrize(
    "values", [{"accuracy": float("nan")}, {"accuracy": "1"}, {"accuracy": 1, "images": -1}, {"accuracy": True}, []]
)
def test_values_that_are_no_figures_are_refused(values: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # any text
        read_figures({"metrics": {"mnist_test": values}})


def test_figures_of_a_committed_model_are_all_read() -> None:
    text = (committed("mnist") / "metadata.json").read_text()
    figures = read_figures(json.loads(text))
    assert {"accuracy of mnist_validation", "refused of mnist_test", "accuracy of pen digits, held out"} <= set(figures)
    assert all(figure.images for figure in figures.values())
    assert not what_is_worse(figures, figures, 0.0)
