"""Writes one small file of every kind, as this version does: python tests/older_files/make.py FOLDER

``v1`` was made so and is never made again: later versions must read it (tests/runs/test_upgrade.py). When a schema
changes, make a folder of the next number beside it.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import yaml

from vitas_hw.core.budget import Budget
from vitas_hw.core.operators import operators
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.target import Target
from vitas_hw.predictors.examples import Measured
from vitas_hw.predictors.kinds import KINDS
from vitas_hw.predictors.predictor import fit, fit_table, save_predictor
from vitas_hw.predictors.table import read_table
from vitas_hw.predictors.transfer import transfer
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.noise import NoiseFloor
from vitas_hw.profiling.profile import Measurement, Profile, save_profile
from vitas_hw.profiling.timing import Visit
from vitas_hw.runs.directory import Run
from vitas_hw.training.checkpoint import State, save_state
from vitas_hw.workflows.export.export import export
from vitas_hw.workflows.profile.bundle import write_bundle
from vitas_hw.workflows.profile.settings import ProfileSettings
from vitas_hw.workflows.search.search import search_run
from vitas_hw.workflows.search.settings import SearchSettings
from vitas_hw.workflows.train.settings import TrainSettings
from vitas_hw.workflows.train.train import train

SPACE = SearchSpace("tiny", (32, 32), 1, 10, (16,), (8, 16), (1, 2), (1, 2), attn_dims=(8, 16), mlp_dims=(8, 16))
TARGET = Target("old-box", "onnxruntime", "fp32", 1, 1, (32, 32))


def main(folder: Path) -> None:
    folder.mkdir(parents=True)
    _words(folder)
    _measured(folder)
    _run(folder)


def _words(folder: Path) -> None:
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE.to_dict()))
    (folder / "subnet.json").write_text(SPACE.sample(1).to_json() + "\n")
    save_state(folder / "training.pt", {"seed": 0}, State(1, 2, 3.0, 4, [0.5], {"model": {"w": torch.ones(2)}}))


def _measured(folder: Path) -> None:
    rng = np.random.default_rng(0)
    subnets = list(dict.fromkeys(SPACE.sample(rng) for _ in range(400)))[:24]
    latency = operators(subnets).macs * 1e-6 + 0.1
    rows = [
        Measurement(s, ((ms, ms * 1.01), (ms * 1.02,)), (1.0, 1.01)) for s, ms in zip(subnets, latency, strict=True)
    ]
    rows[-1] = Measurement(subnets[-1], failed="out of memory")
    environment = {"fingerprint": "0123456789abcdef", "settings": {"rounds": 2}}
    profile = Profile(TARGET, SPACE, environment, NoiseFloor(0.01, 0.01, 0.02, 3), 0.5, tuple(rows))
    save_profile(profile, folder / "profile.jsonl")
    known = Measured(subnets, latency, TARGET, SPACE, 0.01, "p", "f")
    for kind in KINDS:
        save_predictor(fit(known, kind), folder / f"predictor-{kind}.json")
    base = fit(known, "linear")
    new = replace(TARGET, device_name="new-box")
    moved = transfer(base, Measured(subnets[:20], latency[:20] * 2, new, SPACE, 0.01))
    save_predictor(moved, folder / "predictor-transfer.json")
    lines = ["macs,ms", *(f"{s.macs},{ms:.6f}" for s, ms in zip(subnets, latency, strict=True))]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    table = read_table(folder / "table.csv", "ms")
    save_predictor(fit_table(table, "ms", "linear"), folder / "predictor-table.json")
    journal = Journal.open(folder / "journal.jsonl", {"target": TARGET.to_dict(), "seed": 0})
    journal.add_visit("first", 0, subnets[0].digest, Visit((1.0, 1.1), (0.5,), (0.5,), 1024), device="a")
    journal.add_failure(subnets[1].digest, "out of memory")
    journal.add_conditions("first", 0, {"load": 0.1})
    place = folder / "bundle"
    write_bundle(place, subnets[:1], SPACE, ProfileSettings(rounds=1))
    (place / "bundle.json").rename(folder / "bundle.json")
    shutil.rmtree(place)


def _run(folder: Path) -> None:
    run = Run(folder / "run")
    train(run, TrainSettings(epochs=1, device="cpu"), space=str(folder / "space.yaml"))
    search_run(run, Budget.parse(flops="100K"), SearchSettings(population=4, generations=1, device="cpu"))
    export(run)
    for path in run.path.iterdir():
        if path.suffix in (".png", ".onnx", ".md") or path.name in (".lock", "tensorboard"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    manifest = json.loads(run.manifest.read_text())
    for step in manifest["steps"]:
        step["command"] = [step["step"]]  # not this script's
    run.manifest.write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
