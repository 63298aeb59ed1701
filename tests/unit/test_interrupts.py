"""Signals stop the work, never the record of it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from timelab.interrupts import Terminated, held, stop_on_signals

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KINDS = ((signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated), (signal.SIGHUP, Terminated))


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = [signal.getsignal(number) for number in NUMBERS]
    yield
    for number, handler in zip(NUMBERS, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_waits_for_the_end(number: signal.Signals) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), held():
        os.kill(os.getpid(), number)
        done.append("recorded")
    assert done == ["recorded"]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_breaks_off_what_is_lifted_and_the_next_one_waits(number: signal.Signals) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), held() as hold:
        with pytest.raises(KeyboardInterrupt), hold.lifted():
            os.kill(os.getpid(), number)
            done.append("worked on")
        os.kill(os.getpid(), number)
        done.append("recorded")
    assert done == ["recorded"]


@pytest.mark.parametrize(("number", "kind"), KINDS)
def test_the_first_signal_tells_whether_a_person_stopped_it(number: signal.Signals, kind: type[BaseException]) -> None:
    """Design 2: Ctrl-C is a decision about the work, the end of a session is none."""
    with pytest.raises(KeyboardInterrupt) as waited, held():
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    assert waited.type is kind
    with pytest.raises(KeyboardInterrupt) as broke, held() as hold, hold.lifted():
        os.kill(os.getpid(), number)
    assert broke.type is kind


def test_a_signal_that_waits_is_let_through_at_once() -> None:
    done = []
    with held() as hold:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), hold.lifted():
            done.append("begun")
    assert done == []


def test_an_error_goes_before_a_signal() -> None:
    with pytest.raises(ValueError, match="disk"), held():
        os.kill(os.getpid(), signal.SIGTERM)
        raise ValueError("disk")


def test_the_handlers_are_given_back_and_ignored_signals_stay_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    before = [signal.getsignal(number) for number in NUMBERS]
    with held():
        os.kill(os.getpid(), signal.SIGHUP)
    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_another_thread_holds_nothing() -> None:
    found = []

    def body() -> None:
        with held() as hold, hold.lifted():
            found.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [before]


def test_commands_take_a_kill_as_ctrl_c_unless_it_is_ignored() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop_on_signals()
    with pytest.raises(Terminated):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
