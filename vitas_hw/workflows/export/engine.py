"""An export as an engine, for the GPU of this machine or ahead of time for others."""

from __future__ import annotations

from pathlib import Path

import torch

from vitas_hw.export.engine_cache import timings_in
from vitas_hw.export.engine_record import EngineRecord, sha256, this_host, write_record
from vitas_hw.export.tensorrt_engine import (
    BatchSizes,
    build_engine,
    default_capabilities,
    library_missing,
    load_library,
)
from vitas_hw.workflows.export.job import BATCH, Export


def write_engine(export: Export, model: bytes, path: Path) -> None:
    """Write ``path`` and the record of what it was built for beside it.

    NVIDIA's own library builds for the GPU at hand; ``tensorrt-rtx`` where there is none, or for those asked for.

    Args:
        export: its settings and subnet.
        model: the ONNX graph.
        path: of the engine.

    Raises:
        InputError: a compute capability that cannot be built for.
        VitasError: no library is there, or it refuses the graph.
    """
    settings = export.settings
    here = torch.cuda.is_available() and not settings.compute_capabilities
    library = "tensorrt" if here and not library_missing("tensorrt") else "tensorrt-rtx"
    trt, index = load_library(library), torch.cuda.current_device() if here else 0
    host = this_host(library)
    engine = build_engine(
        model,
        library=library,
        precision=settings.precision,
        batch_sizes=None if settings.batch_size else BatchSizes(1, 1, BATCH),
        compute_capabilities=settings.compute_capabilities,
        timing_cache=None if export.engines is None else timings_in(export.engines, host.facts(index)),
    )
    name, capability = host.gpus[index] if library == "tensorrt" else (None, "")
    ahead = settings.compute_capabilities or default_capabilities(trt)
    path.write_bytes(engine)
    record = EngineRecord(
        library=library,
        version=host.version,
        device=name,
        compute_capabilities=(capability,) if name else tuple(ahead),
        precision=settings.precision,
        subnet=export.chosen.subnet,
        engine_sha256=sha256(engine),
    )
    write_record(path, record)
