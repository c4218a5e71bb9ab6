"""A run directory: what each step made, and a manifest of how."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.files import write_atomic
from vitas_hw.core.presets import preset
from vitas_hw.core.space import SearchSpace

SCHEMA = 1
_LIBRARIES = ("vitas-hw", "numpy", "onnxruntime", "pymoo", "scikit-learn", "timm", "torch", "xgboost")
DEFAULT_RUN = Path("runs/default")
DEFAULT_SPACE = "vitas-digits"
DEFAULT_DATA = "digits"


@dataclass(frozen=True)
class Run:
    """The files of one run; none needs to exist."""

    path: Path

    @property
    def manifest(self) -> Path:
        return self.path / "run.json"

    @property
    def supernet(self) -> Path:
        return self.path / "supernet.safetensors"

    @property
    def training(self) -> Path:
        return self.path / "train.json"

    @property
    def training_state(self) -> Path:
        """What an unfinished training goes on from."""
        return self.path / "training.pt"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def data(self) -> Path:
        """Name, preprocessing, class names and the indices of the data's parts."""
        return self.path / "data.json"

    @property
    def profiles(self) -> Path:
        return self.path / "profiles"

    @property
    def bundle(self) -> Path:
        """The plan of the bundle made last."""
        return self.path / "bundle.json"

    @property
    def predictors(self) -> Path:
        return self.path / "predictors"

    @property
    def candidates(self) -> Path:
        return self.path / "candidates.jsonl"

    @property
    def result(self) -> Path:
        return self.path / "search.json"

    @property
    def plot(self) -> Path:
        return self.path / "search.png"

    @property
    def choice(self) -> Path:
        """Fine-tuned weights of the last search's choice."""
        return self.path / "choice.safetensors"

    @property
    def retrained(self) -> Path:
        """Weights of the subnet retrained last."""
        return self.path / "retrained.safetensors"

    @property
    def retraining_state(self) -> Path:
        """What an unfinished retraining goes on from."""
        return self.path / "retraining.pt"

    @property
    def onnx(self) -> Path:
        return self.path / "choice.onnx"

    def read(self) -> dict[str, Any]:
        """The manifest; an empty one if there is none. Raises FileError if it is broken or of another schema."""
        if not self.manifest.exists():
            return {"schema": SCHEMA, "space": None, "steps": []}
        from pydantic import BaseModel, ConfigDict, ValidationError

        class Manifest(BaseModel):
            model_config = ConfigDict(extra="forbid", alias_generator=lambda name: name.rstrip("_"))
            schema_: Literal[1]
            space: dict[str, Any] | None
            steps: list[dict[str, Any]]

        try:
            return Manifest.model_validate_json(self.manifest.read_text(encoding="utf-8")).model_dump(by_alias=True)
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            raise FileError(
                f"{self.manifest} is not a run's manifest.", "Give another directory with --run, or move it away."
            ) from error

    def space(self, wanted: str | None) -> SearchSpace:
        """The run's space; in a new run the wanted one, or the default.

        Raises:
            InputError: the run is one of another space.
        """
        known = self.read()["space"]
        if known is None:
            return load_space(wanted or DEFAULT_SPACE)
        space = SearchSpace.from_dict(known)
        if wanted is not None and load_space(wanted) != space:
            raise InputError(
                f"The run {self.path} is one of the space {space.name!r}, not {wanted!r}.",
                f"Give another directory: --run runs/{Path(wanted).stem}",
            )
        return space

    def begin(self, space: SearchSpace) -> None:
        """Make the directory and note the space, before any work is done that could not be kept.

        Raises:
            InputError: nothing can be written there.
        """
        manifest = self.read()
        manifest["space"] = space.to_dict()
        self._write(manifest)

    def forget_search(self) -> None:
        """Remove what an earlier search left, so that no later step takes it for this one's."""
        for path in (self.choice, self.retrained, self.result, self.candidates, self.plot):
            path.unlink(missing_ok=True)
        for pattern in ("choice*", "rank-*"):  # exports and their reports
            for path in self.path.glob(pattern):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def _write(self, manifest: dict[str, Any]) -> None:
        try:
            write_atomic(self.manifest, json.dumps(manifest, indent=1) + "\n")
        except OSError as error:
            raise InputError(
                f"Cannot write to the run directory {self.path}: {error.strerror}.", "Give another with --run."
            ) from error

    def record(
        self,
        step: str,
        space: SearchSpace,
        settings: dict[str, Any],
        inputs: Sequence[Path],
        outputs: Sequence[Path],
    ) -> None:
        """Add a step to the manifest: settings, versions, hashes of inputs and outputs."""
        manifest = self.read()
        manifest["space"] = space.to_dict()
        manifest["steps"].append(
            {
                "step": step,
                "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "command": sys.argv[1:],
                "settings": settings,
                "versions": {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
                "inputs": self._hashes(inputs),
                "outputs": self._hashes(outputs),
            }
        )
        self._write(manifest)

    def _hashes(self, paths: Sequence[Path]) -> dict[str, str]:
        root = self.path.resolve()
        resolved = [path.resolve() for path in paths]
        names = [p.relative_to(root).as_posix() if p.is_relative_to(root) else p.name for p in resolved]
        return {name: file_sha256(path) for name, path in zip(names, paths, strict=True)}


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_space(name_or_path: str | Path) -> SearchSpace:
    """A preset by name, or a YAML file with the fields of ``SearchSpace``.

    Raises:
        InputError: an unknown name.
        FileError: a file that is missing, broken or describes no space.
    """
    text = str(name_or_path)
    if not text.endswith((".yaml", ".yml")):
        return preset(text)
    import yaml
    from pydantic import TypeAdapter, ValidationError

    path = Path(name_or_path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise FileError(f"{path} describes no space: it has no fields.")
        unknown = sorted(set(map(str, data)) - set(SearchSpace.__dataclass_fields__))
        if unknown:
            raise FileError(f"{path} describes no space: unknown field {unknown[0]!r}.")
        return TypeAdapter(SearchSpace).validate_python({"name": path.stem.lower(), **data}, strict=False)
    except OSError as error:
        raise FileError(f"Cannot read the space {path}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise FileError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise FileError(f"{path} describes no space: {where}: {first['msg']}.") from error
    except FileError:
        raise
    except (InputError, ValueError) as error:
        raise FileError(f"{path} describes no space: {error}") from error
