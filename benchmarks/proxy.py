"""Does the training-free proxy order trained subnets, and better than what they cost does?

    python benchmarks/proxy.py

The forty subnets of ``rank_study.py``: truth is the mean over seeds of their stand-alone top-1 on Fashion-MNIST's test
part, from the rows that are committed; nothing is trained here. Kendall's tau-b overall and within patch sizes, with
95% intervals from resampling subnets, the same resamples for all, so that differences are paired.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import rank_statistics as ranks
import rank_study
from bench_tools import RESULTS, Floats, write
from rank_report import alone, the_subnets

import vitas_hw as vh

SEEDS = (0, 1, 2)  # of the proxy's weights
PROXY = "DSS"


def scores(digests: tuple[str, ...]) -> Floats:
    """(seeds, subnets) of the proxy."""
    found = {subnet.digest: subnet for subnet in rank_study.subnets()}
    return np.array([[vh.proxy_score(found[digest], seed) for digest in digests] for seed in SEEDS])


def analyse() -> dict[str, Any]:
    everything = the_subnets()
    seeds = alone(rank_study.rows(), everything.digests)
    known = ~np.isnan(seeds).all(axis=0)
    subnets, truth = everything.chosen(known), np.nanmean(seeds[:, known], axis=0)
    proxy = scores(subnets.digests)
    times, groups = ranks.draws(len(truth)), subnets.patch_size.tolist()
    orders = {PROXY: proxy[0], "MACs": subnets.macs, "parameters": subnets.params}
    found = {
        name: {
            "tau": ranks.kendall(truth, score, times),
            "tau_within_patch": ranks.kendall_within(truth, score, groups, times),
        }
        for name, score in orders.items()
    }
    differences = {
        f"{PROXY} - {cheap}": {key: ranks.estimate(found[PROXY][key] - found[cheap][key]) for key in found[PROXY]}
        for cheap in ("MACs", "parameters")
    }
    once = times[:1]
    return {
        "subnets": len(truth),
        "orders": {name: {key: ranks.estimate(values) for key, values in row.items()} for name, row in found.items()},
        "differences": differences,
        "tau_of_each_seed": [round(float(ranks.kendall(truth, row, once)[0]), 4) for row in proxy],
        "tau_between_seeds": round(float(ranks.kendall(proxy[0], proxy[1], once)[0]), 4),
        "tau_with_cost": {
            name: round(float(ranks.kendall(proxy[0], score, once)[0]), 4)
            for name, score in orders.items()
            if name != PROXY
        },
        "better_than_both": {
            key: all(differences[f"{PROXY} - {cheap}"][key]["interval_95"][0] > 0 for cheap in ("MACs", "parameters"))
            for key in ("tau", "tau_within_patch")
        },
    }


def main() -> None:
    load = os.getloadavg()[0]
    result = analyse()
    write(RESULTS / "proxy.json", result, {"space": rank_study.SPACE.to_dict(), "seeds": SEEDS}, load)
    for title in ("orders", "differences"):
        for name, row in result[title].items():
            print(name, {key: (one["value"], one["interval_95"]) for key, one in row.items()})
    print({key: value for key, value in result.items() if key not in ("orders", "differences", "environment")})


if __name__ == "__main__":
    main()
