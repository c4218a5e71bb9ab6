from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.predictors.predictor import read_predictor
from vitas_hw.profiling.profile import Measurement, Profile, load_profile, save_profile
from vitas_hw.runs.directory import Run
from vitas_hw.workflows.fit import fit_predictor
from vitas_hw.workflows.search.measure_finalists import refitting_of


def some(space: SearchSpace, seed: int, count: int) -> list[Subnet]:
    codes = space.sample_codes(4 * count, np.random.default_rng(seed))
    return list(dict.fromkeys(space.decode(code) for code in codes))[:count]


def test_what_a_search_measured_is_added_to_a_copy_and_the_predictor_knows_it(
    digits: SearchSpace, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    target = Target("fake", "onnxruntime", "fp32", 1, 1, digits.image_size)
    known = some(digits, 0, 30)
    rows = tuple(Measurement(s, ((s.macs / 1e7,), (s.macs / 1e7,)), (1.0, 1.0)) for s in known)
    profile = Profile(target, digits, {"fingerprint": "f"}, None, 1.0, rows)
    path = run.profiles / f"{profile.name}.jsonl"
    save_profile(profile, path)
    before, bytes_before = fit_predictor(profile, "linear", path=path), path.read_bytes()

    refitting = refitting_of(run, before, run)
    assert refitting is not None
    new = [*some(digits, 1, 60), known[0]]
    slow = {subnet: 3 * subnet.macs / 1e7 for subnet in new}
    after = refitting.fit(slow)

    assert path.read_bytes() == bytes_before
    copy = load_profile(run.searched_profile)
    latency = {one.subnet: one.latency_ms for one in copy.ok}
    assert set(latency) == {*known, *new}
    assert latency[known[0]] == pytest.approx(slow[known[0]])
    assert latency[known[1]] == pytest.approx(known[1].macs / 1e7)
    assert copy.environment["added_by_search"] == [subnet.digest for subnet in new]
    assert (before.samples, after.samples) == (30, len(latency))
    assert after.kind == "linear"
    assert read_predictor(run.searched_predictor).predict(new).latency_ms == pytest.approx(
        after.predict(new).latency_ms
    )
    assert after.predict(new).latency_ms.mean() > 1.3 * before.predict(new).latency_ms.mean()
    assert refitting.fit(slow).to_dict() == after.to_dict()  # a resumed search learns the same

    run.forget_search()
    assert not run.searched_profile.exists()
    assert not run.searched_predictor.exists()


def test_without_the_profile_there_is_nothing_to_fit_to(digits: SearchSpace, tmp_path: Path) -> None:
    target = Target("fake", "onnxruntime", "fp32", 1, 1, digits.image_size)
    rows = tuple(Measurement(s, ((s.macs / 1e7,),)) for s in some(digits, 0, 24))
    predictor = fit_predictor(Profile(target, digits, {}, None, None, rows), "flops")
    assert refitting_of(Run(tmp_path), predictor, Run(tmp_path)) is None
    assert refitting_of(Run(tmp_path), None, Run(tmp_path)) is None
