"""A model card: what an exported model is, costs and achieves, in Markdown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vitas_hw.core.budget import show_cost
from vitas_hw.core.subnet import Subnet

if TYPE_CHECKING:
    from vitas_hw.data.load import ImageData
    from vitas_hw.export.parity import Exported
    from vitas_hw.runs.subnets import Chosen

_LICENCE = """## Licence

The licence of these weights is for whoever trained them to choose; the licences of the data and of a teacher may limit
it."""


def model_card(
    chosen: Chosen,
    data: ImageData | None,
    done: Sequence[Exported],
    target: str | None,
    steps: Sequence[dict[str, Any]],
) -> str:
    """The card as Markdown. Nothing in it is guessed: what is not known says so; what others named is escaped.

    Args:
        chosen: the subnet and its weights.
        data: that the exports were compared on; None if there were none.
        done: the exports.
        target: slug of the search's target, if latency was predicted.
        steps: of the run's manifest.
    """
    parts = [
        _title(chosen),
        _architecture(chosen.subnet),
        _costs(chosen, target),
        _accuracy(chosen, data, done[0]),
        _files(done),
        _steps(steps),
        _LICENCE,
    ]
    return "\n\n".join(parts) + "\n"


def _title(chosen: Chosen) -> str:
    what = f"A plain vision transformer for images of {_size(chosen.subnet)}, digest `{chosen.subnet.digest}`"
    return f"# {_text(chosen.name)}\n\n{what}, made with vitas-hw."


def _size(subnet: Subnet) -> str:
    height, width = subnet.image_size
    return f"{subnet.in_chans} x {height} x {width} in {subnet.num_classes} classes"


def _architecture(subnet: Subnet) -> str:
    rows = [["block", "heads", "width of a head", "attention width", "MLP width"]]
    for number, block in enumerate(subnet.blocks, 1):
        rows.append([str(value) for value in (number, block.num_heads, block.head_dim, block.attn_dim, block.mlp_dim)])
    words = f"Patches of {subnet.patch_size} x {subnet.patch_size}, embedding {subnet.embed_dim}, class token, learned"
    return f"## Architecture\n\n{words} positions, norms before attention and MLP.\n\n{_table(rows)}"


def _costs(chosen: Chosen, target: str | None) -> str:
    subnet, result = chosen.subnet, chosen.result
    rows = [["", ""], ["MACs", show_cost(subnet.macs, "macs")], ["parameters", f"{subnet.params:,}"]]
    rows.append(["budget of the search", "none" if result is None else _text(str(result.budget))])
    rows.append(["target", _text(target or "none")])
    rows.append(["predicted p50", _ms(None if result is None else result.of(subnet).predicted_ms)])
    rows.append(["measured p50", _ms(None if result is None else result.measured_ms.get(subnet.digest))])
    return f"## Costs\n\n{_table(rows)}"


def _accuracy(chosen: Chosen, data: ImageData | None, first: Exported) -> str:
    lines = [f"Weights: {_text(chosen.weights)}."]
    if data is None:
        lines.append("No data were given, so its accuracy is not known; exports were compared on random images.")
        return "## Accuracy and data\n\n" + "\n\n".join(lines)
    parity, names = first.parity, data.class_names
    lines.append(f"Top-1 {_percent(parity.top1)} on {parity.images} images of the test part of {_code(data.name)}.")
    how = ", ".join(f"{key} {value}" for key, value in data.preprocessing.to_dict().items())
    lines.append(f"Preprocessing: {_text(how)}.")
    if names:
        shown = ", ".join(map(_text, names[:20])) + (", ..." if len(names) > 20 else "")
        lines.append(f"Classes: {shown}.")
    return "## Accuracy and data\n\n" + "\n\n".join(lines)


def _files(done: Sequence[Exported]) -> str:
    rows = [["format", "file", "precision", "top-1", "largest difference of a logit", "compared by", "p50"]]
    for one in done:
        p50 = ", ".join(f"{key} {_ms(value)}" for key, value in one.latency_ms.items()) or "not measured"
        compared = [_percent(one.beside.top1), f"{one.beside.largest_difference:.1e}", one.checked]
        rows.append([one.format, _code(one.path.name), one.precision, *compared, p50])
    return f"## Files\n\n{_table(rows)}"


def _steps(steps: Sequence[dict[str, Any]]) -> str:
    rows = [["step", "command", "seed"]]
    for step in steps:
        command, seed = shlex.join(map(str, step["command"])), step["settings"].get("seed")
        rows.append([_text(step["step"]), _code(f"vitas-hw {command}"), "-" if seed is None else _text(str(seed))])
    return f"## How it was made\n\n{_table(rows)}"


def _text(said: str) -> str:
    """Words of others as Markdown that shows them as they are: no heading, link, image or HTML comes of them."""
    escaped = re.sub(r"([\\`*\[\]#~!]|\b_|_\b)", r"\\\1", _line(said))  # an underscore within a word is no emphasis
    return escaped.replace("&", "&amp;").replace("<", "&lt;")


def _code(said: str) -> str:
    """Words of others as a code span, fenced by more backticks than stand in them."""
    line = _line(said)
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"


def _line(said: str) -> str:
    """On one line, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(said.split()))


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *body])


def _ms(value: float | None) -> str:
    return "not known" if value is None else show_cost(value, "latency_ms")


def _percent(share: float | None) -> str:
    return "not known" if share is None else f"{share:.2%}"
