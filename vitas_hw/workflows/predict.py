"""Fitting predictors to profiles, and finding those that are shipped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vitas_hw.core.errors import InputError, one_of
from vitas_hw.core.published import PUBLISHED, published_subnet
from vitas_hw.core.reading import read_text
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.kinds import DEFAULT_KIND
from vitas_hw.predictors.predictor import Predictor, fit, read_predictor
from vitas_hw.predictors.regression import Prediction
from vitas_hw.predictors.table import read_table, read_table_predictor
from vitas_hw.profiling.profile import Profile
from vitas_hw.workflows.run import file_sha256

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped(kind: str) -> Path:
    """The folder of shipped ``predictors`` or ``profiles``: inside the wheel, or beside the package in a checkout."""
    packed = _PACKAGE / "shipped" / kind
    return packed if packed.is_dir() else _PACKAGE.parent / kind


def load_predictor(name_or_path: str | Path) -> Predictor:
    """A shipped predictor by name, or the file of one.

    Raises:
        InputError: an unknown name.
        FileError: a file that is missing, broken, or of another schema.
    """
    text = str(name_or_path)
    if text.endswith(".json"):
        return read_predictor(Path(text))
    known = {path.stem: path for path in sorted(shipped("predictors").glob("*.json"))}
    if text not in known:
        raise one_of(text, known, "predictor")
    return read_predictor(known[text])


def fit_predictor(profile: Profile, kind: str = DEFAULT_KIND, *, path: Path | None = None, seed: int = 0) -> Predictor:
    """Fit a predictor to the subnets of a profile that ran.

    Args:
        profile: at least 20 measured subnets.
        kind: ``xgboost``, ``linear``, ``flops``, ``lookup`` or ``mlp``.
        path: the profile's file, whose hash the predictor keeps.
        seed: of folds and trees; the same profile and seed give the same predictor, byte for byte.

    Raises:
        InputError: an unknown kind.
        VitasError: too few subnets.
    """
    return fit(
        [measurement.subnet for measurement in profile.ok],
        [measurement.latency_ms for measurement in profile.ok],
        target=profile.target,
        space=profile.space,
        noise_floor=profile.noise_floor.mean if profile.noise_floor else None,
        profile_sha256=file_sha256(path) if path else "",
        fingerprint=str(profile.environment.get("fingerprint", "")),
        seed=seed,
        kind=kind,
    )


def predict_subnets(words: Sequence[str], name_or_path: str | Path) -> tuple[list[str], Prediction]:
    """Predictions of subnets given in words, and their names.

    Args:
        words: names of published subnets, ``smallest``, ``largest`` or ``random:SEED`` of the predictor's space, the
            JSON of a subnet, or a file of it.
        name_or_path: of the predictor.

    Raises:
        InputError: an unknown name, or a subnet that the predictor is not for.
        FileError: a file that is missing or broken.
    """
    predictor = load_predictor(name_or_path)
    subnets = [_subnet(word, predictor.space) for word in words]
    names = [
        subnet.digest if word.lstrip().startswith("{") else word for word, subnet in zip(words, subnets, strict=True)
    ]
    return names, predictor.predict(subnets)


def predict_csv(path: Path, name_or_path: str | Path) -> tuple[list[str], Prediction]:
    """Predictions of the rows of a table, and the rows' numbers.

    Raises:
        FileError: a file that is missing, broken, or no predictor of a table's column.
        InputError: a column that is not there; a row without a number.
    """
    predictor = read_table_predictor(Path(name_or_path))
    table = read_table(path, None, wanted=predictor.names)
    if table.dropped:
        raise InputError(f"{table.dropped} row(s) of {path} have no number in one of {', '.join(predictor.names)}.")
    return [f"row {row + 1}" for row in range(len(table.values))], predictor.predict(table.values)


def _subnet(word: str, space: SearchSpace) -> Subnet:
    if word in ("smallest", "largest"):
        return space.smallest if word == "smallest" else space.largest
    if word in PUBLISHED:
        return published_subnet(word)
    if re.fullmatch(r"random:\d{1,9}", word):
        return space.sample(int(word.removeprefix("random:")))
    if word.lstrip().startswith("{"):
        return Subnet.from_json(word)
    if word.endswith(".json"):
        return Subnet.from_json(read_text(Path(word), "the subnet"))
    raise one_of(word, [*PUBLISHED, "smallest", "largest", "random:SEED", "JSON", "FILE.json"], "subnet")
