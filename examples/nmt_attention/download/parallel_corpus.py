"""Step 1, continued: clean the pairs of raw rows, and split them into training, validation and test.

Real files have rows that are no pair. They are skipped and listed with their line numbers. If there are more than one
in a hundred, the file or `--columns` is probably wrong, and training does not start.
"""

import hashlib
from collections.abc import Iterable, Sequence

from common.errors import UserError
from common.io.terminal import warn
from examples.nmt_attention.preprocess.tokenizer import clean, tokenise

Pair = tuple[str, str]
"""A source sentence and its translation, both clean."""

MAX_SKIPPED_FRACTION = 0.01  # of all rows
MAX_CHARACTERS_PER_TOKEN = 20
"""A text with more characters per allowed token than this is too long; it is not cut into tokens first."""


def clean_pairs(
    rows: Sequence[Sequence[str]], columns: tuple[int, int], max_tokens: int, where: str, place: str = "line"
) -> list[Pair]:
    """Return the distinct valid pairs of `rows` in order; report invalid rows on stderr.

    Args:
        rows: the columns of each row; those not asked for are ignored.
        columns: the numbers, from 1, of the source column and the target column.
        max_tokens: pairs with a longer side are skipped.
        where: the name of the data in messages.
        place: the word for a row in messages, "line" for a file.

    Raises:
        UserError: more than 1 % of the rows are no pair.
    """
    pairs: dict[Pair, None] = {}
    skipped: dict[str, list[int]] = {}
    for number, row in enumerate(rows, start=1):
        pair, fault = _read_pair(row, columns, max_tokens)
        if fault:
            skipped.setdefault(fault, []).append(number)
        else:
            pairs[pair] = None
    if skipped:
        count = sum(map(len, skipped.values()))
        reasons = "; ".join(f"{fault}: {place} {_head(numbers)}" for fault, numbers in skipped.items())
        message = f"{where}: {count:,} of {len(rows):,} rows are no pair of sentences ({reasons})"
        if count > MAX_SKIPPED_FRACTION * len(rows):
            raise UserError(f"{message}; more than 1 % is too many: check the file, --columns and --max-tokens")
        warn(f"{message}; they are skipped")
    return list(pairs)


def _read_pair(row: Sequence[str], columns: tuple[int, int], max_tokens: int) -> tuple[Pair, str]:
    """Return the pair in a row, and its fault, "" if there is none."""
    if len(row) < max(columns):
        return ("", ""), "no tab" if len(row) == 1 else f"fewer than {max(columns)} columns"
    raw = [row[column - 1] for column in columns]
    if max(map(len, raw)) > MAX_CHARACTERS_PER_TOKEN * max_tokens:
        return ("", ""), f"longer than {max_tokens} tokens"
    source, target = (clean(text) for text in raw)
    if not (source and target):
        return ("", ""), "an empty side"
    if any(len(text) > max_tokens and len(tokenise(text)) > max_tokens for text in (source, target)):
        return ("", ""), f"longer than {max_tokens} tokens"
    return (source, target), ""


def _head(numbers: Sequence[int], max_count: int = 10) -> str:
    return ", ".join(map(str, numbers[:max_count])) + (
        f" and {len(numbers) - max_count:,} more" if len(numbers) > max_count else ""
    )


# One Spanish sentence often has several English translations, and one English sentence several Spanish originals. In a
# random split, most test sentences would also stand in training, in another pair. So the pairs are split by the
# **connected components** of the graph whose nodes are the sentences and whose edges are the pairs. A hash of the
# component's name decides on its part, independent of the order of the file.
def split_pairs(pairs: Sequence[Pair], held_out: float) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Return training, validation and test pairs, in their order; no source and no target stands in two of them.

    Args:
        pairs: all of them.
        held_out: fraction of the components for validation; as many again are for the test.
    """
    parts: tuple[list[Pair], list[Pair], list[Pair]] = ([], [], [])
    for pair, name in zip(pairs, component_names(pairs), strict=True):
        fraction = int(hashlib.sha256(name.encode()).hexdigest()[:15], 16) / 16**15  # from 0 to below 1
        parts[1 if fraction < held_out else 2 if fraction < 2 * held_out else 0].append(pair)
    return parts


def component_names(pairs: Iterable[Pair]) -> list[str]:
    """Return for each pair the name of its connected component: the first sentence of it in alphabetical order.

    The sentences are the nodes of a graph, and the pairs its edges. Found by union-find: the parents of a sentence lead
    to the root that names its component.
    """
    parent: dict[tuple[int, str], tuple[int, str]] = {}

    def find(sentence: tuple[int, str]) -> tuple[int, str]:
        parent.setdefault(sentence, sentence)
        while parent[sentence] != sentence:
            parent[sentence] = sentence = parent[parent[sentence]]  # path halving
        return sentence

    pairs = list(pairs)
    for source, target in pairs:
        low, high = sorted((find((0, source)), find((1, target))), key=lambda sentence: sentence[::-1])
        parent[high] = low
    return [find((0, source))[1] for source, _ in pairs]
