"""`python -m tests.e2e.screenshots`: takes the pictures of the page in docs/images, and the time to an answer."""

import statistics
import sys

from playwright.sync_api import Browser, sync_playwright

from tests.e2e.strokes import DIGITS, SCRIBBLE
from tests.e2e.visitor import CHROMIUM, DESK, PHONE, ROOT, Visitor
from tests.hostile.server import ServerProcess, server_process

FOLDER = ROOT / "docs" / "images"
STROKES_TIMED = 30


def main() -> int:
    """Takes the pictures. Returns 0; 2 where there is no browser."""
    if CHROMIUM is None:
        print("chromium is not installed (Debian package chromium)", file=sys.stderr)
        return 2
    with server_process(ROOT / "models") as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        _take(browser, server)
        print(f"pen up to answer, {STROKES_TIMED} digits: {_pen_up_to_answer(browser, server)}")
        browser.close()
    return 0


def _take(browser: Browser, server: ServerProcess) -> None:
    three = Visitor(browser, server)
    three.draw(DIGITS[3])
    three.page.locator("#walk").wait_for()
    _save(three, "page-three", whole=False)
    three.page.click("#walk-layers button:text-is('Convolution 2')")
    three.page.locator("#walk").screenshot(path=FOLDER / "page-layer.png")
    three.page.locator("#lab").screenshot(path=FOLDER / "page-kernel.png")
    scribble = Visitor(browser, server)
    scribble.draw(SCRIBBLE)
    scribble.reads("This is no digit")
    scribble.page.locator("#seen-box").wait_for()
    _save(scribble, "page-scribble", whole=False)
    phone = Visitor(browser, server, viewport=PHONE, locale="es-AR", color_scheme="dark", has_touch=True)
    phone.draw(DIGITS[5])
    phone.page.locator("#walk").wait_for()
    _save(phone, "page-phone-dark", whole=False)
    dark = Visitor(browser, server, color_scheme="dark")
    dark.draw(DIGITS[8])
    dark.page.locator("#walk").wait_for()
    _save(dark, "page-dark", whole=True)
    for visitor in (three, scribble, phone, dark):
        visitor.context.close()


def _save(visitor: Visitor, name: str, *, whole: bool) -> None:
    visitor.page.mouse.move(0, 0)
    visitor.page.evaluate("scrollTo(0, 0)")
    visitor.page.screenshot(path=FOLDER / f"{name}.png", full_page=whole)


def _pen_up_to_answer(browser: Browser, server: ServerProcess) -> str:
    visitor = Visitor(browser, server, viewport=DESK)
    milliseconds = []
    for number in range(STROKES_TIMED):
        visitor.draw(DIGITS[number % 10])
        visitor.page.locator("#time[data-pen-up]").wait_for()
        milliseconds.append(float(visitor.page.get_attribute("#time", "data-pen-up") or "nan"))
    visitor.context.close()
    p50, most = statistics.median(milliseconds), max(milliseconds)
    return f"p50 {p50:.0f} ms, {min(milliseconds):.0f} to {most:.0f}"


if __name__ == "__main__":
    sys.exit(main())
