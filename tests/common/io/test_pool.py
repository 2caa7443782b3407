import threading

import pytest

from common.io.pool import Pool


def test_an_interruption_drops_the_tasks_that_have_not_begun():
    done, begun, interrupted = [], threading.Event(), threading.Event()

    def task():
        begun.set()
        interrupted.wait()
        done.append(1)

    with pytest.raises(KeyboardInterrupt), Pool(1) as pool:
        for _ in range(100):
            pool.submit(task)
        begun.wait()
        threading.Timer(0.1, interrupted.set).start()
        raise KeyboardInterrupt
    assert done == [1]


def test_without_one_all_tasks_are_done():
    done = []
    with Pool(2) as pool:
        for number in range(100):
            pool.submit(done.append, number)
    assert sorted(done) == list(range(100))
