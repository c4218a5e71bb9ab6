from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vitas_hw.core.budget import Budget, Range, show_cost, write_cost
from vitas_hw.core.errors import InfeasibleBudgetError, InputError, VitasError
from vitas_hw.core.operators import SubnetColumns
from vitas_hw.core.progress import SILENT
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling.place import TargetAsked, find_place
from vitas_hw.profiling.profile import Measurement
from vitas_hw.searching.admission import Admission
from vitas_hw.searching.costs import Costs
from vitas_hw.searching.memory import FEWEST, MemoryEstimate
from vitas_hw.workflows.search import memory
from vitas_hw.workflows.search.memory import PEAK, growth, memory_meter

FP32, INT8 = (Target("box", "onnxruntime", precision, 1, 1, (32, 32)) for precision in ("fp32", "int8"))


def some(space: SearchSpace, count: int) -> list[Subnet]:
    codes = space.sample_codes(4 * count, np.random.default_rng(1))
    return list(dict.fromkeys(space.decode(code) for code in codes))[:count]


def test_memory_is_written_in_bytes_of_a_thousand() -> None:
    budget = Budget.parse(memory="200MB")
    assert budget == Budget(memory_bytes=Range(None, 2e8))
    assert Budget.from_dict(budget.to_dict()) == budget
    assert str(Budget.parse(memory="1-2GB")) == "memory from 1000 MB to 2000 MB"
    assert (show_cost(2.5e6, "memory_bytes"), write_cost(2.5e6, "memory_bytes")) == ("2.5 MB", "2.5MB")
    with pytest.raises(InputError, match=r"known units: KB, MB, GB"):
        Budget.parse(memory="200M")


def test_unfitted_it_is_what_no_runtime_can_do_without(digits: SearchSpace) -> None:
    subnets = [digits.smallest, digits.largest]
    fp32 = MemoryEstimate(FP32).bytes_of(SubnetColumns.of(subnets))
    for subnet, found in zip(subnets, fp32, strict=True):
        largest = 2 * subnet.num_patches + 2  # tokens times what the widest operator of a block reads and writes
        assert 4 * subnet.params < found < 4 * (subnet.params + largest * 4 * (subnet.embed_dim + 2048))
    assert MemoryEstimate(INT8).bytes_of(SubnetColumns.of(subnets)) == pytest.approx(fp32 / 4)


def test_it_is_fitted_to_the_peaks_of_a_profile_with_no_factor_below_zero(digits: SearchSpace) -> None:
    subnets = some(digits, 40)
    true = MemoryEstimate(FP32, (3e6, 1.5, 4.0))
    peaks = {s: int(ms) for s, ms in zip(subnets, true.bytes_of(SubnetColumns.of(subnets)), strict=True)}
    found = MemoryEstimate.fitted(FP32, peaks)
    assert found.factors == pytest.approx(true.factors, rel=1e-3)
    assert found.fitted_to == 40
    falling = MemoryEstimate.fitted(FP32, {s: int(1e9 / s.params**0.5) for s in subnets})
    assert min(falling.factors) >= 0
    assert MemoryEstimate.fitted(FP32, dict(list(peaks.items())[: FEWEST - 1])) == MemoryEstimate(FP32)


def test_codes_are_admitted_by_the_estimate_and_its_correction(digits: SearchSpace) -> None:
    budget = Budget.parse(memory="12MB")
    for correction in (1.0, 2.0):
        costs = Costs(digits, memory=MemoryEstimate(FP32), memory_correction=correction)
        codes = Admission(costs, budget).draw(40, np.random.default_rng(0))
        found = MemoryEstimate(FP32).bytes_of(digits.columns(codes)) * correction
        assert found.max() <= 12e6
        assert found.min() >= 0.9 * 12e6
    with pytest.raises(InfeasibleBudgetError, match=r"estimated memory from .* MB to .* MB.*memory="):
        costs.feasible_code(Budget.parse(memory="1KB"))


def test_without_the_target_a_memory_budget_is_refused(digits: SearchSpace) -> None:
    with pytest.raises(InputError, match="A memory budget needs the target of the run's predictor") as caught:
        Costs(digits).feasible_code(Budget.parse(memory="200MB"))
    assert (caught.value.field, caught.value.step) == ("memory", "profile")


def test_what_cannot_be_measured_is_said(digits: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    place = find_place(TargetAsked(), digits.image_size)
    impossible = replace(place, target=replace(place.target, precision="fp16"))
    with pytest.raises(VitasError, match=r"The memory of a finalist cannot be measured: .*fp16"):
        growth(impossible, digits.smallest)
    silent = [Measurement(digits.smallest, ((1.0,),))]
    monkeypatch.setattr(memory, "side_by_side", lambda *_, **__: (silent, 1.0))
    meter, how = memory_meter(replace(place, device="mps"), SILENT)
    assert how == PEAK
    with pytest.raises(VitasError, match=r"does not tell how much memory it uses on mps"):
        meter(digits.smallest)


def test_a_fresh_process_grows_by_more_for_a_larger_subnet(digits: SearchSpace) -> None:
    place = find_place(TargetAsked(), digits.image_size)
    little, large = (growth(place, subnet) for subnet in (digits.smallest, digits.largest))
    weights = 4 * digits.largest.params
    assert little < 0.5 * weights < weights < large < 6 * weights
