"""What the README's first picture is drawn from: every subnet that a quickstart's run evaluates, measured.

    python benchmarks/quickstart.py --folder KEEP
    python benchmarks/front.py --run KEEP/runs/default [--output benchmarks/results/front.json]

In a copy of the run the whole front is searched, up to twice the quickstart's budget: a search for one choice looks at
subnets near its budget only. Then all that these searches have evaluated, and subnets of DeiT's proportions,
are timed in interleaved rounds on the run's target. Top-1 is that of inherited weights on the search part; beside
it stands what the choice's fine-tuning came to. Run it on the quickstart's machine, quiet; ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_tools import RESULTS, write

import vitas_hw as vh
from vitas_hw.core import Block, Budget, Range, Subnet
from vitas_hw.profiling import place_of, side_by_side
from vitas_hw.runs import Run, last_result, load_run_data, load_run_predictor
from vitas_hw.searching import SearchResult
from vitas_hw.workflows.evaluate import evaluate
from vitas_hw.workflows.search.search import default_budget, search_run
from vitas_hw.workflows.search.settings import SearchSettings

BEYOND = 2.0  # times the budget
NEAR = 1 / 8  # an MLP of four times the embedding, to this
HEAD_DIM = 64


def deit_proportions(space: vh.SearchSpace) -> list[Subnet]:
    """Subnets built as DeiT is, of every depth: equal blocks, attention as wide as the embedding in heads of 64, an MLP
    of four times that; as near as the space has it, embeddings that it has nothing near for left out.

    >>> found = deit_proportions(vh.load_space("vitas-digits"))
    >>> sorted({(one.embed_dim, one.blocks[0].num_heads, one.blocks[0].mlp_dim) for one in found})
    [(256, 4, 1152), (384, 8, 1536)]
    """
    found = []
    fewest, most = space.depth
    for patch_size in space.patch_sizes:
        for embed_dim in space.embed_dims:
            for depth in range(fewest, most + 1):
                heads = min(space.num_heads, key=lambda heads: abs(heads - embed_dim / HEAD_DIM))  # used at once
                mlp_dim = min(space.mlp_dims, key=lambda width: abs(width - 4 * embed_dim))
                if embed_dim in space.attn_dims and abs(mlp_dim / (4 * embed_dim) - 1) <= NEAR:
                    block = Block(heads, embed_dim // heads, mlp_dim)
                    about = (space.image_size, space.in_chans, patch_size, embed_dim)
                    found.append(Subnet(*about, (block,) * depth, space.num_classes))
    return [subnet for subnet in found if space.contains(subnet)]


def searches(run: Run, budget: Budget, beyond: Budget, settings: SearchSettings) -> tuple[SearchResult, SearchResult]:
    """The quickstart's search and one of the front, in a copy of the run; what it has evaluated costs nothing."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Run(Path(shutil.copytree(run.path, Path(folder) / "run")))
        chosen = last_result(copy)
        if chosen.budget != budget or chosen.evolution["pareto"]:  # the benchmark has searched for another one since
            chosen = search_run(copy, budget)
        return chosen, search_run(copy, beyond, settings)


def top1_of(run: Run, subnets: Sequence[Subnet]) -> list[float]:
    """With inherited weights on the search part."""
    return [one.accuracy.top1 for one in evaluate(run, [json.dumps(subnet.to_dict()) for subnet in subnets])]


def front(run: Run, settings: SearchSettings, rounds: int, most_deit: float = BEYOND) -> dict[str, Any]:
    """The result without its machine.

    Args:
        run: of a quickstart.
        settings: of the search for the front.
        rounds: visits to each subnet.
        most_deit: subnets of DeiT's proportions up to this many times the budget.
    """
    predictor, _ = load_run_predictor(run)
    space = run.space(None)
    place = place_of(predictor.target, predictor.fingerprint)
    if place is None:
        raise SystemExit(f"The run was profiled elsewhere: {predictor.target.slug} is not here.")
    asked = default_budget(space, predictor)
    assert asked.latency_ms is not None
    assert asked.latency_ms.high is not None
    budget = asked.latency_ms.high
    chosen, searched = searches(run, asked, Budget(latency_ms=Range(None, BEYOND * budget)), settings)
    top1 = {one.subnet: one.top1 for one in (*chosen.candidates, *searched.candidates)}
    evaluated = list(top1)
    like_deit = deit_proportions(space)
    if like_deit:
        predicted = predictor.predict(like_deit).latency_ms
        like_deit = [one for one, ms in zip(like_deit, predicted, strict=True) if ms <= most_deit * budget]
    if like_deit:
        top1 |= dict(zip(like_deit, top1_of(run, like_deit), strict=True))
    subnets = list(top1)
    left = [rounds * len(subnets)]

    def visited() -> None:
        left[0] -= 1
        if left[0] % 50 == 0:
            print(f"{left[0]} visits left", flush=True)

    timed, anchor = side_by_side(place, subnets, rounds=rounds, seed=0, on_visit=visited)
    measured = dict(zip(subnets, timed, strict=True))
    known = dict(zip(subnets, predictor.predict(subnets).latency_ms.tolist(), strict=True))

    def row(subnet: Subnet) -> dict[str, Any]:
        return {
            "subnet": subnet.digest,
            "top1": top1[subnet],
            "measured_ms": None if measured[subnet].failed else round(measured[subnet].latency_ms, 5),
            "predicted_ms": round(known[subnet], 5),
            "macs": subnet.macs,
            "params": subnet.params,
            "patch_size": subnet.patch_size,
            "embed_dim": subnet.embed_dim,
            "depth": subnet.depth,
        }

    return {
        "target": predictor.target.slug,
        "space": space.name,
        "images": len(load_run_data(run, space).search),
        "budget_ms": budget,
        "choice": chosen.choice.subnet.digest,
        "choice_top1": chosen.final_top1,
        "evaluated": [row(subnet) for subnet in evaluated],
        "deit": [row(subnet) for subnet in like_deit],
        "anchor_ms": anchor,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="of a quickstart")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS / "front.json")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    found = front(Run(given.run), SearchSettings(pareto="latency_ms"), given.rounds)
    write(given.output, found, {"rounds": given.rounds}, load)
    print(f"{len(found['evaluated'])} evaluated, {len(found['deit'])} of DeiT's proportions: {given.output}")


if __name__ == "__main__":
    main()
