"""Structured logging: one event a line, for people (console) or machines (json). Pixels are never logged.

A line that cannot be written, as on a full disk or to a terminal that was closed, is dropped; the request that caused
it is not affected.
"""

import asyncio
import json
import logging
import sys
import warnings
from contextlib import suppress
from typing import TextIO, cast

import structlog

Logger = structlog.typing.FilteringBoundLogger


class LogStream:
    """Text stream that drops what cannot be written. It has the methods of a file that structlog calls."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Writes `text`; drops it on OSError."""
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        """Flushes the stream; ignores OSError."""
        with suppress(OSError):
            self._stream.flush()


def end_logging() -> None:
    """Drops what standard output and error cannot take, as on a full disk or of a terminal that was closed.

    Python would try again at its end and exit with 120.
    """
    for name in ("stdout", "stderr"):
        try:
            if stream := getattr(sys, name):
                stream.flush()
        except OSError:
            setattr(sys, name, None)  # as the documentation of sys has it, where there is none


def log_loop_failures(loop: asyncio.AbstractEventLoop, log: Logger) -> None:
    """Makes `loop` log what its callbacks and tasks raise. asyncio would write plain text among the lines."""
    loop.set_exception_handler(
        lambda _, context: log.error("callback_failed", what=context["message"], exc_info=context.get("exception"))
    )


def configure_logging(log_format: str, level: str) -> None:
    """Sets up structlog for the process. `log_format`: console or json; `level`: debug, info, warning or error."""
    # Pillow warns about pictures that callers send. The response says so to them; the log is for events.
    warnings.filterwarnings("ignore", module="PIL")
    # structlog prints the local variables of stack frames by default, and pixels are among them.
    stacks: list[structlog.typing.Processor] = []
    if log_format == "json":
        transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        stacks = [structlog.processors.ExceptionRenderer(transform)]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *stacks,
            renderer(log_format),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, LogStream(sys.stderr))),
    )


def renderer(log_format: str) -> structlog.typing.Processor:
    """Returns the processor that makes a line of an event. `log_format`: console or json."""
    if log_format == "json":
        # With one encoder for all lines: json.dumps() makes one for each, a third of a line's time.
        encode = json.JSONEncoder(default=repr).encode
        return structlog.processors.JSONRenderer(lambda event, **_: encode(event))
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)


def get_logger() -> Logger:
    """Returns a logger: `log.info("event_name", key=value)`."""
    logger: Logger = structlog.get_logger().bind()  # without bind() structlog assembles it anew for each line
    return logger
