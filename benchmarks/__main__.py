"""`python -m benchmarks [COMMAND]`: compares servers, or runs one of the scripts that measure one thing."""

import signal
import sys
from importlib import import_module

# Modules are imported only when they run: some load TensorFlow, and some set variables before ONNX Runtime is loaded.
COMMANDS = {
    "compare": "benchmarks.compare.cli",
    "revisions": "benchmarks.compare.revisions",
    "chart": "benchmarks.compare.chart",
    "targets": "benchmarks.compare.targets",
    "gpu": "benchmarks.gpu.cli",
    "bulk": "benchmarks.scripts.bulk",
    "codec_time": "benchmarks.scripts.codec_time",
    "inference_time": "benchmarks.scripts.inference_time",
    "line_weights": "benchmarks.scripts.line_weights",
    "overload": "benchmarks.scripts.overload",
    "picture_cost": "benchmarks.scripts.picture_cost",
    "python_clients": "benchmarks.scripts.python_clients",
    "shadow_cost": "benchmarks.scripts.shadow_cost",
    "soak": "benchmarks.scripts.soak",
    "startup": "benchmarks.scripts.startup",
    "visitors": "benchmarks.scripts.visitors",
}


def main(arguments: list[str]) -> None:
    """Runs the command named first; without one, `compare` with all arguments."""
    command, rest = (arguments[0], arguments[1:]) if arguments and arguments[0] in COMMANDS else ("compare", arguments)
    if arguments and arguments[0] not in COMMANDS and not arguments[0].startswith("-"):
        raise SystemExit(f"error: {arguments[0]!r} is not a command; expected one of {', '.join(COMMANDS)}")
    import_module(COMMANDS[command]).main(rest)


if __name__ == "__main__":
    # Both end the servers that it has started; a shell without job control starts background jobs with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    main(sys.argv[1:])
