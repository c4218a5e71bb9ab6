"""A search whose subnets are evaluated on a real Ray cluster on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from machines_of_ray import machines_of
from safetensors.torch import load_file

import vitas_hw as vh
from vitas_hw.cli.main import main
from vitas_hw.cluster.evaluate import RayPool
from vitas_hw.core.budget import Budget
from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.files import write_atomic
from vitas_hw.core.progress import Silent
from vitas_hw.core.space import SearchSpace
from vitas_hw.runs.directory import Run
from vitas_hw.supernet.weights_file import save_supernet
from vitas_hw.workflows.search.search import search_run
from vitas_hw.workflows.search.settings import SearchSettings

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves log files and sockets open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the same, seen by the collector
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore:Tip. In future versions of Ray:FutureWarning"),
]


class Told(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def run_with_supernet(path: Path, space: SearchSpace) -> Run:
    """Never trained, as its subnets' top-1 need only differ."""
    run = Run(path)
    run.begin(space)
    write_atomic(run.data, json.dumps(vh.load_data("digits", space).to_dict()))
    save_supernet(vh.build_supernet(space, seed=1), run.supernet)
    return run


@pytest.mark.full
def test_a_search_on_a_cluster_is_the_serial_one_though_a_worker_is_killed(
    small: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitas_hw.workflows.search.finetune.finetune_recipe", lambda *_: None)
    settings = SearchSettings(population=6, generations=4, optimizer="nsga2", device="cpu")
    alone, spread, told = run_with_supernet(tmp_path / "a", small), run_with_supernet(tmp_path / "b", small), Told()
    spread.supernet.write_bytes(alone.supernet.read_bytes())  # of each save safetensors shuffles the header
    budget = Budget.parse(flops="2M")
    search_run(alone, budget, settings)

    killed: list[int] = []
    evaluate = RayPool.evaluate

    def evaluate_and_kill(self: RayPool, place: int, job: object) -> object:
        if not killed:
            killed.append(self._cluster._ray.get(self._workers[place].__ray_call__.remote(lambda _: os.getpid())))
            os.kill(killed[0], signal.SIGKILL)
        return evaluate(self, place, job)  # type: ignore[arg-type]

    monkeypatch.setattr(RayPool, "evaluate", evaluate_and_kill)
    with machines_of("a", "b") as machines:
        search_run(spread, budget, replace(settings, ray=machines.address, ray_gpus=0.0), progress=told)
    assert spread.candidates.read_bytes() == alone.candidates.read_bytes()
    weights, others = load_file(spread.choice), load_file(alone.choice)
    assert all(torch.equal(weights[name], others[name]) for name in weights.keys() | others.keys())
    lines = [[json.loads(line) for line in run.evaluations.read_text().splitlines()] for run in (alone, spread)]
    assert all("at" in line for line in lines[0][2:-1])  # when: two searches cannot agree on that
    without = [[{name: value for name, value in line.items() if name != "at"} for line in each] for each in lines]
    assert without[0] == without[1]
    assert len(killed) == 1
    assert any("is lost; another takes its place" in note for note in told.notes)
    assert any("2 workers of the Ray cluster evaluate, each on a cpu" in note for note in told.notes)


@pytest.mark.full
def test_a_cluster_without_what_is_asked_for_says_so(small: SearchSpace, tmp_path: Path) -> None:
    run = run_with_supernet(tmp_path, small)
    with machines_of("a") as machines, pytest.raises(VitasError, match=r"No GPU in the cluster.*ray status"):
        search_run(run, Budget.parse(flops="2M"), SearchSettings(ray=machines.address, ray_gpus=0.5))


def test_a_machine_of_no_cluster_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import ray

    def nowhere(**_: object) -> None:  # as Ray itself ends; a test of another process may have a cluster here
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", nowhere)
    assert main(["profile", "--ray", "auto", "--space", "vitas-digits", "--run", str(tmp_path / "run")]) == 1
    assert "Error: This machine belongs to no Ray cluster." in capsys.readouterr().err


def test_words_that_make_no_workers_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"whole ones, not 1\.5"):
        SearchSettings(ray="auto", ray_gpus=1.5)
    assert main(["search", "--ray-gpus", "1", "--run", str(tmp_path)]) == 2
    assert "--ray-gpus needs a cluster. Add --ray auto" in " ".join(capsys.readouterr().err.split())


def test_ray_is_loaded_only_by_a_search_that_asks_for_it() -> None:
    code = "import sys, vitas_hw.workflows.search.scoring; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
