"""What an engine was built by and for: a small JSON file beside it, so that it is refused elsewhere in one sentence.

TensorRT's own refusal comes late, from native code, and does not name the GPU.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vitas_hw.core.errors import FileError, InputError, one_of
from vitas_hw.core.reading import read_json
from vitas_hw.core.records import content, from_json, refusing, to_json
from vitas_hw.core.subnet import Subnet
from vitas_hw.export.engine_cache import timings_in
from vitas_hw.export.tensorrt_engine import (
    LIBRARIES,
    build_engine,
    default_capabilities,
    library_missing,
    load_library,
)

SCHEMA = 1
_ANEW = "Export the engine anew."


@dataclass(frozen=True)
class EngineHost:
    """What an engine has to fit.

    Args:
        library: ``tensorrt`` or ``tensorrt-rtx``.
        version: of the library; empty if it is not installed.
        gpus: (name, compute capability as ``"8.9"``) of each.
    """

    library: str
    version: str
    gpus: tuple[tuple[str, str], ...]

    def facts(self, index: int) -> tuple[str, ...]:
        """What engines and timings of one GPU belong to: library, version, and that GPU where there is one."""
        return (self.library, self.version, *(self.gpus[index] if index < len(self.gpus) else ()))


@dataclass(frozen=True, kw_only=True)
class EngineRecord:
    """An engine's origin.

    Args:
        library, version: that built it, and alone read it.
        device: the GPU that ``tensorrt`` chose its kernels on; None for those of ``tensorrt-rtx``, which chooses them
            where the engine runs.
        compute_capabilities: it runs on.
        precision: of its products.
        subnet: its architecture.
        engine_sha256: of the file.
    """

    library: str
    version: str
    device: str | None
    compute_capabilities: tuple[str, ...]
    precision: str
    subnet: Subnet
    engine_sha256: str

    def refusal(self, host: EngineHost) -> str:
        """Why the engine does not run there, in half a sentence; empty if it does."""
        if not host.version:
            return f"was built by {self.library} {self.version}, which is not installed here"
        if self.version != host.version:
            return f"was built by {self.library} {self.version}, and here is {host.version}, which cannot read it"
        fits = [
            name
            for name, capability in host.gpus
            if capability in self.compute_capabilities and self.device in (None, name)
        ]
        if fits:
            return ""
        what = ", ".join(self.compute_capabilities)
        built_for = (
            f"compute capability {what}" if self.device is None else f"{self.device} (compute capability {what})"
        )
        here = ", ".join(f"{name} ({capability})" for name, capability in host.gpus) or "no NVIDIA GPU"
        return f"was built for {built_for}, and this machine has {here}"


def write_engine(
    model: bytes,
    subnet: Subnet,
    path: Path,
    *,
    precision: str,
    batch_sizes: tuple[int, int, int] | None,
    compute_capabilities: Sequence[str] = (),
    timings: Path | None = None,
) -> None:
    """Build an engine, and write it with the record of what it was built for beside it.

    NVIDIA's own library builds for the GPU at hand; ``tensorrt-rtx`` where there is none, or for those asked for.

    Args:
        model: the ONNX graph.
        subnet: its architecture.
        path: of the engine.
        precision, batch_sizes, compute_capabilities: see ``build_engine``.
        timings: folder that keeps timings of kernels; None keeps none.

    Raises:
        InputError: a compute capability that cannot be built for.
        VitasError: no library is there, or it refuses the graph.
    """
    import torch

    here = torch.cuda.is_available() and not compute_capabilities
    library = "tensorrt" if here and not library_missing("tensorrt") else "tensorrt-rtx"
    trt, index = load_library(library), torch.cuda.current_device() if here else 0
    host = this_host(library)
    engine = build_engine(
        model,
        library=library,
        precision=precision,
        batch_sizes=batch_sizes,
        compute_capabilities=compute_capabilities,
        timing_cache=None if timings is None else timings_in(timings, host.facts(index)),
    )
    name, capability = host.gpus[index] if library == "tensorrt" else (None, "")
    path.write_bytes(engine)
    record = EngineRecord(
        library=library,
        version=host.version,
        device=name,
        compute_capabilities=(capability,) if name else tuple(compute_capabilities or default_capabilities(trt)),
        precision=precision,
        subnet=subnet,
        engine_sha256=sha256(engine),
    )
    write_record(path, record)


def record_path(engine: Path) -> Path:
    """Where the record of an engine lies."""
    return engine.with_name(f"{engine.name}.json")


def write_record(engine: Path, record: EngineRecord) -> None:
    """Write it beside the engine."""
    whole = {"schema": SCHEMA, **to_json(record)}
    record_path(engine).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def read_record(engine: Path) -> EngineRecord:
    """The record beside an engine.

    Raises:
        FileError: the engine or its record is missing, broken, or not of each other.
    """
    if not engine.is_file():
        raise FileError(f"There is no engine {engine}.")
    path = record_path(engine)
    with refusing(path, f"does not say what {engine.name} was built for", _ANEW):
        known = content(read_json(path, "the engine's record", hint=_ANEW), SCHEMA)
        record: EngineRecord = from_json(EngineRecord, known)
        if record.library not in LIBRARIES:
            raise one_of(record.library, LIBRARIES, "library")
    if record.engine_sha256 != sha256(engine.read_bytes()):
        raise FileError(f"{path} describes another engine than {engine.name}.", _ANEW)
    return record


def usable_record(engine: Path, host: EngineHost | None = None) -> EngineRecord:
    """The record of an engine that runs here.

    Args:
        engine: its file.
        host: None is this machine.

    Raises:
        FileError: see ``read_record``.
        InputError: it was built for another GPU, or by another version of the library.
    """
    record = read_record(engine)
    refusal = record.refusal(this_host(record.library) if host is None else host)
    if refusal:
        raise InputError(f"{engine} {refusal}.", "Export it for this machine.")
    return record


def this_host(library: str) -> EngineHost:
    """What engines care for of the machine at hand."""
    version = "" if library_missing(library) else str(load_library(library).__version__)
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    numbers = [torch.cuda.get_device_capability(index) for index in range(count)]
    gpus = tuple((torch.cuda.get_device_name(index), f"{a}.{b}") for index, (a, b) in enumerate(numbers))
    return EngineHost(library, version, gpus)


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()
