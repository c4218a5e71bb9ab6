"""What a latency belongs to: device, backend, effective precision, batch size, threads, image size."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vitas_hw.core.errors import InputError, one_of, shown
from vitas_hw.core.records import Record
from vitas_hw.core.subnet import positive_int

# a runtime's variants are backends of their own: their latencies differ
BACKENDS = (
    "torch",
    "torch-eager",
    "torch-compile",
    "onnxruntime",
    "onnxruntime-trt",
    "openvino",
    "tensorrt",
    "tensorrt-rtx",
)
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
LONGEST_MS = 1e9  # eleven days: no inference takes longer
_DEVICE_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_LONGEST = 100  # characters of a device's name: file names end at 255
_SLUG = re.compile(
    rf"(?P<device>.+)-(?P<backend>{'|'.join(BACKENDS)})-(?P<precision>{'|'.join(PRECISIONS)})"
    r"-b(?P<batch>\d{1,9})(?:-t(?P<threads>\d{1,9}))?-i(?P<height>\d{1,9})(?:x(?P<width>\d{1,9}))?"
)


@dataclass(frozen=True)
class Target(Record):
    """Everything a latency depends on besides the subnet.

    Args:
        device_name: the hardware's name in files: lower case letters, digits, dots and hyphens.
        backend: one of ``BACKENDS``.
        precision: the effective one that ran, not the requested one.
        batch_size: images per inference.
        threads: CPU threads; None if the backend has no such setting.
        image_size: (height, width) in pixels.

    Example:
        >>> vh.Target.from_slug("my-phone-onnxruntime-int8-b1-t4-i224").precision
        'int8'
    """

    device_name: str
    backend: str
    precision: str
    batch_size: int
    threads: int | None
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        name = str(self.device_name)
        if not isinstance(self.device_name, str) or len(name) > _LONGEST or not _DEVICE_NAME.fullmatch(name):
            better = device_slug(name)[:_LONGEST].strip("-.")
            allowed = f"up to {_LONGEST} of a-z, 0-9, '.' and '-'"
            problem = f"A device name has {allowed}, not {shown(self.device_name)}."
            raise InputError(problem, f"Try {better!r}.", field="device_name", value=name, allowed=allowed)
        if self.backend not in BACKENDS:
            raise one_of(self.backend, BACKENDS, "backend")
        if self.precision not in PRECISIONS:
            raise one_of(self.precision, PRECISIONS, "precision")
        if not (isinstance(self.image_size, tuple) and len(self.image_size) == 2):
            raise InputError(f"A target's image size is (height, width), not {shown(self.image_size)}.")
        for value in (self.batch_size, *self.image_size, *([] if self.threads is None else [self.threads])):
            positive_int(value, "a target's batch size, threads and image size")

    @property
    def slug(self) -> str:
        """``<device>-<backend>-<precision>-b<batch>[-t<threads>]-i<size>``, for file names."""
        height, width = self.image_size
        threads = "" if self.threads is None else f"-t{self.threads}"
        size = f"{height}" if height == width else f"{height}x{width}"
        return f"{self.device_name}-{self.backend}-{self.precision}-b{self.batch_size}{threads}-i{size}"

    @classmethod
    def from_slug(cls, slug: str) -> Target:
        """Inverse of ``slug``. Raises InputError on anything else."""
        found = _SLUG.fullmatch(slug)
        if found is None:
            hint = "The form is <device>-<backend>-<precision>-b1[-t1]-i224."
            raise InputError(f"{shown(slug)} is not a target.", hint, value=slug)
        height = int(found["height"])
        threads = None if found["threads"] is None else int(found["threads"])
        size = (height, int(found["width"] or height))
        return cls(found["device"], found["backend"], found["precision"], int(found["batch"]), threads, size)


def device_slug(name: str) -> str:
    """A hardware's own name made fit for files: ``AMD EPYC 9B14 96-Core Processor`` gives ``amd-epyc-9b14``."""
    plain = re.sub(r"\((?:r|tm|c)\)|@.*|\d+-core|\b(?:cpu|processor|graphics|with)\b", " ", name.lower())
    return re.sub(r"[^a-z0-9.]+", "-", plain).strip("-.") or "device"
