from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitas_hw.core.budget import THROUGHPUT, Budget, Range, parse_duration, parse_range, show_cost, write_cost
from vitas_hw.core.errors import InputError


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("5ms", None, 5.0),
        ("0.5 ms", None, 0.5),
        (".5ms", None, 0.5),
        ("250us", None, 0.25),
        ("1s", None, 1000.0),
        ("4ms-5ms", 4.0, 5.0),
        ("4-5ms", 4.0, 5.0),
        ("500us-2ms", 0.5, 2.0),
        ("1e-3ms", None, 0.001),
        ("1e-3ms-1e1ms", 0.001, 10.0),
    ],
)
def test_latencies(text: str, low: float | None, high: float) -> None:
    found = parse_range(text, "latency_ms")
    assert (found.low, found.high) == (pytest.approx(low) if low else low, pytest.approx(high))


def test_flops_and_params_are_counts() -> None:
    budget = Budget.parse(flops="1.3G", params="4M-6M")
    assert budget.to_dict() == {"macs": [None, 1.3e9], "params": [4e6, 6e6]}
    assert Budget.from_dict(budget.to_dict()) == budget


@pytest.mark.parametrize(
    ("given", "batch", "low", "high"),
    [
        ("500/s", 1, None, 2.0),
        ("500/s", 64, None, 128.0),
        (".5K/s", 64, None, 128.0),
        (500, 64, None, 128.0),
        ("500/s-1000/s", 64, 64.0, 128.0),
        ("500-1000 /s", 64, 64.0, 128.0),
    ],
)
def test_a_throughput_is_a_latency_at_a_batch_size(
    given: str | float, batch: int, low: float | None, high: float
) -> None:
    budget = Budget.parse(throughput=given, params="6M")
    assert (budget.latency_ms, budget.is_empty, [*budget.asked]) == (None, False, ["params"])
    there = budget.at_batch(batch)
    assert (there.latency_ms, there.params) == (Range(low, high), budget.params)
    assert there.at_batch(batch) == there
    for one in (budget, there):
        assert Budget.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert Budget().at_batch(64) == Budget()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("500", "throughput '500' has no unit; known units: /s, K/s, M/s. Example: throughput=500/s."),
        ("500 images", "has the unit 'images'; known units: /s"),
        ("500/min", "is not a budget. Write for example throughput=500/s, or a range."),
        ("0/s", "A budget needs positive, finite bounds"),
        (0, "A budget needs positive, finite bounds"),
        (float("nan"), "A budget needs positive, finite bounds"),
        ("600/s-500/s", "lies above its upper bound"),
    ],
)
def test_a_wrong_throughput_is_one_sentence(given: str | float, words: str) -> None:
    with pytest.raises(InputError) as caught:
        Budget.parse(throughput=given)
    assert words in str(caught.value)


def test_a_throughput_and_a_latency_are_one_too_many() -> None:
    said = r"throughput is a latency in another word, and latency is given too\. Give one of them\."
    with pytest.raises(InputError, match=said) as caught:
        Budget.parse(latency="5ms", throughput="500/s")
    assert caught.value.field == "throughput"


def test_the_json_form_of_the_design() -> None:
    assert Budget.parse(latency="5ms").to_dict() == {"latency_ms": [None, 5.0]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("5", "has no unit; known units: us, ms, s. Example: latency=5ms."),
        ("5min", "has the unit 'min'; known units: us, ms, s"),
        ("5m", "has the unit 'm'"),
        ("5MS", "has the unit 'MS'"),
        ("fast", "is not a budget"),
        ("", "is not a budget"),
        ("-5ms", "is not a budget"),
        ("nanms", "is not a budget"),
        ("0ms", "positive"),
        ("1e999ms", "positive, finite"),
        ("5ms-4ms", "lies above"),
        ("1ms-2ms-3ms", "is not a budget"),
        ("٥ms", "is not a budget"),
    ],
)
def test_a_wrong_latency_is_one_sentence(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        Budget.parse(latency=text)
    assert words in str(caught.value)


def test_a_latency_unit_is_none_for_flops() -> None:
    with pytest.raises(InputError, match="known units: K, M, G, T") as caught:
        Budget.parse(flops="5ms")
    assert (caught.value.field, caught.value.value, caught.value.allowed) == ("flops", "5ms", "such as 1.3G")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1.5 min", 90), ("30m", 1800), ("8h", 28800), ("2d", 172800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5", "5 parsecs", "0s", "-1s", "1e3s", "9" * 400 + "s"])
def test_a_wrong_duration_is_one_sentence(text: str) -> None:
    with pytest.raises(InputError, match=r"^Invalid duration '.*'?(\.\.\.)?; use for example 90s, 30m, 8h\.$"):
        parse_duration(text)


@given(st.text())
def test_any_text_is_a_range_or_an_input_error(text: str) -> None:
    try:
        found = parse_range(text, "latency_ms")
    except InputError:
        return
    assert found.high is not None
    assert found.high > 0


def test_excess_is_relative_to_the_bound_that_is_crossed() -> None:
    excess = Range(4.0, 5.0).excess(np.array([2.0, 4.5, 10.0]))
    assert excess[0] == pytest.approx(0.5)
    assert excess[1] <= 0
    assert excess[2] == pytest.approx(1.0)
    assert Range(None, 5.0).excess(5.0) == 0


def test_how_a_budget_reads() -> None:
    assert str(Budget.parse(latency="5ms")) == "latency at most 5 ms"
    assert str(Budget.parse(latency="4-5ms", flops="1.3G")) == "latency from 4 ms to 5 ms and MACs at most 1.3 GMACs"
    assert str(Budget.parse(params="6M")) == "parameters at most 6 M parameters"
    both = Budget.parse(throughput="500-600/s", flops="1.3G")
    assert str(both) == "MACs at most 1.3 GMACs and throughput from 500 images/s to 600 images/s"
    said = "latency from 107 ms to 128 ms (throughput from 500 images/s to 600 images/s) and MACs at most 1.3 GMACs"
    assert str(both.at_batch(64)) == said


@pytest.mark.parametrize(
    ("value", "cost", "text"),
    [
        (0.00123, "latency_ms", "0.00123 ms"),
        (2000.0, "latency_ms", "2000 ms"),
        (999.9e6, "macs", "1000 MMACs"),
        (1.2654e9, "macs", "1.27 GMACs"),
        (12, "params", "12 parameters"),
    ],
)
def test_costs_read_without_exponents(value: float, cost: str, text: str) -> None:
    assert show_cost(value, cost) == text


@pytest.mark.parametrize(
    ("value", "cost", "text"),
    [
        (140e3, "macs", "140K"),
        (1.3e6, "params", "1.3M"),
        (2.1e9, "macs", "2.1G"),
        (999.0, "params", "0.999K"),
        (5.0, "latency_ms", "5ms"),
        (0.24, "latency_ms", "0.24ms"),
        (0.0012, "latency_ms", "1.2us"),
        (2500.0, "latency_ms", "2500ms"),
    ],
)
def test_a_bound_is_written_in_the_unit_that_suits_it(value: float, cost: str, text: str) -> None:
    assert write_cost(value, cost) == text


@given(st.floats(1e-30, 1e30), st.sampled_from(["latency_ms", "macs", "params", THROUGHPUT]))
def test_a_written_bound_is_read_exactly(value: float, cost: str) -> None:
    is_floor = cost == THROUGHPUT
    assert parse_range(write_cost(value, cost), cost) == (Range(value, None) if is_floor else Range(None, value))


def test_an_empty_budget_asks_for_nothing() -> None:
    assert Budget().asked == {}
    assert str(Budget()) == "none"
