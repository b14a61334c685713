"""Command-line options for the settings of Config, with click: a flag and a variable `MNIST_*` for each.

A flag takes precedence over its variable. An empty variable counts as not set, and an unknown one is an error.
"""

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import Field, fields
from typing import Any

import click

from serving.config import ENVIRONMENT_PREFIX, Config, flag, variable
from serving.errors import ConfigError
from serving.setting_values import parse_boolean

CONTEXT = {
    "auto_envvar_prefix": ENVIRONMENT_PREFIX.rstrip("_"),
    "max_content_width": 120,
    "help_option_names": ["-h", "--help"],
}
SETTINGS = tuple(setting.name for setting in fields(Config))
# Prefixes of variables for the trainer, the experiments and the client, which may be set in the same shell.
_OTHER_PROGRAMS = ("MNIST_TRAIN_", "MNIST_EXPERIMENT_", "MNIST_CLIENT_")
# Names that Kubernetes makes for a Service named mnist: MNIST_SERVICE_HOST, MNIST_PORT_50051_TCP and so on.
_SERVICE_LINK = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT_\d+_(TCP|UDP)(_|$)")


class _SettingType(click.ParamType[Any]):
    """Parses the text of one setting with the setting's own function."""

    def __init__(self, setting: Field[Any]) -> None:
        self._parse = setting.metadata["parse"]
        self._setting = setting
        self.name = "true|false" if self._parse is parse_boolean else "value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):  # the default
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            source = ctx.get_parameter_source(self._setting.name) if ctx else None
            from_environment = source is click.core.ParameterSource.ENVIRONMENT
            hint = variable(self._setting) if from_environment else None  # None: the flag
            raise click.BadParameter(f"{error}, got {value!r}", ctx, param, hint) from error


class _SettingOption(click.Option):
    """Option that ignores a variable which Kubernetes sets for a Service named mnist, such as MNIST_PORT."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        value = super().resolve_envvar_value(ctx)
        name = f"{ENVIRONMENT_PREFIX}{(self.name or '').upper()}"
        return None if value is None or _is_service_link(name, value) else value


class CommandGroup(click.Group):
    """Group of commands whose flags may stand before the command's name as well as after it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Moves flags that stand before the command behind all else, so that the command parses them."""
        options = [each for command in self.commands.values() for each in command.params]
        with_value = {name for each in options if isinstance(each, click.Option) for name in each.opts}
        for index, argument in enumerate(args):
            if argument in self.commands and (index == 0 or args[index - 1] not in with_value):
                return super().parse_args(ctx, args[index:] + args[:index])
        return super().parse_args(ctx, args)


def setting_options(
    names: Collection[str] = SETTINGS, variables: Collection[str] = SETTINGS
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Makes a decorator that gives a click command an option for each of the settings `names`; make_config() takes
    their values.

    `variables`: those settings that the environment sets, too.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for setting in reversed(fields(Config)):  # decorators apply from the last to the first; --help keeps the order
            if setting.name in names:
                command = _option(setting, setting.name in variables)(command)
        return command

    return decorate


def _option(setting: Field[Any], has_variable: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    optional: dict[str, Any] = {}
    if setting.metadata["parse"] is parse_boolean:
        optional = {"is_flag": False, "flag_value": "true"}  # `--tune` alone, and `--tune false`
    return click.option(
        flag(setting),
        setting.name,
        cls=_SettingOption,
        type=_SettingType(setting),
        default=setting.default,
        show_default=setting.default not in (None, ""),
        allow_from_autoenv=has_variable,
        show_envvar=True,
        help=setting.metadata["help"],
        **optional,
    )


def make_config(values: Mapping[str, Any]) -> Config:
    """Makes the configuration from parsed options, and checks the environment.

    Raises click.UsageError for settings that contradict each other, and for an unknown variable `MNIST_*`.
    """
    known = {variable(setting) for setting in fields(Config)}
    for name, text in os.environ.items():
        is_ours = name.startswith(ENVIRONMENT_PREFIX) and not name.startswith(_OTHER_PROGRAMS)
        if text and is_ours and name not in known and not _is_service_link(name, text):
            raise click.UsageError(f"{name}: there is no such setting; `python -m serving --help` lists them")
    try:
        return Config(**values)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def open_telemetry_variables() -> dict[str, str]:
    """Returns OpenTelemetry's variables `OTEL_*`, which its SDK reads for itself."""
    return {name: text for name, text in os.environ.items() if name.startswith("OTEL_")}


def load_config(arguments: Sequence[str]) -> Config:
    """Parses flags and the environment into the configuration. Raises click.UsageError, which names the setting."""

    @click.command(context_settings=CONTEXT)
    @setting_options()
    def load(**values: Any) -> Config:
        return make_config(values)

    config: Config = load.main(list(arguments), prog_name="python -m serving", standalone_mode=False)
    return config


def run_command(command: click.Command, arguments: Sequence[str] | None = None, obj: object = None) -> int:
    """Runs a click command and returns its exit status: the command's own, 2 for wrong usage, 130 when interrupted.

    `obj`: object of the click context.
    """
    try:
        status = command.main(None if arguments is None else list(arguments), standalone_mode=False, obj=obj)
        return status if isinstance(status, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130


def _is_service_link(name: str, text: str) -> bool:
    """Returns True for a variable that Kubernetes sets in every pod for a Service named mnist."""
    return bool(_SERVICE_LINK.search(name)) or (name.endswith("_PORT") and "://" in text)
