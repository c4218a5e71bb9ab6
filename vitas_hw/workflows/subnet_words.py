"""What a word of the command line means as an architecture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.published import PUBLISHED, published_subnet
from vitas_hw.core.reading import read_json
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.workflows.run import Run

if TYPE_CHECKING:
    from vitas_hw.searching.result import SearchResult

_OF_THE_SPACE = ("smallest", "largest")


def subnet_named(word: str, run: Run) -> Subnet:
    """The architecture of a published name, a JSON file, an ``.engine``, ``choice``, ``smallest`` or ``largest`` of the
    run, or a plain ViT that timm knows by name.

    Raises:
        InputError: an unknown name, a model of another kind, or an engine that does not run here.
        FileError: a file that is missing or broken.
    """
    if word in PUBLISHED:
        return published_subnet(word)
    if word in _OF_THE_SPACE:
        found: Subnet = getattr(run.space(None), word)
        return found
    if word == "choice":
        return last_result(run).choice.subnet
    if word.endswith(".engine"):
        from vitas_hw.export.engine_record import usable_record

        return usable_record(Path(word)).subnet
    if Path(word).suffix and (Path(word).suffix == ".json" or Path(word).exists()):
        return _from_file(Path(word))
    from vitas_hw.supernet.foreign import known_model

    if known_model(word):
        return _of_timm(word)
    known = ", ".join(["choice", *_OF_THE_SPACE, *PUBLISHED])
    raise InputError(f"Unknown subnet {word!r}.", f"Known: {known}, a file of JSON, or a plain ViT's name in timm.")


def last_result(run: Run) -> SearchResult:
    """Of the last search. Raises InputError if there was none."""
    from vitas_hw.searching.result import load_result

    if not run.result.exists():
        raise InputError(f"The run {run.path} has no choice to export.", "Run: vitas-hw search")
    return load_result(run.result, run.candidates)


def _from_file(path: Path) -> Subnet:
    data = read_json(path, "the subnet")
    if isinstance(data, dict) and "subnet" in data:  # a candidate, or what a command printed
        data = data["subnet"]
    try:
        return Subnet.from_dict(data)
    except InputError as error:
        raise FileError(f"{path} holds no subnet: {error.problem}") from error


def _of_timm(name: str) -> Subnet:
    from vitas_hw.supernet.foreign import outline_of

    try:
        model = outline_of(name)
    except InputError as error:
        raise InputError(error.problem, "Give a plain ViT, for example deit_tiny_patch16_224.") from error
    size = model.patch_embed.img_size
    blocks = tuple(Block(b.attn.num_heads, b.attn.head_dim, b.mlp.fc1.out_features) for b in model.blocks)
    channels, patch = model.patch_embed.proj.in_channels, model.patch_embed.patch_size[0]
    return Subnet((size[0], size[1]), channels, patch, model.embed_dim, blocks, model.num_classes)
