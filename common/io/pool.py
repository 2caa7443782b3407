"""Threads for many small tasks, which an interruption ends at once."""

from concurrent.futures import ThreadPoolExecutor


class Pool(ThreadPoolExecutor):
    """A pool of threads whose `with` block, if an exception leaves it, drops the tasks that have not begun."""

    def __exit__(self, *exception: object) -> None:
        """Wait for the tasks under way; for all that are queued only if there is no exception."""
        self.shutdown(cancel_futures=exception[0] is not None)
