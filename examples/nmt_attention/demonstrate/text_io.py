"""Sentences in and translations out, a line for a line, as arguments, files and pipes have them."""

import re
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import BinaryIO

from common.app.outputs import Outputs
from common.data.text_files import byte_order_mark, decode, normalise
from common.errors import UserError
from common.io.terminal import json_line, one_line, warn
from examples.nmt_attention.config import TranslateOptions
from examples.nmt_attention.demo import SentenceTranslator, Translation
from examples.nmt_attention.demonstrate.attention_plots import draw_attention

_MAX_NAMED = 10


def is_interactive(options: TranslateOptions) -> bool:
    """Return whether a person types the sentences."""
    return not options.sentences and not options.file and sys.stdin.isatty()


def input_lines(options: TranslateOptions) -> Iterator[str]:
    """Yield what is to be translated, without line ends: arguments, else the file, else standard input.

    Raises:
        UserError: the file cannot be read, or a line is in another encoding.
    """
    if options.sentences:
        yield from options.sentences
    elif options.file:
        yield from _lines_of(options.file, options.encoding)
    else:
        yield from _decoded(sys.stdin.buffer, "standard input", options.encoding)


def reference_lines(options: TranslateOptions) -> Iterator[str] | None:
    """Return the given translations, a line for each sentence, without line ends; None if none are given.

    Raises:
        UserError: as `input_lines`.
    """
    if options.reference:
        return iter([options.reference])
    return _lines_of(options.reference_file, options.encoding) if options.reference_file else None


def _lines_of(path: Path, encoding: str | None) -> Iterator[str]:
    try:
        with open(path, "rb") as file:
            yield from _decoded(file, str(path), encoding)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _decoded(file: BinaryIO, name: str, encoding: str | None) -> Iterator[str]:
    head = file.readline()
    used = encoding or byte_order_mark(head) or "utf-8"
    if re.match("u(tf)?[-_ ]?(16|32)", used, re.IGNORECASE):  # whose line ends are more than a byte
        yield from normalise(decode(head + file.read(), name, used)).removesuffix("\n").split("\n")
        return
    for number, line in enumerate(chain([head] if head else [], file), start=1):
        yield decode(line, name, used if number == 1 else used.removesuffix("-sig"), number).rstrip("\r\n")


def output_lines(
    translator: SentenceTranslator,
    sentences: Iterable[str],
    references: Iterable[str] | None,
    options: TranslateOptions,
    maker: str,
) -> Iterator[str]:
    """Yield the line or lines to write for each sentence, as soon as its batch is translated.

    An empty line stays one. With --n-best above 1 there are so many lines a sentence, each with score and tab before.
    With `references` there is a line a sentence, the given translation in place of a search, likewise with its score.
    With --attention, heat maps are drawn by the way; `maker` is the identity of the run that they are made with.

    Raises:
        UserError: the folder for the maps cannot be written, or has other files of their names; or there are more
            sentences than `references`, or fewer.
    """
    maps = Outputs(options.attention, maker, options.overwrite) if options.attention else None
    interactive = is_interactive(options)
    batch_size = 1 if interactive else options.batch_size
    inputs = enumerate(sentences if references is None else _pairs(sentences, references), start=1)
    unknown: dict[str, None] = {}
    while batch := list(islice(inputs, batch_size)):
        names, texts = [f"{number:04d}.png" for number, _ in batch], [text for _, text in batch]
        if maps:
            for name, text in zip(names, texts, strict=True):
                maps.require_free([name], text)
        if references is None:
            unknown |= {token: None for sentence in texts for token in translator.unknown_tokens(sentence)}
            if interactive:
                _tell_unknown(unknown)
                unknown = {}
            found = translator.translate(texts, options.beam, options.length_penalty, batch_size)
        else:
            scores = translator.score(texts, options.length_penalty)
            found = [[scored] if scored else [] for scored in scores]
        for name, text, translations in zip(names, texts, found, strict=True):
            if maps and translations and translations[0].tokens:
                maps.save_png(name, draw_attention(translations[0]), text)
            yield from _lines(text, translations[: options.n_best], options)
    _tell_unknown(unknown)


def _pairs(sentences: Iterable[str], references: Iterable[str]) -> Iterator[tuple[str, str]]:
    for number, pair in enumerate(zip_longest(sentences, references), start=1):
        if None in pair:
            more = "translations" if pair[0] is None else "sentences"
            raise UserError(f"line {number}: there are more {more}; expected a translation for each sentence")
        yield pair


def _tell_unknown(tokens: Collection[str]) -> None:
    """Note on stderr which tokens are not in the vocabulary, if any."""
    if tokens:
        named = one_line(", ".join(token[:40] for token in list(tokens)[:_MAX_NAMED]))
        more = f" and {len(tokens) - _MAX_NAMED:,} more" if len(tokens) > _MAX_NAMED else ""
        warn(f"note: not in the vocabulary, so copied or left out: {named}{more}")


def _lines(text: str | tuple[str, str], translations: Sequence[Translation], options: TranslateOptions) -> list[str]:
    """Return the lines for a sentence and its translations, or for a pair, whose translation is the given one."""
    is_given = isinstance(text, tuple)
    if options.json:
        entries = [_entry(translation) for translation in translations]
        if is_given:
            return [json_line({"source": text[0], "reference": entries[0] if entries else None})]
        return [json_line({"source": text, "translations": entries})]
    if not translations:
        return [""]
    if is_given or options.n_best > 1:
        return [f"{translation.score:.4f}\t{one_line(translation.text)}" for translation in translations]
    return [one_line(translations[0].text)]


def _entry(translation: Translation) -> dict:
    entry = {
        "text": translation.text,
        "score": round(translation.score, 4),
        "tokens": translation.tokens,
        "source_tokens": translation.source_tokens,
        "attention": translation.attention.round(4).tolist(),
    }
    if translation.nll is not None:
        entry["nll"] = translation.nll.astype(float).round(4).tolist()
    return entry
