"""A model card: what an exported model is, costs and achieves, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vitas_hw.core.budget import show_cost
from vitas_hw.core.subnet import Subnet

_LICENCE = """## Licence

The licence of these weights is for whoever trained them to choose; the licences of the data and of a teacher may limit
it."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """What a search knows of a subnet's latency: p50 in milliseconds."""

    target: str | None = None
    predicted_ms: float | None = None
    measured_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Card:
    """What goes into a card; None and empty where nothing is known.

    Args:
        name: of the model.
        subnet: its architecture.
        weights: where they come from.
        data: name of the data set.
        preprocessing: mean, std, interpolation and the rest.
        class_names: labels.
        budget: of the search.
        latency: on the search's target.
        top1: of the plain model on the test part.
        files: (format, file name, precision, top-1, largest difference of a logit, what was run to compare,
            p50 by precision) of each export.
        steps: of the run's manifest.
    """

    name: str
    subnet: Subnet
    weights: str
    data: str | None
    preprocessing: dict[str, Any] | None
    class_names: Sequence[str]
    budget: str | None
    latency: Latency
    top1: float | None
    images: int
    files: Sequence[tuple[str, str, str, float | None, float, str, dict[str, float]]]
    steps: Sequence[dict[str, Any]]


def model_card(card: Card) -> str:
    """The card as Markdown. Nothing in it is guessed: what is not known says so."""
    parts = [
        _title(card),
        _architecture(card.subnet),
        _costs(card),
        _accuracy(card),
        _files(card),
        _steps(card),
        _LICENCE,
    ]
    return "\n\n".join(parts) + "\n"


def _title(card: Card) -> str:
    what = f"A plain vision transformer for images of {_size(card.subnet)}, digest `{card.subnet.digest}`"
    return f"# {card.name}\n\n{what}, made with vitas-hw."


def _size(subnet: Subnet) -> str:
    height, width = subnet.image_size
    return f"{subnet.in_chans} x {height} x {width} in {subnet.num_classes} classes"


def _architecture(subnet: Subnet) -> str:
    rows = [["block", "heads", "width of a head", "attention width", "MLP width"]]
    for number, block in enumerate(subnet.blocks, 1):
        rows.append([str(value) for value in (number, block.num_heads, block.head_dim, block.attn_dim, block.mlp_dim)])
    words = f"Patches of {subnet.patch_size} x {subnet.patch_size}, embedding {subnet.embed_dim}, class token, learned"
    return f"## Architecture\n\n{words} positions, norms before attention and MLP.\n\n{_table(rows)}"


def _costs(card: Card) -> str:
    rows = [["", ""], ["MACs", show_cost(card.subnet.macs, "macs")], ["parameters", f"{card.subnet.params:,}"]]
    rows.append(["budget of the search", card.budget or "none"])
    found = card.latency
    rows.append(["target", found.target or "none"])
    rows.append(["predicted p50", _ms(found.predicted_ms)])
    rows.append(["measured p50", _ms(found.measured_ms)])
    return f"## Costs\n\n{_table(rows)}"


def _accuracy(card: Card) -> str:
    lines = [f"Weights: {card.weights}."]
    if card.data is None:
        lines.append("No data were given, so its accuracy is not known; exports were compared on random images.")
    else:
        lines.append(f"Top-1 {_percent(card.top1)} on {card.images} images of the test part of `{card.data}`.")
    if card.preprocessing is not None:
        how = ", ".join(f"{key} {value}" for key, value in card.preprocessing.items())
        lines.append(f"Preprocessing: {how}.")
    if card.class_names:
        shown = ", ".join(card.class_names[:20]) + (", ..." if len(card.class_names) > 20 else "")
        lines.append(f"Classes: {shown}.")
    return "## Accuracy and data\n\n" + "\n\n".join(lines)


def _files(card: Card) -> str:
    rows = [["format", "file", "precision", "top-1", "largest difference of a logit", "compared by", "p50"]]
    for format_, name, precision, top1, difference, checked, times in card.files:
        p50 = ", ".join(f"{key} {_ms(value)}" for key, value in times.items()) or "not measured"
        rows.append([format_, f"`{name}`", precision, _percent(top1), f"{difference:.1e}", checked, p50])
    return f"## Files\n\n{_table(rows)}"


def _steps(card: Card) -> str:
    rows = [["step", "command", "seed"]]
    for step in card.steps:
        seed = step["settings"].get("seed")
        rows.append([step["step"], f"`vitas-hw {' '.join(step['command'])}`", "-" if seed is None else str(seed)])
    return f"## How it was made\n\n{_table(rows)}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *body])


def _ms(value: float | None) -> str:
    return "not known" if value is None else show_cost(value, "latency_ms")


def _percent(share: float | None) -> str:
    return "not known" if share is None else f"{share:.2%}"
