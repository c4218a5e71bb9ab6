"""Tables of others (`fit --csv`): held-out errors of two versions of the package on the same files, side by side.

    python benchmarks/tables.py --old FOLDER    # a checkout of the version to compare with

Three made-up tables (a sum of columns, one with interactions, a noisy one), and every shipped profile written as a
table of its features and p50. The default kind, one split, hyperparameters chosen in each training fold. Each
version reads the same CSV files in a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

SPLITS = 1
ROWS = 240
COLUMN = "latency_ms"
GOAL = 1.0  # at most, new over old


def made_up(name: str) -> dict[str, np.ndarray]:
    """A table of a made-up machine, of six columns and their latency."""
    rng = np.random.default_rng(0)
    columns = {f"size_{index}": rng.lognormal(2, 0.7, ROWS) for index in range(5)}
    columns["gmacs"] = rng.lognormal(0, 0.8, ROWS)
    a, b, macs = columns["size_0"], columns["size_1"], columns["gmacs"]
    latency = 0.3 + 2 * macs + 0.05 * a + 0.02 * b
    if name == "interactions":
        latency = latency * np.where((a > np.median(a)) & (b < np.median(b)), 1.6, 1.0) + 0.003 * a * b
    spread = {"linear": 0.01, "interactions": 0.02, "noisy": 0.15}[name]
    return columns | {COLUMN: latency * np.exp(rng.normal(0, spread, ROWS))}


def write_tables(folder: Path) -> None:
    import vitas_hw as vh
    from vitas_hw.core.operators import SubnetColumns
    from vitas_hw.predictors.features import Scale, features
    from vitas_hw.predictors.shipped import shipped

    tables = {name: made_up(name) for name in ("linear", "interactions", "noisy")}
    for path in sorted(shipped("profiles").glob("*.jsonl")):
        profile = vh.load_profile(path)
        table = features(SubnetColumns.of([row.subnet for row in profile.ok]), Scale.of(profile.target))
        columns = dict(zip(table.names, table.values.T, strict=True))
        tables[path.stem] = columns | {COLUMN: np.array([row.latency_ms for row in profile.ok])}
    for name, columns in tables.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))


def score(folder: Path) -> dict[str, float]:
    """Mean error of the default kind on each table of a folder, by the version of the package that is imported."""
    from vitas_hw.predictors.cross_validation import relative_error
    from vitas_hw.predictors.kinds import DEFAULT_KIND
    from vitas_hw.predictors.registry import held_out_predictions
    from vitas_hw.predictors.table import read_table

    found = {}
    for path in sorted(folder.glob("*.csv")):
        examples = read_table(path, COLUMN).examples()
        errors = [
            relative_error(held_out_predictions(DEFAULT_KIND, examples, seed), examples.measured)
            for seed in range(SPLITS)
        ]
        found[path.stem] = float(np.mean(errors))
    return found


def scored_by(checkout: Path, folder: Path) -> dict[str, float]:
    """As ``score``, by the package of a checkout."""
    beside = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    command = [sys.executable, __file__, "--score", str(folder)]
    done = subprocess.run(command, env=beside, stdout=subprocess.PIPE, check=True)
    answer = json.loads(done.stdout)
    assert Path(answer["package"]).is_relative_to(checkout.resolve()), answer["package"]
    return dict(answer["found"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--old", type=Path, help="a checkout of the version to compare with")
    what.add_argument("--score", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.score is not None:
        import vitas_hw

        print(json.dumps({"package": vitas_hw.__file__, "found": score(arguments.score)}))
        return
    from bench_tools import RESULTS, write

    load = os.getloadavg()[0]
    here = Path(__file__).resolve().parent.parent
    with TemporaryDirectory() as name:
        write_tables(Path(name))
        old, new = (scored_by(checkout, Path(name)) for checkout in (arguments.old, here))
    rows = {
        table: {"old": round(old[table], 5), "new": round(new[table], 5), "ratio": round(new[table] / old[table], 4)}
        for table in old
    }
    for table, row in rows.items():
        print(f"{table:62} {row['old']:.2%}  {row['new']:.2%}  {row['ratio']:.3f} (goal at most {GOAL:g})")
    commit = subprocess.run(
        ["git", "-C", arguments.old, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    about = {"splits": SPLITS, "rows": ROWS, "old": commit.stdout.strip()}
    write(RESULTS / "tables.json", {"goal": GOAL, "tables": rows}, about, load)


if __name__ == "__main__":
    main()
