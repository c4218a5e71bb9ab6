"""kill -9 in the middle of a training: it goes on where it was and ends with the same weights; no orphan is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from vitas_hw.core.space import SearchSpace

SCRIPT = Path(__file__).parent / "train_and_save.py"
ALONE = [sys.executable]
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
PATIENCE_S = 120


@pytest.fixture
def space_file(small: SearchSpace, tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in small.to_dict().items() if key != "name"}))
    return path


def start(launcher: list[str], run: Path, space: Path) -> subprocess.Popen[bytes]:
    words = [*launcher, str(SCRIPT), str(run), str(space), "3"]
    return subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(launcher: list[str], run: Path, space: Path) -> dict[str, torch.Tensor]:
    process = start(launcher, run, space)
    assert process.wait(PATIENCE_S) == 0
    assert not (run / "training.pt").exists()
    return load_file(run / "supernet.safetensors")


def wait_for(condition: object, what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, f"waited too long for {what}"
        time.sleep(0.02)


def steps_done(run: Path) -> int:
    path = run / "training.pt"
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    return int(state["epoch"]) * 17 + int(state["step"])  # 1,077 digits, 64 a step


def processes(run: Path) -> dict[int, int]:
    """Pid to parent's pid of everything alive that has the run on its command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            status = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if str(run).encode() in words and status[0] != "Z":
            found[int(folder.name)] = int(status[1])
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("launcher", "victim"),
    [
        pytest.param(ALONE, "itself", id="one process"),
        pytest.param(TWO, "worker", id="a worker of two", marks=pytest.mark.full),
        pytest.param(TWO, "launcher", id="the launcher of two", marks=pytest.mark.full),
    ],
)
def test_a_killed_training_goes_on_and_ends_with_the_same_weights(
    launcher: list[str], victim: str, space_file: Path, tmp_path: Path
) -> None:
    expected = finish(launcher, tmp_path / "whole", space_file)
    run = tmp_path / "killed"
    process = start(launcher, run, space_file)
    wait_for(lambda: steps_done(run) >= 20, "a step of the second epoch")
    workers = [pid for pid, parent in processes(run).items() if parent == process.pid]
    os.kill(workers[0] if victim == "worker" else process.pid, signal.SIGKILL)
    process.wait(PATIENCE_S)
    wait_for(lambda: not processes(run), "every process to end")
    done = steps_done(run)
    assert 20 <= done < 3 * 17
    assert not (run / "supernet.safetensors").exists()
    weights = finish(launcher, run, space_file)
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weight, expected[name]) for name, weight in weights.items())


def test_processes_that_look_rarely_agree_on_when(space_file: Path, tmp_path: Path) -> None:
    """As on GPUs: checkpoints fall due by each process's own clock, yet all must vote at the same step."""
    words = [*TWO, str(SCRIPT), str(tmp_path / "run"), str(space_file), "8", "rarely"]
    assert subprocess.run(words, env=ENVIRONMENT, capture_output=True, timeout=PATIENCE_S).returncode == 0


def command_of_the_readme(space: Path) -> list[str]:
    words = ["vitas_hw", "train", "--space", str(space), "--run", "runs/two", "--epochs", "1", "--device", "cpu"]
    return [*TWO, "-m", "--", *words]


def test_the_command_of_the_readme_under_torchrun(space_file: Path, tmp_path: Path) -> None:
    words = [*command_of_the_readme(space_file), "--json"]
    done = subprocess.run(words, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epochs"] == 1
    assert done.stderr.count("is drawn equally often") == 1


@pytest.mark.full
def test_of_several_processes_one_says_what_is_wrong(space_file: Path, tmp_path: Path) -> None:
    words = command_of_the_readme(space_file)
    stopped = [*words, "--max-time", "0.001s"]
    assert subprocess.run(stopped, cwd=tmp_path, env=ENVIRONMENT, capture_output=True).returncode == 0
    other = subprocess.run([*words, "--lr", "0.1"], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert other.returncode != 0
    assert other.stderr.count("unfinished training with other settings (lr)") == 1
    assert "bug in vitas-hw" not in other.stderr
