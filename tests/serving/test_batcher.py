"""Where a batch is answered: a request alone that takes a moment where it came, others in a thread of their own."""

import asyncio
import threading
import time

import pytest

from treadle.serving.batcher import Batcher

MOMENT_S = 0.05


def list_threads(rows):
    """Scores a row by the thread in which it is answered, in as many seconds as the row says."""
    time.sleep(sum(rows))
    return [threading.current_thread() is threading.main_thread()] * len(rows)


def ask(*rounds, moment=MOMENT_S):
    """Whether each request was answered where it came; the requests of a round are there together."""

    async def run():
        batcher = Batcher(list_threads, batch_rows=8, queue_rows=100, seconds=5.0, moment=moment)
        found = [await asyncio.gather(*map(batcher.ask, requests)) for requests in rounds]
        await batcher.close()
        return [[answers[0] for answers in answered] for answered in found]

    return asyncio.run(run())


def test_a_request_alone_is_answered_where_it_came_once_it_is_known_to_take_a_moment():
    assert ask([[0.0]], [[0.0]], [[0.0, 0.0]]) == [[False], [True], [True]]


def test_requests_that_wait_together_are_answered_in_a_thread():
    assert ask([[0.0]], [[0.0], [0.0]], [[0.0] * 8, [0.0] * 8]) == [[False], [False, False], [False, True]]


def test_requests_of_a_batch_that_fails_are_answered_one_by_one_in_a_thread():
    """Where they came, all of them together would take more than a moment."""

    def score(rows):
        if len(rows) > 1:
            raise ValueError
        return list_threads(rows)

    async def run():
        batcher = Batcher(score, batch_rows=8, queue_rows=100, seconds=5.0, moment=MOMENT_S)
        await batcher.ask([0.0])
        answers = await asyncio.gather(*(batcher.ask([0.0]) for _ in range(3)))
        await batcher.close()
        return answers

    assert asyncio.run(run()) == [[False], [False], [False]]


@pytest.mark.parametrize(
    ("rounds", "moment"),
    [([[[0.2]], [[0.0]]], MOMENT_S), ([[[0.0]], [[0.0]]], 0.0)],
    ids=["rows that take long", "a score that may wait for others"],
)
def test_what_others_would_have_to_wait_for_is_answered_in_a_thread(rounds, moment):
    assert ask(*rounds, moment=moment) == [[False], [False]]
