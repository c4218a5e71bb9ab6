"""What an export is told, what it works on and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vitas_hw.core.errors import InputError, one_of
from vitas_hw.data.load import ImageData
from vitas_hw.data.splits import Split
from vitas_hw.export.calibration import activation_scales
from vitas_hw.export.parity import Batches, Parity
from vitas_hw.runs.subnets import Chosen

FORMATS = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2", "timm": "-timm", "tensorrt": ".engine"}
PRECISIONS = ("fp32", "fp16", "int8")
OF_THE_MODEL = ("torch", "timm")  # always float32
_IMAGES, _CALIBRATION, BATCH = 1000, 256, 64


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What to write.

    Args:
        formats: of ``FORMATS``.
        precision: of ONNX, OpenVINO and TensorRT; the others are float32.
        batch_size: fixed; None leaves it open.
        opset: of ONNX; None takes the lowest that the graph needs.
        compute_capabilities: of the GPUs to build the engine for ahead of time (``8.9``).
        max_drop: with int8, how much top-1 may fall, as a share.
        images: most images of the test part to compare on.
        data: whose images; None is the run's.
        seed: of fresh weights, and of the images where there are no data.
    """

    formats: tuple[str, ...] = ("onnx",)
    precision: str = "fp32"
    batch_size: int | None = None
    opset: int | None = None
    compute_capabilities: tuple[str, ...] = ()
    max_drop: float = 0.01
    images: int = _IMAGES
    data: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.formats:
            if name not in FORMATS:
                raise one_of(name, FORMATS, "format")
        if not self.formats:
            raise InputError("Say which format to export.", "Run: vitas-hw export --onnx")
        if self.precision not in PRECISIONS:
            raise one_of(self.precision, PRECISIONS, "precision of an export")
        if self.batch_size is not None and self.batch_size < 1:
            raise InputError(f"--batch-size must be at least 1, not {self.batch_size}.")
        if not 0 <= self.max_drop <= 1:
            raise InputError(f"--max-drop is a share from 0 to 1, not {self.max_drop}.", "Try --max-drop 0.01")
        if self.images < 1:
            raise InputError(f"--images must be at least 1, not {self.images}.")


@dataclass(frozen=True)
class Exported:
    """A kept file and how it compares.

    Args:
        format: of ``FORMATS``.
        path: the file, or timm's folder.
        precision: of the file.
        parity: the plain model beside the file (of an engine: beside the graph it was built of).
        extraction: super-transformer beside the extracted model, where there is one.
        checked: what was run for the comparison.
        latency_ms: p50 in fp32 and in the precision of the file, where this CPU runs both.
    """

    format: str
    path: Path
    precision: str
    parity: Parity
    extraction: Parity | None
    checked: str
    latency_ms: dict[str, float] = field(default_factory=dict)

    @property
    def report(self) -> Path:
        """Where the comparison is written."""
        return self.path.with_name(f"{self.path.name}.parity.json")

    @property
    def card(self) -> Path:
        """The model card beside it."""
        return self.path.with_name(f"{self.path.name}.md")

    @property
    def top1(self) -> float | None:
        return self.parity.others[self.format].top1

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": self.format,
            "precision": self.precision,
            "checked": self.checked,
            "exported": self.parity.to_dict(),
            "extraction": None if self.extraction is None else self.extraction.to_dict(),
            "latency_ms": self.latency_ms,
        }


@dataclass(frozen=True)
class Export:
    """All that an export needs to know of its subject.

    Args:
        chosen: the subnet and its weights.
        data: to compare on; None where there are none.
        settings: what to write.
        engines: the folder of the run that keeps timings of kernels; None outside of a run.
    """

    chosen: Chosen
    data: ImageData | None
    settings: ExportSettings
    engines: Path | None = None

    @property
    def about(self) -> dict[str, object]:
        """What goes into every file."""
        about: dict[str, object] = {"weights": self.chosen.weights}
        if self.chosen.seed is not None:
            about["seed"] = self.chosen.seed
        if self.data is not None:
            about |= {"preprocessing": self.data.preprocessing.to_dict(), "class_names": self.data.class_names}
            about["data"] = self.data.name
        return about

    def batches(self) -> Batches:
        """Images of the test part, evenly spread; random ones without data."""
        subnet = self.chosen.subnet
        if self.data is None:
            count = min(self.settings.images, 16)
            shape = (count, subnet.in_chans, *subnet.image_size)
            yield np.random.default_rng(self.settings.seed).standard_normal(shape, np.float32), None
            return
        for images, labels in _some(self.data.test, self.settings.images).batches(BATCH):
            yield images.numpy(), labels.numpy()

    def scales(self) -> dict[str, float]:
        """Of int8 activations, from images of the search part. Raises InputError without data."""
        if self.data is None:
            raise InputError("int8 needs images to calibrate on, and there are none.", "Name some: --data folder:PATH")
        model = self.chosen.model
        found: dict[str, float] = {}
        for images, _ in _some(self.data.search, _CALIBRATION).batches(BATCH):
            for name, scale in activation_scales(model, images).items():
                found[name] = max(found.get(name, 0.0), scale)
        return found


def _some(split: Split, most: int) -> Split:
    if len(split) <= most:
        return split
    return split.subset(np.linspace(0, len(split) - 1, most).astype(int).tolist())
