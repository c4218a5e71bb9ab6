"""The first step: the model on the user's images and classes, and the space of its parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vitas_hw.core.errors import InputError
from vitas_hw.core.progress import Progress
from vitas_hw.core.reading import file_sha256
from vitas_hw.core.settings import shared
from vitas_hw.core.space import SearchSpace
from vitas_hw.data.load import load_data
from vitas_hw.data.options import DataOptions
from vitas_hw.runs.directory import Run, one_at_a_time
from vitas_hw.runs.finished import finished
from vitas_hw.supernet.original import load_original
from vitas_hw.supernet.pretrained import plain_model, score, with_classifier
from vitas_hw.supernet.weights_file import save_model
from vitas_hw.workflows.few_images import few_images, images_for_a_classifier
from vitas_hw.workflows.propose_space import name_of, training_images
from vitas_hw.workflows.propose_space_around import space_around
from vitas_hw.workflows.shrink.settings import ShrinkSettings
from vitas_hw.workflows.train.train import warn_of_normalisation


@one_at_a_time
def keep_original(run: Run, model: str, settings: ShrinkSettings, fresh: bool, progress: Progress) -> None:
    """Put the model into the run, with a classifier of the data's classes, and note the space of its parts.

    Raises InputError if the run is one of another space, and as ``load_original`` and ``load_data`` do.
    """
    options = shared(settings, DataOptions)
    about = {"model": model, "files": _hashes(model), "data": settings.data, "options": options}
    if not fresh and finished(run, "original", about):
        return
    original, classes = load_original(model), len(training_images(settings.data).class_names)
    space = space_around(original.subnet, name_of(model), classes)
    data = load_data(settings.data, space, **options)
    warn_of_normalisation(model, data, progress)
    with progress.step("seeing what matters in the model", 2) as advance:
        original = with_classifier(original, space, images_for_a_classifier(data))
        advance("")
        space = replace(space, block_order=score(original, space, few_images(data)).block_order)
        advance("")
    known = run.read()["space"]
    if known is not None and SearchSpace.from_dict(known) != space:
        raise InputError(
            f"The run {run.path} is one of another model or of other images than {model} on {settings.data}.",
            "Give another directory with `run`.",
            field="run",
        )
    if original.unused:
        progress.note(f"of {model} not used: {', '.join(original.unused)}")
    run.begin(space)
    save_model(*plain_model(original, space), run.original)
    run.record("original", space, about, [], [run.original])


def _hashes(model: str) -> dict[str, str]:
    """Of the model's files, by name: a file of other content is another model. Empty for one that is downloaded."""
    whole, file = Path(model), Path(model.partition(":")[2])
    files = [whole, file, *(sorted(whole.iterdir()) if whole.is_dir() else ())]
    return {path.name: file_sha256(path) for path in files if path.is_file()}
