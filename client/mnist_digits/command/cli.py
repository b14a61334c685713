"""The command `mnist-digits`: its flags, their environment variables, its exit status."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from mnist_digits.address import check_address
from mnist_digits.channel import key_metadata
from mnist_digits.command.classify_files import classify_files
from mnist_digits.command.image_files import READS, find_image_files, skipped_summary
from mnist_digits.command.read_files import read_files
from mnist_digits.digit_client import DigitClient
from mnist_digits.errors import CallError
from mnist_digits.reading import LAYOUTS

ENVIRONMENT_PREFIX = "MNIST_CLIENT_"
NOT_ALL_READ = 1
USAGE_ERROR = 2
INTERRUPTED = 130


def _switch(text: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if text.strip().lower() not in words:
        raise ValueError("expected true or false")
    return words[text.strip().lower()]


@dataclass(frozen=True, slots=True)
class _Setting:
    """A flag that a variable can set, too. A `parse` of `_switch` makes it a flag without a value.

    `choices`: the values that it may have; empty: any that `parse` takes.
    """

    name: str
    parse: Callable[[str], Any]
    default: Any
    metavar: str
    help: str
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper()


_SETTINGS = (
    _Setting("address", str, "127.0.0.1:50051", "HOST:PORT", "where the service listens for gRPC"),
    _Setting("json", _switch, False, "", "print one JSON object a line instead of a table"),
    _Setting("timeout_seconds", float, 30.0, "SECONDS", "deadline of each call, which carries up to 64 images"),
    _Setting("tls", _switch, False, "", "connect with TLS and trust the system's certificate authorities"),
    _Setting("tls_ca_file", Path, None, "PEM", "connect with TLS and trust the certificate authorities in this file"),
    _Setting("api_key_file", Path, None, "FILE", "file that holds the API key and nothing else"),
)


_LAYOUT = _Setting("layout", str, "auto", "LAYOUT", f"what each picture holds: {', '.join(LAYOUTS)}", LAYOUTS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Exit status: 0: every picture was classified or read; 1: not all, or the reader of the output has left;
    2: wrong usage; 130: Ctrl-C.
    """
    try:
        try:
            return _run(arguments)
        finally:
            print(end="", flush=True)  # here, where its error can be caught
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has read enough
        _discard_output()
        return NOT_ALL_READ


