"""Step 1, continued: read the user's files of sentence pairs as tables of texts.

Pairs come as a table (TSV, CSV, JSON), as two parallel files, the same line of which belongs together, or as a folder
with the parts `train`, `dev` and `test` in any of these forms.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.data.skipped import note_others
from common.data.splits import SPLIT_NAMES
from common.data.text_files import read_csv, read_text_file
from common.errors import UserError
from common.io.files import plain_files
from common.io.terminal import warn

_TABLE_SUFFIXES = (".tsv", ".txt", ".csv", ".jsonl", ".ndjson", ".json")
_HEADER_CELL = re.compile(  # in lower case; words for yes and no in languages with such short ones are not among them
    "source|target|src|tgt|input|output|text|sentence|translation|question|answer|"
    "ar|bg|cs|da|de|el|en|es|et|fa|fi|fr|he|hi|hr|hu|id|it|ja|ko|lt|lv|nl|no|pl|pt|ro|ru|sk|sl|sr|sv|sw|th|tr|uk|ur|"
    "vi|zh|ara|deu|eng|fra|fre|ger|hin|ita|jpn|kor|nld|pol|por|rus|spa|swe|tur|ukr|zho|arabic|chinese|czech|dutch|"
    "english|finnish|french|german|greek|hebrew|hindi|hungarian|indonesian|italian|japanese|korean|persian|polish|"
    "portuguese|romanian|russian|spanish|swedish|thai|turkish|ukrainian|vietnamese"
)
_QUOTED = re.compile('"[^"]*(?:""[^"]*)*"')
_CELL = re.compile(rf"(?:^|(?<=\t))(?:{_QUOTED.pattern}(?=[\t\n]|\Z)|[^\t\n]*)", re.MULTILINE)  # of a table with tabs
_CHECKED_ROWS = 1000
_CHECKED_CHARACTERS = 1 << 16


@dataclass(frozen=True)
class Table:
    """Rows of texts, each a list of columns."""

    rows: Sequence[Sequence[str]]
    names: Sequence[str] = ()
    """of the columns; () if they have none"""
    place: str = "line"
    """the word for a row in messages"""
    first: int = 1
    """number of the first row in messages"""


def read_pairs(name: str, encoding: str | None = None) -> dict[str, Table] | None:
    """Return the tables in the user's files by part: "train", "validation", "test", or "all" if they are not split.

    Args:
        name: the path of a table; two paths with a comma between, of parallel files; or the path of a folder.
        encoding: of the files; None for UTF-8, or what a byte order mark says.

    Returns:
        None if there is no such file.

    Raises:
        UserError: a file cannot be read, or the folder has no pairs.
    """
    path = Path(name)
    if path.is_dir():
        return _read_folder(path, encoding)
    if path.is_file():
        return {"all": _read_table(path, encoding)}
    parallel = [Path(part) for part in name.split(",")]
    if len(parallel) == 2 and all(part.is_file() for part in parallel):
        return {"all": _read_parallel(parallel, encoding)}
    return None


def _read_folder(folder: Path, encoding: str | None) -> dict[str, Table]:
    files: dict[str, list[Path]] = {}
    others = []
    for path in plain_files(folder):
        if part := SPLIT_NAMES.get(path.stem.lower()):
            files.setdefault(part, []).append(path)
        else:
            others.append(path)
    if not files:
        raise UserError(
            f"{folder}: expected files such as train.de and train.en, or train.tsv, got none named train, dev or test"
        )
    note_others(folder, others, "train, dev or test")
    tables = {}
    for part, paths in files.items():
        if len(paths) == 1 and paths[0].suffix.lower() in _TABLE_SUFFIXES:
            tables[part] = _read_table(paths[0], encoding)
        elif len(paths) == 2:
            tables[part] = _read_parallel(paths, encoding)
        else:
            listed = ", ".join(path.name for path in paths)
            raise UserError(f"{folder}: expected one table or two parallel files for {part}, got {listed}")
    return {"all": tables["train"]} if tables.keys() == {"train"} else tables


def _read_parallel(paths: Sequence[Path], encoding: str | None) -> Table:
    columns = [read_text_file(path, encoding).removesuffix("\n").split("\n") for path in paths]
    counts = [len(column) for column in columns]
    if counts[0] != counts[1]:
        raise UserError(
            f"{paths[0]} has {counts[0]:,} lines and {paths[1]} {counts[1]:,}; expected as many, a translation a line"
        )
    return Table(list(zip(*columns, strict=True)), [path.suffix.removeprefix(".") for path in paths])


def _read_table(path: Path, encoding: str | None) -> Table:
    text = read_text_file(path, encoding)
    if not text.strip():
        raise UserError(f"{path}: empty, expected pairs of sentences")
    match path.suffix.lower():
        case ".csv":
            return _csv_table(text, path, _csv_delimiter(text))
        case ".jsonl" | ".ndjson":
            lines = [line for line in text.split("\n") if line.strip()]
            return _objects_to_table(_parse_json(line, path) for line in lines)
        case ".json":
            entries = _parse_json(text, path)
            return _objects_to_table(entries if isinstance(entries, list) else [entries])
        case _:
            if "\t" not in text:
                raise UserError(f"{path}: no tab between source and target in any line; {_advice_without_tabs(text)}")
            if _is_quoted(text):
                return _csv_table(text, path, "\t")
            return Table([line.split("\t") for line in text.removesuffix("\n").split("\n")])


def _is_quoted(text: str) -> bool:
    """Return whether a program has quoted cells of a table with tabs: all, or those that hold a comma or a quote.

    Direct speech has quotes as well, but some of it has words before or behind them, and no quotes doubled inside.
    """
    cells = _CELL.findall(text)
    quoted = [cell for cell in cells if cell.startswith('"')]
    if not all(map(_QUOTED.fullmatch, quoted)):
        return False
    special = [cell for cell in cells if '"' in cell or "," in cell]
    return (
        all(cell.startswith('"') for cell in text.partition("\n")[0].split("\t"))
        or any('""' in cell[1:-1] for cell in quoted)
        or (special == quoted and len(quoted) > 1 and all(re.search("[,\t\n]", cell) for cell in quoted))
    )


def _advice_without_tabs(text: str) -> str:
    """Return what to do about a table without tabs, by the look of its first lines."""
    lines = text.split("\n")[:20]
    if sum(bool(re.search(r"\S {2,}\S", line)) for line in lines) > len(lines) / 2:
        return "it looks separated by spaces: replace them by a tab, for instance with sed -E 's/ {2,}/\\t/'"
    if any(lines[0].count(sign) and f'"{sign}"' in text for sign in ",;"):
        return "it looks like CSV: give its name the ending .csv"
    return "put one there, or give the file the ending .csv or .jsonl if it is such a table"


def _csv_table(text: str, path: Path, delimiter: str) -> Table:
    return Table([row for row in read_csv(text, path, delimiter) if row], place="row")


def _csv_delimiter(text: str) -> str:
    """Return the sign that cuts most of the first rows into as many cells, at least two."""
    # Excel writes semicolons where the comma is the decimal sign. Commas come last, as sentences have them too.
    return max(";\t,", key=lambda sign: _count_equal_rows(text[:_CHECKED_CHARACTERS], sign))


def _count_equal_rows(text: str, delimiter: str) -> int:
    """Return how many rows have the most frequent number of cells above one."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return max(Counter(len(row) for row in rows if len(row) > 1).values(), default=0)


