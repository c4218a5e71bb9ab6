"""A target that is found on any machine of a cluster: the made-up runtime, on hardware that a variable names."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from vitas_hw.cluster import devices
from vitas_hw.cluster.devices import MeasuringActor
from vitas_hw.core.errors import VitasError
from vitas_hw.core.target import Target
from vitas_hw.profiling.place import Place, TargetAsked
from vitas_hw.profiling.timing import Timing
from vitas_hw.profiling.worker import Worker

FAKE = str(Path(__file__).parent / "profiling" / "fake_worker.py")
HARDWARE = "FAKE_HARDWARE"


class FakePlace(Place):
    def worker(self, timing: Timing, timeout_s: float = 60.0, work: Path | None = None) -> Worker:
        program = (sys.executable, FAKE, "of-a-fleet")
        return Worker(self.target, "cpu", timing, timeout_s=timeout_s, work=work, program=program)


def find_place(asked: TargetAsked, image_size: tuple[int, int]) -> Place:
    hardware = os.environ[HARDWARE]
    if hardware == "unfit":
        raise VitasError("There is no such runtime here.")
    if asked.device == "cuda:0":
        assert os.environ["CUDA_VISIBLE_DEVICES"] in ("0", "1")  # one only
    target = Target("fake", "onnxruntime", "fp32", asked.batch_size, asked.threads, image_size)
    return FakePlace(target, "cpu", hardware)


class MeasuringFakes(MeasuringActor):
    def open(self) -> tuple[Target, dict[str, Any]] | str:
        devices.find_place = find_place  # in the process that measures
        return super().open()
