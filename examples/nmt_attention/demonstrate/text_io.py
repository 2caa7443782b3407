"""Sentences in and translations out, a line for a line, as arguments, files and pipes have them."""

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, count, islice, zip_longest
from pathlib import Path
from typing import BinaryIO

from common.app.outputs import Outputs
from common.data.text_files import byte_order_mark, decode, normalise
from common.errors import UserError
from common.io.terminal import json_line, one_line, warn
from common.viz.figures import attention_map
from examples.nmt_attention.config import TranslateOptions
from examples.nmt_attention.demo import SentenceTranslator, Translation
from examples.nmt_attention.demonstrate.attention_plots import draw_attention
from examples.nmt_attention.demonstrate.scoring import ScoredTranslation, score_translations

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


def reference_lines(options: TranslateOptions) -> Iterator[str]:
    """Yield the given translation of each sentence, without line ends.

    Raises:
        UserError: as `input_lines`.
    """
    return iter([options.reference]) if options.reference else _lines_of(options.reference_file, options.encoding)


def _lines_of(path: Path, encoding: str | None) -> Iterator[str]:
    try:
        with open(path, "rb") as file:
            yield from _decoded(file, str(path), encoding)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _decoded(file: BinaryIO, name: str, encoding: str | None) -> Iterator[str]:
    head = file.readline()
    used = encoding or byte_order_mark(head) or "utf-8"
    if "16" in used or "32" in used:  # whose line ends are more than a byte
        yield from normalise(decode(head + file.read(), name, used)).removesuffix("\n").split("\n")
        return
    for number, line in enumerate(chain([head] if head else [], file), start=1):
        yield decode(line, name, used if number == 1 else used.removesuffix("-sig"), number).rstrip("\r\n")


def output_lines(
    translator: SentenceTranslator, sentences: Iterable[str], options: TranslateOptions, maker: str
) -> Iterator[str]:
    """Yield the line or lines to write for each sentence, as soon as its batch is translated.

    An empty line stays one. With --n-best above 1 there are so many lines a sentence, each with score and tab before.
    With --attention, heat maps are drawn by the way; `maker` is the identity of the run that they are made with.

    Raises:
        UserError: the folder for the maps cannot be written, or has other files of their names.
    """
    maps = Outputs(options.attention, maker, options.overwrite) if options.attention else None
    interactive = is_interactive(options)
    batch_size = 1 if interactive else options.batch_size
    sentences, numbers = iter(sentences), count(1)
    unknown: dict[str, None] = {}
    while batch := list(islice(sentences, batch_size)):
        for sentence in batch:
            unknown |= dict.fromkeys(translator.unknown_tokens(sentence))
        if interactive:
            _tell_unknown(unknown)
            unknown = {}
        batch_numbers = list(islice(numbers, len(batch)))
        if maps:
            for number, sentence in zip(batch_numbers, batch, strict=True):
                maps.require_free([_map_name(number)], sentence)
        found = translator.translate(batch, options.beam, options.length_penalty, batch_size)
        for number, sentence, translations in zip(batch_numbers, batch, found, strict=True):
            if maps and translations and translations[0].tokens:
                maps.save_png(_map_name(number), draw_attention(translations[0]), sentence)
            yield from _lines(sentence, translations[: options.n_best], options)
    _tell_unknown(unknown)


def _tell_unknown(tokens: Collection[str]) -> None:
    """Note on stderr which tokens are not in the vocabulary, if any."""
    if tokens:
        named = one_line(", ".join(list(tokens)[:_MAX_NAMED]))
        more = f" and {len(tokens) - _MAX_NAMED:,} more" if len(tokens) > _MAX_NAMED else ""
        warn(f"note: not in the vocabulary, so copied or left out: {named}{more}")


def scored_lines(
    translator: SentenceTranslator,
    sentences: Iterable[str],
    references: Iterable[str],
    options: TranslateOptions,
    maker: str,
) -> Iterator[str]:
    """Yield a line for each sentence: the score of its given translation, a tab, and the translation; or JSON.

    The line of a pair without words is empty. For the maps see `output_lines`.

    Raises:
        UserError: as `output_lines`; or there are more sentences than translations, or fewer.
    """
    maps = Outputs(options.attention, maker, options.overwrite) if options.attention else None
    pairs = zip_longest(sentences, references)
    for first in count(1, options.batch_size):
        batch = list(islice(pairs, options.batch_size))
        if not batch:
            return
        for number, (source, reference) in enumerate(batch, first):
            if source is None or reference is None:
                more = "translations" if source is None else "sentences"
                raise UserError(f"line {number}: there are more {more}; expected a translation for each sentence")
            if maps:
                maps.require_free([_map_name(number)], (source, reference))
        for number, pair, scored in zip(count(first), batch, score_translations(translator, batch), strict=False):
            if scored is None:
                yield json_line({"source": pair[0], "reference": None}) if options.json else ""
                continue
            if maps:
                picture = attention_map(scored.attention, scored.tokens, scored.source_tokens)
                maps.save_png(_map_name(number), picture, pair)
            if options.json:
                nll = scored.nll.astype(float).round(4).tolist()
                yield json_line({"source": pair[0], "reference": _entry(scored, pair[1]) | {"nll": nll}})
            else:
                yield f"{scored.score:.4f}\t{one_line(pair[1])}"


def _lines(sentence: str, translations: Sequence[Translation], options: TranslateOptions) -> list[str]:
    if options.json:
        entries = [_entry(translation, translation.text) for translation in translations]
        return [json_line({"source": sentence, "translations": entries})]
    if not translations:
        return [""]
    if options.n_best > 1:
        return [f"{translation.score:.4f}\t{one_line(translation.text)}" for translation in translations]
    return [one_line(translations[0].text)]


def _map_name(number: int) -> str:
    return f"{number:04d}.png"


def _entry(translation: Translation | ScoredTranslation, text: str) -> dict:
    return {
        "text": text,
        "score": round(translation.score, 4),
        "tokens": translation.tokens,
        "source_tokens": translation.source_tokens,
        "attention": translation.attention.round(4).tolist(),
    }
