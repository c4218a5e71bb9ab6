"""``vitas-hw classify``"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.cli.from_settings import takes
from vitas_hw.cli.options import JsonOption
from vitas_hw.workflows.classify import ClassifySettings


@takes(ClassifySettings)
def classify(
    settings: Callable[..., ClassifySettings],
    model: Annotated[Path, typer.Argument(metavar="FILE", help="ONNX file written by export.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Image files.")],
    as_json: JsonOption = False,
) -> None:
    """Classify images with an exported ONNX file, which holds preprocessing and class names.

    Example: vitas-hw classify runs/default/choice.onnx photo.jpg
    """
    from vitas_hw.cli import console
    from vitas_hw.workflows.classify import classify as classify_images

    found = classify_images(model, images, settings())
    if as_json:
        console.print_json({"rows": [{"image": one.image, "classes": [*map(list, one.classes)]} for one in found]})
        return
    console.table(
        found.title,
        ["image", "class", "share"],
        [
            [one.image if number == 0 else "", label, console.percent(share)]
            for one in found
            for number, (label, share) in enumerate(one.classes)
        ],
    )
