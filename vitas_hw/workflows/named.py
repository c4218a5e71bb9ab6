"""What a word of the command line means: a subnet, with or without weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.published import PUBLISHED, published_subnet
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.workflows.run import Run

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

    from vitas_hw.searching.result import SearchResult
    from vitas_hw.supernet.supernet import Supernet
    from vitas_hw.training.data import ImageData

_OF_THE_SPACE = ("smallest", "largest")


@dataclass(frozen=True)
class Inherited:
    """A subnet inside its run's super-transformer; ``layers`` and ``side`` as of ``Supernet.forward``."""

    supernet: Supernet
    layers: tuple[int, ...] | None
    side: str | None


@dataclass(frozen=True)
class Chosen:
    """A subnet with weights.

    Args:
        name: for files.
        subnet: its architecture.
        model: the plain model, in evaluation mode.
        weights: where they come from, in words.
        inherited: the same subnet in the super-transformer, if it is there.
        unchanged: whether the model's weights are the inherited ones.
        inputs: the files read.
        result: of the search it is from.
        seed: of fresh weights.
    """

    name: str
    subnet: Subnet
    model: VisionTransformer
    weights: str
    inherited: Inherited | None = None
    unchanged: bool = False
    inputs: tuple[Path, ...] = ()
    result: SearchResult | None = None
    seed: int | None = None


def choose(run: Run, word: str | None = None, *, rank: int | None = None, seed: int = 0) -> Chosen:
    """The model that is meant.

    Args:
        run: whose choice, front and super-transformer.
        word: see ``subnet_named``, or the ``.safetensors`` file of a trained subnet; None is the last search's choice,
            retrained if it was. A subnet of the run's space has the super-transformer's weights, any other fresh ones.
        rank: of the search's front instead, 1 the most accurate, with the super-transformer's weights.
        seed: of fresh weights.

    Raises:
        InputError: nothing of that name or rank, or nothing has been searched.
        FileError: a file that is missing or broken.
    """
    if word is not None and rank is not None:
        raise InputError("A rank of the front and a subnet were given.", "Leave one of them out.")
    if rank is not None:
        return _of_the_front(run, rank)
    if word is None or word == "choice":
        return _last_choice(run)
    if word.endswith(".safetensors"):
        from vitas_hw.supernet.checkpoint import load_model

        model, subnet = load_model(Path(word))
        return Chosen(Path(word).stem, subnet, model, f"those of {Path(word).name}", inputs=(Path(word),))
    subnet = subnet_named(word, run)
    name = f"subnet-{subnet.digest[:8]}" if Path(word).suffix == ".json" else word.replace("/", "-")
    if run.supernet.exists() and run.space(None).contains(subnet):
        return _inheriting(run, name, subnet, None)
    from vitas_hw.supernet.plain import build_model

    words = f"fresh, not trained, drawn with seed {seed}"
    return Chosen(name, subnet, build_model(subnet, seed=seed).eval(), words, seed=seed)


def subnet_named(word: str, run: Run) -> Subnet:
    """The architecture of a published name, a subnet's JSON file, ``choice``, ``smallest`` or ``largest`` of the run,
    or a plain ViT that timm knows by name.

    Raises:
        InputError: an unknown name, or a model of another kind.
        FileError: a file that is missing or broken.
    """
    if word in PUBLISHED:
        return published_subnet(word)
    if word in _OF_THE_SPACE:
        found: Subnet = getattr(run.space(None), word)
        return found
    if word == "choice":
        return _result(run).choice.subnet
    if Path(word).suffix and (Path(word).suffix == ".json" or Path(word).exists()):
        return _from_file(Path(word))
    from vitas_hw.supernet.foreign import known_model

    if known_model(word):
        return _of_timm(word)
    known = ", ".join(["choice", *_OF_THE_SPACE, *PUBLISHED])
    raise InputError(f"Unknown subnet {word!r}.", f"Known: {known}, a file of JSON, or a plain ViT's name in timm.")


