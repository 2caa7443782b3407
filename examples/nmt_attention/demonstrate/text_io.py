"""Sentences in and translations out, a line for a line, as arguments, files and pipes have them."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count, islice
from typing import BinaryIO

from common.app.outputs import Outputs
from common.data.text_files import byte_order_mark, decode, normalise
from common.errors import UserError
from common.io.terminal import json_line, one_line
from examples.nmt_attention.config import TranslateOptions
from examples.nmt_attention.demo import SentenceTranslator, Translation
from examples.nmt_attention.demonstrate.attention_plots import draw_attention


def input_lines(options: TranslateOptions) -> Iterator[str]:
    """Yield what is to be translated, without line ends: arguments, else the file, else standard input.

    Raises:
        UserError: the file cannot be read, or a line is in another encoding.
    """
    if options.sentences:
        yield from options.sentences
    elif options.file:
        try:
            with open(options.file, "rb") as file:
                yield from _decoded(file, str(options.file), options.encoding)
        except OSError as error:
            raise UserError(f"{options.file}: cannot be read ({error.strerror}); check the path") from error
    else:
        yield from _decoded(sys.stdin.buffer, "standard input", options.encoding)


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
    interactive = not options.sentences and not options.file and sys.stdin.isatty()
    batch_size = 1 if interactive else options.batch_size
    sentences, numbers = iter(sentences), count(1)
    while batch := list(islice(sentences, batch_size)):
        batch_numbers = list(islice(numbers, len(batch)))
        if maps:
            for number, sentence in zip(batch_numbers, batch, strict=True):
                maps.require_free([_map_name(number)], sentence)
        found = translator.translate(batch, options.beam, options.length_penalty, batch_size)
        for number, sentence, translations in zip(batch_numbers, batch, found, strict=True):
            if maps and translations and translations[0].tokens:
                maps.save_png(_map_name(number), draw_attention(translations[0]), sentence)
            yield from _lines(sentence, translations[: options.n_best], options)


def _lines(sentence: str, translations: Sequence[Translation], options: TranslateOptions) -> list[str]:
    if options.json:
        entries = [_entry(translation) for translation in translations]
        return [json_line({"source": sentence, "translations": entries})]
    if not translations:
        return [""]
    if options.n_best > 1:
        return [f"{translation.score:.4f}\t{one_line(translation.text)}" for translation in translations]
    return [one_line(translations[0].text)]


def _map_name(number: int) -> str:
    return f"{number:04d}.png"


def _entry(translation: Translation) -> dict:
    return {
        "text": translation.text,
        "score": round(translation.score, 4),
        "tokens": translation.tokens,
        "source_tokens": translation.source_tokens,
        "attention": translation.attention.round(4).tolist(),
    }
