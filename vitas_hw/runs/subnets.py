"""What a word of the command line means as a model: a subnet with weights, and images for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.published import PUBLISHED, published_subnet
from vitas_hw.core.reading import parse_json, read_json, read_text, reason
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.runs.artifacts import last_result, load_run_data, load_run_supernet
from vitas_hw.runs.directory import Run

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

    from vitas_hw.data.load import ImageData
    from vitas_hw.searching.result import SearchResult
    from vitas_hw.supernet.supernet import Supernet


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
        return _of_the_front(run, rank, seed)
    if word is None or word == "choice":
        return _last_choice(run, seed)
    if word.endswith(".safetensors"):
        from vitas_hw.supernet.weights_file import load_model

        model, subnet = load_model(Path(word))
        return Chosen(Path(word).stem, subnet, model, f"those of {Path(word).name}", inputs=(Path(word),))
    subnet = subnet_named(word, run)
    if word.endswith(".engine"):
        raise InputError(f"{word} is an engine: its weights cannot be read.", "Give what it was exported from.")
    name = f"subnet-{subnet.digest[:8]}" if Path(word).suffix == ".json" else word.replace("/", "-")
    if run.supernet.exists() and run.space(None).contains(subnet):
        return _inheriting(run, name, subnet, None)
    return _fresh(name, subnet, seed)


def _fresh(name: str, subnet: Subnet, seed: int) -> Chosen:
    from vitas_hw.supernet.plain import build_model

    words = f"fresh, not trained, drawn with seed {seed}"
    return Chosen(name, subnet, build_model(subnet, seed=seed).eval(), words, seed=seed)


def data_for(run: Run, subnet: Subnet, spec: str | None = None) -> ImageData | None:
    """Images of a subnet's size and classes: those of ``spec``, else the run's if they fit, else None.

    Raises FileError if the run was trained and its description of the data is missing or broken.
    """
    from vitas_hw.data.load import load_data

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


def _last_choice(run: Run, seed: int) -> Chosen:
    from vitas_hw.supernet.weights_file import load_model

    result = last_result(run)
    subnet = result.choice.subnet
    words, path = "the choice's of the last search", run.choice
    retrained = run.retrained.exists() and load_model(run.retrained)[1] == subnet
    if result.choice.top1 is None and not retrained:
        fresh = _fresh("choice", subnet, seed)
        words = f"{fresh.weights}: the search ranked by size (train them: vitas-hw retrain)"
        return replace(fresh, weights=words, result=result)
    if retrained:
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
            top1 = step["settings"].get("top1")
            return float(top1) if isinstance(top1, int | float) else None
    return None


def _of_the_front(run: Run, rank: int, seed: int) -> Chosen:
    result = last_result(run)
    best_first = result.front[::-1]
    if not 1 <= rank <= len(best_first):
        raise InputError(f"The front has {len(best_first)} subnets; there is no rank {rank}.", "Try --rank 1")
    candidate = best_first[rank - 1]
    if candidate.top1 is None:
        return replace(_fresh(f"rank-{rank}", candidate.subnet, seed), result=result)
    chosen = _inheriting(run, f"rank-{rank}", candidate.subnet, candidate.layers)
    return replace(chosen, result=result, inputs=(*chosen.inputs, run.result))


def _inheriting(run: Run, name: str, subnet: Subnet, layers: tuple[int, ...] | None) -> Chosen:
    from vitas_hw.supernet.supernet import extract

    supernet = load_run_supernet(run)
    side = supernet.sides[0] or None
    model = extract(supernet, subnet, side, layers).eval()
    words = "inherited from the super-transformer" + (f" ({side} side)" if side else "")
    return Chosen(name, subnet, model, words, Inherited(supernet, layers, side), True, (run.supernet,))


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
    from vitas_hw.supernet.timm_models import known_model

    if known_model(word):
        return _of_timm(word)
    known = ", ".join(["choice", *_OF_THE_SPACE, *PUBLISHED])
    raise InputError(f"Unknown subnet {word!r}.", f"Known: {known}, a file of JSON, or a plain ViT's name in timm.")


def _from_file(path: Path) -> Subnet:
    data = read_json(path, "the subnet")
    if isinstance(data, dict) and "subnet" in data:  # a candidate, or what a command printed
        data = data["subnet"]
    try:
        return Subnet.from_dict(data)
    except InputError as error:
        raise FileError(f"{path} holds no subnet: {error.problem}") from error


def _of_timm(name: str) -> Subnet:
    from vitas_hw.supernet.timm_models import outline_of

    try:
        model = outline_of(name)
    except InputError as error:
        raise InputError(error.problem, "Give a plain ViT, for example deit_tiny_patch16_224.") from error
    size = model.patch_embed.img_size
    blocks = tuple(Block(b.attn.num_heads, b.attn.head_dim, b.mlp.fc1.out_features) for b in model.blocks)
    channels, patch = model.patch_embed.proj.in_channels, model.patch_embed.patch_size[0]
    return Subnet((size[0], size[1]), channels, patch, model.embed_dim, blocks, model.num_classes)


Layers = tuple[int, ...] | None


def named_subnets(name: str, space: SearchSpace) -> list[tuple[Subnet, Layers]]:
    """The subnets that a word of the command line means, see ``evaluate``, and the blocks they run on.

    Raises:
        InputError: an unknown word.
        FileError: a file that cannot be read or holds something else.
    """
    if name in ("smallest", "largest"):
        return [(getattr(space, name), None)]
    if name in PUBLISHED:
        return [(published_subnet(name), None)]
    path = Path(name)
    if not path.suffix:
        known = ", ".join(["smallest", "largest", *PUBLISHED])
        raise InputError(f"Unknown subnet {name!r}.", f"Known: {known}, or a file of JSON.")
    text = read_text(path, "the subnet")
    try:
        return [_subnet(parse_json(text))]
    except ValueError:
        pass  # then one a line
    except InputError as error:
        raise FileError(f"{path} holds no subnet: {error.problem}") from error
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            found += [_subnet(parse_json(line))] if line.strip() else []
        except (ValueError, InputError) as error:
            raise FileError(f"{path}, line {number}, holds no subnet: {reason(error)}.") from error
    return found


def _subnet(data: object) -> tuple[Subnet, Layers]:
    """A subnet's own JSON, or a line of a search's candidates."""
    if not (isinstance(data, dict) and "subnet" in data):
        return Subnet.from_dict(data), None
    layers = data.get("layers")
    if layers is not None and not (isinstance(layers, list) and all(type(layer) is int for layer in layers)):
        raise InputError("The layers of a candidate are whole numbers.")
    return Subnet.from_dict(data["subnet"]), None if layers is None else tuple(layers)
