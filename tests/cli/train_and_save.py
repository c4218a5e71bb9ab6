"""Trains a small super-transformer and keeps a checkpoint of every step; what test_killed.py kills.

python train_and_save.py RUN SPACE.yaml EPOCHS
"""

import sys
from pathlib import Path

from vitas_hw.workflows.run import Run
from vitas_hw.workflows.train import train
from vitas_hw.workflows.train_settings import TrainSettings

run, space, epochs = sys.argv[1:]
train(Run(Path(run)), TrainSettings(epochs=int(epochs), device="cpu", save_every_s=0.0), space=space)
