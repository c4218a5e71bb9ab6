"""How docstrings are read for the site: an extension of griffe, which reads the source for mkdocstrings (mkdocs.yml).

- The house writes ``Example:``, which griffe takes for a box of text; its own heading of code is ``Examples:``.
- A function whose arguments are made by a decorator of ours is shown as it is called, not as its body is written.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import griffe

_HEADING = re.compile(r"^Example:$", re.MULTILINE)
_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: griffe.ParameterKind.positional_only,
    inspect.Parameter.POSITIONAL_OR_KEYWORD: griffe.ParameterKind.positional_or_keyword,
    inspect.Parameter.VAR_POSITIONAL: griffe.ParameterKind.var_positional,
    inspect.Parameter.KEYWORD_ONLY: griffe.ParameterKind.keyword_only,
    inspect.Parameter.VAR_KEYWORD: griffe.ParameterKind.var_keyword,
}


class Docstrings(griffe.Extension):
    """Reads ``Example:`` as code, and takes from the running package what decorators have made of a function."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe for each module, class, function and attribute."""
        if isinstance(obj, griffe.Function) and _is_made_by_us(obj):
            _show_as_called(obj, griffe.dynamic_import(obj.path))
        if obj.docstring is not None:
            obj.docstring.value = _HEADING.sub("Examples:", obj.docstring.value)


def _is_made_by_us(function: griffe.Function) -> bool:
    ours = any(one.callable_path.startswith("vitas_hw.") for one in function.decorators)
    return ours and not function.path.startswith("vitas_hw.cli.")


def _show_as_called(function: griffe.Function, made: Any) -> None:
    """Give it the signature and the docstring that ``help(made)`` shows."""
    signature = inspect.signature(made)
    function.parameters = griffe.Parameters(
        *(
            griffe.Parameter(one.name, annotation=_text(one.annotation), kind=_KINDS[one.kind], default=_code(one))
            for one in signature.parameters.values()
        )
    )
    function.returns = _text(signature.return_annotation)
    if function.docstring is not None:
        function.docstring.value = inspect.getdoc(made) or ""


def _text(annotation: Any) -> str | None:
    if annotation is inspect.Parameter.empty:
        return None
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _code(parameter: inspect.Parameter) -> str | None:
    """The default as Python; three dots for an object that has no such form."""
    if parameter.default is inspect.Parameter.empty:
        return None
    return "..." if "<" in repr(parameter.default) else repr(parameter.default)
