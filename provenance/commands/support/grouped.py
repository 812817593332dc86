"""Options in groups: a command takes a frozen dataclass, the command line shows each of its fields as an option."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from inspect import Parameter
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command of Typer take groups of options as values.

    A parameter whose annotation is a dataclass stands for the dataclass's fields, in their order and with their
    defaults; the fields are annotated as a command's parameters are (``Annotated[int, typer.Option(...)]``). From the
    first group on, parameters can be given by name only. Field names must be unique within a command.
    """
    hints = get_type_hints(command, include_extras=True)
    own = inspect.signature(command).parameters
    groups: dict[str, Any] = {name: hints[name] for name in own if is_dataclass(hints[name])}
    options: list[Parameter] = []
    kind: Any = Parameter.POSITIONAL_OR_KEYWORD
    for name, parameter in own.items():
        if name in groups:
            kind = Parameter.KEYWORD_ONLY
            types = get_type_hints(groups[name], include_extras=True)
            options += [
                Parameter(one.name, kind, default=_default(one), annotation=types[one.name])
                for one in fields(groups[name])
            ]
        else:
            options.append(parameter.replace(kind=kind, annotation=hints[name]))
    signature = inspect.Signature(options, return_annotation=None)

    @wraps(command)
    def called(*args: Any, **kwargs: Any) -> None:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        for name, group in groups.items():
            given[name] = group(**{one.name: given.pop(one.name) for one in fields(group)})
        command(**given)

    called.__signature__ = signature  # type: ignore[attr-defined]  # what inspect.signature reads
    called.__annotations__ = {one.name: one.annotation for one in options} | {"return": None}
    return called


def _default(field: Field[Any]) -> Any:
    return Parameter.empty if field.default is MISSING else field.default
