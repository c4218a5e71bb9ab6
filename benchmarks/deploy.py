"""From the search to production on the digits: what retraining and int8 give after a quickstart.

Retraining from the supernet's weights (a tenth of the epochs), with and without its largest subnet as a
teacher: top-1 on the search split, which decides what is kept, and on the test part, which decides nothing. Then each
format and precision of the choice: top-1 beside torch's, agreement, p50 before and after.

    python benchmarks/deploy.py [--run runs/default]

Without ``--run`` it begins with a quickstart of its own (minutes). The run given is copied, not changed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench_tools import RESULTS, write

from vitas_hw.runs import Run, choose, load_run_data
from vitas_hw.supernet import load_model
from vitas_hw.training import accuracy

GOALS = {"retrained": ">= inherited", "int8_drop": "<= 0.01"}
SUBNETS = (None, "smallest", "largest")
EXPORTS = (
    ("onnx", "fp32"),
    ("openvino", "fp32"),
    ("onnx", "fp16"),
    ("openvino", "fp16"),
    ("onnx", "int8"),
    ("openvino", "int8"),
)


def command(run: Path, *words: str) -> dict[str, Any]:
    """What a command prints as JSON; its errors as a dictionary with ``refused``."""
    whole = [sys.executable, "-m", "vitas_hw", *words, "--run", str(run), "--json"]
    done = subprocess.run(whole, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"refused": done.stderr.strip().splitlines()[-1]}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def retraining(run: Path, word: str | None, seed: int, teacher: bool) -> dict[str, Any]:
    output = run / "retraining.safetensors"
    words = ["retrain", *([word] if word else []), "--init", "supernet", "--seed", str(seed), "--output", str(output)]
    done = command(run, *words, *(["--teacher", "supernet"] if teacher else []), "--fresh")
    row = {"subnet": word or "choice", "seed": seed, "teacher": "supernet" if teacher else None}
    if "refused" in done:
        return row | done
    here = Run(run)
    data = load_run_data(here, here.space(None))
    # as ``retrain`` starts: what the supernet holds, not the choice fine-tuned after the search
    inherited = inherited_model(here, word)
    return row | {
        "epochs": done["epochs"],
        "inherited": done["inherited_top1"],
        "retrained": done["top1"],
        "test_inherited": accuracy(inherited, data.test).top1,
        "test_retrained": accuracy(load_model(output)[0], data.test).top1,
    }


def inherited_model(run: Run, word: str | None) -> Any:
    found = choose(run, word).extracted()
    assert found is not None
    return found


def exported(run: Path, name: str, precision: str) -> dict[str, Any]:
    done = command(run, "export", f"--{name}", "--precision", precision, "--output", str(run / f"model.{name}"))
    row = {"format": name, "precision": precision}
    if "refused" in done:
        return row | done
    report = done["reports"][name]
    before, found = report["exported"]["top1"], report["exported"]["others"][name]
    return row | {
        "images": report["exported"]["images"],
        "top1_torch": before,
        "top1": found["top1"],
        "drop": before - found["top1"],
        "agreement": found["agreement"],
        "latency_ms": report["latency_ms"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        if arguments.run is None:
            print(command(run, "quickstart"), flush=True)
        else:
            shutil.copytree(arguments.run, run)
        result: dict[str, Any] = {"goal": GOALS, "retraining": [], "exports": []}
        for teacher in (False, True):
            for word in SUBNETS:
                for seed in range(arguments.seeds):
                    result["retraining"].append(retraining(run, word, seed, teacher))
                    print(result["retraining"][-1], flush=True)
        for name, precision in EXPORTS:
            result["exports"].append(exported(run, name, precision))
            print(result["exports"][-1], flush=True)
    write(RESULTS / "deploy.json", result, vars(arguments) | {"run": None}, load)


if __name__ == "__main__":
    main()
