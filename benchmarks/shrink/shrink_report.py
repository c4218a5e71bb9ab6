"""Everything that is shown, from the rows: one table a budget, the goals, one factor at a time, the steps of the road.

Until ``finish`` has read the test part, top-1 is that on the search part, which chose peers' settings and our nets, and
no goal is decided.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from shrink_jobs import ABLATED_AT, ABLATIONS, FASTNAS, LONG, OURS, PEERS, SCRATCH, chosen, keys, missing
from shrink_original import ARM as ORIGINAL_ARM
from shrink_ours import VARIANTS
from shrink_setup import LEVELS, ORIGINAL, PASSES, SEEDS
from shrink_training import Folder, read

from vitas_hw.core import write_atomic

OVER_BEST_PEER = {"third": 0.005, "half": 0.002}  # top-1
Rows = Sequence[Mapping[str, Any]]


def analyse(folder: Folder) -> dict[str, Any]:
    rows = read(folder.rows)
    scores, part = _scores(rows, folder)
    ms = json.loads(folder.latencies.read_text())["ms"] if folder.latencies.exists() else {}
    lacking = missing(rows, folder)
    decided = folder.test.exists() and not lacking
    levels = {level: _level(level, rows, scores, ms) for level in LEVELS}
    original = next((row for row in rows if row["arm"] == ORIGINAL_ARM), None)
    return {
        "part": part,
        "missing": lacking,
        "original": _shown([original], scores, ms) if original else None,
        "levels": levels,
        "goals": {level: goals(level, found) if decided else None for level, found in levels.items()},
        "one factor": {arm: _of([arm], ABLATED_AT, rows, scores, ms) for arm in (OURS, *ABLATIONS)},
        "road": json.loads(folder.road.read_text()) if folder.road.exists() else None,
        "cpu_hours": round(sum(row["cpu_s"] for row in rows) / 3600, 2),
    }


def _scores(rows: Rows, folder: Folder) -> tuple[dict[str, float], str]:
    """Top-1 by sealed name, and which part it is of."""
    if folder.test.exists():
        return json.loads(folder.test.read_text())["top1"], "test part"
    found = {row["sealed"]: row["search"]["top1"] for row in rows if "sealed" in row}
    return found, "search part; the test part is sealed"


def _level(level: str, rows: Rows, scores: Mapping[str, float], ms: Mapping[str, float]) -> dict[str, Any]:
    """By arm; of a peer its chosen setting, and every setting that was tried for seed 0 under a name of its own."""
    known, found = keys(rows), {}
    found[OURS] = _shown([row for key, row in known.items() if key[:2] == (OURS, level)], scores, ms)
    for arm in PEERS:
        setting = chosen(arm, rows)
        mine = [known[key] for seed in SEEDS if (key := (arm, level, setting, seed)) in known]
        found[arm] = _shown(mine, scores, ms) | {"setting": setting}
        for key, row in known.items():
            if key[:2] == (arm, level) and key[3] == SEEDS[0] and key[2] != setting:
                found[f"{arm}: {key[2]}"] = _shown([row], scores, ms)
    for arm in (FASTNAS, LONG):
        mine = [row for key, row in known.items() if key[:2] == (arm, level)]
        if mine:
            found[arm] = _shown(mine, scores, ms)
    return found


def _of(arms: Sequence[str], level: str, rows: Rows, scores: Mapping[str, float], ms: Mapping[str, float]) -> Any:
    mine = [row for row in rows if row["arm"] in arms and row["level"] == level and row["seed"] == SEEDS[0]]
    return _shown(mine, scores, ms)


def _shown(rows: Rows, scores: Mapping[str, float], ms: Mapping[str, float]) -> dict[str, Any]:
    """Means over trainings, and each top-1; a refusal is its message."""
    refused = next((row["refused"] for row in rows if "refused" in row), None)
    if refused is not None:
        return {"refused": refused, "trainings": 0}
    if not rows:
        return {"trainings": 0}

    def mean(values: Sequence[float], digits: int) -> float:
        return round(float(np.mean(values)), digits)

    each = [scores[row["sealed"]] for row in rows]
    found = {"trainings": len(rows), "top1": mean(each, 5), "each": each}
    found |= {key: mean([row[key] for row in rows], 1) for key in ("macs", "params", "cpu_s")}
    if all("passes" in row for row in rows):
        found["epochs_worth"] = mean([row["passes"] / row["images"] for row in rows], 2)
    whole = ms.get(ORIGINAL.digest)
    if whole and all(row["digest"] in ms for row in rows):
        timed = [ms[row["digest"]] for row in rows]
        found |= {"p50_ms": mean(timed, 4), "share": mean([one / whole for one in timed], 4)}
    return found


def goals(level: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Ours less the best peer's mean, and less the net drawn by hand."""
    peers = {arm: found[arm]["top1"] for arm in (*PEERS, FASTNAS) if "top1" in found.get(arm, {})}
    best = max(peers, key=lambda arm: peers[arm])
    ours = found[OURS]["top1"]
    return {
        "best peer": best,
        "over it": round(ours - peers[best], 5),
        "wanted": OVER_BEST_PEER[level],
        "reached": ours - peers[best] >= OVER_BEST_PEER[level],
        "over scratch": round(ours - peers[SCRATCH], 5),
        "not below scratch": ours >= peers[SCRATCH],
    }


