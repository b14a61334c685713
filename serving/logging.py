"""Log lines: one structured event each, for people (console) or machines (json). Never pixels.

A line that cannot be written, as on a full disk, is lost: nothing else is.
"""

import logging
import sys
import warnings
from contextlib import suppress
from typing import TextIO, cast

import structlog

Logger = structlog.typing.FilteringBoundLogger


class LogStream:
    """A stream whose writes may fail, and say nothing of it. As much of a file as structlog needs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Writes it, if that is possible."""
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        """Has it written now, if that is possible."""
        with suppress(OSError):
            self._stream.flush()


def configure_logging(log_format: str, level: str) -> None:
    """Sets up structlog for the process. `log_format`: console or json; `level`: debug, info, warning or error."""
    # Pillow warns of what callers send; the answer tells them, and the log is for events.
    warnings.filterwarnings("ignore", module="PIL")
    # Stacks without local variables, which structlog would print by default: pixels are among them.
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
    """What makes a line of an event."""
    if log_format == "json":
        return structlog.processors.JSONRenderer()
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)


def get_logger() -> Logger:
    """A logger; `log.info("event_name", key=value)`."""
    logger: Logger = structlog.get_logger().bind()  # without, it is put together anew for each line
    return logger
