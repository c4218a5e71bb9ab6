"""Files of images as people have them: each is read as viewers show it, or refused by name."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from vitas_hw.core.errors import FileError
from vitas_hw.data.image_files import decoded
from vitas_hw.data.preprocessing import Preprocessing

# little red at the left and much at the right, little blue above and much below: turned wrongly, a corner shows it
HEIGHT, WIDTH = 24, 32
RAMP = np.tile(np.linspace(0, 1, WIDTH), (HEIGHT, 1))
GRAY8 = np.round(RAMP * 255).astype(np.uint8)
COLOURS = np.stack([GRAY8, np.full_like(GRAY8, 128), np.full_like(GRAY8, 40)], axis=2)
COLOURS[HEIGHT // 2 :, :, 2] = 220
RGB = Image.fromarray(COLOURS)
TO_RGB = Preprocessing((HEIGHT, WIDTH), (0.5,) * 3, (0.5,) * 3, "bilinear")
TO_GRAY = Preprocessing((HEIGHT, WIDTH), (0.5,), (0.5,), "bilinear")


def kept(image: Image.Image, form: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def turned(orientation: int, form: str = "JPEG") -> bytes:
    """The picture on its side as a camera keeps it, with the EXIF tag that sets it upright."""
    undo = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270,
            2: Image.Transpose.FLIP_LEFT_RIGHT}[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    return kept(RGB.transpose(undo), form, exif=exif.tobytes(), **({"quality": 97} if form == "JPEG" else {}))


def transparent(mode: str) -> Image.Image:
    """The picture with its right half transparent; what hides there is black."""
    image = RGB.convert("RGBA")
    array = np.array(image)
    array[:, WIDTH // 2 :] = 0
    return Image.fromarray(array).convert(mode)


def palette_with_transparency() -> bytes:
    image = Image.new("P", (WIDTH, HEIGHT), 0)
    image.putpalette([0, 0, 0, 200, 30, 30])
    image.paste(1, (0, 0, WIDTH // 2, HEIGHT))
    return kept(image, "PNG", transparency=0)


def frames(form: str) -> bytes:
    other = ImageOps.invert(RGB)
    return kept(RGB, form, save_all=True, append_images=[other], **({"lossless": True} if form == "WEBP" else {}))


GRAY16 = Image.fromarray(np.round(RAMP * 65535).astype(np.uint16))
GRAY32 = Image.fromarray(np.round(RAMP * 65535).astype(np.int32))
RIGHT: dict[str, tuple[bytes, Preprocessing, np.ndarray, float]] = {  # content, how, wanted pixels, tolerance
    "8 bits gray": (kept(Image.fromarray(GRAY8), "PNG"), TO_GRAY, GRAY8, 0),
    "16 bits gray png": (kept(GRAY16, "PNG"), TO_GRAY, GRAY8, 0),
    "16 bits gray tiff": (kept(GRAY16, "TIFF"), TO_GRAY, GRAY8, 0),
    "16 bits gray ppm": (kept(GRAY16, "PPM"), TO_GRAY, GRAY8, 0),
    "16 bits in 32 tiff": (kept(GRAY32, "TIFF"), TO_GRAY, GRAY8, 0),
    "16 bits gray as rgb": (kept(GRAY16, "PNG"), TO_RGB, np.stack([GRAY8] * 3, 2), 0),
    "1 bit": (kept(Image.fromarray(GRAY8 > 127), "PNG"), TO_GRAY, np.where(GRAY8 > 127, 255, 0), 0),
    "rgb png": (kept(RGB, "PNG"), TO_RGB, COLOURS, 0),
    "rgb jpeg": (kept(RGB, "JPEG", quality=97, subsampling=0), TO_RGB, COLOURS, 40),
    "rgb webp": (kept(RGB, "WEBP", lossless=True), TO_RGB, COLOURS, 0),
    "rgb bmp": (kept(RGB, "BMP"), TO_RGB, COLOURS, 0),
    "rgb tiff": (kept(RGB, "TIFF"), TO_RGB, COLOURS, 0),
    "cmyk jpeg": (kept(RGB.convert("CMYK"), "JPEG", quality=97), TO_RGB, COLOURS, 60),
    "ycbcr jpeg gray": (kept(Image.fromarray(GRAY8), "JPEG", quality=97), TO_GRAY, GRAY8, 10),
    "palette": (kept(RGB.quantize(256), "PNG"), TO_RGB, COLOURS, 40),
    "upside down": (turned(3), TO_RGB, COLOURS, 60),
    "on its right side": (turned(6), TO_RGB, COLOURS, 60),
    "on its left side": (turned(8), TO_RGB, COLOURS, 60),
    "mirrored": (turned(2), TO_RGB, COLOURS, 60),
    "on its side png": (turned(6, "PNG"), TO_RGB, COLOURS, 0),
    "animated gif": (frames("GIF"), TO_RGB, COLOURS, 40),
    "animated webp": (frames("WEBP"), TO_RGB, COLOURS, 0),
    "two pages tiff": (frames("TIFF"), TO_RGB, COLOURS, 0),
}


@pytest.mark.parametrize("name", RIGHT)
def test_an_image_is_read_as_viewers_show_it(name: str, tmp_path: Path) -> None:
    content, how, wanted, tolerance = RIGHT[name]
    path = tmp_path / "image.png"  # a wrong ending does no harm either
    path.write_bytes(content)
    array = np.asarray(how.fit(decoded(str(path), str(path)))).astype(int)
    assert array.shape == wanted.shape
    assert np.abs(array - wanted).max() <= tolerance


@pytest.mark.parametrize(
    "content",
    [
        kept(transparent("RGBA"), "PNG"),
        kept(transparent("LA"), "PNG"),
        kept(transparent("RGBA"), "WEBP", lossless=True),
        palette_with_transparency(),
    ],
    ids=["rgba", "la", "webp", "palette"],
)
def test_what_is_transparent_is_white(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(content)
    array = np.asarray(TO_RGB.fit(decoded(str(path), str(path))))
    assert (array[:, WIDTH // 2 :] == 255).all()
    assert (array[:, : WIDTH // 2].min(axis=2) < 250).all()


@pytest.mark.parametrize("size", [(1, 10_000_000), (10_000_000, 1)], ids=["tall", "wide"])
def test_of_a_strip_the_middle_is_taken(size: tuple[int, int], tmp_path: Path) -> None:
    """Covering 24 x 32 pixels as it is, it would have ten billion: more than any memory holds."""
    strip = Image.new("L", size, 0)
    strip.paste(255, tuple(side // 4 for side in size) + tuple(max(3 * side // 4, 1) for side in size))  # type: ignore[arg-type]
    path = tmp_path / "strip.png"
    path.write_bytes(kept(strip.convert("1"), "PNG"))
    array = np.asarray(TO_GRAY.fit(decoded(str(path), str(path))))
    assert array.shape == (HEIGHT, WIDTH)
    assert (array == 255).all()


def bomb() -> bytes:
    """The header of a PNG of 65,000 x 65,000 pixels."""
    header = kept(RGB, "PNG")
    return header[:16] + struct.pack(">II", 65_000, 65_000) + header[24:]


BROKEN: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"no image at all",
    "truncated jpeg": lambda: (lambda whole: whole[: len(whole) // 2])(kept(RGB, "JPEG")),
    "truncated png": lambda: (lambda whole: whole[: len(whole) // 2])(kept(RGB.resize((200, 200)), "PNG")),
    "bomb": bomb,
    "32 bits": lambda: kept(Image.fromarray(np.full((4, 4), 1_000_000, np.int32)), "TIFF"),
    "below zero": lambda: kept(Image.fromarray(np.full((4, 4), -5, np.int32)), "TIFF"),
    "floating point": lambda: kept(Image.fromarray(RAMP.astype(np.float32)), "TIFF"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(BROKEN[name]())
    with pytest.raises(FileError, match=r"image\.png cannot be read as an image"):
        decoded(str(path), str(path))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("floating point", "its pixels are floating-point numbers; save it with 8 or 16 bits a channel"),
        ("32 bits", "its pixels are 32-bit numbers of unknown range; save it with 8 or 16 bits a channel"),
    ],
)
def test_pixels_of_unknown_range_are_not_guessed(name: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(BROKEN[name]())
    with pytest.raises(FileError, match=said):
        decoded(str(path), str(path))


def test_what_is_no_image_is_said_in_words(tmp_path: Path) -> None:
    """Pillow's own sentence names the open file as Python shows it, with an address in memory."""
    path = tmp_path / "notes.jpg"
    path.write_bytes(b"no image")
    for file in (str(path), io.BytesIO(b"no image")):
        with pytest.raises(FileError, match=r"notes.jpg cannot be read as an image: Pillow knows no such format\. Rep"):
            decoded(file, str(path))
