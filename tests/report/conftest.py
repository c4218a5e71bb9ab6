"""Runs whose numbers are made up, so that a page of them can be checked: no training, no measuring."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitas_hw.core.budget import Budget
from vitas_hw.core.presets import preset
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.target import Target
from vitas_hw.predictors.predictor import Predictor, save_predictor
from vitas_hw.profiling.noise import NoiseFloor
from vitas_hw.profiling.profile import Measurement, Profile, save_profile
from vitas_hw.runs.directory import Run
from vitas_hw.searching.result import Candidate, SearchResult, save_candidates, save_result
from vitas_hw.training.health import Group, Health
from vitas_hw.workflows.fit import fit_predictor

TARGET = Target("made-up", "onnxruntime", "fp32", 1, 1, (32, 32))
CALM = {
    "cpus": 8,
    "load_1m": 0.1,
    "governors": ["performance"],
    "frequency_mhz": [3000.0, 3000.0],
    "temperature_c": 45.0,
    "available_bytes": 2**33,
    "on_battery": False,
    "steal": 0.0,
    "others": 0.0,
    "own": 0.1,
    "throttled_ms": None,
    "ticks": None,
    "throttled_total_ms": None,
    "gpu": None,
    "gpu_busy_before": None,
}
HEALTH = Health(
    images=360,
    groups=(
        Group("size", "smallest", 0.25, 0.925, 0.0, 0.0),
        Group("size", "largest", 0.5, 0.906, 0.25, 0.0125),
        Group("depth", "depth 1", 0.3, 0.91, 0.0, 0.0),
        Group("depth", "depth 4", 0.4, 0.90, 0.1, 0.01),
        Group("width", "width 24", 0.35, 0.905, 0.0, 0.0),
        Group("width", "width 48", 0.36, 0.904, 0.01, 0.02),
    ),
    advice=("The width <i>makes</i> no difference.",),
)
Typed = Callable[..., None]


@pytest.fixture(scope="session")
def typed() -> Typed:
    """Records a step as if these words had been typed."""

    def record(run: Run, space: SearchSpace, words: str, settings: dict[str, object], outputs: list[Path]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["vitas-hw", *words.split()])
            run.record(words.split()[0], space, settings, [], outputs)

    return record


def add_profile(run: Run, space: SearchSpace, typed: Typed) -> Predictor:
    """30 subnets measured on a hot machine, and their predictor."""
    rng = np.random.default_rng(0)
    subnets = list(dict.fromkeys(space.sample(rng) for _ in range(30)))
    times = [0.1 * subnet.depth + subnet.macs * 2e-7 for subnet in subnets]
    rows = [Measurement(s, ((ms * rng.normal(1, 0.02),),), drift=(1.0,)) for s, ms in zip(subnets, times, strict=True)]
    conditions = [{"measurement": "first", "round": 1, "conditions": CALM | {"temperature_c": 97.0}}]
    about = {"fingerprint": "0" * 16, "hardware": {"cpu": "Made-up <b>CPU</b>"}, "conditions": conditions}
    profile = Profile(TARGET, space, about, NoiseFloor(0.031, 0.02, 0.07, 4), 1.0, tuple(rows))
    path = run.profiles / f"{profile.name}.jsonl"
    save_profile(profile, path)
    predictor = fit_predictor(profile, "linear", path=path)
    predictor_path = run.predictors / f"{profile.name}.json"
    save_predictor(predictor, predictor_path)
    typed(run, space, f"profile --num-subnets {len(rows)}", {"rounds": 1}, [path, predictor_path])
    return predictor


def add_training(run: Run, space: SearchSpace, typed: Typed) -> None:
    history = [{"epoch": epoch, "loss": 2.5 / epoch} for epoch in range(1, 6)]
    about = {"data": "digits", "sharing": "ordinal", "seed": 0, "recipe": {"epochs": 5}, "top1": 0.4321}
    about |= {"block_shares": [1.0, 0.75, 0.5, 0.25], "health": HEALTH.to_dict()}
    run.training.write_text(json.dumps(about | {"history": history}))
    typed(run, space, "train --epochs 5", {"recipe": {"epochs": 5}}, [run.training])


def add_search(run: Run, space: SearchSpace, typed: Typed, predictor: Predictor | None, budget: Budget) -> SearchResult:
    """40 candidates; with a predictor three are measured, one of them outside."""
    rng = np.random.default_rng(1)
    subnets = list(dict.fromkeys(space.sample(rng) for _ in range(40)))
    latency = predictor.predict(subnets).latency_ms.tolist() if predictor else [None] * len(subnets)
    candidates = [
        Candidate(s, round(0.3 + 0.5 * s.macs / (s.macs + 4e5) + 0.01 * rng.random(), 4), ms)
        for s, ms in zip(subnets, latency, strict=True)
    ]
    best = sorted(candidates, key=lambda c: -c.top1)[:3]
    measured = {
        c.subnet.digest: c.predicted_ms * f for c, f in zip(best, (1.5, 0.9, 1.1), strict=True) if c.predicted_ms
    }
    if measured:
        digests = [c.subnet.digest for c in best]
        high = (measured[digests[0]] + max(measured[digests[1]], measured[digests[2]])) / 2
        budget = Budget.parse(latency=f"{high}ms")
    result = SearchResult(
        budget=budget,
        seed=7,
        evolution={"optimizer": "surrogate", "pareto": None, "choose": "best", "confidence": 0.5},
        space=space.name,
        inputs={},
        candidates=tuple(candidates),
        measured_ms=measured,
        choice=best[1],
        final_top1=0.9375,
    )
    save_candidates(result.candidates, run.candidates)
    save_result(result, run.result)
    lines = [{"schema": 1, "kind": "evaluations"}]
    lines += [
        {"subnet": c.subnet.digest, "part": 0, "top1": c.top1, "at": 1000.0 + 3 * number}
        for number, c in enumerate(candidates)
    ]
    (run.path / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    typed(run, space, "search --latency 2ms --seed 7", {"finetune": {"history": [1.0, 0.5, 0.25]}}, [run.result])
    return result


def add_export(run: Run, space: SearchSpace, typed: Typed, top1: float) -> None:
    others = {"onnx": {"largest_difference": 1e-6, "agreement": 1.0, "top1": top1}}
    exported = {"reference": "torch", "images": 360, "top1": top1, "others": others}
    path = run.path / "choice.onnx.parity.json"
    path.write_text(json.dumps({"format": "onnx", "precision": "fp32", "exported": exported}))
    typed(run, space, "export --onnx", {}, [path])


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, small: SearchSpace, typed: Typed) -> tuple[Run, SearchResult]:
    """A run that has gone all the way; its name is one that a page must escape."""
    run = Run(tmp_path_factory.mktemp("runs") / "a <b>run")
    run.begin(small)
    predictor = add_profile(run, small, typed)
    add_training(run, small, typed)
    result = add_search(run, small, typed, predictor, Budget())
    add_export(run, small, typed, 0.9611)
    return run, result


@pytest.fixture(scope="session")
def imagenet(tmp_path_factory: pytest.TempPathFactory, typed: Typed) -> tuple[Run, SearchResult]:
    """A search of the paper's space under MACs, its target not at hand, with a further target."""
    run, space = Run(tmp_path_factory.mktemp("imagenet")), preset("vitas-deit-tiny")
    run.begin(space)
    result = add_search(run, space, typed, None, Budget.parse(flops="4G"))
    further = replace(result, targets={"amd-epyc-zen3-onnxruntime-fp32-b1-t1-i224--vitas-deit-tiny": [None, 500.0]})
    save_result(further, run.result)
    return run, further
