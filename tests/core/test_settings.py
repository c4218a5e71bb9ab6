"""Settings: a field says once what it may be, and everything else is made of that."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, dataclass, replace
from typing import Any

import numpy as np
import pytest

from vitas_hw.core.budget import Budget, Range, parse_duration
from vitas_hw.core.errors import InputError
from vitas_hw.core.settings import Setting, as_json, setting, settings, settings_of, shared, what_decides


@settings
class Oven:
    heat: float = setting(default=200, help="Degrees.", above=0, at_most=300)
    rounds: int | None = setting(default=None, help="How often.", at_least=1)
    mode: str = setting(default="top", help="Where from.", group="Where", choices=("top", "bottom"))
    share: float = setting(default=0.5, at_least=0, below=1)


@settings
class Cake(Oven):
    """Inherits every field and adds its own."""

    heat: float = setting(default=180, like=Oven, at_most=220)
    max_time_s: float | None = setting(default=None, reads=parse_duration, above=0, runs=True)
    budget: Budget = Budget(macs=Range(None, 5.0))
    layers: tuple[str, ...] = setting(default=("cream",), help="From below.")
    label: str = "plain"

    def __post_init__(self) -> None:
        if self.rounds == 13:
            raise InputError("Not `rounds=13`.", field="rounds", value=13)


@dataclass(frozen=True)
class Bowl:
    heat: float = 1.0
    rounds: int = 7
    colour: str = "red"


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"heat": 0}, "above 0 and at most 300"),
        ({"heat": 300.5}, "above 0 and at most 300"),
        ({"heat": math.nan}, "above 0 and at most 300"),
        ({"heat": math.inf}, "above 0 and at most 300"),
        ({"heat": "hot"}, "above 0 and at most 300"),
        ({"rounds": 0}, "at least 1"),
        ({"mode": "inside"}, "one of top, bottom"),
        ({"share": 1.0}, "at least 0 and below 1"),
        ({"share": -0.1}, "at least 0 and below 1"),
    ],
)
def test_a_value_out_of_range_is_told_as_data_and_as_a_sentence(given: dict[str, Any], allowed: str) -> None:
    ((name, value),) = given.items()
    with pytest.raises(InputError) as caught:
        Oven(**given)
    error = caught.value
    assert (error.field, error.allowed) == (name, allowed)
    assert error.value is value
    assert str(error) == f"{name} must be {allowed}, not {value!r}."


def test_values_at_the_bounds_and_none_are_allowed() -> None:
    made = Oven(heat=300, rounds=None, share=0)
    assert (made.heat, made.rounds, made.share, made.mode) == (300, None, 0, "top")
    assert Oven(heat=np.float32(12), rounds=np.int64(3)).rounds == 3
    assert Oven(rounds=10**400).rounds == 10**400


def test_a_large_bound_is_written_out() -> None:
    assert Setting(at_least=0, at_most=2**32 - 1).allowed == "at least 0 and at most 4294967295"
    assert Setting(above=0.25).allowed == "above 0.25"
    assert Setting().allows(object())


def test_settings_are_frozen_keywords_and_checked_when_changed() -> None:
    with pytest.raises(TypeError):
        Oven(3)  # type: ignore[call-arg]
    with pytest.raises(FrozenInstanceError):
        Oven().heat = 3  # type: ignore[misc]
    with pytest.raises(InputError):
        replace(Oven(), heat=-1)


def test_what_is_like_another_setting_has_its_help_and_range_and_may_narrow_it() -> None:
    about = settings_of(Cake)
    assert about["heat"] == Setting("Degrees.", above=0, at_most=220)
    assert Cake().heat == 180
    with pytest.raises(InputError, match="above 0 and at most 220"):
        Cake(heat=221)
    assert set(about) == {"heat", "rounds", "mode", "share", "max_time_s", "layers"}  # label and budget are no settings


def test_inherited_fields_are_checked_and_so_is_what_concerns_several() -> None:
    assert settings_of(Cake)["mode"] == settings_of(Oven)["mode"]
    with pytest.raises(InputError, match="mode must be one of top, bottom"):
        Cake(mode="inside")
    with pytest.raises(InputError, match="Not rounds=13"):
        Cake(rounds=13)


def test_shared_are_the_values_that_another_kind_has_fields_for() -> None:
    assert shared(Oven(rounds=3), Bowl) == {"heat": 200, "rounds": 3}
    assert shared(Oven(), Bowl) == {"heat": 200}  # None is what the other takes by itself
    assert replace(Bowl(), **shared(Oven(), Bowl)) == Bowl(heat=200)


def test_as_json_holds_every_field_as_json_types() -> None:
    made = Cake(max_time_s=90.0)
    assert (
        json.loads(json.dumps(as_json(made)))
        == as_json(made)
        == {
            "heat": 180,
            "rounds": None,
            "mode": "top",
            "share": 0.5,
            "max_time_s": 90.0,
            "budget": {"macs": [None, 5.0]},
            "layers": ["cream"],
            "label": "plain",
        }
    )


def test_nested_data_become_json_too() -> None:
    @dataclass(frozen=True)
    class Holds:
        bowl: Bowl
        by_name: dict[str, object]
        pairs: tuple[tuple[int, Budget], ...]

    held = as_json(Holds(Bowl(), {"a": Bowl()}, ((1, Budget(macs=Range(1, 2))),)))
    bowl = {"heat": 1.0, "rounds": 7, "colour": "red"}
    assert held == {"bowl": bowl, "by_name": {"a": bowl}, "pairs": [[1, {"macs": [1, 2]}]]}


def test_where_and_how_long_decide_nothing() -> None:
    assert what_decides(Cake(max_time_s=90.0)) == what_decides(Cake())
    assert set(as_json(Cake())) - set(what_decides(Cake())) == {"max_time_s"}
    assert what_decides(Cake(heat=3)) != what_decides(Cake())
