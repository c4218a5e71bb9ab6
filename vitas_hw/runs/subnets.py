"""What a word means as a subnet, the same to every command; and the weights and images that a run has for it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.published import PUBLISHED, published_subnet
from vitas_hw.core.reading import parse_json, read_text, reason
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.runs.artifacts import last_result, load_run_data, load_run_supernet
from vitas_hw.runs.directory import Run
from vitas_hw.searching.result import Candidate, SearchResult, candidate_of

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

    from vitas_hw.data.load import ImageData
    from vitas_hw.supernet.supernet import Supernet

Layers = tuple[int, ...] | None
_OF_A_SPACE = ("smallest", "largest", *PUBLISHED, "random:SEED")
_OF_A_RUN = ("choice", "front:RANK", "the digest of a candidate")
_OF_BOTH = ("a plain ViT's name in timm", "JSON", "a file of JSON, .safetensors or .engine")


@dataclass(frozen=True, kw_only=True)
class Named:
    """What a word means; no weights have been read.

    Args:
        word: that was given, with the line if it is a file of several subnets.
        name: for files.
        subnet: its architecture.
        layers: blocks of the supernet that it runs on, see ``Supernet.forward``.
        file: that the word names.
        result: of the search that it was looked up in.
        by_size: that search ranked by the number of parameters, without weights.
    """

    word: str
    name: str
    subnet: Subnet
    layers: Layers = None
    file: Path | None = None
    result: SearchResult | None = None
    by_size: bool = False


def subnet_named(word: str, where: Run | SearchSpace) -> Named:
    """The one subnet that a word means. Raises as ``subnets_named`` does, and for a file of several."""
    found = subnets_named(word, where)
    if len(found) > 1:
        raise InputError(f"{word} holds {len(found)} subnets, where one is needed.", "Give a file of one.")
    return found[0]


def subnets_named(word: str, where: Run | SearchSpace) -> list[Named]:
    """The subnets that a word means: several only if it is a file of several.

    Args:
        word: ``smallest`` or ``largest`` of the space; a published name; ``random:SEED``; ``choice`` of the run's last
            search, ``front:3`` (the third most accurate of its front), or the digest of one of its candidates (all of
            it, or at least the first 8 digits); the name of a plain ViT in timm; a subnet or a candidate as JSON, or a
            file of it, or of one a line; a ``.safetensors`` file of a trained subnet; an ``.engine``.
        where: the run; or only a space, without a search to look in.

    Raises:
        InputError: an unknown word, nothing of that rank or digest, a model of another kind, or an engine that does
            not run here.
        FileError: a file that is missing, broken or holds something else.
    """
    run = where if isinstance(where, Run) else None
    path = Path(word)
    if word in PUBLISHED:
        return [Named(word=word, name=word, subnet=published_subnet(word))]
    if word in ("smallest", "largest"):
        return [Named(word=word, name=word, subnet=getattr(_space(where), word))]
    if seed := re.fullmatch(r"random:(\d{1,9})", word):
        space = _space(where)
        (code,) = space.sample_codes(1, np.random.default_rng(int(seed[1])))
        drawn = candidate_of(space, code)
        return [Named(word=word, name=f"random-{seed[1]}", subnet=drawn.subnet, layers=drawn.layers)]
    if run and word == "choice":
        result = last_result(run)
        return [_candidate(word, "choice", result.choice, result)]
    if run and (rank := re.fullmatch(r"front:(-?\d{1,9})", word)):
        return [_of_the_front(run, word, int(rank[1]))]
    if run and re.fullmatch(r"[0-9a-f]{8,16}", word):
        return [_of_digest(run, word)]
    if word.lstrip().startswith("{"):
        return [_of_json(word)]
    if path.suffix == ".safetensors":
        from vitas_hw.supernet.weights_file import subnet_of

        return [Named(word=word, name=path.stem, subnet=subnet_of(path), file=path)]
    if path.suffix == ".engine":
        from vitas_hw.export.engine_record import usable_record

        return [Named(word=word, name=path.stem, subnet=usable_record(path).subnet, file=path)]
    if path.suffix in (".json", ".jsonl") or (path.suffix and path.exists()):
        return _of_file(word, path)
    from vitas_hw.supernet.timm_models import known_model

    if known_model(word):
        return [Named(word=word, name=word.replace("/", "-"), subnet=_of_timm(word))]
    known = ", ".join([*_OF_A_SPACE, *(_OF_A_RUN if run else ()), *_OF_BOTH])
    raise InputError(f"Unknown subnet {word!r}.", f"Known: {known}.", field="subnet", value=word, allowed=known)


def _space(where: Run | SearchSpace) -> SearchSpace:
    return where.space(None) if isinstance(where, Run) else where


def _candidate(word: str, name: str, found: Candidate, result: SearchResult) -> Named:
    return Named(
        word=word, name=name, subnet=found.subnet, layers=found.layers, result=result, by_size=found.top1 is None
    )


def _of_the_front(run: Run, word: str, rank: int) -> Named:
    result = last_result(run)
    best_first = result.front[::-1]
    if not 1 <= rank <= len(best_first):
        allowed = f"1, the most accurate, to {len(best_first)}"
        problem = f"The front has {len(best_first)} subnets; there is no rank {rank}."
        raise InputError(problem, f"Ranks go from {allowed}.", field="rank", value=rank, allowed=allowed)
    return _candidate(word, f"rank-{rank}", best_first[rank - 1], result)


def _of_digest(run: Run, word: str) -> Named:
    result = last_result(run)
    found = {one.subnet.digest: one for one in result.candidates if one.subnet.digest.startswith(word)}
    if not found:
        raise InputError(f"The last search has no candidate of the digest {word}.", field="subnet", value=word)
    if len(found) > 1:
        hint = f"Give more digits of one: {', '.join(sorted(found))}."
        raise InputError(f"The digests of {len(found)} candidates begin with {word}.", hint, field="subnet", value=word)
    ((digest, candidate),) = found.items()
    return _candidate(word, f"subnet-{digest[:8]}", candidate, result)


def _of_file(word: str, path: Path) -> list[Named]:
    text = read_text(path, "the subnet")
    try:
        data = [parse_json(text)]
    except ValueError:
        data = []  # then one a line
    try:
        if data:
            return [_read(word, data[0], path)]
    except InputError as error:
        raise FileError(f"{path} holds no subnet: {error.problem}") from error
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            found += [_read(f"{word}:{number}", parse_json(line), path)] if line.strip() else []
        except (ValueError, InputError) as error:
            raise FileError(f"{path}, line {number}, holds no subnet: {reason(error)}.") from error
    if not found:
        raise FileError(f"{path} holds no subnet: it is empty.")
    return found


def _of_json(text: str) -> Named:
    try:
        data = parse_json(text)
    except ValueError as error:
        raise InputError(f"This is not the JSON of a subnet: {reason(error)}.") from error
    found = _read("", data, None)
    return replace(found, word=found.subnet.digest)


def _read(word: str, data: object, path: Path | None) -> Named:
    """A subnet's own JSON, a line of a search's candidates, or what a command printed."""
    layers = None
    if isinstance(data, dict) and "subnet" in data:
        layers, data = data.get("layers"), data["subnet"]
        if layers is not None and not (isinstance(layers, list) and all(type(layer) is int for layer in layers)):
            raise InputError("The layers of a candidate are whole numbers.")
    subnet = Subnet.from_dict(data)
    found = None if layers is None else tuple(layers)
    return Named(word=word, name=f"subnet-{subnet.digest[:8]}", subnet=subnet, layers=found, file=path)


def _of_timm(name: str) -> Subnet:
    from vitas_hw.supernet.timm_models import subnet_of_timm

    try:
        return subnet_of_timm(name)
    except InputError as error:
        raise InputError(error.problem, "Give a plain ViT, for example deit_tiny_patch16_224.") from error


@dataclass(frozen=True, kw_only=True)
class Chosen(Named):
    """A subnet with weights, which are read when they are first asked for.

    Args:
        run: the run in whose supernet it is; None if it is in none.
        weights_file: its own weights; None has those of the supernet, or fresh ones.
        seed: of fresh weights; None if they are not fresh.
        said: more on where the weights come from.
    """

    run: Run | None = None
    weights_file: Path | None = None
    seed: int | None = None
    said: str = ""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files of the weights, and of the search that they were taken for."""
        if self.weights_file is not None:
            return (self.weights_file,)
        if self.run is None:
            return ()
        return (self.run.supernet,) if self.result is None else (self.run.supernet, self.run.result)

    @cached_property
    def supernet(self) -> Supernet | None:
        """That it is in. Raises InputError if the run has none any more."""
        return None if self.run is None else load_run_supernet(self.run)

    @property
    def side(self) -> str | None:
        """See ``Supernet.forward``."""
        return None if self.supernet is None else self.supernet.sides[0] or None

    def extracted(self) -> VisionTransformer | None:
        """The plain model with the supernet's weights, in evaluation mode; None if it is in no supernet."""
        if self.supernet is None:
            return None
        from vitas_hw.supernet.supernet import extract

        return extract(self.supernet, self.subnet, self.side, self.layers).eval()

    @cached_property
    def model(self) -> VisionTransformer:
        """The plain model, in evaluation mode. Raises FileError if the file is missing or broken."""
        if self.weights_file is not None:
            from vitas_hw.supernet.weights_file import load_model

            return load_model(self.weights_file)[0]
        from vitas_hw.supernet.plain import build_model

        return self.extracted() or build_model(self.subnet, seed=self.seed).eval()

    @property
    def weights(self) -> str:
        """Where they come from, in words."""
        if self.weights_file is not None:
            return self.said
        if self.run is not None:
            return "inherited from the supernet" + (f" ({self.side} side)" if self.side else "")
        return f"fresh, not trained, drawn with seed {self.seed}{self.said}"


