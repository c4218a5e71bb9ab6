"""What the steps of a run have made, read from its directory."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitas_hw.core.depths import Shares, identity_depths, uniform_depths
from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.reading import read_json, reason
from vitas_hw.core.records import from_json, refusing
from vitas_hw.core.space import SearchSpace
from vitas_hw.runs.directory import Run
from vitas_hw.searching.result import SearchResult, load_result
from vitas_hw.training.health import Health

if TYPE_CHECKING:  # what lists runs loads none of these
    from vitas_hw.data.load import ImageData
    from vitas_hw.predictors.predictor import Predictor
    from vitas_hw.profiling.profile import Profile
    from vitas_hw.supernet.supernet import Supernet


@dataclass(frozen=True)
class _Training:
    """What is read of a ``train.json``; an older one lacks what has a default."""

    data: str
    sharing: str
    seed: int
    recipe: dict[str, Any]
    top1: float | None
    history: tuple[dict[str, float], ...]
    init: str | None = None
    block_shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        from_json(int, self.recipe["epochs"], "recipe.epochs")
        from_json(str | None, self.recipe.get("autocast"), "recipe.autocast")
        for epoch in self.history:
            epoch["loss"]


@dataclass(frozen=True)
class _Export:
    """What is read of an export's comparison."""

    format: str
    exported: dict[str, Any]

    def __post_init__(self) -> None:
        from_json(int, self.exported["images"], "images")
        from_json(float | None, self.exported["others"][self.format]["top1"], "top1")


_OPTIONS: dict[str, type | tuple[type, ...]] = {  # of ``load_data``, as JSON keeps them
    "search_share": (int, float),
    "train_split": str,
    "val_split": str,
    "search_split": str,
}


def load_run_supernet(run: Run) -> Supernet:
    """The run's supernet. Raises InputError if it has none."""
    from vitas_hw.supernet.weights_file import load_supernet

    if not run.supernet.exists():
        raise InputError(f"The run {run.path} has no supernet.", step="train")
    return load_supernet(run.supernet)


def load_run_data(run: Run, space: SearchSpace) -> ImageData:
    """The images the run's supernet was trained on. Raises FileError if the run no longer tells which."""
    from vitas_hw.data.broken import without
    from vitas_hw.data.load import load_data

    try:
        about = read_json(run.data, "the data's description")
        name, options = str(about["name"]), dict(about["options"])
        if not all(isinstance(value, _OPTIONS[option]) for option, value in options.items()):
            raise ValueError("an option has the wrong form")
        left_out = from_json(dict[str, list[int]], about.get("left_out", {}), "left_out")
        if not left_out.keys() <= {"train", "search", "test"}:
            raise ValueError("it leaves out images of an unknown part")
    except (FileError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{run.data} is missing or broken: {reason(error)}.", step="train") from error
    return without(load_data(name, space, **options), left_out)


def load_run_predictor(run: Run) -> tuple[Predictor, Path]:
    """The predictor fitted last in this run.

    Raises:
        InputError: there is none.
    """
    from vitas_hw.predictors.predictor import read_predictor

    for step in reversed(run.read()["steps"]):
        for name in step["outputs"]:
            path = run.path / name
            if step["step"] == "profile" and path.parent == run.predictors:
                return read_predictor(path), path
    raise InputError(f"The run {run.path} has no predictor.", step="profile")


def known_predictor(run: Run, name_or_path: str | Path) -> str:
    """What ``load_predictor`` is to be asked for: the file of a predictor of that name in the run; else the same."""
    own = run.predictors / f"{name_or_path}.json"
    return str(own if own.exists() else name_or_path)


def run_profile(run: Run, predictor: Predictor) -> Profile | None:
    """The run's profile that the predictor was fitted to; None if that is not here."""
    from vitas_hw.profiling.profile import load_profile

    path = run.profiles / f"{predictor.name}.jsonl"
    return load_profile(path) if path.exists() else None


def last_result(run: Run) -> SearchResult:
    """Of the last search. Raises InputError if there was none."""
    if not run.result.exists():
        raise InputError(f"The run {run.path} has no choice: no search has finished in it.", step="search")
    return load_result(run.result, run.candidates)


def read_training(run: Run) -> dict[str, Any] | None:
    """Of the supernet; None if there is none. Raises FileError if the file is broken."""
    if not run.training.exists():
        return None
    found: dict[str, Any] = read_json(run.training, "a training's settings")
    with refusing(run.training, "is broken", step="train"):
        _check(_Training, found)
    return found


def run_original(run: Run) -> Path | None:
    """The pretrained model that the run's supernet was trained from, if it was from any."""
    training = read_training(run)
    return run.original if training is not None and training.get("init") and run.original.exists() else None


def run_depth_shares(run: Run) -> Shares:
    """How often each depth was drawn when the run's supernet was trained: a search draws alike. Equally often without.

    Raises:
        FileError: the file is broken, or of another space.
    """
    space, about = run.space(None), read_training(run) or {}
    with refusing(run.training, "does not tell how often each depth was trained", step="train"):
        if "depth_shares" in about:
            shares: Shares = from_json(Shares, about["depth_shares"], "depth_shares")
            space.sample_codes(0, np.random.default_rng(0), shares)  # checks them
            return shares
        if "identity_probability" in about:  # trained before depths were drawn by their shares
            return identity_depths(space, from_json(float, about["identity_probability"], "identity_probability"))
    return uniform_depths(space)


def read_health(run: Run) -> Health | None:
    """What the supernet's training said of it; None if there is none, or an older version trained it.

    Raises FileError if the file is broken.
    """
    training = read_training(run)
    if training is None or "health" not in training:
        return None
    with refusing(run.training, "is broken", step="train"):
        return Health.from_dict(training["health"])


def read_exports(run: Run) -> dict[str, dict[str, Any]]:
    """The comparison of each export of the choice, by file name. Raises FileError if one is broken."""
    paths = sorted(run.path.glob("choice*.parity.json"))
    found = {}
    for path in paths:
        found[path.name.removesuffix(".parity.json")] = data = read_json(path, "an export's comparison")
        with refusing(path, "is not an export's comparison", step="export"):
            _check(_Export, data)
    return found


def _check(kind: Any, data: Any) -> None:
    """Raise what ``refusing`` tells of unless an object has what is read of it, in that form; it may hold more."""
    if not isinstance(data, dict):
        raise TypeError("it is no object")
    from_json(kind, {one.name: data[one.name] for one in fields(kind) if one.name in data or one.default is MISSING})
