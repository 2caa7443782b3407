from dataclasses import dataclass
from typing import Annotated, Optional

import pytest
from annotated_types import Interval

from common.app.intervals import Fraction, Positive, require_inside_intervals
from common.errors import UserError

NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("kind", "good", "bad", "expected"),
    [
        (Positive, (0.1, 7), (0, -1, NAN, INFINITY), "more than 0, up to 1,000,000,000"),
        (Fraction, (0, 0.99), (1, -0.1, NAN), "0 to below 1"),
        (Annotated[int, Interval(ge=2, le=9)], (2, 9), (1, 10, NAN), "2 to 9"),
        (Annotated[float, Interval(gt=0, lt=0.5)], (0.01, 0.49), (0, 0.5), "more than 0, up to below 0.5"),
    ],
)
def test_values_are_checked_at_the_edges_of_their_intervals(kind, good, bad, expected):
    @dataclass
    class Toy:
        some_rate: Optional[kind] = None  # noqa: UP045
        word: str = "no interval"

    for value in (None, *good):
        require_inside_intervals(Toy(value))
    for value in bad:
        with pytest.raises(UserError, match=f"--some-rate: expected {expected}, got {value}"):
            require_inside_intervals(Toy(value))
