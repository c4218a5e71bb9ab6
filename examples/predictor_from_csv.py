"""Fit a latency predictor to any CSV table of measurements, and compare it with simpler predictors.

Without --csv the script writes a table from a shipped profile: MACs, parameters, depth, width, patch size and latency.

Usage: python predictor_from_csv.py --csv phone.csv --column latency_ms
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import vitas_hw as vh

PROFILE = "amd-epyc-zen5-onnxruntime-fp32-b1-t1-i32--vitas-digits"


def table_of_a_profile(path: Path, rows: int) -> None:
    """Write a CSV file of the first measured subnets of the shipped profile."""
    profile = vh.load_profile(PROFILE)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["macs", "params", "depth", "width", "patch_size", "latency_ms"])
        for row in profile.ok[:rows]:
            subnet = row.subnet
            numbers = (subnet.macs, subnet.params, subnet.depth, subnet.embed_dim, subnet.patch_size)
            table.writerow([*numbers, f"{row.latency_ms:.6f}"])


def main() -> None:
    """Prints the cross-validated error of each kind of predictor."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--csv", type=Path)
    options.add_argument("--column", default="latency_ms")
    options.add_argument("--rows", type=int, default=60, help="rows of the table that is written without --csv")
    options.add_argument("--output", type=Path, default=Path("predictors"))
    given = options.parse_args()

    if given.csv is None:
        given.csv = Path("measurements.csv")
        table_of_a_profile(given.csv, given.rows)
    done = vh.fit(csv=given.csv, column=given.column, output=given.output)
    for kind in done.report.kinds:
        print(f"{kind.kind:<8} mean error {kind.scores['mape']:.1%}, Kendall's tau {kind.scores['kendall']:.3f}")
    print(f"Predictor: {done.path}")


if __name__ == "__main__":
    main()
