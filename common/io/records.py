"""What a run keeps as JSON: read with distrust, every value checked for its type and range, in one place."""

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from common.errors import UserError
from common.io.files import read_plain
from common.io.terminal import one_line

T = TypeVar("T")

Count = Annotated[int, Field(ge=0, le=10**12)]
Seconds = Annotated[float, Field(ge=0, le=10**12, allow_inf_nan=False)]
Line = Annotated[str, Field(max_length=10_000)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Json = dict[str, JsonValue]

_MAX_BYTES = 1 << 20


def checked(kind: type[T], values: Any, where: object) -> T:
    """Return JSON values as a `kind`, for instance a dataclass, whose fields have no other values and no other names.

    Args:
        kind: what pydantic can check: a dataclass, `list[str]`, a constrained type such as `Count`.
        values: out of a file.
        where: the file, for the message.

    Raises:
        UserError: a value of another type or out of its range, or a field that `kind` does not know.
    """
    return _parse(kind, json.dumps(values).encode(), where)


def read_record(path: Path, kind: type[T], max_bytes: int = _MAX_BYTES) -> T:
    """Return the content of a JSON file as a `kind`; see `checked`.

    Raises:
        UserError: as `checked`; or there is no such file, it is no plain file, too large, or no JSON.
    """
    return _parse(kind, read_plain(path, max_bytes), path)


def _parse(kind: type[T], content: bytes, where: object) -> T:
    try:
        return TypeAdapter(kind).validate_json(content, strict=True)
    except ValidationError as error:
        raise UserError(f"{where}: {_first_fault(error)}") from error


def _first_fault(error: ValidationError) -> str:
    """Say in one line what is wrong first, and what to do about it."""
    [fault, *others] = error.errors(include_url=False, include_context=False)
    place = one_line(".".join(map(str, fault["loc"])))[:100]
    if fault["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown entry {place!r}, as another version of this code may write; use the code that wrote it"
    got = json.dumps(fault["input"], default=str)
    shown = f", got {got[:60]}{'...' if len(got) > 60 else ''}" if place else ""
    more = f" (and {len(others)} more)" if others else ""
    message = fault["msg"][:1].lower() + fault["msg"][1:]
    return f"damaged: {f'{place}: ' if place else ''}{message}{shown}{more}; restore it from a copy"
