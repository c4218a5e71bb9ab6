"""The lines of a profile's file, as pydantic checks them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=lambda name: name.rstrip("_"))


class Floor(_Strict):
    """See ``NoiseFloor``."""

    mean: float
    median: float | None
    p90: float
    pairs: int


class Header(_Strict):
    """The first line."""

    schema_: Literal[2]
    kind: Literal["profile"]
    target: dict[str, Any]
    space: dict[str, Any]
    environment: dict[str, Any]
    noise_floor: Floor | None
    anchor_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None


class Row(_Strict):
    """Every other line: a subnet's measurement, or the reason why there is none."""

    subnet: dict[str, Any]
    status: Literal["ok", "failed"]
    reason: str = ""
    latency_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    samples_ms: list[list[float]] = []
    drift: list[float] = []
    peak_bytes: int | None = None