def _discard_output() -> None:
    """Leads both streams nowhere: Python writes what is left in them when it ends, and would report that it cannot."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def _run(arguments: Sequence[str] | None) -> int:
    try:
        options = _parser(_defaults(os.environ)).parse_args(arguments)
        check_address(options.address)
        if options.command == "feedback":
            return _give_feedback(options)
        files, skipped = find_image_files(options.paths)
        credentials = _credentials(options)
        api_key = _api_key(options.api_key_file)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    if skipped:
        print(f"{skipped_summary(skipped)}; {READS}", file=sys.stderr)
    if not files:
        print("error: no image files there" + ("" if skipped else f"; {READS}"), file=sys.stderr)
        return USAGE_ERROR
    timeout = options.timeout_seconds
    with DigitClient(options.address, credentials=credentials, api_key=api_key, timeout_seconds=timeout) as client:
        if options.command == "read":
            succeeded = read_files(client, files, options.layout, options.json)
        else:
            succeeded = classify_files(client, files, options.json)
    return 0 if succeeded else NOT_ALL_READ


def _give_feedback(options: argparse.Namespace) -> int:
    """Sends feedback. Raises OSError or ValueError for what cannot be sent."""
    truth: int | str | None = options.truth
    if options.line is None:
        truth = _digit(options.truth)
    elif options.truth == "none":
        raise ValueError("--line: expected the digits of the line; what is no digit is said of each sign, by --index")
    index = options.index if options.line is None else options.line
    api_key, timeout = _api_key(options.api_key_file), options.timeout_seconds
    client = DigitClient(options.address, credentials=_credentials(options), api_key=api_key, timeout_seconds=timeout)
    with client:
        try:
            client.feedback(options.request_id, truth, index=index)
        except CallError as error:
            print(f"error: {error}", file=sys.stderr)
            return NOT_ALL_READ
    return 0


def _digit(text: str) -> int | None:
    if text == "none":
        return None
    if not (len(text) == 1 and text in "0123456789"):
        raise ValueError(f"expected 0 to 9 or none, or with --line the digits of that line; got {text!r}")
    return int(text)


def _defaults(environment: Mapping[str, str]) -> dict[str, Any]:
    """Defaults of the flags: the variables' values where set and not empty.

    Raises ValueError, naming the variable, for a value that cannot be used and for an unknown variable.
    """
    settings = {setting.variable: setting for setting in (*_SETTINGS, _LAYOUT)}
    defaults = {setting.name: setting.default for setting in settings.values()}
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        if variable not in settings:
            raise ValueError(f"{variable}: there is no such setting, only {', '.join(settings)}")
        if text:
            try:
                defaults[settings[variable].name] = _value(settings[variable], text)
            except ValueError as error:
                raise ValueError(f"{variable}: {error}, got {text!r}") from None
    return defaults


def _value(setting: _Setting, text: str) -> Any:
    if setting.choices and text not in setting.choices:
        raise ValueError(f"expected one of {', '.join(setting.choices)}")
    return setting.parse(text)


def _parser(defaults: dict[str, Any]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mnist-digits", description="Calls a service that reads handwritten digits.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_command(
        commands, "classify", "read the one digit in each picture, and refuse a picture of several", _SETTINGS, defaults
    )
    _add_command(commands, "read", "read all digits in each picture, line by line", (*_SETTINGS, _LAYOUT), defaults)
    feedback = _add_parser(commands, "feedback", "say what a picture, or a sign or a line in it, really shows")
    feedback.add_argument("request_id", metavar="REQUEST_ID", help="of its request, as --json prints it")
    feedback.add_argument("truth", metavar="TRUTH", help="0 to 9, or none; with --line the digits of that line")
    place = feedback.add_mutually_exclusive_group()
    place.add_argument("--index", type=int, default=0, metavar="N", help="of the picture or sign (default: 0)")
    place.add_argument("--line", type=int, metavar="N", help="index of a line that read has read, from 0")
    _add_settings(feedback, [setting for setting in _SETTINGS if setting.name != "json"], defaults)
    return parser


def _add_command(
    commands: Any, name: str, purpose: str, settings: Sequence[_Setting], defaults: Mapping[str, Any]
) -> None:
    """Adds a command that takes files."""
    command = _add_parser(commands, name, purpose)
    command.add_argument(
        "paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER", help="pictures, folders of them, or - for stdin"
    )
    _add_settings(command, settings, defaults)


def _add_parser(commands: Any, name: str, purpose: str) -> argparse.ArgumentParser:
    """Adds a command. `purpose`: starts with a lower-case verb."""
    description = f"{purpose[0].upper()}{purpose[1:]}. Every setting has an environment variable for its default."
    command: argparse.ArgumentParser = commands.add_parser(name, help=purpose, description=description)
    return command


def _add_settings(command: argparse.ArgumentParser, settings: Sequence[_Setting], defaults: Mapping[str, Any]) -> None:
    for setting in settings:
        if setting.parse is _switch:
            command.add_argument(setting.flag, action="store_true", help=f"{setting.help} ({setting.variable})")
        else:
            default = "" if setting.default is None else f"default: {setting.default}; "
            text, choices = f"{setting.help} ({default}{setting.variable})", setting.choices or None
            command.add_argument(setting.flag, type=setting.parse, choices=choices, metavar=setting.metavar, help=text)
    command.set_defaults(**defaults)


def _credentials(options: argparse.Namespace) -> grpc.ChannelCredentials | None:
    if options.tls_ca_file:
        return grpc.ssl_channel_credentials(options.tls_ca_file.read_bytes())
    return grpc.ssl_channel_credentials() if options.tls else None


def _api_key(file: Path | None) -> str | None:
    """Reads the key. Raises OSError, or ValueError naming the file where it holds no key."""
    if file is None:
        return None
    try:
        api_key = file.read_text().strip()
        key_metadata(api_key)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return api_key
