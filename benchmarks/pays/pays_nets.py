"""The space, the ceilings and the nets of the study that no training decides: by hand, random, largest, smaller ones.

They are drawn once into ``nets.json``, which the study reads: a later library may draw otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement, product
from pathlib import Path
from typing import Any

import numpy as np

import vitas_hw as vh
from vitas_hw.searching import Costs

HERE = Path(__file__).parent
NETS = HERE / "nets.json"
SPACE = vh.SearchSpace(
    name="pays-fashion",
    image_size=(28, 28),
    in_chans=1,
    num_classes=10,
    patch_sizes=(4, 7),
    embed_dims=(32, 40, 48, 56, 64, 80, 96, 112, 128),
    depth=(2, 8),
    num_heads=(2, 4),
    attn_dims=(16, 32, 48, 64, 96, 128),
    mlp_dims=(32, 64, 96, 128, 192, 256, 384, 512),
)
CEILINGS = {"1M": 1_000_000, "3M": 3_000_000, "6M": 6_000_000}
AT_LEAST = 0.9  # of the ceiling: random nets
BY_HAND_AT_LEAST = 0.95
BY_HAND = tuple((patch, depth) for patch in (4, 7) for depth in (4, 6))
MLP_RATIO = 4  # DeiT's
RANDOM = 8
SMALLER, SMALLER_MACS = 8, (250_000, 750_000)  # of the rank study
_DRAWN_AT_ONCE = 4096


@dataclass(frozen=True)
class Net:
    """One net of an arm; ``why`` says which of the arm's nets it is."""

    arm: str
    ceiling: str
    why: str
    subnet: vh.Subnet

    def to_dict(self) -> dict[str, Any]:
        about = {"arm": self.arm, "ceiling": self.ceiling, "why": self.why, "digest": self.subnet.digest}
        return about | {"macs": self.subnet.macs, "params": self.subnet.params, "subnet": self.subnet.to_dict()}


def uniform(patch: int, depth: int, embed: int, mlp: int | None = None) -> vh.Subnet:
    """Equal blocks, as people draw them: attention as wide as the embedding, rounded to whole heads, MLP four times."""
    heads = 4 if embed >= SPACE.embed_dims[0] else 2
    block = vh.Block(heads, max(round(embed / heads), 1), mlp or MLP_RATIO * embed)
    return vh.Subnet(SPACE.image_size, SPACE.in_chans, patch, embed, (block,) * depth, SPACE.num_classes)


def by_hand(patch: int, depth: int, fits: Callable[[vh.Subnet], bool], fills: Callable[[vh.Subnet], bool]) -> vh.Subnet:
    """The widest uniform net that ``fits``; if it does not fill the ceiling, its MLPs are widened until it does.

    Narrow nets need that: from width 13 to 14 a net grows by an eighth.
    """
    embed = 1
    while fits(uniform(patch, depth, embed + 1)):
        embed += 1
    mlp = MLP_RATIO * embed
    while not fills(uniform(patch, depth, embed, mlp)) and fits(uniform(patch, depth, embed, mlp + 1)):
        mlp += 1
    return uniform(patch, depth, embed, mlp)


def within(least: float, most: float, count: int, seed: int = 0) -> list[vh.Subnet]:
    """The first ``count`` different random subnets, depth uniform, whose MACs lie there."""
    rng, chosen = np.random.default_rng(seed), dict[vh.Subnet, None]()
    while True:
        codes = SPACE.sample_codes(_DRAWN_AT_ONCE, rng)
        macs = Costs(SPACE).of(codes)["macs"]
        for code in codes[(macs >= least) & (macs <= most)]:
            chosen.setdefault(SPACE.decode(code))
            if len(chosen) == count:
                return list(chosen)


