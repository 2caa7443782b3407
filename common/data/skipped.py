"""What is left out of a data set because it cannot be used: counted, named, and limited."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.io.files import plain_files
from common.io.terminal import one_line, warn

_MAX_NAMED = 3


def or_error(function: Callable[[Any], Any], example: Any) -> Any:
    """Return `function(example)`, or the `UserError` that it raises, so that a pool goes on with the other examples."""
    try:
        return function(example)
    except UserError as error:
        return error


def files_of_kind(folder: Path, suffixes: Collection[str], what: str) -> list[Path]:
    """Return the files in `folder` and below with one of these endings, sorted by name; count the others on stderr."""
    files = plain_files(folder)
    note_others(folder, sorted(path for path in folder.rglob("[!.]*") if path.is_symlink()), "files but links")
    note_others(folder, [path for path in files if path.suffix.lower() not in suffixes], what)
    return [path for path in files if path.suffix.lower() in suffixes]


def note_others(folder: Path, others: Sequence[Path], what: str) -> None:
    """Note on stderr how many files in `folder` are no `what`, a plural, and name the first three, if any."""
    if others:
        names = ", ".join(one_line(path.name) for path in others[:_MAX_NAMED]) + ", ..." * (len(others) > _MAX_NAMED)
        warn(f"note: left out of {folder} because they are no {what} ({len(others):,}): {names}")


@dataclass
class SkippedExamples:
    """The examples of a data set that cannot be used, each with the reason."""

    reasons: list[str] = field(default_factory=list)

    def add(self, reason: object) -> None:
        """Add an example; `reason` names it."""
        self.reasons.append(one_line(" ".join(str(reason).split())))

    def without_errors(self, results: Iterable[Any]) -> Iterator[Any]:
        """Yield the results of `or_error` that are no errors; add the others."""
        for result in results:
            if isinstance(result, UserError):
                self.add(result)
            else:
                yield result

    def report(self, total: int, what: str, max_skipped: float = 1.0) -> None:
        """Warn how many of `total` examples are left out, and name the first three; `what` they are is a plural.

        Raises:
            UserError: more than the fraction `max_skipped` are left out.
        """
        if not self.reasons:
            return
        count = len(self.reasons)
        more = f"; and {count - _MAX_NAMED:,} more" if count > _MAX_NAMED else ""
        message = f"{count:,} of {total:,} {what} cannot be used: {'; '.join(self.reasons[:_MAX_NAMED])}{more}"
        if count > max_skipped * total:
            raise UserError(f"{message}. More than {max_skipped:.2%} is too much: fix them, or raise --max-skipped")
        warn(f"left out: {message}")
