"""Trains a small supernet and keeps a checkpoint of every step; what test_killed.py kills.

python train_and_save.py RUN SPACE.yaml EPOCHS [rarely]

``rarely``: looks at the loss as seldom as on a GPU.
"""

import sys
from pathlib import Path

from vitas_hw.runs.directory import Run
from vitas_hw.training import trainer
from vitas_hw.workflows.train.settings import TrainSettings
from vitas_hw.workflows.train.train import train

run, space, epochs, *rarely = sys.argv[1:]
if rarely:
    trainer._LOOK_EVERY.clear()
settings = TrainSettings(epochs=int(epochs), device="cpu", save_every_s=0.3 if rarely else 0.0)
train(Run(Path(run)), settings, space=space)
