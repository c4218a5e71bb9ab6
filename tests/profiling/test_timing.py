from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, cycle, repeat

import pytest

from vitas_hw.profiling.timing import Timing, Visit, _anchor_burst, anchor_subnet, time_session, time_visit, warm_up


class FakeSession:
    precision = "fp32"
    peak_bytes = None

    def __init__(
        self, latencies: Iterator[float], log: Callable[[str], None] = lambda name: None, name: str = ""
    ) -> None:
        self._latencies, self._log, self._name = latencies, log, name
        self.runs = 0

    def samples_ms(self, count: int) -> list[float]:
        self.runs += count
        self._log(self._name)
        return [next(self._latencies) for _ in range(count)]

    def close(self) -> None:
        pass


def test_warm_up_lasts_until_the_running_median_is_steady() -> None:
    steady = FakeSession(repeat(5.0))
    warm_up(steady, Timing())
    assert steady.runs == 6
    falling = FakeSession(iter([50.0, 40.0, 30.0, 20.0, 15.0, 10.0, 5.1, 5.0, 5.0, 5.0, 5.1, 5.0]))
    warm_up(falling, Timing(max_warmup_s=1.0))
    assert falling.runs == 12


def test_warm_up_ends_on_a_machine_that_never_gets_steady() -> None:
    growing = FakeSession(float(value) for value in range(1, 1000))
    warm_up(growing, Timing(max_warmup_s=0.1))
    assert 6 <= growing.runs <= 30
    slow = FakeSession(repeat(500.0))
    warm_up(slow, Timing(max_warmup_s=0.1))
    assert slow.runs == 3


def test_samples_are_kept_raw_and_as_many_as_the_time_asks_for() -> None:
    latencies = [7.0] * 6 + [1.0, 9.0, 2.0, 8.0, 3.0]
    timing = Timing(sample_s=0.0, min_samples=5)
    assert time_session(FakeSession(iter(latencies)), timing) == [1.0, 9.0, 2.0, 8.0, 3.0]
    fast = time_session(FakeSession(repeat(1.0)), Timing(sample_s=0.05, max_samples=1000))
    assert 50 <= len(fast) <= 52
    assert len(time_session(FakeSession(repeat(0.001)), Timing(sample_s=10.0, max_samples=20))) == 20


def test_the_anchor_is_timed_right_before_and_right_after() -> None:
    order: list[str] = []
    subnet = FakeSession(repeat(3.0), order.append, "subnet")
    anchor = FakeSession(iter([9.0, 4.0, 4.0, 9.0, 6.0, 6.0]), order.append, "anchor")
    visit = time_visit(subnet, anchor, Timing(anchor_samples=2, anchor_s=0.0))
    assert (visit.before_ms, visit.after_ms) == ((4.0, 4.0), (6.0, 6.0))  # the first of each burst is not counted
    assert (order[0], order[-1]) == ("anchor", "anchor")
    assert set(order[1:-1]) == {"subnet"}


GPU = Timing().on_a_gpu()


def test_a_steady_anchor_takes_few_samples_and_a_noisy_one_fifty() -> None:
    steady = [9.0, *[1.0, 1.002] * 5]
    anchor = FakeSession(iter(steady))
    assert len(_anchor_burst(anchor, GPU)) == 10
    assert anchor.runs == 11
    noisy = FakeSession(cycle([1.0, 1.1]))
    assert len(_anchor_burst(noisy, GPU)) == 50
    calming = FakeSession(chain([9.0], [1.0, 1.1] * 5, [9.0], repeat(1.0)))  # 9.0 wakes it up again, and is not counted
    found = _anchor_burst(calming, GPU)
    assert 20 < len(found) < 50
    assert 9.0 not in found


def test_a_small_anchor_is_warm_before_it_counts() -> None:
    cold = chain([1.2, 1.05, 0.95, 0.65, 0.535], repeat(0.5))  # as measured after a subnet at 32 pixels
    found = _anchor_burst(FakeSession(cold), Timing())
    assert set(found) == {0.5}
    assert 18 <= sum(found) <= 22  # two thirds of thirty milliseconds, less what the cold ones took
    assert _anchor_burst(FakeSession(chain([12.0], repeat(10.0))), Timing()) == (10.0,) * 3  # a slow one as ever
    assert len(_anchor_burst(FakeSession(repeat(0.001)), Timing())) == 134  # of two hundred
    assert len(_anchor_burst(FakeSession(chain([9.0], repeat(1.0))), Timing(anchor_s=0.0))) == 3


def test_only_on_a_gpu_the_anchors_samples_depend_on_their_spread() -> None:
    assert len(_anchor_burst(FakeSession(cycle([9.0, 18.0])), Timing())) == 3
    assert GPU.to_dict()["anchor_s"] == 0.0
    assert Timing().to_dict() == {
        "steady": 0.03,
        "max_warmup_s": 0.1,
        "sample_s": 0.06,
        "min_samples": 3,
        "max_samples": 200,
        "anchor_samples": 3,
        "anchor_s": 0.03,
    }
    assert (GPU.to_dict()["anchor_spread"], GPU.to_dict()["anchor_most"]) == (0.01, 50)
    assert Timing(**GPU.to_dict()) == GPU  # type: ignore[arg-type]
    assert Timing(anchor_samples=20).on_a_gpu().anchor_samples == 20


def test_a_visit_knows_how_much_the_machine_changed() -> None:
    visit = Visit((1.0,), (10.0, 10.0, 99.0), (12.0,))
    assert visit.anchor_ms == 11.0
    assert visit.unsteadiness == pytest.approx(0.2)


@pytest.mark.parametrize(("size", "patch"), [((224, 224), 16), ((32, 32), 16), ((28, 28), 14), ((33, 35), 1)])
def test_the_anchor_is_half_of_deit_tiny_at_any_image_size(size: tuple[int, int], patch: int) -> None:
    anchor = anchor_subnet(size)
    assert anchor.image_size == size
    assert anchor.patch_size == patch
    assert (anchor.embed_dim, anchor.depth) == (192, 6)
