"""Step 2: clean the pairs of raw rows, and split them into training, validation and test.

Real files have rows that are no pair. They are skipped and listed with their line numbers. If there are more than
`--max-skipped` allows, the file or `--columns` is probably wrong, and training does not start.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from common.data.skipped import SkippedExamples
from common.io.terminal import warn
from examples.nmt_attention.download.pair_files import Table
from examples.nmt_attention.preprocess.tokenizer import clean, tokenise

Pair = tuple[str, str]
"""A source sentence and its translation, both clean."""

MAX_CHARACTERS_PER_TOKEN = 20
"""A text with more characters per allowed token than this is too long; it is not cut into tokens first."""

_SURROGATE = re.compile("[\ud800-\udfff]")  # UTF-8 has none; JSON can escape one, such as half an emoji


def clean_pairs(
    table: Table,
    columns: tuple[int, int],
    max_tokens: int,
    where: str,
    tokens: tuple[str, str] = ("words", "words"),
    max_skipped: float = 0.05,
    distinct: bool = True,
) -> list[Pair]:
    """Return the distinct valid pairs of a table in order; report on stderr what is left out.

    Args:
        table: of any number of columns.
        columns: the numbers, from 1, of the source column and the target column.
        max_tokens: pairs with a longer side are left out, see `_is_longer`; `max_skipped` does not count them.
        where: the name of the data in messages.
        tokens: what the tokens of source and target are: "words", "characters" or "subwords".
        distinct: False to keep pairs that are there twice.

    Raises:
        UserError: more than the fraction `max_skipped` of the rows are no pair.
    """
    pairs: list[Pair] = []
    skipped, too_long = SkippedExamples(), SkippedExamples()
    place, rows = table.place, table.rows
    for number, row in enumerate(rows, start=table.first):
        if len(row) == 1 and not row[0].strip() and place != "entry":
            continue  # a blank line
        if len(row) < max(columns):
            missing = "tab between two columns" if len(row) == 1 and place == "line" else f"column {max(columns)}"
            skipped.add(f"{place} {number}: no {missing}")
            continue
        raw = [row[column - 1] for column in columns]
        if any(_is_longer(text, max_tokens, kind) for text, kind in zip(raw, tokens, strict=True)):
            limits = f"{max_tokens} words or {MAX_CHARACTERS_PER_TOKEN * max_tokens:,} characters"
            too_long.add(f"{place} {number}: longer than {limits} (--max-tokens)")
            continue
        source, target = map(clean, raw)
        if _SURROGATE.search(source + target):
            skipped.add(f"{place} {number}: half a character (a lone surrogate)")
        elif source and target:
            pairs.append((source, target))
        else:
            skipped.add(f"{place} {number}: an empty side")
    skipped.report(len(rows), f"rows of {where}", max_skipped)
    too_long.report(len(rows), f"rows of {where}")
    if not distinct:
        return pairs
    unique = list(dict.fromkeys(pairs))
    if len(unique) < len(pairs):
        warn(f"note: {len(pairs) - len(unique):,} pairs of {where} stand there twice or more; each is used once")
    return unique


def _is_longer(text: str, max_tokens: int, kind: str) -> bool:
    """Return whether a text has more than `max_tokens` words, or the characters or subwords of so many words."""
    if len(text) <= max_tokens:
        return False
    if len(text) > MAX_CHARACTERS_PER_TOKEN * max_tokens:
        return True
    return len(text) > 5 * max_tokens if kind != "words" else len(tokenise(clean(text))) > max_tokens


# One Spanish sentence often has several English translations, and one English sentence several Spanish originals. In a
# random split, most test sentences would also stand in training, in another pair. So the pairs are split by the
# **connected components** of the graph whose nodes are the sentences and whose edges are the pairs. A hash of the
# component's name decides on its part, independent of the order of the file. A component that is larger than a part
# should be, such as all questions with one answer, is for training.
def split_pairs(pairs: Sequence[Pair], held_out: float) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Return training, validation and test pairs, in their order; no source and no target stands in two of them.

    `held_out` is the fraction of the components for validation; as many again are for the test.
    """
    parts: tuple[list[Pair], list[Pair], list[Pair]] = ([], [], [])
    names = component_names(pairs)
    sizes = Counter(names)
    for pair, name in zip(pairs, names, strict=True):
        fraction = int(hashlib.sha256(name.encode()).hexdigest()[:15], 16) / 16**15  # from 0 to below 1
        is_large = sizes[name] > max(1, held_out * len(pairs))
        parts[0 if is_large or fraction >= 2 * held_out else 1 if fraction < held_out else 2].append(pair)
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
