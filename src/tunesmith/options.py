"""expand(): a dataclass of options becomes the command line of a verb, so that no function has a dozen parameters."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def expand(function: Callable[[T], None], options: type[T]) -> Callable[..., None]:
    """Return `function` as a command whose arguments and options are the fields of the dataclass `options`.

    The fields carry Typer's own annotations: `Annotated[bool, typer.Option(help=...)]`.
    """
    hints = typing.get_type_hints(options, include_extras=True)

    def command(**values: Any) -> None:
        function(options(**values))

    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in dataclasses.fields(options)  # type: ignore[arg-type]
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = function.__doc__
    return command
