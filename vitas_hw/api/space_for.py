"""A search space for somebody's images."""

from __future__ import annotations

from pathlib import Path

from vitas_hw.core import SearchSpace


def space_for(data: str, *, init: str | None = None, output: str | Path | None = None) -> SearchSpace:
    """A space that fits a data set: its classes, its colours, and sizes for as many images as there are.

    Args:
        data: ``folder:PATH``, ``digits``, ``hfds/NAME`` ..., see ``load_data``; no stream, which does not tell its
            classes.
        init: a pretrained ViT (timm's name, ``NAME:FILE``, a file or a folder): the space is then that model and its
            parts.
        output: a YAML file to write it to, to be read and changed; None writes nothing.

    Raises:
        FileError: data, or a model's file, that are missing or broken.
        InputError: an unknown data set or model, or a file of other content is there.
        VitasError: the model could not be downloaded.

    Example:
        >>> space = vh.space_for("folder:photos")
        >>> space.name, space.num_classes, space.in_chans, space.image_size
        ('photos', 2, 3, (64, 64))
    """
    from vitas_hw.workflows.propose_space import fitting_space, name_of, propose_space, training_images

    if output is not None:
        return propose_space(data, Path(output), init).space
    return fitting_space(data, training_images(data), name_of(data), init).space
