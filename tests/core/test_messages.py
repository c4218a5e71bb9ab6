"""What impossible values are told, in the words that a user reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitas_hw.core.budget import Budget, Range
from vitas_hw.core.depths import identity_depths
from vitas_hw.core.errors import InputError
from vitas_hw.core.presets import preset
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.predictors.table import read_table
from vitas_hw.profiling.profile import Measurement
from vitas_hw.workflows.profile.settings import ProfileSettings

SPACE = preset("vitas-digits")
SUBNET = SPACE.smallest
TARGET = Target("box", "torch", "fp32", 1, 1, (32, 32))


def table(text: str, folder: Path) -> Path:
    path = folder / "table.csv"
    path.write_text(text)
    return path


SAID: list[tuple[Callable[[Path], object], str]] = [
    (lambda _: Range(None, None), "A budget needs positive, finite bounds, not None to None."),
    (lambda _: Range(2, 1), "A budget's lower bound 2 lies above its upper bound 1."),
    (
        lambda _: Budget.from_dict({"watts": [1, 2]}),
        "It must be 'latency_ms' or 'macs' or 'params' or 'memory_bytes' or 'images_per_s', not 'watts'.",
    ),
    (lambda _: Budget.from_dict({"macs": [1]}), "macs must be a list of 2, not [1]."),
    (lambda _: Budget.from_dict({"macs": ["1", 2]}), "macs.0 must be a finite number, not '1'."),
    (
        lambda _: SearchSpace.from_dict(SPACE.to_dict() | {"depth": 3}),
        "depth must be a list of 2, not 3.",
    ),
    (lambda _: replace(SPACE, name="a/b"), "A space's name has 1 to 64 of a-z, 0-9, '-', '_' and '.', not 'a/b'."),
    (lambda _: replace(SPACE, name="a" * 65), "A space's name has 1 to 64 of"),
    (lambda _: replace(SPACE, depth=(0, 3)), "depth must be a whole number from 1"),
    (lambda _: replace(SPACE, depth=(5, 3)), "must be 1 <= fewest <= most <= 256, not (5, 3)."),
    (lambda _: replace(SPACE, mlp_dims=tuple(range(1, 1026))), "has 1025 choices; 1024 are allowed."),
    (lambda _: SPACE.decode(np.zeros(SPACE.code_length, int)), "has at least 2 blocks; the code has fewer."),
    (lambda _: identity_depths(SPACE, 2), "An identity probability lies between 0 and 1: 2 does not."),
    (lambda _: SPACE.sample(0, depths=(1.0,)), "shares of its depths that sum to 1, not (1.0,)."),
    (lambda _: Subnet.from_json("?"), "This is not the JSON of a subnet: it is no JSON at line 1"),
    (lambda _: Subnet.from_dict(SUBNET.to_dict() | {"blocks": 3}), "blocks must be a list, not 3."),
    (lambda _: replace(SUBNET, image_size=32), "image_size must be (height, width), not 32."),
    (
        lambda _: replace(TARGET, device_name="My PC"),
        "A device name has up to 100 of a-z, 0-9, '.' and '-', not 'My PC'.",
    ),
    (lambda _: replace(TARGET, image_size=32), "A target's image size is (height, width), not 32."),
    (lambda here: read_table(table("a,b\n", here), "a"), "has a header and no row."),
    (lambda here: read_table(table("a,b\n1,2\n", here), "c"), "has no column 'c'."),
    (lambda here: read_table(table("a,b\n1\n", here), "a"), "row 2, has 1 fields; the header has 2."),
    (lambda _: Measurement(SUBNET), "A measurement has either samples or the reason why there are none."),
    (lambda _: Measurement(SUBNET, ((1.0,), (1.0,)), (1.0,)), "A measurement has one drift for each round, or none."),
    (lambda _: ProfileSettings(until=2), "until must be above 0 and below 1, not 2."),
    (
        lambda _: ProfileSettings(until=0.1, subnets="random"),
        "subnets cannot be given beside until or old, which choose the subnets themselves.",
    ),
    (lambda _: ProfileSettings(until=0.1, old="x"), "until fits a new predictor and old corrects one that is there."),
]


@pytest.mark.parametrize(("make", "said"), SAID, ids=[said[:40] for _, said in SAID])
def test_an_impossible_value_is_told_of(make: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        make(tmp_path)
    assert said in caught.value.problem
    assert "\n" not in str(caught.value)
