"""What an exported model says of images, by what its file carries: preprocessing and class names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.reading import parse_json, read_bytes, reason
from vitas_hw.core.records import from_json, refusing
from vitas_hw.core.settings import setting, settings
from vitas_hw.core.tables import Cell, Rows

if TYPE_CHECKING:  # loaded for the help, which needs neither
    from PIL import Image

    from vitas_hw.data.preprocessing import Preprocessing

Floats = npt.NDArray[np.floating[Any]]
_AT_ONCE = 32  # images
_MOST_BYTES = 2**31  # of a file of ONNX in one piece
_MOST_PIXELS = 2**24  # of an image as the model takes it
_MOST_INPUTS = 2**28  # numbers of a batch of fixed size: 1 GiB


@settings
class ClassifySettings:
    """What is told of each image.

    Args:
        top: how many classes, the likeliest first.
    """

    top: int = setting(default=1, help="Classes to show per image, likeliest first.", at_least=1)


@dataclass(frozen=True)
class Classified:
    """An image and its likeliest classes.

    Args:
        image: its file, or its number where it came without one.
        label: the likeliest class.
        share: its softmax.
        classes: the likeliest classes with their softmax, as many as were asked for.
    """

    image: str
    label: str
    share: float
    classes: tuple[tuple[str, float], ...]


def classify(
    model: str | Path,
    images: Sequence[str | Path | Image.Image],
    settings: ClassifySettings = ClassifySettings(),  # noqa: B008  # frozen
) -> Rows[Classified]:
    """Run an exported ONNX file on images, on the CPU.

    Args:
        model: an ONNX file that was exported with data.
        images: files, or images of Pillow.
        settings: what is told.

    Raises:
        InputError: no images.
        FileError: the file is missing, no model, or carries no preprocessing; an image cannot be read.
    """
    if not images:
        raise InputError("Give at least one image to classify.", field="images")
    found = _Model.of(Path(model))
    rows = []
    for start in range(0, len(images), found.at_once):
        some = images[start : start + found.at_once]
        logits = found.logits(np.stack([_inputs(one, found.how) for one in some]))
        rows += [
            _classified(_name(one, start + number), row, found.names, settings.top)
            for number, (one, row) in enumerate(zip(some, logits, strict=True))
        ]

    def cells(one: Classified) -> dict[str, Cell]:
        return {"image": one.image, "label": one.label, "share": one.share}

    return Rows(rows, cells, f"By {Path(model).name}")


@dataclass(frozen=True)
class _Model:
    """An ONNX file, opened.

    Args:
        path: the file.
        session: of ONNX Runtime.
        how: images become its input.
        names: of its classes; empty where the file has none.
        fixed: batch size of the file, if it has one.
    """

    path: Path
    session: Any
    how: Preprocessing
    names: tuple[str, ...]
    fixed: int | None

    @property
    def at_once(self) -> int:
        return self.fixed or _AT_ONCE

    @classmethod
    def of(cls, path: Path) -> _Model:
        import onnxruntime as ort

        content = read_bytes(path, "the model", most=_MOST_BYTES)
        try:
            session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises kinds of its own
            raise FileError(f"{path} cannot be opened by ONNX Runtime: {reason(error)}.") from error
        about = session.get_modelmeta().custom_metadata_map
        if "preprocessing" not in about:
            raise FileError(
                f"{path} does not say how an image becomes its input.",
                "Export it with `data`: the file then carries preprocessing and class names.",
            )
        with refusing(path, "carries a broken preprocessing"):
            how = _preprocessing(parse_json(about["preprocessing"]))
            given = from_json(tuple[str, ...] | None, parse_json(about.get("class_names", "null")), "class_names")
            shape = session.get_inputs()[0].shape
            if list(shape[1:]) != [how.channels, *how.image_size]:
                raise ValueError(f"the model takes {shape[1:]}")
        fixed = shape[0] if isinstance(shape[0], int) else None
        if fixed is not None and not 0 < fixed * how.channels * how.image_size[0] * how.image_size[1] <= _MOST_INPUTS:
            raise FileError(f"{path} takes {fixed} images at once: none, or more than memory holds.")
        return cls(path, session, how, given or (), fixed)

    def logits(self, inputs: Floats) -> Floats:
        """(N, classes) of (N, C, H, W), N at most ``at_once``."""
        padded = inputs if self.fixed is None else np.resize(inputs, (self.fixed, *inputs.shape[1:]))
        try:
            found = self.session.run(None, {self.session.get_inputs()[0].name: padded})[0]
        except Exception as error:  # ONNX Runtime raises kinds of its own
            raise FileError(f"{self.path} cannot be run by ONNX Runtime: {reason(error)}.") from error
        is_table = isinstance(found, np.ndarray) and found.dtype.kind == "f" and found.ndim == 2 and found.size > 0
        if not is_table or len(found) != len(padded) or not np.isfinite(found).all():
            raise FileError(f"{self.path} does not give one finite number for each class of each image.")
        logits: Floats = found[: len(inputs)].astype(np.float64)  # where the largest less the smallest is a number
        return logits


def _preprocessing(data: Any) -> Preprocessing:
    from vitas_hw.data.preprocessing import INTERPOLATIONS, Preprocessing

    how: Preprocessing = from_json(Preprocessing, data)
    if how.interpolation not in INTERPOLATIONS or len(how.mean) != len(how.std) or how.channels not in (1, 3):
        raise ValueError("its interpolation or its channels are unknown")
    if not all(std > 0 for std in how.std) or not 0.01 <= how.crop_pct <= 1:
        raise ValueError("its std or crop_pct is out of range")
    if not all(side > 0 for side in how.image_size) or how.image_size[0] * how.image_size[1] > _MOST_PIXELS:
        raise ValueError("its image_size is out of range")
    return how


def _inputs(image: str | Path | Image.Image, how: Preprocessing) -> Floats:
    """(C, H, W) as the model takes it."""
    from vitas_hw.data.image_files import decoded, seen

    picture = decoded(str(image), str(image)) if isinstance(image, str | Path) else seen(image.copy())
    fitted = how.fit(picture)
    pixels = np.asarray(fitted, np.float32).reshape(*how.image_size, how.channels).transpose(2, 0, 1)
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (how.mean, how.std))
    inputs: Floats = (pixels / np.float32(255) - mean) / std
    return inputs


def _name(image: str | Path | Image.Image, number: int) -> str:
    return str(image) if isinstance(image, str | Path) else str(number)


def _classified(image: str, logits: Floats, names: tuple[str, ...], top: int) -> Classified:
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    known = names if len(names) == len(shares) else tuple(map(str, range(len(shares))))
    best = np.argsort(-shares, kind="stable")[:top]
    classes = tuple((known[number], float(shares[number])) for number in best)
    return Classified(image, *classes[0], classes)
