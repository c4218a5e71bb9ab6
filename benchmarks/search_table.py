"""A space small enough to know all of: how well every subnet does with one supernet's weights, as a table.

The digits' table holds top-1 on 720 images: the standard error of one is 0.8 points, so it tells a good search from a
poor one, but no two good subnets apart. Fashion-MNIST's holds top-1 and loss on its whole search part, thousands of
images, by which 0.2 points of top-1 are told apart between subnets whose errors are mostly the same images.
"""

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
from vitas_hw.core import identity_depths, write_atomic
from vitas_hw.searching import Costs
from vitas_hw.searching.engine import Job
from vitas_hw.searching.scores import Score

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

FASHION = replace(SPACE, name="search-fashion", image_size=(28, 28), patch_sizes=(7, 14))


@dataclass(frozen=True)
class Table:
    """Codes (N, code_length), their top-1 (N,), loss (N,) (the share of errors where the table has none) and MACs (N,).

    ``images`` are those behind each.
    """

    space: vh.SearchSpace
    codes: Ints
    top1: Floats
    loss: Floats
    macs: Floats
    images: int

    @cached_property
    def _row(self) -> dict[bytes, int]:
        return {code.tobytes(): row for row, code in enumerate(self.codes)}

    def evaluate(self, jobs: Sequence[Job]) -> list[Score]:
        """What an evaluation would give."""
        rows = [self._row[np.asarray(candidate.code).tobytes()] for candidate, _ in jobs]
        return [as_score(float(self.top1[row]), float(self.loss[row])) for row in rows]

    def top1_of(self, code: Ints) -> float:
        """Of a canonical code."""
        return float(self.top1[self._row[code.tobytes()]])

    @property
    def standard_error(self) -> float:
        """Of the best top-1."""
        best = float(self.top1.max())
        return float(np.sqrt(best * (1 - best) / self.images))


def as_score(top1: float, loss: float | None = None) -> Score:
    """A score that ranks by the loss, without one by top-1."""
    loss = 1.0 - top1 if loss is None else loss
    return Score(loss, top1, 1, np.array([loss], np.float16))


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
    length = space.code_length
    assert np.array_equal(np.array([line[:length] for line in lines]), codes)
    top1 = np.array([line[length] for line in lines])
    loss = np.array([line[length + 1] for line in lines]) if len(lines[0]) > length + 1 else 1.0 - top1
    return Table(space, codes, top1, loss, Costs(space).of(codes)["macs"], header["images"])


def _make(space: vh.SearchSpace, codes: Ints, path: Path, epochs: int) -> None:
    import torch

    from vitas_hw.data.splits import Split
    from vitas_hw.training import FASHION as FASHION_RECIPE
    from vitas_hw.training import SupernetObjective, Training, of_length, subnet_accuracy
    from vitas_hw.training.recipe import DIGITS

    digits = space.name != FASHION.name
    images: Any = vh.load_data("digits" if digits else "fashion-mnist", space)
    part = images.search
    if digits:  # and the test part: the more images, the fewer subnets tie; nothing else is reported of them
        part = Split(
            torch.cat([part.images, images.test.images]),
            torch.cat([part.labels, images.test.labels]),
            part.indices + images.test.indices,
            images.preprocessing,
        )
    supernet = vh.build_supernet(space, "cyclic", seed=0)
    usual = DIGITS if digits else FASHION_RECIPE
    how = replace(of_length(usual, epochs), lr=3e-3)  # small nets: a higher peak, as in rank_study.py
    Training(
        SupernetObjective(supernet, how, depths=identity_depths(space, 0.3)), images.train, how, seed=0, num_classes=10
    ).run()
    lines = [json.dumps({"space": space.to_dict(), "epochs": epochs, "images": len(part)})]
    for number, code in enumerate(codes):
        found = subnet_accuracy(supernet, space.decode(code), part)
        lines.append(json.dumps([*code.tolist(), found.top1, round(found.loss, 6)], separators=(",", ":")))
        if number % 500 == 0:
            print(f"{number} of {len(codes)} evaluated", flush=True)
    write_atomic(path, "\n".join(lines) + "\n")
