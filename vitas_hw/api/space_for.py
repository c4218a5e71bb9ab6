"""A search space for a data set."""

from __future__ import annotations

from pathlib import Path

from vitas_hw.core import SearchSpace


def space_for(data: str, *, init: str | None = None, output: str | Path | None = None) -> SearchSpace:
    """Make a search space for a data set: its classes and channels, and sizes that suit its number of images.

    Args:
        data: ``folder:PATH``, ``digits``, ``hfds/NAME`` ..., see ``load_data``; no streamed data, whose classes
            are unknown.
        init: a pretrained ViT (a timm name, ``NAME:FILE``, a file or a folder); the space then holds that model and
            smaller versions of it.
        output: a YAML file to write the space to, for you to edit; None writes nothing.

    Raises:
        FileError: the data or the model's file are missing or broken.
        InputError: an unknown data set or model, or ``output`` exists with other content.
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
