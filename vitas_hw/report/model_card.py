"""A model card: what an exported model is, costs and achieves, in Markdown."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitas_hw.core.budget import show_cost

if TYPE_CHECKING:
    from vitas_hw.data.load import ImageData
    from vitas_hw.export.parity import Exported
    from vitas_hw.runs.subnets import Chosen


def model_card(
    chosen: Chosen,
    data: ImageData | None,
    done: Sequence[Exported],
    target: str | None,
    steps: Sequence[dict[str, Any]],
    batch_size: int | None = None,
) -> str:
    """The card as Markdown. Nothing in it is guessed: what is not known says so; what others named is escaped.

    Args:
        chosen: the subnet and its weights.
        data: that the exports were compared on; None if there were none.
        done: the exports.
        target: slug of the search's target, if latency was predicted.
        steps: of the run's manifest.
        batch_size: that the files take; None is any.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701  # this is no HTML: filters escape for Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    shown = {"text": _text, "code": _code, "cell": _cell, "ms": _ms, "percent": _percent, "cost": show_cost}
    environment.filters |= shown | {"command": _command, "literal": _literal}
    return environment.get_template("model_card.md.jinja").render(
        chosen=chosen,
        subnet=chosen.subnet,
        result=chosen.result,
        data=data,
        parity=done[0].parity,
        target=target,
        done=done,
        steps=steps,
        onnx=next((one for one in done if one.format == "onnx"), None),
        batch_size=batch_size,
    )


def _text(said: object) -> str:
    """Words of others as Markdown that shows them as they are: no heading, link, image or HTML comes of them."""
    # an underscore within a word is no emphasis
    escaped = re.sub(r"([\\`*\[\]#~!]|\b_|_\b)", r"\\\1", _line(str(said)))
    return escaped.replace("&", "&amp;").replace("<", "&lt;")


def _code(said: str) -> str:
    """Words of others as a code span, fenced by more backticks than stand in them."""
    line = _line(said)
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"


def _command(words: Sequence[object]) -> str:
    return _code(f"vitas-hw {shlex.join(map(str, words))}")


def _literal(text: str) -> str:
    """Text as Python has it, on one line."""
    return json.dumps(text)


def _line(said: str) -> str:
    """On one line, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(said.split()))


def _cell(said: str) -> str:
    """Markdown inside a table."""
    return said.replace("|", "\\|")


def _ms(value: float | None) -> str:
    return "not known" if value is None else show_cost(value, "latency_ms")


def _percent(share: float | None) -> str:
    return "not known" if share is None else f"{share:.2%}"
