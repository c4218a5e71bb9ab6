"""Images that cannot be read: all of them are named at once, before any work begins that they would end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.progress import Progress
from vitas_hw.data.decoding import Decoding
from vitas_hw.data.load import ImageData
from vitas_hw.data.sources import Source
from vitas_hw.data.splits import IndexedPart, Split
from vitas_hw.data.timm_sources import FolderSource

_SHOWN = 20  # problems of one error
_AT_ONCE = 256
_READ_WHOLE = 50_000  # images at most: minutes


@dataclass(frozen=True)
class Broken:
    """By the name of the part (``train``, ``search``, ``test``), indices in its source; and what is wrong with each."""

    indices: Mapping[str, tuple[int, ...]]
    problems: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.problems)

    def refused(self, images: int) -> FileError:
        """The error that names them, of so many images."""
        more = len(self.problems) - _SHOWN
        listed = [*self.problems[:_SHOWN], *([f"... and {more} more."] if more > 0 else [])]
        return FileError(
            f"{len(self)} of the {images} images cannot be read.",
            "Replace or delete them, or leave them out: `skip_broken`.",
            listed=listed,
        )


def find_broken(data: ImageData, progress: Progress, between: Callable[[], None] = lambda: None) -> Broken:
    """Read every image once; what is in memory already, or a stream, is not.

    Of more than 50,000 images, where that would take long, only the first bytes are read, if they are files: what is
    truncated is then found when its turn comes.

    Args:
        data: the images.
        progress: where to report to.
        between: called now and then; may raise.
    """
    sources = {name: _source(getattr(data, name)) for name in ("train", "search", "test")}
    parts = {name: source for name, source in sources.items() if source is not None}
    count = sum(len(indices) for _, indices in parts.values())
    found: dict[str, list[int]] = {}
    problems: list[str] = []
    with progress.step("checking the images", count) as advance:
        for name, (source, indices) in parts.items():
            for start in range(0, len(indices), _AT_ONCE):
                if start:
                    between()
                for index, problem in _looked_at(source, indices[start : start + _AT_ONCE], whole=count <= _READ_WHOLE):
                    advance("")
                    if problem:
                        found.setdefault(name, []).append(index)
                        problems.append(problem)
    return Broken({name: tuple(some) for name, some in found.items()}, tuple(problems))


def without(data: ImageData, left_out: Mapping[str, Collection[int]]) -> ImageData:
    """The data without the images of these indices, by part. Raises InputError if nothing is left of one."""
    parts = {}
    for name, some in left_out.items():
        part, gone = getattr(data, name), frozenset(some)
        kept = [position for position, index in enumerate(part.indices) if index not in gone]
        if not kept:
            raise InputError(f"Not one image of the {name} part of {data.name} can be read.", "Look at the files.")
        parts[name] = part.subset(kept)
    return replace(data, **parts, left_out={name: tuple(some) for name, some in left_out.items()})


def _source(part: object) -> tuple[Source, tuple[int, ...]] | None:
    if isinstance(part, IndexedPart):
        source = part.source
    elif isinstance(part, Split) and isinstance(part.pixels, Decoding):
        source = part.pixels.source
    else:
        return None
    return None if source.in_memory else (source, part.indices)


def _looked_at(source: Source, indices: tuple[int, ...], *, whole: bool) -> Iterator[tuple[int, str]]:
    """Each index with what is wrong with its image, in order."""
    look: Callable[[int], object] = source.image
    if not whole:
        look = source.recognise if isinstance(source, FolderSource) else lambda _: None

    def problem(index: int) -> str:
        try:
            look(index)
        except FileError as error:
            return error.problem
        return ""

    with ThreadPoolExecutor() as pool:  # Pillow decodes without the interpreter's lock
        yield from zip(indices, pool.map(problem, indices), strict=True)
