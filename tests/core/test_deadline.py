"""A deadline is over by the clock or by a signal, and its parts by the same signals."""

from __future__ import annotations

import math
import signal
import threading

import pytest
from clocks import Clock

from vitas_hw.core.deadline import NEVER, Deadline, TimeIsUpError


def test_it_is_over_by_the_clock(clock: Clock) -> None:
    deadline = Deadline.after(10.0)
    clock.at += 9.9
    assert not deadline.over()
    deadline.check("anything")
    clock.at += 0.2
    assert deadline.over()
    with pytest.raises(TimeIsUpError) as caught:
        deadline.check("the choice was exported")
    assert caught.value.problem == "Time is up before the choice was exported."
    assert caught.value.hint.startswith("Repeat the command with more max_time_s")
    assert caught.value.exit_status == 1


def test_without_a_limit_it_is_never_over(clock: Clock) -> None:
    clock.at = 1e12
    assert not any(one.over() for one in (NEVER, Deadline.after(None), Deadline.after(None).part(0.5)))
    assert Deadline.after(None).at == math.inf


def test_a_part_is_of_the_time_left(clock: Clock) -> None:
    whole = Deadline.after(10.0)
    clock.at += 5.0
    part = whole.part(0.4)
    clock.at += 1.9
    assert not part.over()
    clock.at += 0.2
    assert part.over()
    assert not whole.over()
    assert whole.left() == pytest.approx(2.9)
    clock.at += 10.0
    assert whole.part(0.5).over()  # nothing is left to share
    assert whole.left() == 0.0
    assert NEVER.left() == math.inf


def test_a_signal_ends_it_and_its_parts_and_takes_effect_afterwards(clock: Clock) -> None:
    whole = Deadline.after(10.0)
    part, seen = whole.part(0.5), []

    def work() -> None:
        with part.noting_signals():
            assert not whole.over()
            signal.raise_signal(signal.SIGINT)
            seen.append((part.over(), whole.over()))

    with pytest.raises(KeyboardInterrupt):
        work()
    assert seen == [(True, True)]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_takes_effect_instead_of_the_error_that_it_has_brought_about(clock: Clock) -> None:
    def work(*signals: signal.Signals) -> None:
        with Deadline.after(10.0).noting_signals() as deadline:
            for number in signals:
                signal.raise_signal(number)
            clock.at += 0.0 if signals else 10.0
            deadline.check("it was done")

    with pytest.raises(KeyboardInterrupt):
        work(signal.SIGINT)
    with pytest.raises(TimeIsUpError):
        work()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_thread_gets_no_signals() -> None:
    done = []

    def work() -> None:
        with Deadline().noting_signals() as deadline:
            done.append(deadline.over())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [False]
