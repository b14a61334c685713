"""The description of the HTTP API in a real browser: complete, from this server alone, and it can be tried."""

from tests.e2e.visitor import Visitor, needs_chromium

pytestmark = needs_chromium


def test_the_api_is_described_and_can_be_tried(visitor: Visitor) -> None:
    page = visitor.page
    page.goto(visitor.url + "docs")
    page.locator("#operations-default-classify").wait_for()
    assert page.locator(".opblock").count() == 7
    page.click("#operations-default-classify")
    page.locator("#operations-default-classify").get_by_label("Request content type").select_option("application/json")
    page.click("#operations-default-classify .execute")
    status = page.locator("#operations-default-classify .live-responses-table tbody .response-col_status")
    status.first.wait_for()
    assert status.first.inner_text().startswith("200")
