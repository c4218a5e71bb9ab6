"""What a search's finalists are measured as."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.progress import Silent
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling.later import Later
from vitas_hw.profiling.place import Place
from vitas_hw.profiling.profile import Measurement, Profile, with_quiet
from vitas_hw.runs.artifacts import load_run_predictor
from vitas_hw.runs.directory import Run
from vitas_hw.workflows.profile.profile import keep
from vitas_hw.workflows.profile.settings import ProfileSettings
from vitas_hw.workflows.search import measure_finalists
from vitas_hw.workflows.search.measure_finalists import finalist_meter, refitting_of

PLACE = Place(Target("test-cpu", "onnxruntime", "fp32", 1, 1, (32, 32)), "cpu", None)
USUAL_MS = 5.0


class Notes(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def subnets(small: SearchSpace) -> list[Subnet]:
    return list(dict.fromkeys(small.sample(seed) for seed in range(300)))[:45]


@pytest.fixture
def measured(subnets: list[Subnet], monkeypatch: pytest.MonkeyPatch) -> list[Measurement]:
    """Five finalists, on a machine that is 1.3 times as slow as the profile's usual one."""
    found = [Measurement(one, ((one.params / 1e3, one.params / 900),) * 5, (1.0,) * 5) for one in subnets[40:]]

    def side_by_side(
        place: Place, asked: Sequence[Subnet], *, rounds: int, seed: int, on_visit: Callable[[], None], **_: object
    ) -> tuple[list[Measurement], float]:
        assert (place, list(asked), rounds) == (PLACE, subnets[40:], 5)
        return found, 1.3 * USUAL_MS

    monkeypatch.setattr(measure_finalists, "side_by_side", side_by_side)
    return found


def profile_of(subnets: list[Subnet], small: SearchSpace, anchor_ms: float | None) -> Profile:
    rng, rows = np.random.default_rng(0), []
    for subnet in subnets[:40]:
        drift = np.where(rng.random(3) < 0.5, 1.0, 1.2)
        rounds = [tuple((subnet.params / 1.3e3 * now**0.7 * rng.uniform(1, 1.1, 9)).tolist()) for now in drift]
        rows.append(Measurement(subnet, tuple(rounds), tuple(drift.tolist()) if anchor_ms else ()))
    return with_quiet(Profile(PLACE.target, small, {}, None, anchor_ms, tuple(rows)))


def test_they_are_estimated_in_the_terms_of_the_profile(
    subnets: list[Subnet], small: SearchSpace, measured: list[Measurement]
) -> None:
    profile, notes = profile_of(subnets, small, USUAL_MS), Notes()
    found = {p: finalist_meter(PLACE, profile, 0, notes, percent=p)(subnets[40:]) for p in (50, 90, None)}
    for percent, latencies in found.items():
        assert latencies == Later(profile, percent).latencies_ms(measured, 1.3 * USUAL_MS)
    assert (np.array(found[90]) > found[50]).all()
    assert (np.array(found[50]) > found[None]).all()
    assert len(notes.said) == 3
    assert notes.said[0].startswith(
        "the anchor, a fixed model, takes 1.30 times as long as when this device was profiled"
    )


def test_without_an_anchor_then_or_a_profile_now_they_are_as_they_are(
    subnets: list[Subnet], small: SearchSpace, measured: list[Measurement]
) -> None:
    plain = [one.latency_ms for one in measured]
    for profile in (None, profile_of(subnets, small, None)):
        assert finalist_meter(PLACE, profile, 0, Notes())(subnets[40:]) == plain
        assert finalist_meter(PLACE, profile, 0, Notes(), percent=None)(subnets[40:]) == plain
        assert finalist_meter(PLACE, profile, 0, Notes(), percent=90)(subnets[40:]) == [
            one.percentile(90) for one in measured
        ]


def test_one_that_does_not_run_ends_the_search(subnets: list[Subnet], measured: list[Measurement]) -> None:
    measured[2] = Measurement(measured[2].subnet, failed="this engine cannot")
    with pytest.raises(VitasError, match=r"A finalist does not run on .*: this engine cannot"):
        finalist_meter(PLACE, None, 0, Notes())(subnets[40:])


def test_a_predictor_of_quiet_latencies_says_so_and_its_refits_too(digits: SearchSpace, tmp_path: Path) -> None:
    rng, rows = np.random.default_rng(0), []
    codes = digits.sample_codes(200, rng)
    for subnet in list(dict.fromkeys(digits.decode(code) for code in codes))[:40]:
        drift = np.where(rng.random(3) < 0.3, 1 / 1.2, 1.0)
        rounds = [tuple((subnet.macs / 1e7 * now * rng.uniform(1, 1.02, 9)).tolist()) for now in drift]
        rows.append(Measurement(subnet, tuple(rounds), tuple(drift.tolist())))
    profile = with_quiet(Profile(PLACE.target, digits, {"fingerprint": "f"}, None, USUAL_MS, tuple(rows)))
    predicted = {}
    for statistic in ("p50", "p90", "quiet"):
        run = Run(tmp_path / statistic)
        run.begin(digits)
        kept = keep(run, profile, ProfileSettings(statistic=statistic))
        assert load_run_predictor(run)[0].statistic == statistic
        assert run.read()["steps"][-1]["settings"]["statistic"] == statistic
        predicted[statistic] = kept.predictor.predict([row.subnet for row in rows]).latency_ms
        refitting = refitting_of(run, kept.predictor, run)
        assert refitting is not None
        assert refitting.fit({rows[0].subnet: 1.0}).statistic == statistic
    assert np.median(predicted["quiet"] / predicted["p50"]) == pytest.approx(1 / 1.2, rel=0.03)
    assert (predicted["p90"] > predicted["p50"]).mean() > 0.9
    with pytest.raises(InputError, match="statistic"):
        ProfileSettings(statistic="p95")