def choose(run: Run, word: str | None = None, *, rank: int | None = None, seed: int = 0) -> Chosen:
    """The model that is meant.

    Args:
        run: whose search and supernet.
        word: see ``subnets_named``; None is the last search's choice.
        rank: of the front: ``3`` is the word ``front:3``.
        seed: of fresh weights.

    Raises:
        InputError: nothing of that name or rank, or nothing has been searched.
        FileError: a file that is missing or broken.
    """
    if word is not None and rank is not None:
        raise InputError("Both a rank of the front and a subnet were given.", "Leave one of them out.", field="rank")
    return with_weights(run, subnet_named(word or "choice" if rank is None else f"front:{rank}", run), seed)


def with_weights(run: Run, named: Named, seed: int = 0) -> Chosen:
    """A subnet with the weights that it has in a run.

    A file of weights has its own, the choice those it was tuned or retrained to; any other subnet of the run's space
    has the supernet's, and one of another space fresh ones.

    Raises:
        InputError: an engine, whose weights cannot be read.
        FileError: a file that is missing or broken.
    """
    file, about = named.file, vars(named)
    if file is not None and file.suffix == ".engine":
        raise InputError(f"{named.word} is an engine: its weights cannot be read.", "Give what it was exported from.")
    if file is not None and file.suffix == ".safetensors":
        return Chosen(**about, weights_file=file, said=f"those of {file.name}")
    inside = run.supernet.exists() and run.space(None).contains(named.subnet)
    if named.word == "choice" and named.result is not None:
        return _last_choice(run, named, named.result, seed, inside=inside)
    if named.by_size or not (inside or named.result is not None):
        return Chosen(**about, seed=seed)
    return Chosen(**about, run=run)


