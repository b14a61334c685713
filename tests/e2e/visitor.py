"""A visitor of the page, in a browser: draws, reads, looks for faults."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # ships no types
from playwright.sync_api import Browser, Page

from tests.e2e.strokes import Stroke
from tests.hostile.server import ServerProcess

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
SERIOUS = {"serious", "critical"}

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian package chromium)")


class Visitor:
    """A visitor of the page. Keeps every complaint of the browser and every URL that it requested."""

    def __init__(self, browser: Browser, server: ServerProcess, **settings: Any) -> None:
        self.context = browser.new_context(**({"viewport": DESK, "locale": "en-GB"} | settings))
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.url = f"http://127.0.0.1:{server.http_port}/"
        self.page.goto(self.url)

    def draw(self, strokes: list[Stroke]) -> None:
        self.page.click("#clear")
        box = self.page.locator("#paper").bounding_box()
        assert box
        scale, mouse = box["width"] / 280, self.page.mouse
        for stroke in strokes:
            points = [(box["x"] + x * scale, box["y"] + y * scale) for x, y in stroke]
            mouse.move(*points[0])
            mouse.down()
            for point in points[1:]:
                mouse.move(*point)  # Chromium takes one a frame, 16 ms
            mouse.up()

    def reads(self, text: str) -> None:
        """Waits until the verdict holds this."""
        self.page.locator("#verdict", has_text=text).wait_for()

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    def serious_faults(self) -> list[str]:
        """Serious and critical faults that axe-core finds."""
        found = Axe().run(self.page).response["violations"]
        return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found if each["impact"] in SERIOUS]