def _parse_json(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: no JSON ({error}), at {text[:40]!r}; expected an object for each pair") from error


def _objects_to_table(entries: Iterable[Any]) -> Table:
    """Return objects such as {"en": ..., "de": ...} as rows; Hugging Face has them below "translation"."""
    objects = [_pair_in(entry) for entry in entries]
    names = list(max(objects, key=len, default={}))  # the first may lack one
    rows = [
        [str(text) if isinstance(text := entry.get(name), str | int) else "" for name in names] for entry in objects
    ]
    return Table(rows, names, place="entry")


def _pair_in(entry: Any) -> Mapping[str, Any]:
    if isinstance(entry, dict):
        inner = entry.get("translation")
        return inner if isinstance(inner, dict) else entry
    return {str(number): text for number, text in enumerate(entry)} if isinstance(entry, list) else {}


def choose_columns(table: Table, columns: tuple[str, str], where: str) -> tuple[Table, tuple[int, int]]:
    """Return the table without its header, and the numbers, from 1, of the source and the target column.

    Args:
        table: as it was read.
        columns: the numbers or the names of source and target.
        where: the name of the data in messages.

    Raises:
        UserError: there is no row, no column of that name, or one of ids in place of sentences.
    """
    table, numbers = _find_columns(table, columns, where)
    rows = [row for row in table.rows[1:_CHECKED_ROWS] if len(row) > 2]  # the first row may name the columns
    every = range(1, 1 + max(map(len, rows), default=0))
    cells = {number: [row[number - 1] for row in rows if len(row) >= number] for number in every}
    decimal = {number for number in every if len(cells[number]) > 1 and all(map(str.isdecimal, cells[number]))}
    texts = [str(number) for number in every if number not in decimal][:2]
    beside_text = len(texts) == 2 and not decimal.issuperset(numbers)
    for number in numbers:
        if number in decimal and (beside_text or sorted(cells[number], key=int) == cells[number]):
            names = ", ".join(name[:40] for name in (table.names or table.rows[0])[:10])
            example = f", for instance --columns {','.join(texts)}" if len(texts) == 2 else ""
            raise UserError(
                f"{where}: column {number} of {names} holds numbers ({', '.join(cells[number][:3])} ...), not "
                f"sentences; name the columns of source and target{example}"
            )
    return table, numbers


def _find_columns(table: Table, columns: tuple[str, str], where: str) -> tuple[Table, tuple[int, int]]:
    if not table.rows:
        raise UserError(f"{where}: empty, expected pairs of sentences")
    if all(column.isdecimal() for column in columns):
        numbers = int(columns[0]), int(columns[1])
        head = [table.rows[0][number - 1].strip().casefold() for number in numbers if number <= len(table.rows[0])]
        if not table.names and len(set(head)) == 2 and all(map(_HEADER_CELL.fullmatch, head)):
            names = [name.strip() for name in table.rows[0]]
            warn(f"note: {where}: its first {table.place}, {', '.join(names)}, is taken for the names of the columns")
            table = replace(table, rows=table.rows[1:], names=names, first=2)
        return table, numbers
    names = list(table.names)
    if not names:
        names = [name.strip() for name in table.rows[0]]
        table = replace(table, rows=table.rows[1:], names=names, first=2)
    missing = [column for column in columns if column not in names]
    if missing:
        listed = ", ".join(name[:40] for name in names[:10])
        raise UserError(f"--columns {','.join(columns)}: {where} has no column {missing[0]}; its columns are {listed}")
    return table, (names.index(columns[0]) + 1, names.index(columns[1]) + 1)
