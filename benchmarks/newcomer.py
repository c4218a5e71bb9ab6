"""A newcomer's walk with all defaults: 400 PNG images a class to an ONNX model under 2 ms, by docs/your-data.md.

    PYTHONPATH=tests python benchmarks/newcomer.py

Run it on a quiet machine. Nothing here is a threshold; the goals stand beside the numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from bench_tools import RESULTS
from newcomer_walk import top1_by_onnxruntime, walk
from shapes import write_shapes

from vitas_hw.profiling.environment import environment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RESULTS / "newcomer.json")
    given = parser.parse_args()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shapes(folder / "photos", 400)
        seconds = walk(folder, {})
        searched = json.loads((folder / "runs/default/search.json").read_text())
        result = {
            "seconds": round(sum(seconds.values()), 1),
            "seconds_of_each": {command: round(value, 1) for command, value in seconds.items()},
            "top1_of_100_unseen_by_onnxruntime": top1_by_onnxruntime(
                folder / "runs/default/choice.onnx", folder / "unseen"
            ),
            "budget_ms": searched["budget"]["latency_ms"][1],
            "measured_ms": searched["measured_ms"],
            "environment": environment({"load_before": load_before}),
        }
    given.output.write_text(json.dumps(result, indent=1) + "\n")
    goals = {"seconds": "<= 600", "measured_ms": "<= 2"}
    for key, value in result.items():
        if key != "environment":
            print(f"{key:36} {value}   {goals.get(key, '')}")


if __name__ == "__main__":
    main()
