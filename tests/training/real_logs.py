"""Asks the real libraries, offline: MLflow with its store of files, Weights & Biases in its offline mode.

python tests/training/real_logs.py FOLDER, in an environment that has both; they are no dependencies of the tests.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vitas_hw.training.callbacks import LOGS, About

folder = Path(sys.argv[1]).resolve()
os.chdir(folder)
os.environ |= {"MLFLOW_ALLOW_FILE_STORE": "true"}  # it needs nothing else to be installed
os.environ |= {"MLFLOW_TRACKING_URI": f"file://{folder}/mlruns", "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
names = sys.argv[2:] or ["mlflow", "wandb"]
for name in names:
    for goes_on, epoch in ((False, 1), (True, 2)):
        log = LOGS[name](About("train", "digits", folder, {"seed": 0, "recipe": {"lr": 0.1}}, goes_on))
        log.metrics({"train/loss": 2.0 / epoch, "train/lr": 0.1}, epoch)
        log.close()
if "mlflow" in names:
    from mlflow import MlflowClient

    client = MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("vitas-hw").experiment_id])
    assert run.data.params == {"seed": "0", "recipe.lr": "0.1"}, run.data.params
    assert run.info.status == "FINISHED"
    told = [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, "train/loss")]
    assert told == [(1, 2.0), (2, 1.0)], told
if "wandb" in names:
    files = [path for path in (folder / "wandb").rglob("*.wandb") if path.stat().st_size]
    assert len(files) == 2, files  # of one run: the name stands in both
    assert len({path.name for path in files}) == 1, files
sys.stdout.write(f"as expected: {', '.join(names)}\n")
