"""Types of numeric options with their intervals, and a check of them."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_type_hints

from annotated_types import Interval

from common.errors import UserError

MAX_SEED = 2**32 - 1  # the limit of NumPy and Keras
MAX_WIDTH = 65_536  # of a layer, a batch, a window: a larger number is a typing error or an attack on memory
_MAX = 10**9

Count = Annotated[int, Interval(ge=1, le=_MAX)]
CountOrZero = Annotated[int, Interval(ge=0, le=_MAX)]
Width = Annotated[int, Interval(ge=1, le=MAX_WIDTH)]
Seed = Annotated[int, Interval(ge=0, le=MAX_SEED)]
NotNegative = Annotated[float, Interval(ge=0, le=_MAX)]
Positive = Annotated[float, Interval(gt=0, le=_MAX)]
Fraction = Annotated[float, Interval(ge=0, lt=1)]
Beam = Annotated[int, Interval(ge=1, le=1000)]
LengthPenalty = Annotated[float, Interval(ge=0, le=10)]


def require_inside_intervals(options: Any) -> None:
    """Raise UserError if a field of a dataclass is set, and outside of an interval in its type."""
    for name, hint in get_type_hints(type(options), include_extras=True).items():
        value = getattr(options, name)
        for interval in _intervals(hint):
            if value is not None and not _is_inside(value, interval):
                low = f"{interval.ge:,} to" if interval.gt is None else f"more than {interval.gt:,}, up to"
                high = f"{interval.le:,}" if interval.lt is None else f"below {interval.lt:,}"
                raise UserError(f"--{name.replace('_', '-')}: expected {low} {high}, got {value}")


def _intervals(hint: Any) -> Iterator[Interval]:
    """Yield the intervals in a type such as `Annotated[int, Interval(ge=1)]`, also in a union."""
    if isinstance(hint, Interval):
        yield hint
    for part in get_args(hint):
        yield from _intervals(part)


def _is_inside(value: float, interval: Interval) -> bool:
    is_above = value >= interval.ge if interval.gt is None else value > interval.gt
    return is_above and (value <= interval.le if interval.lt is None else value < interval.lt)
