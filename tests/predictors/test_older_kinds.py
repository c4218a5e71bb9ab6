"""The kinds that only the benchmarks fit: they still learn, and their files still predict the same."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import vitas_hw as vh
from vitas_hw.core.errors import InputError
from vitas_hw.predictors.cross_validation import scores
from vitas_hw.predictors.examples import Examples, Measured
from vitas_hw.predictors.kinds import KINDS, OLDER_KINDS
from vitas_hw.predictors.predictor import Predictor, read_predictor, save_predictor
from vitas_hw.predictors.registry import held_out_predictions
from vitas_hw.predictors.sealed_file import seal
from vitas_hw.predictors.shipped import shipped
from vitas_hw.predictors.table import table_of
from vitas_hw.workflows.fit import measured_of

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from baselines import BASELINES, fit_any

PROFILE = "amd-epyc-zen5-onnxruntime-fp32-b1-t1-i32--vitas-digits"


@pytest.fixture(scope="module")
def measured() -> Measured:
    return measured_of(vh.load_profile(shipped("profiles") / f"{PROFILE}.jsonl"))


def test_the_baselines_are_the_older_kinds() -> None:
    assert set(BASELINES) == set(OLDER_KINDS)
    assert not set(OLDER_KINDS) & set(KINDS)


@pytest.mark.parametrize(("kind", "spearman", "mape"), [("lookup", 0.9, 0.35), ("mlp", 0.99, 0.05)])
def test_they_learn_and_their_files_come_back(
    kind: str, spearman: float, mape: float, measured: Measured, tmp_path: Path
) -> None:
    examples = measured.examples()
    held_out = held_out_predictions(kind, examples, 0, fit_any)
    found = scores(held_out, examples.measured)
    assert found["spearman"] > spearman
    assert found["mape"] < mape
    predictor = Predictor.of(measured, examples, kind, fit_any(kind, examples, 0), held_out, 0)
    path = tmp_path / "p.json"
    save_predictor(predictor, path)
    again = read_predictor(path)
    rng = np.random.default_rng(0)
    columns = predictor.space.columns(predictor.space.sample_codes(200, rng))
    assert np.array_equal(again.predict_columns(columns).latency_ms, predictor.predict_columns(columns).latency_ms)
    assert path.read_text() == seal(again.to_dict())


@pytest.mark.parametrize("kind", OLDER_KINDS)
def test_constant_latencies_are_predicted(kind: str, measured: Measured) -> None:
    some = Measured(measured.subnets[:40], [2.5] * 40, measured.target, measured.space).examples()
    assert fit_any(kind, some, 0).predict(some.table) == pytest.approx(2.5, rel=1e-3)


def test_a_lookup_needs_subnets() -> None:
    table = table_of(("macs",), np.ones((20, 1)))
    with pytest.raises(InputError, match="needs subnets, not a table"):
        fit_any("lookup", Examples(table, np.ones(20)), 0)


def test_any_other_kind_is_the_packages(measured: Measured) -> None:
    with pytest.raises(InputError, match="Unknown kind of predictor 'magic'"):
        fit_any("magic", measured.examples(), 0)
