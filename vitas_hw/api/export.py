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

    model: VisionTransformer = setting(help="a plain ViT, from extract or build_model for example.", kw_only=False)
    path: str | Path = setting(help="the file to write, in an existing folder.", kw_only=False)
    precision: str = setting(default="fp32", like=ExportSettings)
    data: ImageData | None = setting(
        default=None, help="images for the check and for int8 calibration. Default: random images."
    )
    batch_size: int | None = setting(default=None, like=ExportSettings)
    opset: int | None = setting(default=None, like=ExportSettings)
    max_drop: float = setting(default=0.01, like=ExportSettings)
    images: int = setting(default=1000, like=ExportSettings)
    progress: Progress = setting(default=SILENT, help="a ``Reporter`` shows progress on stderr. Default: silent.")
    seed: int = setting(default=0, help="random seed of the images.", at_least=0, at_most=2**32 - 1)


@told(ExportingOnnx)
def export_onnx(asked: ExportingOnnx) -> Exported:
    """Export a model to an ONNX file, which is kept only if its logits in ONNX Runtime match PyTorch's.

    With ``data`` the file also holds the preprocessing and class names, which ``classify`` reads.

    Returns: the file (``path``) and the result of the check (``beside``).

    Raises:
        InputError: the model is no plain vision transformer, the folder does not exist, or int8 without data.
        VitasError: the logits do not match; no file is left.

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
