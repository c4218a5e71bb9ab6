"""Images of a part, decoded once, when they are first asked for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitas_hw.data.preprocessing import Preprocessing
from vitas_hw.data.sources import Source

_MAPPED_BYTES = 2**28  # from here on in a file: the system can put its pages away and read them again


class Decoding:
    """Images of a source at ``indices``, (N, C, H, W) uint8; each is decoded once, whoever asks for it.

    Many are kept in a memory-mapped temporary file without a name, which is gone with the last process that holds it.

    Args:
        source: of the images.
        indices: (N,) which.
        preprocessing: how they become inputs.
    """

    def __init__(self, source: Source, indices: Sequence[int], preprocessing: Preprocessing) -> None:
        self.source, self._indices, self._how = source, indices, preprocessing
        self.shape = (len(indices), preprocessing.channels, *preprocessing.image_size)
        self._store: Tensor | None = None
        self._missing = np.ones(len(indices), dtype=bool)

    def take(self, positions: Sequence[int] | None = None) -> Tensor:
        """Those at ``positions``, or all. Raises FileError if one cannot be read; it names it."""
        wanted = np.arange(len(self._indices)) if positions is None else np.asarray(positions, dtype=np.int64)
        missing = np.unique(wanted[self._missing[wanted]])
        if self._store is None:
            self._store = _store(self.shape)
        decode_into(self._store, missing.tolist(), self.source, self._indices, self._how)
        self._missing[missing] = False
        return self._store if positions is None else self._store[torch.from_numpy(wanted)]


def decode(source: Source, indices: Sequence[int], preprocessing: Preprocessing) -> Tensor:
    """(N, C, H, W) uint8 of images of a source."""
    return Decoding(source, indices, preprocessing).take()


def decode_into(
    store: Tensor, places: Sequence[int], source: Source, indices: Sequence[int], preprocessing: Preprocessing
) -> None:
    """Decode the images at these places of ``indices`` and put them there in ``store``."""

    def pixels(place: int) -> Tensor:
        return preprocessing.pixels(source.image(indices[place]))

    if source.in_memory:
        for place in places:
            store[place] = pixels(place)
        return
    with ThreadPoolExecutor() as pool:  # Pillow decodes without the interpreter's lock
        try:
            for place, decoded in zip(places, pool.map(pixels, places), strict=True):
                store[place] = decoded
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _store(shape: tuple[int, ...]) -> Tensor:
    size = int(np.prod(shape))
    if size < _MAPPED_BYTES:
        return torch.empty(shape, dtype=torch.uint8)
    with tempfile.TemporaryDirectory(prefix="vitas-hw-") as folder:
        path = Path(folder) / "images"
        try:
            with path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)  # without room, writing to the map would end the process
        except OSError:
            return torch.empty(shape, dtype=torch.uint8)
        return torch.from_file(str(path), shared=True, size=size, dtype=torch.uint8).view(shape)
