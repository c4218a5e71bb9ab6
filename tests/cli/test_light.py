"""Commands that need no net load none: lists, refusals, a linear predictor's prediction. By what is in sys.modules."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vitas_hw.runs.directory import Run
from vitas_hw.training.checkpoint import State, save_state

DATA = Path(__file__).parents[1] / "older_files/v1"
HEAVY = {
    "torch", "timm", "torchvision", "pandas", "scipy", "sklearn", "xgboost", "ray", "onnx", "onnxruntime", "openvino",
    "matplotlib", "pymoo", "PIL",
}  # fmt: skip
CALL = """
import sys
from vitas_hw.cli.main import main
status = main(sys.argv[1:])
print(status, *{name.split(".")[0] for name in sys.modules}, file=sys.stderr)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that is trained and searched, and one whose training has begun."""
    shutil.copytree(DATA / "run", tmp_path / "runs/default")
    run = Run(tmp_path / "runs/begun")
    run.path.mkdir()
    save_state(run.training_state, {"epochs": 7}, State(tensors={"model": {}}))
    save_state(run.retraining_state, {"epochs": 7}, State(tensors={"model": {}}))
    return tmp_path


def called(folder: Path, *words: str) -> tuple[int, set[str], str, str]:
    """Status, heavy modules, what was printed and said by a fresh process."""
    done = subprocess.run([sys.executable, "-c", CALL, *words], cwd=folder, capture_output=True, text=True, check=True)
    said, _, last = done.stderr.rstrip("\n").rpartition("\n")
    status, *modules = last.split()
    assert "vitas_hw" in modules
    return int(status), HEAVY & set(modules), done.stdout, said


LISTS = [
    ["--help"],
    ["--version"],
    *([name, "--help"] for name in ("train", "search", "profile", "export", "shrink", "doctor", "evaluate")),
    ["runs"],
    ["runs", "--json"],
    ["spaces"],
    ["doctor", "--no-probe"],
    ["doctor", "--no-probe", "--json"],
    ["predict", "smallest", "largest", "--predictor", str(DATA / "predictor-linear.json")],
]


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_lists_and_small_predictions_load_nothing_heavy(words: list[str], folder: Path) -> None:
    status, heavy, printed, said = called(folder, *words)
    assert (status, heavy) == (0, set()), said
    assert printed


REFUSED = [
    (["train", "--epochs", "0"], "--epochs must be at least 1"),
    (["train", "--max-time", "soon"], "Invalid duration"),
    (["train", "--nonsense"], "No such option"),
    (
        ["train", "--run", "runs/begun", "--epochs", "8"],
        "unfinished training with other settings (accumulate, budget, da",
    ),
    (
        ["retrain", "smallest", "--run", "runs/begun", "--epochs", "8"],
        "unfinished training with other settings (accumulate, epochs",
    ),
    (["retrain", "--run", "runs/begun"], "no search has finished in it"),
    (["train", "--space", "nope"], "nope"),
    (["search", "--latency", "5parsecs"], "has the unit 'parsecs'"),
    (["search", "--flops", "1K"], "fits the budget"),
    (["search", "--run", "runs/nowhere", "--flops", "1M"], "has no supernet"),
    (["search", "--latency", "5ms"], "has no predictor"),
    (["evaluate", "smallest", "--run", "runs/nowhere"], "has no supernet"),
    (["evaluate"], "No subnet was given"),
    (["export"], "Say which format"),
    (["export", "--onnx", "--run", "runs/nowhere"], "no search has finished in it"),
    (["profile", "--num-subnets", "3"], "at least 20"),
    (["profile", "--rounds", "0"], "--rounds must be at least 1"),
    (["predict", "smallest", "--run", "runs/nowhere"], "has no predictor"),
    (["predict", "smallest", "--predictor", "nobody"], "Unknown predictor"),
    (["compare", "smallest"], "at least two"),
    (["shrink", "x"], "There is no budget to shrink the model to"),
    (["quickstart", "--epochs", "0"], "--epochs must be at least 1"),
    (["report", "--run", "runs/nowhere"], "runs/nowhere"),
    (["fit"], "Give a profile"),
]


@pytest.mark.parametrize(
    ("words", "says"), REFUSED, ids=lambda given: " ".join(given) if isinstance(given, list) else None
)
def test_a_refusal_loads_nothing_heavy(words: list[str], says: str, folder: Path) -> None:
    status, heavy, printed, said = called(folder, *words)
    assert status == 2, said
    assert says in said
    assert heavy == set()
    assert printed == ""


@contextmanager
def held(run: Path) -> Iterator[None]:
    code = "import sys; from pathlib import Path; from vitas_hw.runs.directory import Run\n"
    code += f"with Run(Path({str(run)!r})).locked(): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.communicate()


@pytest.mark.parametrize("name", ["train", "search", "retrain", "export", "profile", "quickstart", "shrink"])
def test_a_second_process_is_refused_before_anything_heavy_is_loaded(name: str, folder: Path) -> None:
    words = {"export": ["--onnx"], "shrink": ["x", "--speedup", "2x"]}.get(name, [])
    with held(folder / "runs/default"):
        status, heavy, _, said = called(folder, name, *words)
    assert status == 2
    assert "is being worked on by the process" in said
    assert heavy == set()


def test_errors_are_json_where_results_would_be(folder: Path) -> None:
    status, heavy, printed, said = called(folder, "train", "--epochs", "0", "--json")
    assert (status, heavy) == (2, set())
    assert json.loads(printed) == {
        "error": {
            "status": 2,
            "problem": "--epochs must be at least 1, not 0.",
            "hint": "",
            "field": "epochs",
            "value": 0,
            "allowed": "at least 1",
        }
    }
    assert "Error: --epochs must be at least 1, not 0." in said
    status, _, printed, _ = called(folder, "search", "--run", "runs/nowhere", "--flops", "1M", "--json")
    error = json.loads(printed)["error"]
    assert (error["step"], error["hint"]) == ("train", "Run: vitas-hw train --run runs/nowhere")
    assert json.loads(called(folder, "train", "--nonsense", "--json")[2])["error"]["status"] == 2
