"""Exporting a run's choice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from vitas_hw.core.errors import InputError
from vitas_hw.export.onnx_export import Parity, export_onnx
from vitas_hw.supernet.checkpoint import load_model
from vitas_hw.workflows.run import Run
from vitas_hw.workflows.train import load_run_data


@dataclass(frozen=True)
class Exported:
    """The file, and how it compares with torch on the test part of the data."""

    path: Path
    parity: Parity


def export_run(run: Run, output: Path | None = None) -> Exported:
    """Write the last search's choice as ONNX, checked against torch on the test part.

    Args:
        run: has been searched.
        output: where to; None is the run's own place.

    Raises:
        InputError: nothing has been searched, or the folder of ``output`` does not exist.
        VitasError: the file would not compute the same; none is kept.
    """
    if not run.choice.exists():
        raise InputError(f"The run {run.path} has no choice to export.", "Run: vitas-hw search")
    path = output or run.onnx
    if path.is_dir():
        raise InputError(f"{path} is a directory.", "Give a file, for example --output model.onnx")
    if not path.parent.is_dir():
        raise InputError(f"The folder {path.parent} does not exist.", f"Run: mkdir -p {path.parent}")
    model, subnet = load_model(run.choice)
    data = load_run_data(run, run.space(None))
    parity = export_onnx(
        model,
        subnet,
        path,
        images=data.test.inputs().numpy(),
        labels=data.test.labels.numpy(),
        metadata={"preprocessing": data.preprocessing.to_dict(), "class_names": data.class_names, "data": data.name},
    )
    run.record("export", run.space(None), asdict(parity), [run.choice], [path])
    return Exported(path, parity)