def largest(
    ceiling: int,
    key: str,
    patches: Iterable[int] = SPACE.patch_sizes,
    embeds: Iterable[int] = SPACE.embed_dims,
) -> vh.Subnet:
    """The subnet of the space with the most ``macs`` or ``params`` that fits, of one block shape as nearly as can be.

    Both grow linearly with the sums of the blocks' attention and MLP widths: three nets of a depth tell all of it.
    """
    found: list[tuple[int, int, vh.Subnet]] = []
    for patch, embed in product(patches, embeds):
        for depth in range(SPACE.depth[0], SPACE.depth[1] + 1):
            attns, mlps = _most_even(SPACE.attn_dims, depth), _most_even(SPACE.mlp_dims, depth)
            macs, params = (_by_sums(patch, embed, depth, cost) for cost in ("macs", "params"))
            sums = np.array(list(product(attns, mlps)))
            fitting = sums[macs(sums) <= ceiling]
            if len(fitting):
                first, second = (macs, params) if key == "macs" else (params, macs)
                sign = 1 if key == "macs" else -1  # of as many parameters the fewest MACs
                best = fitting[np.lexsort((sign * second(fitting), first(fitting)))[-1:]]
                subnet = _with_widths(patch, embed, attns[best[0, 0]], mlps[best[0, 1]])
                found.append((int(first(best)[0]), sign * int(second(best)[0]), subnet))
    return max(found, key=lambda one: one[:2])[2]


def any_fits(ceiling: int, patch: int, embed: int) -> bool:
    attn, mlp = (SPACE.attn_dims[0],) * SPACE.depth[0], (SPACE.mlp_dims[0],) * SPACE.depth[0]
    return _with_widths(patch, embed, attn, mlp).macs <= ceiling


@cache
def _most_even(widths: tuple[int, ...], depth: int) -> dict[int, tuple[int, ...]]:
    """For each sum that ``depth`` of the widths can have, those that differ least from each other, increasing."""
    by_sum: dict[int, tuple[int, ...]] = {}
    for some in combinations_with_replacement(widths, depth):
        squares = sum(width * width for width in some)
        known = by_sum.get(sum(some))
        if known is None or squares < sum(width * width for width in known):
            by_sum[sum(some)] = some
    return by_sum


def _by_sums(patch: int, embed: int, depth: int, cost: str) -> Callable[[Any], Any]:
    """From (N, 2) sums of attention and MLP widths to that cost."""

    def of(attn: int, mlp: int) -> int:
        widths = (SPACE.attn_dims[0],) * (depth - 1), (SPACE.mlp_dims[0],) * (depth - 1)
        return int(getattr(_with_widths(patch, embed, (*widths[0], attn), (*widths[1], mlp)), cost))

    attn, mlp = SPACE.attn_dims[0], SPACE.mlp_dims[0]
    least, unit = of(attn, mlp), SPACE.num_heads[-1]
    slopes = (of(attn + unit, mlp) - least) // unit, of(attn, mlp + 1) - least
    return lambda sums: least + slopes[0] * (sums[:, 0] - depth * attn) + slopes[1] * (sums[:, 1] - depth * mlp)


def _with_widths(patch: int, embed: int, attn: tuple[int, ...], mlp: tuple[int, ...]) -> vh.Subnet:
    heads = SPACE.num_heads[-1]
    blocks = tuple(vh.Block(heads, a // heads, m) for a, m in zip(attn, mlp, strict=True))
    return vh.Subnet(SPACE.image_size, SPACE.in_chans, patch, embed, blocks, SPACE.num_classes)


def draw() -> list[Net]:
    """All nets that nothing has to be trained for."""
    nets = []
    for name, ceiling in CEILINGS.items():
        for patch, depth in BY_HAND:
            subnet = by_hand(
                patch, depth, lambda s, c=ceiling: s.macs <= c, lambda s, c=ceiling: s.macs >= BY_HAND_AT_LEAST * c
            )
            nets.append(Net("by hand", name, f"patch {patch}, depth {depth}", subnet))
        for number, subnet in enumerate(within(AT_LEAST * ceiling, ceiling, RANDOM)):
            nets.append(Net("random", name, str(number), subnet))
        nets.append(Net("largest", name, "parameters", largest(ceiling, "params")))
        nets.append(Net("largest", name, "MACs", largest(ceiling, "macs")))
    smaller = within(*SMALLER_MACS, SMALLER)
    return nets + [Net("smaller", "none", str(number), subnet) for number, subnet in enumerate(smaller)]


def save(nets: list[Net], path: Path = NETS) -> None:
    lines = ",\n".join(json.dumps(net.to_dict()) for net in nets)
    path.write_text(f'{{"space": {json.dumps(SPACE.to_dict())},\n"nets": [\n{lines}\n]}}\n')


def load(path: Path = NETS) -> list[Net]:
    rows = json.loads(path.read_text())["nets"]
    return [Net(row["arm"], row["ceiling"], row["why"], vh.Subnet.from_dict(row["subnet"])) for row in rows]


if __name__ == "__main__":
    save(draw())
