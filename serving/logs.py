"""Log lines: one structured event each, for people (console) or machines (json). Never pixels."""

import logging
import sys

import structlog

Logger = structlog.typing.FilteringBoundLogger


def configure_logging(log_format: str, level: str) -> None:
    """Sets up structlog for the process. `log_format`: console or json; `level`: debug, info, warning or error."""
    renderer: structlog.typing.Processor
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer()
        errors: structlog.typing.Processor = structlog.processors.dict_tracebacks
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        errors = structlog.processors.StackInfoRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            errors,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )


def get_logger() -> Logger:
    """A logger; `log.info("event_name", key=value)`."""
    logger: Logger = structlog.get_logger()
    return logger