def report(folder: Folder) -> dict[str, Any]:
    """Print and keep it."""
    result = analyse(folder)
    lacking = result["missing"]
    print(f"top-1 on the {result['part']}; {len(lacking)} missing{': ' if lacking else ''}{'; '.join(lacking[:3])}")
    print(f"{result['cpu_hours']} hours on the CPU; at most {PASSES} epochs' worth of passes each\n")
    head = f"{'':<40}{'n':>2}{'top-1':>8}{'share':>7}{'p50 ms':>8}{'MMACs':>7}{'epochs':>7}{'CPU s':>7}"
    if result["original"]:
        print(head)
        print(_line(ORIGINAL_ARM, result["original"]))
    for level, arms in result["levels"].items():
        print(f"\none {level} of its p50\n{head}")
        print("\n".join(_line(arm, one) for arm, one in arms.items()))
        print(f"goals: {result['goals'][level] or 'not decided before the test part is read'}")
    print(f"\none factor at a time, one {ABLATED_AT}, one seed\n{head}")
    print("\n".join(_line(arm, one) for arm, one in result["one factor"].items() if arm in VARIANTS))
    if result["road"]:
        print(
            f"\nvitas-hw shrink at one half: {result['road']['seconds']:.0f} s, goal {result['road']['goal_seconds']} s"
        )
        print("\n".join(f"  {step['step']:<12}{step['seconds']:>7.0f} s" for step in result["road"]["steps"]))
    write_atomic(folder.path / "report.json", json.dumps(result, indent=1) + "\n")
    return result


def _line(arm: str, one: Mapping[str, Any]) -> str:
    if "refused" in one:
        return f"{arm:<40} refused: {' '.join(one['refused'].split())[:160]}"
    if not one["trainings"]:
        return f"{arm:<40} -"
    name = f"{arm} ({one['setting']})" if one.get("setting") else arm
    cells = [
        (f"{100 * one['top1']:.2f}", 8),
        (f"{one['share']:.3f}" if "share" in one else "", 7),
        (f"{one['p50_ms']:.3f}" if "p50_ms" in one else "", 8),
        (f"{one['macs'] / 1e6:.2f}", 7),
        (f"{one['epochs_worth']:.2f}" if "epochs_worth" in one else "", 7),
        (f"{one['cpu_s']:.0f}", 7),
    ]
    return f"{name:<40}{one['trainings']:>2}" + "".join(f"{text:>{width}}" for text, width in cells)
