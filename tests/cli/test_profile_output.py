"""What a profiling says of its noise."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vitas_hw.cli.profile_output import print_profiled
from vitas_hw.cli.terminal import streams
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.target import Target
from vitas_hw.profiling.estimate import WITH_ANCHOR
from vitas_hw.profiling.measure import noise_floor
from vitas_hw.profiling.profile import Measurement, Profile, with_quiet
from vitas_hw.workflows.profile.profile import Profiled

METRICS = {"mape": 0.05, "model_error": 0.03, "within_10": 0.9, "spearman": 0.99}


def done(space: SearchSpace, rounds: int, **noise: float) -> Any:
    """A profiling with a second measurement of all subnets, noisy as told."""
    both = []
    subnets = list(dict.fromkeys(space.sample(seed) for seed in range(300)))[:30]
    for seed in (0, 1):
        rng, rows = np.random.default_rng(seed), []
        for subnet in subnets:
            session = subnet.params / 1e3 * np.exp(rng.normal(0, noise.get("session", 0.0)))
            drift = np.exp(rng.exponential(noise.get("drift", 0.01), rounds))
            apart = rng.normal(0, noise.get("visit", 0.002), rounds)
            levels = session * drift * np.exp(apart)
            visits = [tuple((level * np.exp(rng.uniform(0, 0.001, 5))).tolist()) for level in levels]
            rows.append(Measurement(subnet, tuple(visits), tuple(drift.tolist())))
        both.append(rows)
    target = Target("test-cpu", "onnxruntime", "fp32", 1, 1, (32, 32))
    profile = with_quiet(Profile(target, space, {}, noise_floor(*both), 5.0, tuple(both[0])), both[1])
    predictor = SimpleNamespace(
        metrics=METRICS, predict_columns=lambda columns: SimpleNamespace(latency_ms=np.linspace(10, 60, len(columns)))
    )
    return Profiled(profile, predictor, Path("p.jsonl"), Path("p.json"))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def nothing_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the start of a command: it prints one object."""
    monkeypatch.setattr(streams, "_objects", [])


@pytest.mark.parametrize(
    ("noise", "helps"),
    [
        ({"visit": 0.03}, "more --rounds: visits differ, though the machine is quiet"),
        ({"session": 0.05}, "profiling again on another day; more rounds now would not help"),
    ],
)
def test_it_says_what_would_help(
    noise: dict[str, float], helps: str, small: SearchSpace, capsys: pytest.CaptureFixture[str]
) -> None:
    found = done(small, 4, **noise)
    print_profiled(found, as_json=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert helps in shown
    quiet = found.profile.quiet
    assert f"{quiet.floor.median:.1%}, {quiet.floor.p90:.1%}" in shown
    print_profiled(found, as_json=True)
    told = json.loads(capsys.readouterr().out)["quiet"]
    assert told["means"] == WITH_ANCHOR
    assert told["helps"].startswith(helps)
    assert told["noise"]["session"] == quiet.split.session
    assert told["error"] == float(np.median([row.quiet_error for row in found.profile.ok]))
    assert told["noise_floor"]["pairs"] == 30


def test_after_one_round_it_says_that_it_cannot_know(small: SearchSpace, capsys: pytest.CaptureFixture[str]) -> None:
    found = done(small, 1)
    print_profiled(found, as_json=False)
    assert "cannot be estimated: each was visited once" in " ".join(capsys.readouterr().out.split())
    print_profiled(found, as_json=True)
    told = json.loads(capsys.readouterr().out)["quiet"]
    assert (told["error"], told["noise"], told["helps"]) == (None, None, None)
    assert "each was visited once" in told["unknown"]
