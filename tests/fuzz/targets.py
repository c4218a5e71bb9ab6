"""What the fuzzers call: every reader of files that strangers make. Anything but a sentence for the user is a bug."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from vitas_hw.core.budget import COSTS, parse_duration, parse_range
from vitas_hw.core.errors import VitasError
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.predictors.predictor import read_predictor, read_table_predictor
from vitas_hw.predictors.table import read_table
from vitas_hw.profiling.imported import read_bundle, read_results
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.profile import load_profile
from vitas_hw.profiling.selection import load_subnets
from vitas_hw.runs.directory import Run
from vitas_hw.runs.space_file import load_space
from vitas_hw.searching.archive import Archive
from vitas_hw.searching.result import load_result

OLD = Path(__file__).parent.parent / "data" / "v1"
_SPACE = load_space(str(OLD / "space.yaml"))
_FOLDER = TemporaryDirectory(prefix="vitas-hw-fuzz-")


def _file(name: str, data: bytes) -> Path:
    path = Path(_FOLDER.name) / name
    path.write_bytes(data)
    return path


def _budget(data: bytes) -> None:
    text = data.decode("utf-8", errors="replace")
    for read in (lambda: parse_duration(text), lambda: Target.from_slug(text), *(_range(text, cost) for cost in COSTS)):
        try:
            read()
        except VitasError as error:
            assert len(str(error)) < 1000


def _range(text: str, cost: str) -> Callable[[], object]:
    return lambda: parse_range(text, cost)


def _results(data: bytes) -> None:
    read_results(_file("results.csv", data), OLD / "bundle.json")


def _search(data: bytes) -> None:
    load_result(_file("search.json", data), OLD / "run" / "candidates.jsonl")


def _candidates(data: bytes) -> None:
    load_result(OLD / "run" / "search.json", _file("candidates.jsonl", data))


def _manifest(data: bytes) -> None:
    Run(_file("run.json", data).parent).space(None)


# what reads, and a file of today's to begin from
TARGETS: dict[str, tuple[Callable[[bytes], object], Path | None]] = {
    "profile": (lambda data: load_profile(_file("p.jsonl", data)), OLD / "profile.jsonl"),
    "predictor": (lambda data: read_predictor(_file("p.json", data)), OLD / "predictor-xgboost.json"),
    "table predictor": (lambda data: read_table_predictor(_file("t.json", data)), OLD / "predictor-table.json"),
    "subnet": (lambda data: Subnet.from_json(data.decode("utf-8", errors="replace")), OLD / "subnet.json"),
    "subnets": (lambda data: load_subnets(_file("s.jsonl", data), _SPACE), OLD / "subnet.json"),
    "space": (lambda data: load_space(_file("s.yaml", data)), OLD / "space.yaml"),
    "journal": (lambda data: Journal.open(_file("j.jsonl", data), {}), OLD / "journal.jsonl"),
    "evaluations": (lambda data: Archive.open(_file("e.jsonl", data), {}), OLD.parent / "v2" / "evaluations.jsonl"),
    "bundle": (lambda data: read_bundle(_file("b.json", data)), OLD / "bundle.json"),
    "results": (_results, None),
    "table": (lambda data: read_table(_file("t.csv", data), "ms"), OLD / "table.csv"),
    "search": (_search, OLD / "run" / "search.json"),
    "candidates": (_candidates, OLD / "run" / "candidates.jsonl"),
    "manifest": (_manifest, OLD / "run" / "run.json"),
    "budget": (_budget, None),
}


def try_one(name: str, data: bytes) -> None:
    """Read the data; a VitasError, one bounded line, is as good as success."""
    try:
        TARGETS[name][0](data)
    except VitasError as error:
        assert len(str(error)) < 2000, str(error)[:300]
        assert "\n" not in error.problem, error.problem