def data_for(run: Run, subnet: Subnet, spec: str | None = None) -> ImageData | None:
    """Images of a subnet's size and classes: those of ``spec``, else the run's if they fit, else None.

    Raises FileError if the run was trained and its description of the data is missing or broken.
    """
    from vitas_hw.training.data import load_data
    from vitas_hw.workflows.train import load_run_data

    space = space_around(subnet)
    if spec is not None:
        return load_data(spec, space)
    if not run.data.exists() and not run.supernet.exists():
        return None
    own = run.space(None)
    fits = (own.image_size, own.in_chans, own.num_classes) == (space.image_size, space.in_chans, space.num_classes)
    return load_run_data(run, own) if fits else None


def space_around(subnet: Subnet) -> SearchSpace:
    """A space of one subnet's images and classes, to load data for it."""
    first = subnet.blocks[0]
    return SearchSpace(
        name=f"subnet-{subnet.digest[:8]}",
        image_size=subnet.image_size,
        in_chans=subnet.in_chans,
        num_classes=subnet.num_classes,
        patch_sizes=(subnet.patch_size,),
        embed_dims=(subnet.embed_dim,),
        depth=(subnet.depth, subnet.depth),
        num_heads=(first.num_heads,),
        attn_dims=(first.attn_dim,),
        mlp_dims=(first.mlp_dim,),
    )


def _from_file(path: Path) -> Subnet:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"Cannot read the subnet {path}: {getattr(error, 'strerror', 'not text')}.") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise FileError(f"{path} holds no JSON: {error}.") from error
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


def _result(run: Run) -> SearchResult:
    from vitas_hw.searching.result import load_result

    if not run.result.exists():
        raise InputError(f"The run {run.path} has no choice to export.", "Run: vitas-hw search")
    return load_result(run.result, run.candidates)


def _last_choice(run: Run) -> Chosen:
    from vitas_hw.supernet.checkpoint import load_model

    if not run.choice.exists():
        raise InputError(f"The run {run.path} has no choice to export.", "Run: vitas-hw search")
    result = _result(run)
    subnet = result.choice.subnet
    words, path = "the choice's of the last search", run.choice
    if run.retrained.exists() and load_model(run.retrained)[1] == subnet:
        top1 = _retrained_top1(run)
        if top1 is None or result.final_top1 is None or top1 >= result.final_top1:
            words, path = "the choice's, retrained", run.retrained
        else:
            words += f" (retrained it has {top1:.2%} on the search split, not {result.final_top1:.2%})"
    model, subnet = load_model(path)
    inherited = None
    if run.supernet.exists() and run.space(None).contains(subnet):
        inherited = _inheriting(run, "choice", subnet, result.choice.layers).inherited
    return Chosen("choice", subnet, model, words, inherited, inputs=(path,), result=result)


def _retrained_top1(run: Run) -> float | None:
    """On the search split, as the last retraining recorded it."""
    for step in reversed(run.read()["steps"]):
        if step["step"] == "retrain" and run.retrained.name in step["outputs"]:
            return float(step["settings"]["top1"])
    return None


def _of_the_front(run: Run, rank: int) -> Chosen:
    result = _result(run)
    best_first = result.front[::-1]
    if not 1 <= rank <= len(best_first):
        raise InputError(f"The front has {len(best_first)} subnets; there is no rank {rank}.", "Try --rank 1")
    candidate = best_first[rank - 1]
    chosen = _inheriting(run, f"rank-{rank}", candidate.subnet, candidate.layers)
    return replace(chosen, result=result, inputs=(*chosen.inputs, run.result))


def _inheriting(run: Run, name: str, subnet: Subnet, layers: tuple[int, ...] | None) -> Chosen:
    from vitas_hw.supernet.supernet import extract
    from vitas_hw.workflows.train import load_run_supernet

    supernet = load_run_supernet(run)
    side = supernet.sides[0] or None
    model = extract(supernet, subnet, side, layers).eval()
    words = "inherited from the super-transformer" + (f" ({side} side)" if side else "")
    return Chosen(name, subnet, model, words, Inherited(supernet, layers, side), True, (run.supernet,))
