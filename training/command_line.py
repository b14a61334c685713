"""Command lines from settings: options, environment variables, signals, errors, exit statuses.

A value comes from the defaults, then from the settings file, then from the environment, then from a flag.
"""

import dataclasses
import difflib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from training.config import AdaptConfig, ColumnsConfig, Places, TrainingConfig, apply_settings, read_toml
from training.environment import keras_backend
from training.errors import TrainingError

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130  # exit statuses; 130 is what shells report for SIGINT
Function = TypeVar("Function", bound=Callable[..., Any])
PLACES = tuple(each.name for each in dataclasses.fields(Places))
TRAINING = tuple(each.name for each in dataclasses.fields(TrainingConfig))
COLUMNS = tuple(each.name for each in dataclasses.fields(ColumnsConfig))
ADAPT = tuple(each.name for each in dataclasses.fields(AdaptConfig))
_DEFAULTS = TrainingConfig()


class SettingOption(click.Option):
    """An option that --help lists in a section of its own."""

    def __init__(self, *arguments: Any, section: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.section = section


class SettingsCommand(click.Command):
    """A command whose --help has a section for each kind of settings; it runs with a backend of Keras that we have."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises ConfigError where KERAS_BACKEND names another backend: Keras would import it."""
        keras_backend()
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one definition list for each section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                sections.setdefault(getattr(parameter, "section", "Options"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


class WholeNumbers(click.ParamType[tuple[int, ...]]):
    """Whole numbers between commas, such as 16,48,96, to a tuple."""

    name = "N,N,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Parse a text; a usage error for anything else than whole numbers."""
        try:
            return tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of whole numbers, such as 16,48,96", param, ctx)


def varied_values(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Parse `learning_rate=0.001,0.003`: the values of each setting. Lists of numbers are divided by semicolons.

    Raises:
        click.UsageError: a text is of another form, or a setting is unknown or stands twice.
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        flag, sign, values = text.partition("=")
        name = flag.strip().replace("-", "_")
        if not sign or name not in TRAINING or name in found:
            raise click.UsageError(f"--vary {text}: expected SETTING=V,V,… with another training setting each time")
        default = getattr(_DEFAULTS, name)
        kind = WholeNumbers() if isinstance(default, tuple) else click.types.convert_type(type(default))
        parts = values.split(";" if isinstance(default, tuple) else ",")
        found[name] = [kind.convert(part.strip(), None, None) for part in parts]
    return found


def settings_options(
    training: Sequence[str] = (), defaults: TrainingConfig | ColumnsConfig | AdaptConfig = _DEFAULTS
) -> Callable[[Function], Function]:
    """Adds --config and a flag for each of `Places`; the function gets them as one argument, `places`.

    Args:
        training: settings of `defaults` to add a flag for, too. If there are any, the function gets those that were
            given and, of `TrainingConfig`, those of the file, by name, as `settings`. They are not checked together
            yet: that takes the run they belong to.
        defaults: the values of settings that are not given.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def command(config: Path | None, **values: Any) -> Any:
            file = read_toml(config) if config else {"training": {}, "places": {}}
            places = apply_settings(Places(), file["places"], str(config))
            apply_settings(TrainingConfig(), file["training"], str(config))  # refused here, with the file's name
            values["places"] = apply_settings(places, _taken(values, PLACES), "flags")
            if training:
                of_file = file["training"] if isinstance(defaults, TrainingConfig) else {}
                values["settings"] = {**of_file, **_taken(values, training)}
            return function(**values)

        options = [
            click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="settings file (TOML)")
        ]
        options += [_option(Places(), name, "Places") for name in PLACES]
        options += [_option(defaults, name, "Training settings") for name in training]
        for option in reversed(options):
            command = option(command)
        return command  # type: ignore[return-value]  # click adds to the function and returns it

    return decorate


def run_command(command: click.Command, arguments: Sequence[str] | None, name: str, prefix: str) -> int:
    """Run a command line; the exit status: 0 done, 1 a clear failure, 2 not understood, 130 interrupted.

    Args:
        command: a command, or a group of them, whose options may also come from variables `<prefix>_<FLAG>`.
        arguments: what stands behind the program's name; None for those of this process.
        name: what --help calls the program.
        prefix: of the environment variables, without the last underscore.
    """
    try:
        with _ending_on_signals():
            _refuse_unknown_variables(command, prefix)
            status = command.main(arguments, name, standalone_mode=False, auto_envvar_prefix=prefix)
    except click.ClickException as error:
        print(f"error: {_message(error, prefix)}", file=sys.stderr)
        return USAGE
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"error: {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
        return FAILED
    except (KeyboardInterrupt, click.Abort):  # click raises the second for the first
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    return status if isinstance(status, int) else DONE  # --help ends with a status, a command with None


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """SIGINT and SIGTERM raise KeyboardInterrupt inside the block.

    Both are set on purpose. A shell without job control starts background jobs with SIGINT ignored, and Python then
    installs no handler. The first process of a container ignores SIGTERM unless it has a handler.
    """
    if threading.current_thread() is not threading.main_thread():  # where no handler can be set
        yield
        return
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _refuse_unknown_variables(command: click.Command, prefix: str) -> None:
    commands = command.commands.values() if isinstance(command, click.Group) else [command]
    known = {f"{prefix}_{each.name.upper()}" for one in commands for each in one.params if each.name}
    for name in sorted(os.environ):
        if name.startswith(f"{prefix}_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]}?" if near else "unset it"
            raise click.UsageError(f"there is no setting for the environment variable {name}; {advice}")


def _message(error: click.ClickException, prefix: str) -> str:
    """One line: what is wrong, in which variable if it came from one, and where the options are listed."""
    context = getattr(error, "ctx", None)
    if isinstance(error, click.BadParameter) and context and error.param and error.param.name:  # noqa: SIM102  # one line too long
        if context.get_parameter_source(error.param.name) is ParameterSource.ENVIRONMENT:
            error.param_hint = f"{prefix}_{error.param.name.upper()}"
    text = " ".join(error.format_message().split())
    return f"{text} See `{context.command_path} --help`." if context else text


def _option(
    defaults: Places | TrainingConfig | ColumnsConfig | AdaptConfig, name: str, section: str
) -> Callable[[Function], Function]:
    value, text = getattr(defaults, name), type(defaults).__dataclass_fields__[name].metadata["help"]
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
    return click.option(
        f"--{name.replace('_', '-')}",
        cls=SettingOption,
        section=section,
        type=WholeNumbers() if isinstance(value, tuple) else type(value),
        metavar="N" if isinstance(value, int | float) else "N,N,…" if isinstance(value, tuple) else "TEXT",
        help=text + (f" (default: {shown})" if shown != "" else ""),
    )


def _taken(values: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Takes these settings out of `values`; those that came from a flag or the environment."""
    taken = {name: values.pop(name) for name in names}
    return {name: value for name, value in taken.items() if value is not None}
