"""The walk through the network's layers on the page, in a real browser: numbers, a kernel of one's own, the lesson."""

import re
from collections.abc import Iterator, Sequence

import pytest
from playwright.sync_api import Browser, Position

from tests.e2e.strokes import DIGITS, SCRIBBLE
from tests.e2e.visitor import ROOT, Visitor, needs_chromium
from tests.hostile.server import ServerProcess, server_process

pytestmark = needs_chromium


def test_every_layer_can_be_walked_through_and_its_numbers_add_up(visitor: Visitor) -> None:
    visitor.draw(DIGITS[3])
    visitor.page.locator("#walk").wait_for()
    names = visitor.page.locator("#walk-layers button").all_inner_texts()
    assert names == [
        *("Convolution 1", "Max pooling 1", "Convolution 2", "Max pooling 2", "Convolution 3", "Max pooling 3"),
        *("Dense layer", "Ten sums"),
    ]
    sizes = {"Convolution 1": (16, "24×24"), "Convolution 2": (64, "12×12"), "Convolution 3": (96, "6×6")}
    for name in names:
        visitor.page.click(f"#walk-layers button:text-is('{name}')")
        if name in ("Dense layer", "Ten sums"):
            assert visitor.page.locator("#walk-units-table td").count() == 20
            continue
        maps = visitor.page.locator("#walk-maps button")
        if name in sizes:
            assert maps.count() == sizes[name][0]
            assert sizes[name][1] in visitor.text("#walk-description")
            assert_products_add_up(visitor)
            maps.nth(5).click()
            assert_products_add_up(visitor)
        else:
            cells = numbers(visitor, "#walk-window")
            assert len(cells) == 4
            assert f"The largest is {max(cells):g}." in visitor.text("#walk-sum")
    assert "Side: (6 + 0 − 2) / 2 + 1 = 3" in walked_to(visitor, "Max pooling 3")
    assert "padding “valid”" in walked_to(visitor, "Convolution 1")
    assert "padding “same”" in walked_to(visitor, "Convolution 2")


def numbers(visitor: Visitor, table: str) -> list[float]:
    return [float(text) for text in visitor.page.locator(f"{table} td").all_inner_texts()]


def assert_products_add_up(visitor: Visitor) -> None:
    """Compares the products with their sum, which the page shows with two decimals."""
    window, kernel, products = (numbers(visitor, f"#walk-{name}") for name in ("window", "kernel", "products"))
    assert all(abs(x * y - z) < 0.05 for x, y, z in zip(window, kernel, products, strict=True))
    shown = visitor.text("#walk-sum")
    computed, of_the_network = re.search(r"= (-?\d+\.?\d*); after ReLU (\d+(?:\.\d+)?)", shown).groups()  # type: ignore[union-attr]
    assert (
        abs(max(0.0, float(computed)) - float(of_the_network)) < 0.02
    )  # padding, kernel, input maps and bias are right
    assert abs(sum(products) - float(shown.split(": ")[1].split(". ")[0])) < 0.15


def walked_to(visitor: Visitor, name: str) -> str:
    visitor.page.click(f"#walk-layers button:text-is('{name}')")
    return visitor.text("#walk-description")


@pytest.fixture(scope="module")
def cascade() -> Iterator[ServerProcess]:
    with server_process(ROOT / "models", "--model-name=mnist-cascade") as running:
        yield running


@pytest.mark.parametrize("are_sure", [(True, False, True), (False, True)], ids=["sure first", "unsure first"])
def test_the_network_of_a_cascade_that_answered_can_be_walked_through(
    browser: Browser, cascade: ServerProcess, are_sure: Sequence[bool]
) -> None:
    visitor = Visitor(browser, cascade)
    for is_sure in are_sure:
        visitor.draw(DIGITS[3] if is_sure else SCRIBBLE)
        visitor.reads("This is the digit 3" if is_sure else "This is no digit")
        # The second network has three columns.
        title = "Convolution 2" if is_sure else "Convolution 2 (column 1)"
        tab = visitor.page.locator(f"#walk-layers button:text-is('{title}')")
        tab.wait_for()
        titles = visitor.page.locator("#walk-layers button").all_inner_texts()
        assert sum("Convolution" in each for each in titles) == (3 if is_sure else 15)
        assert len(set(titles)) == len(titles)
        tab.click()
        # The first network has 16 input maps here, the second one 32.
        visitor.page.select_option("#walk-channel", label=f"Map {16 if is_sure else 32}")
        assert_products_add_up(visitor)
    assert visitor.complaints == []
    visitor.context.close()


def test_pointing_at_a_square_shows_its_numbers_and_arrow_keys_move_on(visitor: Visitor) -> None:
    visitor.draw(DIGITS[0])
    visitor.page.locator("#walk").wait_for()
    box = visitor.page.locator("#walk-map canvas").bounding_box()
    assert box
    place = Position(x=box["width"] * 10.5 / 24, y=box["height"] * 3.5 / 24)
    visitor.page.hover("#walk-map canvas", position=place)
    assert "(Row 3, column 10)" in visitor.text("#walk-sum")
    visitor.page.focus("#walk-map")
    visitor.page.keyboard.press("ArrowDown")
    visitor.page.keyboard.press("ArrowLeft")
    assert "(Row 4, column 9)" in visitor.text("#walk-sum")


def test_before_the_activation_there_are_negative_numbers(visitor: Visitor) -> None:
    visitor.draw(DIGITS[5])
    visitor.page.click("#walk-layers button:text-is('Dense layer')")
    assert min(numbers(visitor, "#walk-units-table")) == 0
    visitor.page.check("#walk-before")
    assert min(numbers(visitor, "#walk-units-table")) < 0


def test_a_kernel_of_ones_own_changes_the_drawing_and_its_size(visitor: Visitor) -> None:
    visitor.draw(DIGITS[8])
    visitor.page.locator("#lab").wait_for()
    assert visitor.text("#lab-sizes") == "28×28 → 28×28"
    visitor.page.select_option("#lab-padding", "valid")
    assert visitor.text("#lab-sizes") == "28×28 → 26×26"
    visitor.page.select_option("#lab-preset", "identity")
    assert numbers(visitor, "#lab-window")[4] == sum(numbers(visitor, "#lab-products"))
    visitor.page.fill("#lab-kernel input >> nth=4", "2")
    assert abs(2 * numbers(visitor, "#lab-window")[4] - sum(numbers(visitor, "#lab-products"))) < 0.01
    assert visitor.page.input_value("#lab-preset") == ""
    visitor.page.select_option("#lab-pool", "2")
    assert visitor.text("#lab-sizes") == "28×28 → 26×26 → 13×13"
    visitor.page.select_option("#lab-stride", "1")
    assert visitor.text("#lab-sizes") == "28×28 → 26×26 → 25×25"


def test_the_lessons_examples_are_shown_as_the_lesson_has_them(visitor: Visitor) -> None:
    assert numbers(visitor, "#example-patch") == [21, 16, 11, 25, 22, 18, 19, 20, 21]
    assert numbers(visitor, "#example-kernel") == [0, -1, 0, -1, 5, -1, 0, -1, 0]
    assert visitor.text("#example-sum") == "Nine products, one sum: 31."
    assert numbers(visitor, "#example-pooled") == [0.6, 1, 1, 0.9]
    assert "“same” gives 28×28, “valid” gives 26×26" in visitor.text("#example-padding")
