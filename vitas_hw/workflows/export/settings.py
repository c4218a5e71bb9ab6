"""Export settings."""

from __future__ import annotations

from vitas_hw.core.deadline import TimeAllowed
from vitas_hw.core.errors import InputError, one_of
from vitas_hw.core.settings import setting, settings

FORMATS = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2", "timm": "-timm", "tensorrt": ".engine"}
PRECISIONS = ("fp32", "fp16", "int8")
OF_THE_MODEL = ("torch", "timm")  # always float32
_HOW, _CHECK = "Format", "Check against PyTorch"


@settings
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
        max_time_s: see ``TimeAllowed``; a format that is not checked by then is not kept.
        seed: of fresh weights, and of the images where there are no data.
    """

    formats: tuple[str, ...] = ("onnx",)
    precision: str = setting(
        default="fp32", help="fp32, fp16 or int8; timm and torch are always fp32.", group=_HOW, choices=PRECISIONS
    )
    batch_size: int | None = setting(default=None, help="Fix the batch size. Default: dynamic.", group=_HOW, at_least=1)
    opset: int | None = setting(default=None, help="ONNX opset, 18 to 23. Default: the lowest possible.", group=_HOW)
    compute_capabilities: tuple[str, ...] = setting(default=(), help="GPUs of the TensorRT engine: 8.9.", group=_HOW)
    max_drop: float = setting(
        default=0.01,
        help="Largest drop in top-1 allowed for int8: 0.01 is one point.",
        group=_CHECK,
        at_least=0,
        at_most=1,
    )
    images: int = setting(default=1000, help="Images to check on, at most.", group=_CHECK, at_least=1)
    data: str | None = setting(default=None, help="Images to check on. Default: the run's.", group=_CHECK)
    max_time_s: float | None = setting(default=None, like=TimeAllowed, group=_CHECK)
    seed: int = setting(default=0, help="Random seed.", at_least=0, at_most=2**32 - 1)

    def precision_of(self, name: str) -> str:
        """What a format is written in."""
        return "fp32" if name in OF_THE_MODEL else self.precision

    def __post_init__(self) -> None:
        for name in self.formats:
            if name not in FORMATS:
                raise one_of(name, FORMATS, "format")
        if not self.formats:
            raise InputError("Say which format to export.", "Try `onnx`.", field="formats")
