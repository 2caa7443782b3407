"""Dynamic batching: requests that arrive together are answered by one call of the model."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from examples.serve.limits import Refused

WAIT_SECONDS = 0.004


class Batcher:
    """Collects requests for a few milliseconds and answers all with the same key together.

    The calls run one after the other in a thread of their own. While one runs, the next batch collects, so the batches
    grow with the load. A request whose client has left is taken out.
    """

    def __init__(
        self,
        answer: Callable[[Any, Sequence[Any]], Sequence[Any]],
        max_batch: int = 32,
        max_waiting: int = 256,
        observe: Callable[[int], None] = lambda size: None,
    ):
        """Set the limits: a call has at most `max_batch` requests, and at most `max_waiting` wait.

        `answer` returns the answers to a key and its requests, in order; an exception among them is raised for that
        request alone. `observe` is told the size of each batch.
        """
        self.answer, self.max_batch, self.max_waiting, self.observe = answer, max_batch, max_waiting, observe
        self._queues: dict[Hashable, deque[tuple[Any, asyncio.Future]]] = {}
        self._task: asyncio.Task | None = None  # asyncio itself keeps no reference to a task
        self._thread = ThreadPoolExecutor(1)

    @property
    def waiting(self) -> int:
        """The number of requests that wait."""
        return sum(not future.cancelled() for queue in self._queues.values() for _, future in queue)

    async def submit(self, key: Hashable, request: Any) -> Any:
        """Return the answer to a request.

        Args:
            key: the run and the settings that all requests of a batch must share.
            request: what differs between them.

        Raises:
            Refused: too many requests wait.
        """
        [answer] = await self.submit_all(key, [request])
        return answer

    async def submit_all(self, key: Hashable, requests: Sequence[Any]) -> list[Any]:
        """Return the answers to the requests of one client, which wait together: none is refused for the others.

        If one fails, the others are not computed.

        Raises:
            Refused: too many requests wait.
        """
        if self.waiting >= self.max_waiting:
            raise Refused("The server is busy; try again in a moment.", 429)
        futures = [asyncio.get_running_loop().create_future() for _ in requests]
        self._queues.setdefault(key, deque()).extend(zip(requests, futures, strict=True))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        try:
            return await asyncio.gather(*futures)
        finally:
            for future in futures:
                future.cancel()  # those that are not answered, if one failed

    async def _drain(self) -> None:
        await asyncio.sleep(WAIT_SECONDS)
        while self._queues:
            key = next(iter(self._queues))
            queue, batch = self._queues.pop(key), []
            while queue and len(batch) < self.max_batch:
                request, future = queue.popleft()
                if not future.cancelled():
                    batch.append((request, future))
            if queue:
                self._queues[key] = queue  # behind those of the other keys, which take turns
            if batch:
                await self._answer_batch(key, batch)

    async def _answer_batch(self, key: Hashable, batch: Sequence[tuple[Any, asyncio.Future]]) -> None:
        answers = await self._answers(key, [request for request, _ in batch])
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.cancelled():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def _answers(self, key: Hashable, requests: Sequence[Any]) -> Sequence[Any]:
        """Return the answers of one call, or if that fails, of a call for each request: one cannot fail the others."""
        self.observe(len(requests))
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self.answer, key, requests)
        except Exception as error:
            if len(requests) == 1:
                return [error]
            return [answer for request in requests for answer in await self._answers(key, [request])]


def bucket_size(count: int) -> int:
    """Return the power of two, at least 2, to which a batch of `count` rows is padded.

    Few shapes mean few graphs and a steady memory. At least 2, because the examples compile another search, by XLA, for
    a single row: the first request would wait seconds for it.
    """
    return max(2, 1 << (count - 1).bit_length())


def padded(rows: Sequence[Any]) -> list[Any]:
    """Return `rows` padded with the last one to their `bucket_size`."""
    return [*rows, *[rows[-1]] * (bucket_size(len(rows)) - len(rows))]
