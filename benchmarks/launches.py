"""Kernels that a supernet's training step launches, over those of the plain model of the same subnet.

    python benchmarks/launches.py [--subnets 20] [--output benchmarks/results/launches.json]

Random subnets of ``vitas-deit-tiny``, forward and backward of one image on the CPU, by the backward pass that GPUs
have; every call that reaches torch's dispatcher and computes or copies something counts as one, views and allocations
are free. A GPU launches one kernel for most of these calls, two for a ``slice_backward``, which fills and copies:
``slices`` tells those apart.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from bench_tools import RESULTS, spread, write
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import vitas_hw as vh
from vitas_hw.supernet import elastic

GOAL = 1.2
FREE = ("aten::empty", "aten::new_empty", "aten::detach", "aten::_unsafe_view", "aten::_reshape_alias", "aten::lift")


class Launches(TorchDispatchMode):
    """Counts calls by name."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        if name == "aten::_foreach_copy_" and not all(one.is_contiguous() for one in args[0]):
            self.calls[name] += len(args[0])  # tensors with gaps are copied one by one
        elif not func.is_view and not name.startswith(FREE):
            self.calls[name] += 1
        return func(*args, **(kwargs or {}))


def launches(model: nn.Module, *inputs: Any, labels: Tensor) -> Counter[str]:
    """Of one forward and backward pass, as on a GPU."""
    model.zero_grad(set_to_none=True)
    with patch.object(elastic, "BY_AUTOGRAD", frozenset()), Launches() as counted:
        F.cross_entropy(model(*inputs), labels).backward()
    return counted.calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subnets", type=int, default=20)
    parser.add_argument("--space", default="vitas-deit-tiny")
    parser.add_argument("--sharing", default="ordinal")
    parser.add_argument("--output", type=Path, default=RESULTS / "launches.json")
    given = parser.parse_args()
    load, space = os.getloadavg()[0], vh.load_space(given.space)
    supernet = vh.build_supernet(space, given.sharing, seed=0).train()
    images, labels = torch.zeros(1, space.in_chans, *space.image_size), torch.zeros(1, dtype=torch.int64)
    rows, more = [], Counter[str]()
    for code in space.sample_codes(given.subnets, np.random.default_rng(2021), 0.5):
        subnet = space.decode(code)
        ours = launches(supernet, images, subnet, labels=labels)
        plain = launches(vh.extract(supernet, subnet), images, labels=labels)
        counts = {"supernet": ours.total(), "plain": plain.total(), "slices": ours["aten::slice_backward"]}
        rows.append({"subnet": subnet.digest, "depth": subnet.depth} | counts)
        more.update({name: count - plain[name] for name, count in ours.items()})
        print(rows[-1], flush=True)
    found = {"goal": GOAL, "ratio": spread([row["supernet"] / row["plain"] for row in rows])}
    means = {name: round(float(np.mean([row[name] for row in rows])), 1) for name in ("supernet", "plain", "slices")}
    print(means, found, more.most_common(15))
    settings = {key: value for key, value in vars(given).items() if key != "output"}
    write(given.output, found | {"mean": means, "subnets": rows, "more": dict(more.most_common())}, settings, load)


if __name__ == "__main__":
    main()
