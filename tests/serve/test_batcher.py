import asyncio
import threading

import pytest

from examples.serve.batcher import Batcher, bucket_size, padded
from examples.serve.limits import Refused


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


def test_many_requests_of_one_setting_do_not_hold_up_those_of_another():
    batches = []

    def answer(key, requests):
        batches.append((key, list(requests)))
        return requests

    async def main():
        batcher = Batcher(answer, max_batch=1)
        await asyncio.gather(batcher.submit_all("a", range(3)), batcher.submit("b", 3))

    asyncio.run(main())
    assert batches == [("a", [0]), ("b", [3]), ("a", [1]), ("a", [2])]


def test_an_exception_among_the_answers_is_raised_for_its_request_alone():
    async def main():
        batcher = Batcher(lambda key, requests: [ValueError(each) if each == 1 else each for each in requests])
        return await asyncio.gather(*(batcher.submit("", i) for i in range(3)), return_exceptions=True)

    first, second, third = asyncio.run(main())
    assert (first, third) == (0, 2) and isinstance(second, ValueError)


def test_a_request_that_fails_its_batch_does_not_fail_the_others():
    def answer(key, requests):
        if 1 in requests:
            raise ZeroDivisionError
        return requests

    async def main():
        batcher = Batcher(answer)
        return await asyncio.gather(*(batcher.submit("", i) for i in range(3)), return_exceptions=True)

    first, second, third = asyncio.run(main())
    assert (first, third) == (0, 2) and isinstance(second, ZeroDivisionError)


def test_too_many_requests_are_told_that_the_server_is_busy():
    async def main():
        batcher = Batcher(lambda key, requests: requests, max_waiting=2)
        return await asyncio.gather(*(batcher.submit("", i) for i in range(3)), return_exceptions=True)

    *answered, refused = asyncio.run(main())
    assert answered == [0, 1] and refused.status_code == 429


def held():
    """Return a function that answers once it is released, the event that releases it, and the batches it gets."""
    released, batches = threading.Event(), []

    def answer(key, requests):
        batches.append(list(requests))
        released.wait(10)
        return requests

    return answer, released, batches


@pytest.mark.parametrize("keys", ["aaa", "abc"])
def test_requests_wait_until_it_is_their_turn_whatever_their_settings_and_a_client_that_left_costs_nothing(keys):
    answer, released, batches = held()

    async def main():
        batcher = Batcher(answer, max_batch=1, max_waiting=2)
        first = asyncio.create_task(batcher.submit(keys[0], 1))
        while not batches:
            await asyncio.sleep(0)
        left, last = (asyncio.create_task(batcher.submit(key, i)) for key, i in zip(keys[1:], (2, 3), strict=True))
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="busy"):
            await batcher.submit("d", 4)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        assert batcher.waiting == 1
        released.set()
        await asyncio.gather(first, last, batcher._task)
        return batcher

    batcher = asyncio.run(main())
    assert batches == [[1], [3]] and batcher.waiting == 0 and not batcher._queues


def test_the_requests_of_one_client_wait_together_also_where_they_are_more_than_may_wait():
    async def main():
        batcher = Batcher(lambda key, requests: requests, max_batch=2, max_waiting=2)
        return await batcher.submit_all("", range(5))

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]


def test_if_one_of_them_fails_the_others_are_not_computed():
    answer, released, batches = held()

    def fail_first(key, requests):
        return [ZeroDivisionError()] if 0 in requests else answer(key, requests)

    async def main():
        batcher = Batcher(fail_first, max_batch=1)
        with pytest.raises(ZeroDivisionError):
            await batcher.submit_all("", range(3))
        released.set()
        await batcher._task

    asyncio.run(main())
    assert batches == [[1]]  # which had begun by then


@pytest.mark.parametrize(("count", "size"), [(1, 2), (2, 2), (3, 4), (5, 8), (32, 32)])
def test_batches_are_padded_to_powers_of_two_but_never_to_one(count, size):
    assert bucket_size(count) == size
    rows = list(range(count))
    assert padded(rows) == rows + [count - 1] * (size - count)
