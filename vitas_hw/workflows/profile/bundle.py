"""A folder to measure on a device that cannot run this package: models, inputs, a plan and a small runner."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np

from vitas_hw.core.errors import InputError, one_of
from vitas_hw.core.files import atomic_path, write_atomic
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.reading import read_bytes
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import PRECISIONS
from vitas_hw.export.onnx_graph import onnx_graph, random_weights
from vitas_hw.profiling.backend import INPUTS
from vitas_hw.profiling.backends.common import digest_seed
from vitas_hw.profiling.imported import Bundle
from vitas_hw.profiling.measure import passes
from vitas_hw.profiling.protocol import REPEAT_EVERY, TIMING
from vitas_hw.profiling.timing import Timing, anchor_subnet
from vitas_hw.runs.directory import Run, one_at_a_time
from vitas_hw.workflows.profile.settings import ProfileSettings


@one_at_a_time
def make_bundle(
    run: Run, settings: ProfileSettings, folder: Path, *, space: str | None = None, progress: Progress = SILENT
) -> Bundle:
    """Write the bundle of a profiling into ``folder``, and keep its plan in the run.

    Raises:
        InputError: the folder holds another bundle.
    """
    found = run.space(space)
    subnets = settings.chosen(found)
    bundle = write_bundle(folder, subnets, found, settings, repeats=subnets[::REPEAT_EVERY], progress=progress)
    run.begin(found)
    shutil.copyfile(folder / "bundle.json", run.bundle)
    return bundle


def write_bundle(
    folder: Path,
    subnets: Sequence[Subnet],
    space: SearchSpace,
    settings: ProfileSettings,
    *,
    repeats: Sequence[Subnet] = (),
    timing: Timing = TIMING,
    progress: Progress = SILENT,
) -> Bundle:
    """Write models, inputs, ``bundle.json``, ``run.py`` and ``README.md``; a folder half written is completed.

    Args:
        folder: where to; made if it is not there.
        subnets: what to measure, without repeats.
        space: whose image size, channels and classes they have.
        settings: batch size and precision of the models, the visits to each, the seed of their order and of the images.
            Images and logits are float32 in each precision; what a runtime makes of a model is for its user to check.
        repeats: those of ``subnets`` that are measured a second time afterwards, for the noise floor.
        timing: how long the runner times.
        progress: where to report to.

    Raises:
        InputError: the folder holds another bundle, or the bundle asked for is none.
    """
    batch_size, precision, seed = settings.batch_size, settings.precision, settings.seed
    if precision not in PRECISIONS:
        raise one_of(precision, PRECISIONS, "precision")
    if not subnets or len(set(subnets)) < len(subnets) or not set(repeats) <= set(subnets):
        raise InputError("A bundle measures at least one subnet, none twice, and repeats only these.")
    bundle = Bundle(
        space=space,
        batch_size=batch_size,
        precision=precision,
        seed=seed,
        subnets={subnet.digest: subnet for subnet in subnets},
        anchor=anchor_subnet(space.image_size),
        timing=timing.to_dict(),
        visits=tuple(
            (pass_.name, pass_.round_, subnet.digest)
            for pass_ in passes({"first": subnets, "second": repeats}, rounds=settings.rounds, seed=seed)
            if pass_.attempt == 0
            for subnet in pass_.order
        ),
    )
    text = json.dumps(bundle.to_dict(), indent=1) + "\n"
    plan = folder / "bundle.json"
    if plan.exists() and read_bytes(plan, "the bundle") != text.encode():
        raise InputError(f"{folder} already holds another bundle.", "Give another folder, or remove this one.")
    models = {**bundle.subnets, bundle.anchor.digest: bundle.anchor}
    with progress.step("writing models", len(models)) as advance:
        for digest, subnet in models.items():
            weights = random_weights(subnet, digest_seed(subnet))
            model = onnx_graph(subnet, weights, batch_size=batch_size, precision=precision)
            with atomic_path(folder / f"{digest}.onnx") as path:
                path.write_bytes(model.SerializeToString())
            advance("")
    shapes = []
    for name, subnet in (("inputs", subnets[0]), ("anchor_inputs", bundle.anchor)):
        shape = (INPUTS, batch_size, subnet.in_chans, *subnet.image_size)
        images = np.random.default_rng(seed).standard_normal(shape, np.float32)
        with atomic_path(folder / f"{name}.npy") as path, path.open("wb") as file:
            np.save(file, images)
        with atomic_path(folder / f"{name}.bin") as path:
            path.write_bytes(images.astype("<f4").tobytes())
        shapes.append(" x ".join(map(str, shape)))
    runner = files("vitas_hw.workflows.profile").joinpath("bundle_runner.py").read_text(encoding="utf-8")
    write_atomic(folder / "run.py", runner)
    write_atomic(folder / "README.md", _readme(bundle, *shapes))
    write_atomic(plan, text)  # last: a folder with it is whole
    return bundle


def _readme(bundle: Bundle, shape: str, anchor_shape: str) -> str:
    text = files("vitas_hw.workflows.profile").joinpath("bundle_readme.md").read_text(encoding="utf-8")
    timing = {**bundle.timing, "steady": f"{bundle.timing['steady']:.0%}"}
    return Template(text).safe_substitute(
        MODELS=len(bundle.subnets),
        VISITS=len(bundle.visits),
        PRECISION=bundle.precision,
        BATCH=bundle.batch_size,
        ANCHOR_SHAPE=anchor_shape,
        SHAPE=shape,
        ANCHOR=bundle.anchor.digest,
        SUBNET=bundle.visits[0][2],
        **{name.upper(): value for name, value in timing.items()},
    )
