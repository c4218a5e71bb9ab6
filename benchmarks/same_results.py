"""Do two checkouts compute the same, to the last bit? For changes that are meant to change no result.

    python benchmarks/same_results.py OLD [NEW]     NEW is this checkout

One supernet of the digits is trained by OLD. On copies of its run each checkout searches, exports and predicts; each
trains another supernet, is killed by signal 9 in the middle, and goes on. Codes and scores of the candidates, the
choice's weights, the logits of the exported ONNX file, predictions of the shipped predictors and the weights of the
killed training are compared. Ends with status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime as ort
from safetensors.numpy import load_file

HERE = Path(__file__).resolve().parent.parent
EPOCHS = "3"
_PREDICT = """
import json, sys
from pathlib import Path
import vitas_hw as vh
found = {}
for path in sorted(Path(sys.argv[1]).glob("*.json")):
    predictor = vh.load_predictor(path)
    p = predictor.predict([predictor.space.sample(seed) for seed in range(300)])
    found[path.stem] = [[x.hex() for x in part.tolist()] for part in (p.latency_ms, p.lower_ms, p.upper_ms)]
print(json.dumps(found))
"""
_TRAIN = """
import sys
try:
    from vitas_hw.runs.directory import Run
    from vitas_hw.workflows.train.settings import TrainSettings
    from vitas_hw.workflows.train.train import train
except ImportError:  # before the layout of November 2026
    from vitas_hw.workflows.run import Run
    from vitas_hw.workflows.train import train
    from vitas_hw.workflows.train_settings import TrainSettings
train(Run(__import__("pathlib").Path(sys.argv[1])), TrainSettings(epochs=3, seed=0, save_every_s=0.3))
"""


def environment(checkout: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}


def called(checkout: Path, *words: str, cwd: Path) -> str:
    """What a checkout prints; ends the comparison if it fails."""
    done = subprocess.run(
        [sys.executable, *words], cwd=cwd, env=environment(checkout), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{checkout}: {' '.join(words)[:200]} failed:\n{done.stderr}")
    return done.stdout


def killed_training(checkout: Path, cwd: Path) -> dict[str, np.ndarray]:
    """Weights of a training that was killed once it had a checkpoint, and went on."""
    run = cwd / "killed"
    words = [sys.executable, "-c", _TRAIN, str(run)]
    process = subprocess.Popen(words, cwd=cwd, env=environment(checkout), stderr=subprocess.DEVNULL)
    while not (run / "training.pt").exists() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(1.0)
    if process.poll() is not None:
        raise SystemExit(f"{checkout}: the training ended before it could be killed")
    process.send_signal(signal.SIGKILL)
    process.wait()
    called(checkout, *words[1:], cwd=cwd)
    return load_file(run / "supernet.safetensors")


def results(checkout: Path, trained: Path, cwd: Path) -> dict[str, object]:
    """Everything that is compared, by name."""
    shutil.copytree(trained, cwd / "run")
    vitas = ("-m", "vitas_hw")
    called(checkout, *vitas, "search", "--flops", "20M", "--seed", "0", "--run", "run", cwd=cwd)
    called(checkout, *vitas, "export", "--onnx", "--run", "run", cwd=cwd)
    candidates = [json.loads(line) for line in (cwd / "run" / "candidates.jsonl").read_text().splitlines()]
    choice = json.loads((cwd / "run" / "search.json").read_text())["choice"]
    session = ort.InferenceSession(str(cwd / "run" / "choice.onnx"))
    shape = [8, *session.get_inputs()[0].shape[1:]]
    images = np.random.default_rng(0).standard_normal(shape, np.float32)
    return {
        "search: codes of the candidates": [one["subnet"] for one in candidates],
        "search: scores of the candidates": [float(one["top1"]).hex() for one in candidates],
        "search: the choice": choice,
        "search: weights of the choice": load_file(cwd / "run" / "choice.safetensors"),
        "export: logits of the ONNX file": {"logits": session.run(None, {session.get_inputs()[0].name: images})[0]},
        "shipped predictors: predictions and intervals": json.loads(
            called(checkout, "-c", _PREDICT, str(HERE / "predictors"), cwd=cwd)
        ),
        "training killed and gone on: weights": killed_training(checkout, cwd),
    }


def equal(old: object, new: object) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(equal(old[key], new[key]) for key in old)
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
        return old.dtype == new.dtype and old.shape == new.shape and old.tobytes() == new.tobytes()
    return bool(old == new)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path, nargs="?", default=HERE)
    args = parser.parse_args()
    old, new = args.old.resolve(), args.new.resolve()
    with TemporaryDirectory() as folder:
        cwd = Path(folder)
        called(old, "-m", "vitas_hw", "train", "--epochs", EPOCHS, "--seed", "0", "--run", "run", cwd=cwd)
        found = []
        for name, checkout in (("old", old), ("new", new)):
            (cwd / name).mkdir()
            found.append(results(checkout, cwd / "run", cwd / name))
    same = {name: equal(value, found[1][name]) for name, value in found[0].items()}
    for name, one in same.items():
        size = len(found[0][name])  # type: ignore[arg-type]
        print(f"{'equal' if one else 'DIFFERENT':10} {name} ({size} compared)")
    return 0 if all(same.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
