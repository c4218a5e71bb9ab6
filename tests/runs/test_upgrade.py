"""Files that earlier versions wrote are read for ever: ``tests/older_files/v1`` has one of every kind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import vitas_hw as vh
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.kinds import KINDS, OLDER_KINDS
from vitas_hw.predictors.predictor import read_table_predictor
from vitas_hw.predictors.table import read_table
from vitas_hw.profiling.imported import read_bundle
from vitas_hw.profiling.journal import SCHEMA as JOURNAL_SCHEMA
from vitas_hw.profiling.journal import Journal
from vitas_hw.runs.artifacts import load_run_data
from vitas_hw.runs.directory import Run
from vitas_hw.searching.archive import Archive, evaluation_times
from vitas_hw.searching.result import load_result
from vitas_hw.supernet.weights_file import load_model, load_supernet
from vitas_hw.training.checkpoint import load_state

OLD = Path(__file__).parent.parent / "older_files" / "v1"
RUN = Run(OLD / "run")


def test_the_space_and_the_subnet() -> None:
    space = vh.load_space(str(OLD / "space.yaml"))
    assert (space.name, space.depth) == ("tiny", (1, 2))
    assert space.contains(Subnet.from_json((OLD / "subnet.json").read_text()))


def test_the_profile() -> None:
    profile = vh.load_profile(OLD / "profile.jsonl")
    assert profile.target.slug == "old-box-onnxruntime-fp32-b1-t1-i32"
    assert len(profile.ok) == len(profile.measurements) - 1 == 23
    first = profile.ok[0]
    assert first.quiet_ms is not None  # derived from its samples
    assert first.quiet_ms == pytest.approx(first.latency_ms, rel=0.03)
    assert profile.quiet is not None


@pytest.mark.parametrize("kind", [*KINDS, *OLDER_KINDS, "transfer"])
def test_the_predictors_of_every_kind(kind: str) -> None:
    predictor = vh.load_predictor(OLD / f"predictor-{kind}.json")
    assert predictor.kind == kind
    assert predictor.statistic == "p50"
    assert (predictor.predict([predictor.space.smallest]).latency_ms > 0).all()


@pytest.mark.parametrize(
    ("kind", "says"), [("lookup", [0.110592, 0.133504, 0.127984]), ("mlp", [0.110592, 0.133504, 0.127984])]
)
def test_kinds_that_are_fitted_no_longer_predict_what_they_did(kind: str, says: list[float]) -> None:
    predictor = vh.load_predictor(OLD / f"predictor-{kind}.json")
    space = predictor.space
    found = predictor.predict([space.smallest, space.largest, space.sample(0)])
    assert found.latency_ms == pytest.approx(says, rel=1e-12)


def test_the_predictor_of_a_table() -> None:
    predictor = read_table_predictor(OLD / "predictor-table.json")
    table = read_table(OLD / "table.csv", "ms")
    assert predictor.predict(table.values).latency_ms == pytest.approx(table.target, rel=0.05)


def test_the_journal_goes_on(tmp_path: Path) -> None:
    path = Path(shutil.copy(OLD / "journal.jsonl", tmp_path))
    header = json.loads(path.read_text().splitlines()[0])
    assert header["schema"] == JOURNAL_SCHEMA
    before = path.read_bytes()
    journal = Journal.open(path, {key: value for key, value in header.items() if key not in ("schema", "kind")})
    assert (len(journal.attempts), len(journal.failures), len(journal.conditions)) == (1, 1, 1)
    assert path.read_bytes() == before


def test_the_evaluations_go_on(tmp_path: Path) -> None:
    path = Path(shutil.copy(OLD.parent / "v2" / "evaluations.jsonl", tmp_path))
    before = path.read_bytes()
    known = Archive.open(path, {})
    assert len(known) == 4
    assert len(known.known(parts=2)) == 2
    assert path.read_bytes() == before


def test_evaluations_without_losses_are_begun_anew_but_their_times_are_read(tmp_path: Path) -> None:
    path = Path(shutil.copy(RUN.path / "evaluations.jsonl", tmp_path))
    assert evaluation_times(path) == {}  # of that version
    header = json.loads(path.read_text().splitlines()[0])
    assert len(Archive.open(path, {key: value for key, value in header.items() if key not in ("schema", "kind")})) == 0
    assert len(path.read_text().splitlines()) == 1


def test_the_search_and_its_candidates() -> None:
    result = load_result(RUN.result, RUN.candidates)
    assert len(result.candidates) == 4
    assert result.choice.subnet in [candidate.subnet for candidate in result.candidates]


def test_the_weights_and_the_choice() -> None:
    supernet = load_supernet(RUN.supernet)
    assert supernet.space == RUN.space(None)
    _, subnet = load_model(RUN.choice)
    assert subnet == load_result(RUN.result, RUN.candidates).choice.subnet


def test_the_training_state() -> None:
    state = load_state(OLD / "training.pt", {"seed": 0})
    assert state is not None
    assert (state.epoch, state.step, state.history) == (1, 2, [0.5])


def test_the_manifest_and_the_data() -> None:
    steps = [step["step"] for step in RUN.read()["steps"]]
    assert steps == ["train", "search", "export"]
    data = load_run_data(RUN, RUN.space(None))
    kept = json.loads(RUN.data.read_text())["indices"]
    assert list(data.test.indices) == kept["test"]


def test_the_bundle_and_the_parity_report() -> None:
    assert read_bundle(OLD / "bundle.json").space == vh.load_space(str(OLD / "space.yaml"))
    report = json.loads((RUN.path / "choice.onnx.parity.json").read_text())
    assert report["exported"]["others"]["onnx"]["agreement"] == 1.0


def test_they_stay_small() -> None:
    assert sum(path.stat().st_size for path in OLD.rglob("*") if path.is_file()) < 200_000
