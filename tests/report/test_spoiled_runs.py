"""A run whose files a stranger has changed: the report and the list of runs say which file, and what of it is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from vitas_hw.cli.config import read_config
from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.subnet import Subnet
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.profile import Measurement, load_profile
from vitas_hw.report.collect import collect
from vitas_hw.report.page import report
from vitas_hw.report.runs import list_runs
from vitas_hw.runs.directory import Run
from vitas_hw.searching.archive import Archive
from vitas_hw.supernet.timm_models import read_weights
from vitas_hw.supernet.weights_file import header, load_model, load_supernet

OLD = Path(__file__).parent.parent / "older_files" / "v1"
TRAIN, SEARCH, PARITY = "train.json", "search.json", "choice.onnx.parity.json"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(OLD / "run", tmp_path / "run")))


def spoil(path: Path, change: Callable[[Any], None]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (TRAIN, lambda d: d["history"][0].update(loss={"a": 1}), r"train\.json is broken: history\.0\.loss must be"),
        (TRAIN, lambda d: d["history"][0].pop("loss"), r"train\.json is broken: it lacks 'loss'"),
        (TRAIN, lambda d: d["recipe"].pop("epochs"), r"train\.json is broken: it lacks 'epochs'"),
        (TRAIN, lambda d: d.update(data=["digits"]), r"train\.json is broken: data must be text"),
        (TRAIN, lambda d: d.update(block_shares=3), r"train\.json is broken: block_shares must be a list"),
        (TRAIN, lambda d: d.pop("sharing"), r"train\.json is broken: it lacks 'sharing'"),
        (
            SEARCH,
            lambda d: d["evolution"].pop("optimizer"),
            r"is not a search result: it lacks 'optimizer'",
        ),
        (SEARCH, lambda d: d["evolution"].update(confidence="1"), r"search result: confidence must be a finite number"),
        (
            SEARCH,
            lambda d: d["evolution"].update(pareto="love"),
            r"search result: pareto must be 'latency_ms' or",
        ),
        (PARITY, lambda d: d.update(format="x"), r"parity\.json is not an export's comparison: it lacks 'x'"),
        (PARITY, lambda d: d["exported"].update(images="many"), r"export's comparison: images must be a whole number"),
        ("run.json", lambda d: d["steps"][0].update(finished="soon"), r"run's manifest of schema 1: time data 'soon'"),
        ("run.json", lambda d: d["steps"][0].update(command="rm"), r"manifest of schema 1: command must be a list"),
        (
            "run.json",
            lambda d: d["steps"][1]["settings"].update(finetune={"history": "x"}),
            r"run\.json tells of a training what cannot be drawn: history must be a list",
        ),
    ],
)
def test_a_report_names_the_file_and_what_is_wrong(
    name: str, change: Callable[[Any], None], said: str, run: Run
) -> None:
    spoil(run.path / name, change)
    with pytest.raises(FileError, match=said):
        collect(run)
    (found,) = list_runs(run.path.parent)
    assert found.step in ("broken", "exported")


def test_half_a_surrogate_in_a_manifest_is_a_question_mark_on_the_page(run: Run) -> None:
    spoil(run.manifest, lambda d: d["steps"][0]["settings"].update(note="x\ud800y"))
    path, _ = report(run)
    assert "x?y" in path.read_text(encoding="utf-8")


def test_a_profile_that_does_not_describe_its_machine(run: Run) -> None:
    run.profiles.mkdir()
    header, *rest = (OLD / "profile.jsonl").read_text().splitlines()
    spoiled = json.loads(header)
    spoiled["environment"]["hardware"] = ["cpu"]
    (run.profiles / "p.jsonl").write_text("\n".join([json.dumps(spoiled), *rest]) + "\n")
    with pytest.raises(FileError, match=r"p\.jsonl does not describe its machine: 'list' object has no attribute"):
        collect(run)


def test_weights_that_are_no_numbers_are_refused(run: Run, tmp_path: Path) -> None:
    for path, read in ((run.supernet, load_supernet), (run.choice, load_model), (run.choice, read_weights)):
        weights, about = load_file(path), header(path, "the weights")
        name = next(iter(weights))
        for value in (float("nan"), float("inf")):
            changed = {**weights, name: torch.full_like(weights[name], value)}
            save_file(changed, tmp_path / "w.safetensors", about)
            with pytest.raises(FileError, match=rf"'{name}' holds what is no finite number"):
                read(tmp_path / "w.safetensors")


@pytest.mark.parametrize("sample", [0.0, -1.0, 1.1e9, 1e308])
def test_no_inference_takes_eleven_days(sample: float, tmp_path: Path) -> None:
    subnet = Subnet.from_json((OLD / "subnet.json").read_text())
    with pytest.raises(InputError, match=r"A latency sample must be above 0 and at most 1e\+09 ms"):
        Measurement(subnet, ((sample,),), (1.0,))
    path = tmp_path / "j.jsonl"
    line = {"measurement": "first", "round": 0, "subnet": "x", "before_ms": [1.0], "after_ms": [1.0]}
    path.write_text('{"schema":2,"kind":"journal"}\n' + json.dumps(line | {"samples_ms": [sample]}) + "\n")
    with pytest.raises(FileError, match=r"line 2, is broken: samples are missing, not positive, or above 1e\+09 ms"):
        Journal.open(path, {})


@pytest.mark.parametrize("drift", [0.0, 1e-300, 1e7])
def test_no_machine_drifts_a_million_times(drift: float, tmp_path: Path) -> None:
    lines = (OLD / "profile.jsonl").read_text().splitlines()
    row = json.loads(lines[1])
    lines[1] = json.dumps(row | {"drift": [drift] * len(row["drift"])})
    (tmp_path / "p.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(FileError, match=r"line 2, is not a profile's: A drift must be between 1e-06 and 1e\+06"):
        load_profile(tmp_path / "p.jsonl")


def test_evaluations_of_a_part_alone_are_no_score_of_the_whole(tmp_path: Path) -> None:
    header, row = (OLD.parent / "v2" / "evaluations.jsonl").read_text().splitlines()[:2]
    for parts in ([1], [-1], [0, 2]):
        lines = [json.dumps(json.loads(row) | {"part": part}) for part in parts]
        (tmp_path / "e.jsonl").write_text("\n".join([header, *lines]) + "\n")
        assert not Archive.open(tmp_path / "e.jsonl", {}).known(len(parts))


def test_a_manifest_given_as_a_configuration_may_be_spoiled_too(run: Run) -> None:
    spoil(run.manifest, lambda d: d["steps"][1]["settings"].update(evolution=True))
    with pytest.raises(FileError, match=r"run\.json is broken: evolution must be an object"):
        read_config(run.manifest, "search", {"seed", "population"})
