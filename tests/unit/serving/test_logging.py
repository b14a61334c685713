"""What goes wrong on the event loop is a line of the log like any other."""

import asyncio

from structlog.testing import capture_logs

from serving.logging import get_logger, log_loop_failures


async def test_what_a_callback_raises_is_logged_with_its_error() -> None:
    error = ValueError("broken")

    def fail() -> None:
        raise error

    loop = asyncio.get_running_loop()
    with capture_logs() as lines:
        log_loop_failures(loop, get_logger())
        loop.call_soon(fail)
        loop.call_exception_handler({"message": "no error"})
        await asyncio.sleep(0)
    assert [(line["event"], line["log_level"], line["exc_info"]) for line in lines] == [
        ("callback_failed", "error", None),
        ("callback_failed", "error", error),
    ]
    assert lines[0]["what"] == "no error"
