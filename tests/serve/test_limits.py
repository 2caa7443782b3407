from examples.serve import limits
from examples.serve.limits import RateLimit


def test_a_bucket_refills_over_the_minute_and_each_address_has_its_own():
    now = [0.0]
    limit = RateLimit(per_minute=3, clock=lambda: now[0])
    assert [limit.wait_seconds("a") for _ in range(4)] == [0, 0, 0, 20]
    assert limit.wait_seconds("b") == 0
    now[0] = 19
    assert limit.wait_seconds("a") == 1
    now[0] = 20
    assert limit.wait_seconds("a") == 0


def test_the_addresses_that_asked_longest_ago_are_forgotten():
    limit = RateLimit(per_minute=1)
    for number in range(10_050):
        limit.wait_seconds(str(number))
    assert len(limit._buckets) == 10_000 and "0" not in limit._buckets


def test_a_quiet_hour_saves_no_requests():
    now = [0.0]
    limit = RateLimit(per_minute=3, clock=lambda: now[0])
    limit.wait_seconds("a")
    now[0] = 3600
    assert [limit.wait_seconds("a") for _ in range(4)] == [0, 0, 0, 20]


def test_an_address_that_asks_all_the_time_is_not_forgotten(monkeypatch):
    monkeypatch.setattr(limits, "_MAX_ADDRESSES", 2)
    limit = RateLimit(per_minute=1, clock=lambda: 0.0)
    assert [limit.wait_seconds(address) for address in "abaca"] == [0, 0, 60, 0, 60]
