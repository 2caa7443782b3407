"""Validation of JSON files: the type and the range of every value are checked."""

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


def checked(kind: type[T], values: Any, where: object, advice: str | None = None) -> T:
    """Return JSON values as an instance of `kind`, a type that pydantic can check; the error message says `where`.

    Without `advice`, the message says that they are damaged.

    Raises:
        UserError: a value is of another type or out of its range, or a field is unknown.
    """
    return _parse(kind, json.dumps(values).encode(), where, advice)


def read_record(path: Path, kind: type[T], max_bytes: int = _MAX_BYTES) -> T:
    """Return the content of a JSON file as an instance of `kind`; see `checked`.

    Raises:
        UserError: as in `checked`; or the file is missing, not plain, too large, or not JSON.
    """
    return _parse(kind, read_plain(path, max_bytes), path)


def _parse(kind: type[T], content: bytes, where: object, advice: str | None = None) -> T:
    try:
        return TypeAdapter(kind).validate_json(content, strict=True)
    except ValidationError as error:
        raise UserError(f"{where}: {_first_error(error, advice)}") from error


def _first_error(error: ValidationError, advice: str | None) -> str:
    """Return a one-line message about the first invalid value, and what to do next."""
    [first, *others] = error.errors(include_url=False, include_context=False)
    location = one_line(".".join(map(str, first["loc"])))[:100]
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown entry {location!r}, perhaps of another version of this code; use the code that wrote it"
    value = json.dumps(first["input"], default=str)
    got = f", got {value[:60]}{'...' if len(value) > 60 else ''}" if location else ""
    more = f" (and {len(others)} more)" if others else ""
    message = first["msg"][:1].lower() + first["msg"][1:]
    problem = f"{f'{location}: ' if location else ''}{message}{got}{more}"
    return f"{problem}; {advice}" if advice else f"damaged: {problem}; restore it from a copy"
