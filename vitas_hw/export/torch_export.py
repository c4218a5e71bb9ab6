"""A plain model as a program of ``torch.export``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from vitas_hw.core.subnet import Subnet
from vitas_hw.export.parity import Program, torch_program


def write_torch(
    model: nn.Module, subnet: Subnet, path: Path, *, batch_size: int | None, metadata: Mapping[str, object]
) -> None:
    """Write ``path`` (``.pt2``); ``torch.export.load(path).module()`` needs torch alone.

    Args:
        model: in evaluation mode.
        subnet: its architecture.
        path: of the program.
        batch_size: fixed; None leaves it open.
        metadata: as ``metadata.json`` inside the file.
    """
    images = torch.zeros(batch_size or 2, subnet.in_chans, *subnet.image_size)  # 1 would be taken for a constant
    shapes = None if batch_size else ({0: torch.export.Dim("batch")},)
    with torch.no_grad():
        program = torch.export.export(model, (images,), dynamic_shapes=shapes)
    about = json.dumps({**metadata, "subnet": subnet.to_dict()})
    torch.export.save(program, path, extra_files={"metadata.json": about})


def exported_program(path: Path) -> Program:
    """A written program, read back."""
    module = torch.export.load(path).module()
    module.eval = lambda: module  # type: ignore[method-assign]  # exported modules refuse the call, and need none
    return torch_program(module)
