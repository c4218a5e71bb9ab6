"""Which subnets are measured: the ends of the space, the published ones in it, then some of every size."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vitas_hw.core.errors import FileError, InputError, VitasError, one_of
from vitas_hw.core.operators import Ints, operators
from vitas_hw.core.published import PUBLISHED, published_subnet
from vitas_hw.core.reading import parse_json, read_text, reason
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet

SELECTIONS = ("stratified", "random")
_POOL_GROUPS, _POOL_GROUP_SIZE = 256, 64  # each group has an identity probability of its own
_MOST_DRAWS = 100  # for each subnet asked for


def choose_subnets(space: SearchSpace, count: int, seed: int, how: str = "stratified") -> list[Subnet]:
    """``count`` different subnets: the extremes, the published ones that lie in the space, then chosen ones.

    A longer list begins with the shorter one of the same seed.

    Args:
        space: where they come from.
        count: how many.
        seed: of the random choices.
        how: ``stratified`` spreads them evenly over log MACs, however many they are; ``random`` draws every choice
            uniformly, with depths of all kinds, which leaves the small and the large ones to chance.

    Raises:
        InputError: another ``how``.
        VitasError: the space is too small for that many.
    """
    if how not in SELECTIONS:
        raise one_of(how, SELECTIONS, "selection of subnets")
    published = [subnet for subnet in map(published_subnet, PUBLISHED) if space.contains(subnet)]
    chosen = dict.fromkeys([space.smallest, space.largest, *published])
    rng = np.random.default_rng(seed)
    source = _stratified(space, rng) if how == "stratified" else _random(space, rng)
    for subnet in islice(source, _MOST_DRAWS * count):
        if len(chosen) >= count:
            break
        chosen.setdefault(subnet)
    if len(chosen) < count:
        raise VitasError(
            f"Found only {len(chosen)} different subnets in the space {space.name!r}, not {count}.",
            f"Try `num_subnets={len(chosen)}`.",
            field="num_subnets",
            value=count,
        )
    return list(chosen)[:count]


def load_subnets(path: str | Path, space: SearchSpace) -> list[Subnet]:
    """The subnets of a file: JSON Lines with one subnet a line (empty lines are skipped), or one JSON list of subnets.

    Args:
        path: the file.
        space: whose image size, channels and classes they must have; they need not be of the space otherwise.

    Raises:
        FileError: the file cannot be read, holds no subnet or one twice, or one of other image size, channels or
            classes; says where.
    """
    path = Path(path)
    text = read_text(path, "the subnets of")
    found: dict[Subnet, str] = {}
    for place, data in _entries(path, text):
        try:
            subnet = Subnet.from_dict(data)
        except InputError as error:
            raise FileError(f"{path}, {place}, is no subnet: {error}") from error
        if subnet in found:
            raise FileError(f"{path}, {place}, repeats the subnet of {found[subnet]}.", "Keep one of them.")
        if _images(subnet) != _images(space.smallest):
            raise FileError(
                f"{path}, {place}: {_images(subnet)}, unlike {_images(space.smallest)} of the space {space.name!r}."
            )
        found[subnet] = place
    if not found:
        raise FileError(f"{path} holds no subnets.", "Write one subnet a line, as Subnet.to_json() gives it.")
    return list(found)


def _random(space: SearchSpace, rng: np.random.Generator) -> Iterator[Subnet]:
    while True:
        yield space.sample(rng)


def _stratified(space: SearchSpace, rng: np.random.Generator) -> Iterator[Subnet]:
    """A large pool in an order that fills the range of log MACs evenly at every length, then random ones."""
    groups = [space.sample_codes(_POOL_GROUP_SIZE, rng) for _ in range(_POOL_GROUPS)]
    pool: Ints = np.unique(np.concatenate(groups), axis=0)
    log_macs = np.log(operators(space.columns(pool)).macs)
    lowest, highest = log_macs.min(), log_macs.max()
    for index in range(len(pool)):
        nearest = int(np.abs(log_macs - (lowest + _van_der_corput(index + 1) * (highest - lowest))).argmin())
        log_macs[nearest] = np.inf  # used
        yield space.decode(pool[nearest])
    yield from _random(space, rng)


def _van_der_corput(index: int) -> float:
    """1/2, 1/4, 3/4, 1/8, 5/8, ...: the binary digits of 1, 2, 3, ... mirrored at the point."""
    digits = f"{index:b}"
    return int(digits[::-1], 2) / 2.0 ** len(digits)


def _entries(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """The JSON values that should be subnets, each with where it stands."""
    if text.lstrip().startswith("["):
        for number, data in enumerate(_parsed(path, "", text), 1):
            yield f"entry {number}", data
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"line {number}", _parsed(path, f", line {number},", line)


def _parsed(path: Path, where: str, text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise FileError(f"{path}{where} is not JSON: {reason(error)}.") from error


def _images(subnet: Subnet) -> str:
    height, width = subnet.image_size
    return f"images of {height} x {width}, {subnet.in_chans} channels, {subnet.num_classes} classes"
