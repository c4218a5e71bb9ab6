"""From an image file, or what a library decoded of one, to the 8-bit picture that people see."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vitas_hw.core.errors import FileError
from vitas_hw.core.reading import open_regular, reason

_REPLACE = "Replace it to go on with a training, or delete it to train anew (`fresh`)."
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # gray of more than 8 bits, for which Pillow's own conversion clips
_MOST = 65_535
_WHITE = (255, 255, 255, 255)


def decoded(file: str | BinaryIO, name: str) -> Image.Image:
    """An image, all of it read, as ``seen``; of an animation the first picture.

    Raises FileError, which names it, if it is missing, no image, truncated, or larger than Pillow thinks safe.
    """
    try:
        # opened here: a pipe would be waited for
        opened = open_regular(file, "the image") if isinstance(file, str) else nullcontext(file)
        with warnings.catch_warnings(), opened as stream:
            # large, but below the size that Pillow refuses
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(stream) as image:
                image.load()
                return seen(image)
    except Exception as error:  # Pillow's decoders raise all sorts of things
        raise unreadable(name, error) from error


def recognised(file: str, name: str) -> None:
    """Whether the first bytes are those of an image of bearable size: quick, but a truncated one passes.

    Raises FileError, which names it, if not.
    """
    try:
        with warnings.catch_warnings(), open_regular(file, "the image") as stream:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            Image.open(stream).close()
    except Exception as error:  # Pillow's decoders raise all sorts of things
        raise unreadable(name, error) from error


def seen(image: Image.Image) -> Image.Image:
    """The picture as viewers show it: upright by its EXIF orientation, 8 bits a channel, on white where transparent.

    16-bit gray is divided by 257. Raises ValueError for pixels whose range nobody knows: 32-bit numbers above 65,535 or
    below 0, and floating point. An image that is all this already is given back itself, not a copy.
    """
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in _DEEP:
        return _of_16_bits(np.asarray(image))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 or 16 bits a channel")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), coloured).convert("RGB")
    return image


def _of_16_bits(pixels: np.ndarray[tuple[int, ...], np.dtype[np.integer]]) -> Image.Image:
    if pixels.size and not 0 <= pixels.min() <= pixels.max() <= _MOST:
        raise ValueError("its pixels are 32-bit numbers of unknown range; save it with 8 or 16 bits a channel")
    return Image.fromarray(np.round(pixels / (_MOST / 255)).astype(np.uint8))


def unreadable(name: str, error: Exception) -> FileError:
    """The error for an image that cannot be read, because of ``error``."""
    # Pillow's own sentence shows the open file as Python does
    why = "Pillow knows no such format" if isinstance(error, UnidentifiedImageError) else reason(error)
    return FileError(f"{name} cannot be read as an image: {why}.", _REPLACE)
