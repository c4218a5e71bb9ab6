"""A type checker knows what each step takes and gives, though no list of its arguments is written twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RIGHT = """\
from __future__ import annotations

import vitas_hw as vh

run = vh.Run("runs/photos", space="photos.yaml", data="folder:photos")
run.profile(device="cpu", num_subnets=120)
run.train(epochs=100)
found = run.search(latency="5ms", optimizer=vh.optimizers.NSGA2(population=50))
top1: float | None = found.best.top1
front: vh.Rows[vh.FoundSubnet] = found.front
run.retrain("smallest", init="supernet")
run.export("onnx", precision="int8")[0].path.unlink()
run.shrink("deit_small_patch16_224", latency="5ms").speedup
latencies: list[float] = vh.measure([found.best.subnet], device="cpu").latency_ms
"""
WRONG = {
    'run.profile(devise="cpu")': 'Unexpected keyword argument "devise" for "profile"',
    'run.train(epochs="3")': 'Argument "epochs" to "train" of "Run" has incompatible type "str"',
    "run.shrink()": 'Missing positional argument "model" in call to "shrink"',
    "found.best.top1 + 1": "Unsupported operand types",
    'vh.measure("largest", rounds=None)': 'Argument "rounds" to "measure" has incompatible type "None"',
}


@pytest.mark.full  # mypy reads the whole package
def test_a_type_checker_knows_the_arguments(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(RIGHT + "\n".join(WRONG) + "\n")
    words = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(tmp_path / "cache"), str(script)]
    environment = os.environ | {"MYPYPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words], check=False, capture_output=True, text=True, cwd=ROOT, env=environment
    )
    errors = [line for line in done.stdout.splitlines() if ": error: " in line and "script.py" in line]
    first = len(RIGHT.splitlines()) + 1
    for number, (line, said) in enumerate(WRONG.items(), first):
        assert any(f":{number}: error: " in error and said in error for error in errors), (line, errors)
    assert {int(error.split(":")[1]) for error in errors} == set(range(first, first + len(WRONG)))
