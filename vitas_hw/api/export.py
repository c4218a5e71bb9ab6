"""Exporting a model without a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vitas_hw.api.told import told
from vitas_hw.core import SILENT, InputError, Progress
from vitas_hw.core.settings import setting, settings, shared
from vitas_hw.workflows.export.settings import ExportSettings

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

    from vitas_hw.data import ImageData
    from vitas_hw.export import Exported


@settings
class ExportingOnnx:
    """Of ``export_onnx``."""

    model: VisionTransformer = setting(help="a plain ViT, as extract and build_model give it.", kw_only=False)
    path: str | Path = setting(help="the file to write, in a folder that is there.", kw_only=False)
    precision: str = setting(default="fp32", like=ExportSettings)
    data: ImageData | None = setting(
        default=None, help="to compare on, and for int8 to calibrate on. Default: random images."
    )
    batch_size: int | None = setting(default=None, like=ExportSettings)
    opset: int | None = setting(default=None, like=ExportSettings)
    max_drop: float = setting(default=0.01, like=ExportSettings)
    images: int = setting(default=1000, like=ExportSettings)
    progress: Progress = setting(default=SILENT, help="where to report to.")
    seed: int = setting(default=0, help="of random images.", at_least=0, at_most=2**32 - 1)


@told(ExportingOnnx)
def export_onnx(asked: ExportingOnnx) -> Exported:
    """Write a model as an ONNX file, kept only if ONNX Runtime computes with it what torch does with the model.

    With ``data`` the file carries their preprocessing and class names, which ``classify`` reads.

    Returns: the file, and how it compares.

    Raises:
        InputError: no plain vision transformer, no folder for the file, or int8 without data.
        VitasError: the file would not compute the same.

    Example:
        >>> model = vh.build_model(vh.load_space("small.yaml").smallest, seed=0)
        >>> exported = vh.export_onnx(model, "small.onnx")
        >>> exported.path.name, exported.beside.agreement
        ('small.onnx', 1.0)
    """
    from vitas_hw.supernet import subnet_of_model
    from vitas_hw.workflows.export.export import Export, Handed, written

    path = Path(asked.path)
    if not path.parent.is_dir():
        raise InputError(f"The folder {path.parent} does not exist.", f"Run: mkdir -p {path.parent}", field="path")
    subnet = subnet_of_model(asked.model)
    handed = Handed(word=path.stem, name=path.stem, subnet=subnet, handed=asked.model.eval())
    about = shared(asked, ExportSettings) | {"data": None}
    export = Export(handed, asked.data, ExportSettings(**about))
    return written(export, "onnx", path, None, asked.progress)
