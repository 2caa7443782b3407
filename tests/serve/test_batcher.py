import asyncio
import threading

import pytest

from examples.serve.batcher import Batcher, bucket_size, padded
from examples.serve.limits import Busy


def test_requests_that_arrive_together_are_answered_together():
    batches = []

    def answer(key, requests):
        batches.append((key, list(requests)))
        return [10 * request for request in requests]

    async def main():
        batcher = Batcher(answer, max_batch=3)
        return await asyncio.gather(*(batcher.submit("ab"[i % 2], i) for i in range(8)))

    assert asyncio.run(main()) == [10 * i for i in range(8)]
    assert sorted(batches) == [("a", [0, 2, 4]), ("a", [6]), ("b", [1, 3, 5]), ("b", [7])]


def test_an_exception_among_the_answers_is_raised_for_its_request_alone():
    async def main():
        batcher = Batcher(lambda key, requests: [ValueError(each) if each == 1 else each for each in requests])
        return await asyncio.gather(*(batcher.submit("", i) for i in range(3)), return_exceptions=True)

    first, second, third = asyncio.run(main())
    assert (first, third) == (0, 2) and isinstance(second, ValueError)


def test_when_the_call_fails_every_request_of_the_batch_is_told_and_the_next_batch_is_answered():
    def answer(key, requests):
        if 1 in requests:
            raise ZeroDivisionError
        return requests

    async def main():
        batcher = Batcher(answer)
        failed = await asyncio.gather(*(batcher.submit("", i) for i in range(2)), return_exceptions=True)
        return failed, await batcher.submit("", 5)

    failed, answered = asyncio.run(main())
    assert all(isinstance(each, ZeroDivisionError) for each in failed) and answered == 5


def test_too_many_requests_are_told_that_the_server_is_busy():
    async def main():
        batcher = Batcher(lambda key, requests: requests, max_waiting=2)
        return await asyncio.gather(*(batcher.submit("", i) for i in range(3)), return_exceptions=True)

    *answered, refused = asyncio.run(main())
    assert answered == [0, 1] and isinstance(refused, Busy)


def test_a_client_that_left_costs_nothing():
    released, batches = threading.Event(), []

    def answer(key, requests):
        batches.append(list(requests))
        released.wait(10)
        return requests

    async def main():
        batcher = Batcher(answer, max_batch=1)
        first = asyncio.create_task(batcher.submit("", 1))
        while not batches:
            await asyncio.sleep(0)
        left, last = (asyncio.create_task(batcher.submit("", number)) for number in (2, 3))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        released.set()
        await asyncio.gather(first, last)
        while batcher._tasks:
            await asyncio.sleep(0)
        return batcher

    batcher = asyncio.run(main())
    assert batches == [[1], [3]] and batcher.waiting == 0 and not batcher._queues


@pytest.mark.parametrize(("count", "size"), [(1, 2), (2, 2), (3, 4), (5, 8), (32, 32)])
def test_batches_are_padded_to_powers_of_two_but_never_to_one(count, size):
    assert bucket_size(count) == size
    rows = list(range(count))
    assert padded(rows) == rows + [count - 1] * (size - count)
