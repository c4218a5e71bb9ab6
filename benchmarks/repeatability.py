"""Two independent profilings of the same subnets, their visits alternating: how far several estimates of them differ.

Each profiling has processes, orders and a journal of its own, and visits each subnet all through the same time. What
is compared are estimates from the same raw samples: ``quiet_ms`` and ``latency_ms`` (the p50 with the drift taken
out) of each profiling's own visits, and lesser ways; beside them the naive way, each subnet once in a row.

    python benchmarks/repeatability.py [--backend onnxruntime] [--rounds 5] [--num-subnets 60] [--keep FOLDER]
    python benchmarks/repeatability.py --again FOLDER         # what was kept, judged anew; nothing is measured
    python benchmarks/repeatability.py --shipped              # the two visits of a subnet in the shipped profiles
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from bench_tools import RESULTS, Floats, bootstrap, resamples, write

import vitas_hw as vh
from vitas_hw.core import Subnet
from vitas_hw.profiling import (
    Journal,
    Measurement,
    Place,
    Profile,
    TargetAsked,
    Worker,
    choose_subnets,
    find_place,
    open_backend,
)
from vitas_hw.profiling.measure import anchor_ms, measure, measurements
from vitas_hw.profiling.profile import with_quiet
from vitas_hw.profiling.protocol import TIMING

NAIVE_RUNS = 15
OLD, NEW = "ours", "ours, quiet"
GOAL = {"median": 0.02, "p90": 0.05, "times_better": 1.7}


def naive(place: Place, subnets: Sequence[Subnet]) -> list[float]:
    """Median of fifteen inferences in a row, one subnet after the other, in this process."""
    backend = open_backend(place.target, place.device)
    found = []
    for subnet in subnets:
        session = backend.open(subnet)
        found.append(float(np.median(session.samples_ms(NAIVE_RUNS))))
        session.close()
    return found


def alternate(workers: Sequence[Worker], journals: Sequence[Journal], subnets: Sequence[Subnet], rounds: int) -> None:
    """All profilings at once, each as many visits in a row as there are subnets."""
    left = list(range(len(journals)))
    while left:
        for turn in list(left):
            before = visits_of(journals[turn])
            done = measure(
                workers[turn],
                subnets,
                rounds=rounds,
                seed=turn,
                journal=journals[turn],
                time_is_up=lambda turn=turn, before=before: (  # type: ignore[misc]
                    visits_of(journals[turn]) >= before + len(subnets)
                ),
            )
            workers[turn].close()
            print(f"profiling {turn + 1}: {visits_of(journals[turn])} visits", flush=True)
            if done:
                left.remove(turn)


def visits_of(journal: Journal) -> int:
    return sum(map(len, journal.attempts.values()))


def profile_of(place: Place, subnets: Sequence[Subnet], space: vh.SearchSpace, rows: Sequence[Measurement]) -> Profile:
    """Of rows whose drift refers to any anchor: nothing here depends on its unit."""
    assert [row.subnet for row in rows] == list(subnets)
    return with_quiet(Profile(place.target, space, {}, None, 1.0, tuple(rows)))


def ways(rows: Sequence[Measurement]) -> dict[str, list[float]]:
    """What each way makes of the same visits, (N,) milliseconds."""
    lesser: dict[str, Callable[[Measurement], float]] = {
        NEW: lambda row: row.quiet_ms or float("nan"),
        OLD: lambda row: row.latency_ms,
        "one round, no anchor": lambda row: float(np.median(row.rounds_ms[0])),
        "all rounds, no anchor": lambda row: float(np.median(np.concatenate(row.rounds_ms))),
        "all rounds, minimum, no anchor": lambda row: float(np.concatenate(row.rounds_ms).min()),
    }
    return {name: [way(row) for row in rows] for name, way in lesser.items()}


def apart(first: Sequence[float], second: Sequence[float]) -> Floats:
    """(N,) relative differences."""
    a, b = np.asarray(first), np.asarray(second)
    difference: Floats = np.abs(a - b) / np.minimum(a, b)
    return difference


def difference(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """Relative differences of two profilings; ``level`` is how much slower the second was on the whole."""
    found = apart(first, second)
    return {
        "median": round(float(np.median(found)), 5),
        "median_95": bootstrap(found.tolist(), np.median),
        "p90": round(float(np.percentile(found, 90)), 5),
        "p90_95": bootstrap(found.tolist(), lambda values, axis: np.percentile(values, 90, axis=axis)),
        "mean": round(float(found.mean()), 5),
        "level": round(float(np.median(np.asarray(second) / np.asarray(first))), 5),
    }


def times_better(old: Floats, new: Floats) -> dict[str, Any]:
    """How many times larger the old differences are than the new, of the same subnets."""
    drawn = resamples(len(old))
    found: dict[str, Any] = {}
    for name, percent in (("median", 50), ("p90", 90)):
        ratios = np.percentile(old[drawn], percent, axis=1) / np.percentile(new[drawn], percent, axis=1)
        found[name] = round(float(np.percentile(old, percent) / np.percentile(new, percent)), 3)
        found[f"{name}_95"] = [round(float(bound), 3) for bound in np.percentile(ratios, (2.5, 97.5))]
    return found


def judged(first: Sequence[Measurement], second: Sequence[Measurement]) -> dict[str, Any]:
    """The table of two profilings of the same subnets, in the same order."""
    both = ways(first), ways(second)
    better = times_better(*(apart(both[0][name], both[1][name]) for name in (OLD, NEW)))
    return {"rows": {name: difference(both[0][name], both[1][name]) for name in both[0]}, "times_better": better}


def show(result: dict[str, Any]) -> None:
    for name, row in result["rows"].items():
        print(f"{name:36} median {row['median']:6.1%}  p90 {row['p90']:6.1%}  mean {row['mean']:6.1%}")
    better = result["times_better"]
    for name in ("median", "p90"):
        low, high = better[f"{name}_95"]
        print(f"{name} of {NEW!r}: {better[name]:.2f} times better than {OLD!r} ({low:.2f} to {high:.2f})")


def halves(profile: Profile) -> tuple[Profile, Profile]:
    """Of a profile whose rows have several visits: the first of each, and the second, as profiles of their own."""
    rows = [row for row in profile.ok if len(row.rounds_ms) > 1 and row.drift]

    def only(index: int) -> Profile:
        some = [Measurement(row.subnet, row.rounds_ms[index : index + 1], row.drift[index : index + 1]) for row in rows]
        return with_quiet(Profile(profile.target, profile.space, {}, None, profile.anchor_ms, tuple(some)))

    return only(0), only(1)


def shipped() -> None:
    """Without a new measurement: one visit against the other. Both lie in different rounds of one profiling."""
    result: dict[str, Any] = {}
    for path in sorted((Path(__file__).parent.parent / "profiles").glob("*.jsonl")):
        first, second = halves(vh.load_profile(path))
        if first.ok:
            result[path.stem] = judged(first.ok, second.ok)
            print(f"\n{path.stem}: {len(first.ok)} subnets, one visit each")
            show(result[path.stem])
    write(RESULTS / "repeatability_shipped.json", result, {}, os.getloadavg()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--space", default="vitas-deit-tiny")
    parser.add_argument("--num-subnets", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="a folder for the journals: a killed profiling goes on there")
    parser.add_argument("--again", type=Path, help="judge the journals in this folder anew")
    parser.add_argument("--shipped", action="store_true", help="judge the shipped profiles")
    arguments = parser.parse_args()
    if arguments.shipped:
        shipped()
        return
    load = os.getloadavg()[0]
    space = vh.load_space(arguments.space)
    place = find_place(TargetAsked(backend=arguments.backend), space.image_size)
    subnets = choose_subnets(space, arguments.num_subnets, seed=1)
    naives = []
    with TemporaryDirectory() as temporary:
        folder = arguments.again or arguments.keep or Path(temporary)
        journals = [Journal.open(folder / f"{turn}.jsonl", {"subnets": [s.digest for s in subnets]}) for turn in (0, 1)]
        if arguments.again is None:
            naives.append(naive(place, subnets))
            with place.worker(TIMING) as first, place.worker(TIMING) as second:
                alternate((first, second), journals, subnets, arguments.rounds)
            naives.append(naive(place, subnets))
    rows = [measurements(journal, subnets, "first", arguments.rounds) for journal in journals]
    result = judged(*(profile_of(place, subnets, space, found).ok for found in rows))
    if naives:
        result["rows"][f"naive: {NAIVE_RUNS} in a row, median"] = difference(*naives)
    show(result)
    drift = [visit.anchor_ms / anchor_ms(j) for j in journals for visits in j.attempts.values() for visit in visits]
    low, high = np.percentile(drift, [5, 95])
    print(f"drift of the anchor, 90% of visits: {low:.3f} to {high:.3f}; its level {[anchor_ms(j) for j in journals]}")
    result |= {
        "drift_90": [round(float(low), 4), round(float(high), 4)],
        "anchor_ms": [round(anchor_ms(journal), 4) for journal in journals],
        "visits": [visits_of(journal) for journal in journals],
        "repeated_visits": sum(len(visits) - 1 for j in journals for visits in j.attempts.values()),
        "target": place.target.slug,
        "goal": GOAL,
    }
    settings = {name: value for name, value in vars(arguments).items() if name not in ("keep", "again", "shipped")}
    write(RESULTS / f"repeatability_{arguments.backend}.json", result, settings, load)


if __name__ == "__main__":
    main()
