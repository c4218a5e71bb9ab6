"""Fitting predictors to profiles, and finding those that are shipped."""

from __future__ import annotations

from pathlib import Path

from vitas_hw.core.errors import one_of
from vitas_hw.predictors.predictor import Predictor, fit, read_predictor
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


def fit_predictor(profile: Profile, kind: str = "xgboost", *, path: Path | None = None, seed: int = 0) -> Predictor:
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
