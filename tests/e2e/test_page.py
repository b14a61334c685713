"""The page in a real browser: drawn on, read aloud, in two languages, in the dark and on a phone."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload

from serving.commands.keys import keys
from serving.options import run_command
from tests.e2e.strokes import DIGITS, SCRIBBLE
from tests.e2e.visitor import DESK, PHONE, ROOT, Visitor, needs_chromium
from tests.hostile.server import ServerProcess, server_process
from tests.support.pictures import picture_of

pytestmark = needs_chromium


@pytest.mark.parametrize(
    "digits", [pytest.param((0, 3, 8), id="three"), pytest.param(range(10), id="all", marks=pytest.mark.long)]
)
def test_each_digit_that_is_drawn_is_read(digits: Sequence[int], visitor: Visitor) -> None:
    for digit in digits:
        visitor.draw(DIGITS[digit])
        visitor.reads(f"This is the digit {digit}")
        assert visitor.text("#answer") == str(digit)
        assert visitor.page.locator("#bars tr.likeliest th").inner_text() == str(digit)
    visitor.page.click("#clear")
    visitor.reads("Nothing is drawn yet")


def test_a_scribble_is_refused(visitor: Visitor) -> None:
    visitor.draw(SCRIBBLE)
    visitor.reads("This is no digit")
    assert visitor.text("#answer") == "?"
    assert visitor.page.locator("#bars tr.likeliest").count() == 0


def test_the_answer_comes_while_the_pen_is_down(visitor: Visitor) -> None:
    box = visitor.page.locator("#paper").bounding_box()
    assert box
    visitor.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    visitor.page.mouse.down()
    visitor.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 60, steps=10)
    visitor.reads("This is the digit 1")
    visitor.page.locator("#walk").wait_for()  # and how it came to it, when the pen rests
    visitor.page.mouse.up()


def test_undo_takes_back_a_stroke(visitor: Visitor) -> None:
    visitor.draw([*DIGITS[1], [(20, 20), (260, 20)]])
    visitor.page.click("#undo")
    visitor.reads("This is the digit 1")
    visitor.page.click("#undo")
    visitor.reads("Nothing is drawn yet")


def test_pictures_are_read_whatever_their_format(visitor: Visitor) -> None:
    for path in sorted((ROOT / "samples").iterdir()):
        if path.suffix in (".md", ".bin"):
            continue
        visitor.page.click("#clear")
        visitor.page.set_input_files("#file", path)
        visitor.reads(f"This is the digit {path.stem[-1]}")


def boxes(visitor: Visitor) -> list[str]:
    """Digits over the sheet, in reading order."""
    return visitor.page.locator("#boxes text").all_text_contents()


def test_picture_of_several_digits_shows_their_boxes_and_the_line(visitor: Visitor) -> None:
    visitor.page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": picture_of("3107")})
    visitor.reads("This reads 3107, with a probability of")
    assert boxes(visitor) == ["3", "1", "0", "7"]
    sheet = visitor.page.locator("#paper").bounding_box()
    assert sheet
    places = [visitor.page.locator("#boxes g > rect:first-child").nth(at).bounding_box() for at in range(4)]
    for at, place in enumerate(places):  # digits stand 38 pixels apart in a picture of 162
        assert place
        middle = (10 + 38 * at + 14) / 162
        assert abs((place["x"] + place["width"] / 2 - sheet["x"]) / sheet["width"] - middle) < 0.05
    row = visitor.page.locator("#lines tbody tr")
    assert row.locator("td").first.inner_text() == "3107"
    assert "%" in row.locator("td").nth(1).inner_text()
    for hidden in ("#answer", ".bars", "#walk", "#lab", "#seen-box"):
        assert visitor.page.locator(hidden).is_hidden()
    assert "side by side" not in visitor.text("#remarks")
    visitor.page.click("#clear")
    visitor.reads("Nothing is drawn yet")
    assert boxes(visitor) == []
    visitor.draw(DIGITS[3])  # and one digit is shown as before
    visitor.reads("This is the digit 3")
    visitor.page.locator("#walk").wait_for()
    assert visitor.page.locator("#lines").is_hidden()


def test_several_digits_that_are_drawn_are_read_and_undone(visitor: Visitor) -> None:
    one, seven = (
        [[(x * 0.5 + left, y * 0.6 + 56) for x, y in stroke] for stroke in DIGITS[digit]]
        for digit, left in ((1, -20), (7, 140))
    )
    visitor.draw([*one, *seven])
    visitor.reads("This reads 17")
    assert boxes(visitor) == ["1", "7"]
    assert visitor.page.locator("#walk").is_hidden()
    visitor.page.click("#undo")
    visitor.reads("This is the digit 1")
    assert boxes(visitor) == []
    visitor.page.locator("#walk").wait_for()


@pytest.mark.parametrize(("scheme", "viewport"), [("light", DESK), ("dark", PHONE)], ids=["desk", "phone in the dark"])
def test_axe_finds_no_serious_fault_in_a_reading(
    browser: Browser, server: ServerProcess, scheme: str, viewport: dict[str, int]
) -> None:
    visitor = Visitor(browser, server, color_scheme=scheme, viewport=viewport, locale="es-AR")
    visitor.page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": picture_of("31")})
    visitor.reads("Se lee 31, con una probabilidad de")
    visitor.page.click("button[data-language=en]")
    visitor.reads("This reads 31")
    assert visitor.serious_faults() == []
    wide = visitor.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide == 0, "the page is wider than the screen"
    assert visitor.complaints == []
    visitor.context.close()


def test_file_that_is_no_picture_shows_an_error_and_the_page_goes_on(browser: Browser, server: ServerProcess) -> None:
    visitor = Visitor(browser, server)
    visitor.page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"})
    visitor.page.locator("#error", has_text="not an image").wait_for()
    visitor.draw(DIGITS[7])
    visitor.reads("This is the digit 7")
    assert visitor.page.locator("#error").is_hidden()
    assert all("400" in complaint for complaint in visitor.complaints)  # Chromium logs every response that is an error
    visitor.context.close()


def test_page_requests_an_api_key_where_the_server_needs_one(
    browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys.toml"
    assert run_command(keys, ["new", "page", "--file", str(file)]) == 0
    secret = capsys.readouterr().out.strip()
    with server_process(ROOT / "models", f"--api-keys={file}") as server:
        visitor = Visitor(browser, server)
        visitor.draw(DIGITS[6])
        visitor.page.locator("#error", has_text="asks for an API key").wait_for()
        visitor.page.fill("#key", secret)
        visitor.page.press("#key", "Enter")
        visitor.reads("This is the digit 6")
        visitor.page.locator("#walk").wait_for()
        assert all("401" in complaint for complaint in visitor.complaints)
        visitor.context.close()


def test_a_visitor_says_what_was_drawn_where_the_server_takes_feedback(
    browser: Browser, server: ServerProcess, tmp_path: Path
) -> None:
    without = Visitor(browser, server)
    without.draw(DIGITS[6])
    without.reads("This is the digit 6")
    assert not without.page.locator("#feedback").is_visible()
    without.context.close()
    store = tmp_path / "store.db"
    with server_process(ROOT / "models", f"--store={store}") as taking:
        visitor = Visitor(browser, taking)
        visitor.draw(DIGITS[6])
        visitor.reads("This is the digit 6")
        # What was read while the pen moved has another id: thanks for it would go with the last answer.
        visitor.page.locator("#time[data-pen-up]").wait_for()
        visitor.page.click("#truths [aria-label='That was a 7']")
        visitor.page.locator("#thanks", has_text="Kept").wait_for()
        assert visitor.serious_faults() == []
        visitor.page.click("#truths [aria-label='That was no digit']")
        visitor.page.click("#clear")
        visitor.reads("Nothing is drawn yet")
        assert not visitor.page.locator("#feedback").is_visible()
        assert visitor.complaints == []
        visitor.context.close()
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("SELECT digit, truth IN (7, -1) FROM pictures").fetchall() == [(6, 1)]


def test_a_visitor_puts_a_line_right_where_the_server_takes_feedback(
    browser: Browser, server: ServerProcess, tmp_path: Path
) -> None:
    page: FilePayload = {"name": "a.png", "mimeType": "image/png", "buffer": picture_of("310", "27")}
    without = Visitor(browser, server)
    without.page.set_input_files("#file", page)
    without.reads("2 lines of digits")
    assert not without.page.locator("#feedback").is_visible()
    without.context.close()
    store = tmp_path / "store.db"
    with server_process(ROOT / "models", f"--store={store}") as taking:
        visitor = Visitor(browser, taking)
        visitor.page.set_input_files("#file", page)
        visitor.reads("2 lines of digits")
        assert visitor.page.locator("#truths").is_hidden()
        field = visitor.page.get_by_label("Digits of line 2")
        assert field.input_value() == "27"
        field.fill("2")
        field.press("Enter")  # the browser says what is missing, and sends nothing
        assert field.evaluate("field => field.validity.valid") is False
        field.fill("29")
        visitor.page.click("button[data-language=es]")  # keeps what is typed
        visitor.page.get_by_label("Dígitos de la línea 2").press("Enter")
        visitor.page.locator("#thanks", has_text="Guardado").wait_for()
        assert visitor.serious_faults() == []
        visitor.draw(DIGITS[6])
        visitor.reads("Es un 6")
        assert visitor.page.locator("#truths").is_visible()
        assert visitor.page.locator("#texts input").count() == 0
        assert visitor.complaints == []
        visitor.context.close()
    with closing(sqlite3.connect(store)) as connection:
        kept = connection.execute("SELECT image_index, digit, truth FROM pictures ORDER BY image_index").fetchall()
    assert kept == [(3, 2, 2), (4, 7, 9)]


def test_page_is_in_spanish_where_the_browser_is(browser: Browser, server: ServerProcess) -> None:
    visitor = Visitor(browser, server, locale="es-AR")
    visitor.draw(DIGITS[4])
    visitor.reads("Es un 4")
    assert visitor.page.get_attribute("html", "lang") == "es"
    visitor.page.click("button[data-language=en]")
    visitor.reads("This is the digit 4")
    visitor.page.locator("#walk").wait_for()
    assert visitor.text("#walk-layers button >> nth=0") == "Convolution 1"
    assert visitor.complaints == []
    visitor.context.close()


def test_a_digit_is_drawn_by_keys_alone_and_the_lifted_pen_is_no_ink(visitor: Visitor) -> None:
    visitor.page.focus("#paper")
    for key in [*["ArrowUp"] * 8, " ", *["ArrowDown"] * 16, " ", *["ArrowRight"] * 8]:
        visitor.page.keyboard.press(key)
    visitor.reads("This is the digit 1")
    assert visitor.text("#remarks") == ""  # not several pieces
    visitor.page.keyboard.press("Delete")
    visitor.reads("Nothing is drawn yet")


ALL_LAYERS = "#walk-layers button"
ONE_OF_A_KIND = ", ".join(f"{ALL_LAYERS}:text-is('{name}')" for name in ("Convolution 1", "Max pooling 1", "Ten sums"))


@pytest.mark.parametrize("layers", [ONE_OF_A_KIND, pytest.param(ALL_LAYERS, marks=pytest.mark.long)], ids=["", "all"])
@pytest.mark.parametrize(("scheme", "viewport"), [("light", DESK), ("dark", PHONE)], ids=["desk", "phone in the dark"])
def test_axe_finds_no_serious_accessibility_fault(
    browser: Browser, server: ServerProcess, scheme: str, viewport: dict[str, int], layers: str
) -> None:
    visitor = Visitor(browser, server, color_scheme=scheme, viewport=viewport)
    assert visitor.serious_faults() == []
    visitor.draw(DIGITS[2])
    visitor.page.locator("#walk").wait_for()
    buttons = visitor.page.locator(layers).all()
    assert len(buttons) >= 3
    for button in buttons:
        button.click()
        assert visitor.serious_faults() == []
    wide = visitor.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide == 0, "the page is wider than the screen"
    assert visitor.complaints == []
    visitor.context.close()
