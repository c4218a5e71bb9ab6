"""Images and an exported file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitas_hw.api.steps import own
from vitas_hw.api.told import told
from vitas_hw.core import Rows
from vitas_hw.core.settings import setting, settings
from vitas_hw.workflows.classify import Classified, ClassifySettings
from vitas_hw.workflows.classify import classify as classify_images

if TYPE_CHECKING:
    from PIL import Image


@settings
class Classifying(ClassifySettings):
    """Of ``classify``."""

    model: str | Path = setting(help="an ONNX file, exported with data.", kw_only=False)
    images: Sequence[str | Path | Image.Image] = setting(help="image files, or Pillow images.", kw_only=False)


@told(Classifying)
def classify(asked: Classifying) -> Rows[Classified]:
    """Classify images with an exported model on the CPU; preprocessing and class names come from its file.

    Returns: a table with a row for each image: ``label`` with its ``share``, and ``classes``, the likeliest first.

    Raises:
        InputError: no images.
        FileError: the file is missing, no model, or has no preprocessing; or an image cannot be read.

    Example:
        >>> space = vh.space_for("folder:photos")
        >>> model, data = vh.build_model(space.smallest, seed=0), vh.load_data("folder:photos", space)
        >>> vh.export_onnx(model, "photos.onnx", data=data).beside.agreement
        1.0
        >>> (row,) = vh.classify("photos.onnx", ["photos/disc/0.png"], top=2)
        >>> sorted(name for name, share in row.classes)
        ['disc', 'square']
    """
    return classify_images(asked.model, asked.images, own(asked, ClassifySettings))
