"""Working ahead: the order and the errors of `map`, and no more memory than for a few results."""

from __future__ import annotations

import threading

import pytest

from treadle.threads import map_ahead


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_results_come_in_the_order_of_the_items(count):
    second_is_done = threading.Event()

    def square(number):
        if number == 0:
            second_is_done.wait(timeout=0.5)  # the first one is the last to be done, where there are threads
        if number == 1:
            second_is_done.set()
        return number * number

    assert list(map_ahead(square, range(count))) == [n * n for n in range(count)]


@pytest.mark.parametrize("num_threads", [1, 3])
def test_what_is_in_work_or_waits_is_as_much_as_there_are_threads(num_threads):
    begun, threads = [], set()

    def begin(number):
        begun.append(number)
        threads.add(threading.current_thread())
        return number

    seen = [(number, len(begun)) for number in map_ahead(begin, range(20), num_threads=num_threads)]

    assert [number for number, _ in seen] == list(range(20))
    assert all(done <= number + 1 + num_threads for number, done in seen)
    assert threading.current_thread() not in threads
    assert len(threads) <= num_threads


def test_a_single_item_needs_no_thread():
    assert list(map_ahead(lambda _: threading.current_thread(), ["only"])) == [threading.current_thread()]


def test_an_error_comes_out_where_its_result_would():
    results = map_ahead(lambda number: 1 / number, [1, 2, 0, 4])
    assert [next(results), next(results)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)
