"""The state of a training between two steps, as a file: what a killed run goes on from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vitas_hw.core.errors import FileError, VitasError, WriteError, shown
from vitas_hw.core.files import atomic_path
from vitas_hw.core.reading import check_regular, parse_json, reason
from vitas_hw.supernet.timm_models import check_stored
from vitas_hw.training.checkpoint_header import other_settings

SCHEMA = 1


@dataclass
class State:
    """Where a training stands: ``step`` steps of epoch ``epoch`` (from 0) are done.

    Args:
        epoch, step: see above.
        loss: sum of the epoch's losses so far, one an image.
        seen: images of the epoch so far.
        history: mean loss of each finished epoch.
        tensors: state dicts of model, optimizer, scaler, ema.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    seen: int = 0
    history: list[float] = field(default_factory=list)
    tensors: dict[str, Any] = field(default_factory=dict)

    @property
    def begun(self) -> bool:
        """Whether it is the state of a training to go on with, not yet put in place."""
        return bool(self.tensors)


def save_state(path: Path, settings: dict[str, Any], state: State) -> None:
    """Replace the file in one step; an earlier one stays whole until then.

    Raises:
        VitasError: it cannot be written (a full disk); the earlier one is kept.
    """
    whole = {"schema": SCHEMA, "settings": json.dumps(settings, sort_keys=True), **vars(state)}
    try:
        with atomic_path(path) as temporary:
            torch.save(whole, temporary)
    except (WriteError, RuntimeError) as error:  # torch's writer raises RuntimeError on a full disk
        kept = f" The last good one is kept at {path}." if path.exists() else ""
        why = error.why if isinstance(error, WriteError) else reason(error)
        raise VitasError(
            f"The checkpoint could not be written to {path.parent}: {why}.{kept}",
            "Free some room there, then repeat the command: it goes on from the last good checkpoint.",
        ) from error


def load_state(path: Path, settings: dict[str, Any]) -> State | None:
    """The state of a training with these settings; None if there is no file.

    Raises:
        FileError: the file is broken or of another schema.
        OtherSettingsError: it is of a training with other settings.
    """
    if not path.exists():
        return None
    again = "Give `fresh` to train from the beginning."
    check_regular(path, "the checkpoint", hint=again)
    try:
        check_stored(path)
        whole = torch.load(path, map_location="cpu", weights_only=True)
        schema = whole.pop("schema")
        if schema == SCHEMA:
            known, state = dict(parse_json(whole.pop("settings"))), _checked(State(**whole))
    except Exception as error:  # torch, pickle and zipfile raise many kinds
        raise FileError(f"{path} is a broken checkpoint.", again) from error
    if schema != SCHEMA:
        raise FileError(f"{path} is a checkpoint of schema {shown(schema)}, not {SCHEMA}.", again)
    wanted = json.loads(json.dumps(settings))  # as it was written: tuples are lists there
    if known != wanted:
        raise other_settings(path, known, wanted)
    return state


def _checked(state: State) -> State:
    """The state if its fields are what they should be. Raises ValueError otherwise."""
    whole = (state.epoch, state.step, state.seen)
    if not all(type(number) is int and number >= 0 for number in whole) or not isinstance(state.tensors, dict):
        raise ValueError("a count is no whole number")
    if not all(isinstance(loss, int | float) for loss in (state.loss, *state.history)):
        raise ValueError("a loss is no number")
    return state