def _last_choice(run: Run, named: Named, result: SearchResult, seed: int, *, inside: bool) -> Chosen:
    from vitas_hw.supernet.weights_file import subnet_of

    said, path = "the choice's of the last search", run.choice
    retrained = run.retrained.exists() and subnet_of(run.retrained) == named.subnet
    if named.by_size and not retrained:
        said = ": the search ranked by size; they have to be trained"
        return Chosen(**vars(named), seed=seed, said=said)
    if retrained:
        top1 = _retrained_top1(run)
        if top1 is None or result.final_top1 is None or top1 >= result.final_top1:
            said, path = "the choice's, retrained", run.retrained
        else:
            said += f" (retrained it has {top1:.2%} on the search split, not {result.final_top1:.2%})"
    return Chosen(**vars(named), run=run if inside else None, weights_file=path, said=said)


def _retrained_top1(run: Run) -> float | None:
    """On the search split, as the last retraining recorded it."""
    for step in reversed(run.read()["steps"]):
        if step["step"] == "retrain" and run.retrained.name in step["outputs"]:
            top1 = step["settings"].get("top1")
            return float(top1) if isinstance(top1, int | float) else None
    return None


def data_for(run: Run, subnet: Subnet, spec: str | None = None) -> ImageData | None:
    """Images of a subnet's size and classes: those of ``spec``, else the run's if they fit, else None.

    Raises FileError if the run was trained and its description of the data is missing or broken.
    """
    from vitas_hw.data.load import load_data

    if spec is not None:
        return load_data(spec, subnet)
    if not run.data.exists() and not run.supernet.exists():
        return None
    space = run.space(None)
    own, wanted = ((one.image_size, one.in_chans, one.num_classes) for one in (space, subnet))
    return load_run_data(run, space) if own == wanted else None
