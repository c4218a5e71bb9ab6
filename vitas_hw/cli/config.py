"""``--config FILE``: a command's options from a file; what is typed beside it counts more."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from vitas_hw.cli.from_settings import FromFile, flag
from vitas_hw.core.budget import Budget, write_cost
from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.records import from_json, refusing

_FROM_FILE = "DEFAULT_MAP"  # the name of the parser's own word for it
_BUDGET = {
    "latency_ms": "latency",
    "images_per_s": "throughput",
    "macs": "flops",
    "params": "params",
    "memory_bytes": "memory",
}
_UNKNOWN = "Its names are those of the command's options."


def with_config(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the option ``--config``, whatever its other options are."""
    signature = inspect.signature(command, eval_str=True)
    settings: set[str] = getattr(command, "settings", set())

    @wraps(command)
    def configured(context: typer.Context, config: Path | None = None, **given: Any) -> None:
        asked = context.meta.get(__name__, {}) if config is not None else {}
        for name, value in asked.items():
            if name in settings and getattr(context.get_parameter_source(name), "name", "") == _FROM_FILE:
                given[name] = FromFile(value)  # before the parser has made text of it
        command(**given)

    help_ = "Read options from a YAML file or a run's run.json."
    option = Annotated[Path | None, typer.Option("--config", help=help_, is_eager=True, callback=_remember)]
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context),
        *(one.replace(kind=keyword) for one in signature.parameters.values()),
        inspect.Parameter("config", keyword, default=None, annotation=option),
    ]
    parameters.sort(key=lambda one: one.name == "as_json")
    configured.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    configured.__annotations__ = {each.name: each.annotation for each in parameters}
    del configured.__wrapped__  # typer would read the command's own signature
    return configured


def _remember(context: typer.Context, config: Path | None) -> Path | None:
    """Makes the file's values the defaults of the options that come after it."""
    if config is None:
        return None
    several = {str(one.name): one.nargs == -1 or getattr(one, "multiple", False) for one in context.command.params}
    found = read_config(config, str(context.info_name), several.keys() - {"config", "help"})
    found = {name: [value] if several[name] and isinstance(value, str) else value for name, value in found.items()}
    context.default_map = {**(context.default_map or {}), **found}
    context.meta[__name__] = found
    return config


def read_config(path: Path, command: str, names: set[str]) -> dict[str, Any]:
    """The values of a file by the names of a command's parameters; null is as if it were not there.

    Args:
        path: YAML of names and values: a setting's name in Python (``max_time_s``) or its option's (``max-time``); or a
            run's manifest, of which the last step of the command counts.
        command: its name.
        names: of its parameters.

    Raises:
        FileError: the file is missing, broken, of another form, or a run's without such a step.
        InputError: a name that the command does not have.
    """
    from vitas_hw.runs.space_file import read_yaml

    data = read_yaml(path, "the configuration")
    if not isinstance(data, dict) or not all(isinstance(name, str) for name in data):
        raise FileError(f"{path} is no configuration: it must hold names and their values.", _UNKNOWN)
    is_manifest = "steps" in data and "steps" not in names
    if is_manifest:
        data = _of_manifest(path, data, command, names)
    by_flag = {flag(name).removeprefix("--"): name for name in names}
    found = {}
    for given, value in data.items():
        name = given if given in names else by_flag.get(given, given.replace("-", "_"))
        if name not in names and not is_manifest:  # a manifest holds what came of the options, too
            near = get_close_matches(given, [*names, *by_flag], 1)
            hint = f"Did you mean {near[0]!r}?" if near else _UNKNOWN
            raise InputError(f"{path} has {given!r}, which is no option of {command}.", hint)
        if name in names and value is not None and not (is_manifest and isinstance(value, dict)):
            found[name] = value
    return found


def _of_manifest(path: Path, data: dict[str, Any], command: str, names: set[str]) -> dict[str, Any]:
    steps = data["steps"] if isinstance(data["steps"], list) else []
    of_command = [one for one in steps if isinstance(one, dict) and one.get("step") == command]
    if not of_command or not isinstance(of_command[-1].get("settings"), dict):
        raise FileError(f"{path} is the manifest of a run in which no {command} has finished.")
    settings = dict(of_command[-1]["settings"])
    with refusing(path, "is broken"):
        # how a search's settings are kept
        settings |= from_json(dict[str, Any], settings.pop("evolution", None) or {}, "evolution")
        bounds = Budget.from_dict(settings.pop("budget", None) or {}).to_dict()
        if "images_per_s" in bounds:  # the latency is the same in another word, of which one may be given
            bounds.pop("latency_ms" if "throughput" in names else "images_per_s", None)
        settings |= {_BUDGET[cost]: _as_typed(cost, low, high) for cost, (low, high) in bounds.items()}
        others = from_json(dict[str, tuple[float | None, float | None]], settings.pop("targets", None) or {})
    if others:
        own = [settings["latency"]] if "latency" in settings else []
        settings["latency"] = own + [f"{name}={_as_typed('latency_ms', *ends)}" for name, ends in others.items()]
    return settings


def _as_typed(cost: str, low: float | None, high: float | None) -> str:
    return "-".join(write_cost(end, cost) for end in (low, high) if end is not None)
