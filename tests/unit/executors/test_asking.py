"""Answers come in order, however many are asked for at once, and what nobody waits for is called off."""

from __future__ import annotations

import threading
import time

import pytest

from timelab.executors.asking import Stop, Stopped, in_order


@pytest.mark.parametrize("concurrency", [1, 2, 8, 100])
def test_answers_come_in_order(concurrency: int) -> None:
    def ask(number: int, stop: Stop) -> int:
        time.sleep(0.002 * (number % 3 == 0))
        return number

    assert list(in_order(50, ask, concurrency=concurrency)) == list(range(50))
    assert list(in_order(0, ask, concurrency=concurrency)) == []


def test_no_more_than_the_bound_are_under_way_and_one_needs_no_thread() -> None:
    lock, now, most = threading.Lock(), 0, 0
    barrier = threading.Barrier(3)

    def ask(number: int, stop: Stop) -> str:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        if number < 3:
            barrier.wait(20)
        with lock:
            now -= 1
        return threading.current_thread().name

    assert threading.main_thread().name not in set(in_order(12, ask, concurrency=3))
    assert most == 3
    barrier = threading.Barrier(1)
    assert set(in_order(4, ask)) == {threading.current_thread().name}


def test_a_slow_first_answer_does_not_let_the_others_run_away() -> None:
    gate, seen = threading.Event(), set()

    def ask(number: int, stop: Stop) -> int:
        seen.add(number)
        if number == 0:
            gate.wait(20)
        return number

    answers = in_order(1_000, ask, concurrency=2)
    waiter = threading.Timer(0.2, gate.set)
    waiter.start()
    assert next(answers) == 0
    waiter.join()
    assert max(seen) < 20
    answers.close()


@pytest.mark.parametrize("concurrency", [1, 4])
def test_an_error_comes_in_its_place(concurrency: int) -> None:
    def ask(number: int, stop: Stop) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    answers = in_order(10, ask, concurrency=concurrency)
    assert [next(answers) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(answers)


def test_closing_calls_off_what_is_under_way() -> None:
    called_off = threading.Semaphore(0)

    def ask(number: int, stop: Stop) -> int:
        if number == 0:
            return 0
        try:
            for _ in range(2_000):
                stop.check()
                time.sleep(0.01)
        except Stopped:
            called_off.release()
            raise
        return number

    answers = in_order(3, ask, concurrency=3)
    assert next(answers) == 0
    answers.close()
    assert called_off.acquire(timeout=20) and called_off.acquire(timeout=20)
