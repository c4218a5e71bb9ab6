"""Two independent profilings of the same subnets, ours and the naive way, alternating in one hour.

Ours: interleaved rounds in fresh processes, the anchor around each visit. Naive: each subnet once, fifteen inferences
in a row, their median. Ours keeps its raw samples, so that the table also shows what each step brings.

    python benchmarks/repeatability.py [--backend onnxruntime] [--rounds 5] [--num-subnets 60]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from bench_tools import RESULTS, bootstrap, write

import vitas_hw as vh
from vitas_hw.core.subnet import Subnet
from vitas_hw.profiling.backend import open_backend
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.measure import anchor_ms, measure, measurements
from vitas_hw.profiling.place import Place, TargetAsked, find_place
from vitas_hw.profiling.protocol import TIMING
from vitas_hw.profiling.selection import choose_subnets

NAIVE_RUNS = 15


def naive(place: Place, subnets: Sequence[Subnet]) -> list[float]:
    """Median of fifteen inferences in a row, one subnet after the other, in this process."""
    backend = open_backend(place.target, place.device)
    found = []
    for subnet in subnets:
        session = backend.open(subnet)
        found.append(float(np.median(session.samples_ms(NAIVE_RUNS))))
        session.close()
    return found


def ours(place: Place, subnets: Sequence[Subnet], rounds: int, seed: int) -> tuple[Journal, list[float]]:
    """The journal of one whole profiling, and the latencies it gives."""
    with TemporaryDirectory() as folder, place.worker(TIMING) as worker:
        journal = Journal.open(Path(folder) / "journal.jsonl", {})
        measure(worker, subnets, rounds=rounds, seed=seed, journal=journal)
    return journal, [found.latency_ms for found in measurements(journal, subnets, "first", rounds)]


def parts(journal: Journal, subnets: Sequence[Subnet], rounds: int) -> dict[str, list[float]]:
    """What lesser ways make of the same visits."""
    ways: dict[str, Callable[[list[tuple[float, ...]]], float]] = {
        "one round, no anchor": lambda visits: float(np.median(visits[0])),
        "all rounds, no anchor": lambda visits: float(np.median(np.concatenate(visits))),
        "all rounds, minimum, no anchor": lambda visits: float(np.concatenate(visits).min()),
    }
    samples = {
        subnet: [journal.attempts["first", round_, subnet.digest][0].samples_ms for round_ in range(rounds)]
        for subnet in subnets
    }
    return {name: [way(samples[subnet]) for subnet in subnets] for name, way in ways.items()}


def difference(first: Sequence[float], second: Sequence[float]) -> dict[str, object]:
    """Relative differences of two profilings; ``level`` is how much slower the second was on the whole."""
    a, b = np.asarray(first), np.asarray(second)
    apart = np.abs(a - b) / np.minimum(a, b)
    return {
        "median": round(float(np.median(apart)), 5),
        "median_95": bootstrap(apart.tolist(), np.median),
        "p90": round(float(np.percentile(apart, 90)), 5),
        "mean": round(float(apart.mean()), 5),
        "level": round(float(np.median(b / a)), 5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--space", default="vitas-deit-tiny")
    parser.add_argument("--num-subnets", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    space = vh.load_space(arguments.space)
    place = find_place(TargetAsked(backend=arguments.backend), space.image_size)
    subnets = choose_subnets(space, arguments.num_subnets, seed=1)
    naives, journals, latencies = [], [], []
    for turn in range(2):
        print(f"turn {turn + 1}: naive", flush=True)
        naives.append(naive(place, subnets))
        print(f"turn {turn + 1}: ours", flush=True)
        journal, found = ours(place, subnets, arguments.rounds, seed=turn)
        journals.append(journal)
        latencies.append(found)
    rows = {"ours": difference(*latencies), f"naive: {NAIVE_RUNS} in a row, median": difference(*naives)}
    both = [parts(journal, subnets, arguments.rounds) for journal in journals]
    rows |= {name: difference(both[0][name], both[1][name]) for name in both[0]}
    for name, row in rows.items():
        print(f"{name:36} median {row['median']:6.1%}  p90 {row['p90']:6.1%}  mean {row['mean']:6.1%}")
    drift = [visit.anchor_ms / anchor_ms(j) for j in journals for visits in j.attempts.values() for visit in visits]
    low, high = np.percentile(drift, [5, 95])
    print(f"drift of the anchor, 90% of visits: {low:.3f} to {high:.3f}; its level {[anchor_ms(j) for j in journals]}")
    result = {
        "rows": rows,
        "drift_90": [round(float(low), 4), round(float(high), 4)],
        "anchor_ms": [round(anchor_ms(journal), 4) for journal in journals],
        "repeated_visits": sum(len(visits) - 1 for j in journals for visits in j.attempts.values()),
        "target": place.target.slug,
        "goal": {"median": 0.02, "p90": 0.05},
    }
    write(RESULTS / f"repeatability_{arguments.backend}.json", result, vars(arguments), load)


if __name__ == "__main__":
    main()
