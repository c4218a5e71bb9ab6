"""A space small enough to know all of: every subnet's top-1 with one super-transformer's weights, as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import vitas_hw as vh
from vitas_hw.core.files import write_atomic
from vitas_hw.searching.costs import Costs
from vitas_hw.searching.engine import Job

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
SPACE = vh.SearchSpace(
    name="search-digits",
    image_size=(32, 32),
    in_chans=1,
    num_classes=10,
    patch_sizes=(8, 16),
    embed_dims=(24, 48),
    depth=(1, 3),
    num_heads=(2, 4),
    attn_dims=(16, 32, 48),
    mlp_dims=(32, 64),
)
SMALL = replace(SPACE, name="search-digits-small", attn_dims=(16, 48))  # 2,336 subnets, to try the benchmark


@dataclass(frozen=True)
class Table:
    """Codes (N, code_length), their top-1 (N,) and MACs (N,)."""

    space: vh.SearchSpace
    codes: Ints
    top1: Floats
    macs: Floats

    @cached_property
    def _by_code(self) -> dict[bytes, float]:
        return {code.tobytes(): float(top1) for code, top1 in zip(self.codes, self.top1, strict=True)}

    def evaluate(self, jobs: Sequence[Job]) -> list[float]:
        """What an evaluation would give."""
        return [self.top1_of(np.asarray(candidate.code)) for candidate, _ in jobs]

    def top1_of(self, code: Ints) -> float:
        """Of a canonical code."""
        return self._by_code[code.tobytes()]


def all_codes(space: vh.SearchSpace) -> Ints:
    """Every canonical code of a space."""
    grids = np.meshgrid(*(np.arange(most) for most in space.cardinalities), indexing="ij")
    codes = np.stack([grid.ravel() for grid in grids], axis=1).astype(np.int64)
    codes = codes[space.depths(codes) >= space.depth[0]]
    codes = np.unique(space.canonical(codes), axis=0)
    assert len(codes) == space.size
    return codes


def load_table(space: vh.SearchSpace, path: Path, epochs: int) -> Table:
    """The table of ``path``; trained and evaluated first if it is not there."""
    codes = all_codes(space)
    if not path.exists():
        _make(space, codes, path, epochs)
    header, *lines = (json.loads(line) for line in path.read_text().splitlines())
    assert header["space"] == json.loads(json.dumps(space.to_dict())), f"{path} is of another space; move it away"
    assert np.array_equal(np.array([line[:-1] for line in lines]), codes)
    return Table(space, codes, np.array([line[-1] for line in lines]), Costs(space).of(codes)["macs"])


def _make(space: vh.SearchSpace, codes: Ints, path: Path, epochs: int) -> None:
    import torch

    from vitas_hw.data.splits import Split
    from vitas_hw.training.evaluate import subnet_accuracy
    from vitas_hw.training.objective import SupernetObjective
    from vitas_hw.training.recipe import DIGITS, of_length
    from vitas_hw.training.trainer import Training

    images: Any = vh.load_data("digits", space)
    # search and test part together: the more images, the fewer subnets tie; nothing else is reported of them
    both = Split(
        torch.cat([images.search.images, images.test.images]),
        torch.cat([images.search.labels, images.test.labels]),
        images.search.indices + images.test.indices,
        images.preprocessing,
    )
    supernet = vh.build_supernet(space, "cyclic", seed=0)
    how = replace(of_length(DIGITS, epochs), lr=3e-3)  # small nets, few images: a higher peak, as in rank_study.py
    Training(SupernetObjective(supernet, how, p_identity=0.3), images.train, how, seed=0, num_classes=10).run()
    lines = [json.dumps({"space": space.to_dict(), "epochs": epochs, "images": len(both)})]
    for number, code in enumerate(codes):
        top1 = subnet_accuracy(supernet, space.decode(code), both).top1
        lines.append(json.dumps([*code.tolist(), top1], separators=(",", ":")))
        if number % 500 == 0:
            print(f"{number} of {len(codes)} evaluated", flush=True)
    write_atomic(path, "\n".join(lines) + "\n")
