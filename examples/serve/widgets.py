"""Parts of the page as HTML: text, sentences and photos that light up where the pointer or the keyboard focus is.

The templates escape all text, and there is no script: CSS alone does the lighting.
"""

import base64
import secrets
from collections.abc import Sequence

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from common.data.images import image_bytes
from common.viz import figures
from examples.serve.embeddings import Embeddings
from examples.serve.schemas import CaptionOut, TextLosses, TranslationOut, TranslationScore

_TEMPLATES = Environment(
    loader=PackageLoader("examples.serve"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
_SATURATED_BITS = 8
_MIN_WEIGHT = 0.04  # attention below this is not lit
PHOTO_WIDTH = 420
"""Pixels of a photo on the page; a narrow one has less."""


def data_uri(image: Image.Image, form: str = "PNG") -> str:
    """Return an image as a file in a data URI; `form` is "PNG" or "JPEG"."""
    return f"data:image/{form.lower()};base64,{base64.b64encode(image_bytes(image, form)).decode()}"


def message(text: str, is_error: bool = False) -> str:
    """Return a sentence; an error is read out by screen readers at once."""
    return _render("message", text=text, role="alert" if is_error else "status")


def text(prompt: str, continuation: str) -> str:
    """Return a prompt and its continuation."""
    return _render("text", prompt=prompt, text=continuation)


def losses(measured: TextLosses, text: str) -> str:
    """Return a text, each character after the first token shaded by its loss."""
    first = text[: len(text) - len(measured.text)]
    cells = [
        (character, round(min(1, bits / _SATURATED_BITS), 3), f"{bits:.2f} bits; likeliest: {' '.join(likeliest)!r}")
        for character, bits, likeliest in zip(measured.text, measured.nll_bits, measured.predictions, strict=True)
    ]
    return _render("losses", cells=cells, first=first, mean_bits=measured.mean_bits)


def picture(image: Image.Image, alt: str, note: str = "") -> str:
    """Return an image with its alternative text and a note below."""
    return _render("picture", source=data_uri(image), alt=alt, note=note)


def table(rows: Sequence[Sequence[object]], header: Sequence[str] = (), note: str = "") -> str:
    """Return a table."""
    return _render("table", rows=rows, header=header, note=note)


def translation(found: Sequence[TranslationOut]) -> str:
    """Return the best of several translations with its attention, and the scores of all."""
    scores = [(each.text, each.score) for each in found]
    return _attention(found[0], scores, "Translations by score (mean ln p of a token)")


def translation_score(scored: TranslationScore) -> str:
    """Return a given translation with its attention, and the loss of each token."""
    rows = [*zip([*scored.tokens, "(end)"], scored.nll, strict=True), ("all, mean ln p", scored.score)]
    return _attention(scored, rows, "-ln p of each token, in nats")


def _attention(found: TranslationOut | TranslationScore, scores: Sequence[tuple[str, float]], scores_title: str) -> str:
    weights = np.array(found.attention).reshape(len(found.tokens), len(found.source_tokens))  # T S
    return _render(
        "attention",
        id=f"attention-{secrets.token_hex(4)}",
        source_tokens=found.source_tokens,
        targets=[
            (token, f"{token}, attends to {found.source_tokens[row.argmax()]}")
            for token, row in zip(found.tokens, weights, strict=True)
        ],
        cells=[(i, j, round(float(weights[i, j]), 3)) for i, j in np.argwhere(weights >= _MIN_WEIGHT)],
        scores=scores,
        scores_title=scores_title,
        heat_map=data_uri(figures.attention_map(weights, found.tokens, found.source_tokens)),
    )


def caption(image: Image.Image, found: Sequence[CaptionOut]) -> str:
    """Return a photo with the best of several captions, and the scores of all."""
    from examples.image_captioning.demonstrate.attention_overlay import (  # the package imports TensorFlow
        fit_to_width,
        overlay,
    )

    best = found[0]
    image = fit_to_width(image, PHOTO_WIDTH)
    return _render(
        "caption",
        id=f"caption-{secrets.token_hex(4)}",
        text=best.text,
        words=best.words,
        photo=data_uri(image, "JPEG"),
        overlays=[data_uri(overlay(image, np.array(grid)), "JPEG") for grid in best.attention],
        scores=[(each.text, each.score) for each in found],
    )


def visible(symbol: str) -> str:
    """Return a symbol, or the sign that stands for a blank one."""
    return {"\n": "↵", " ": "␣", "\t": "→"}.get(symbol, symbol)


def embeddings_map(embeddings: Embeddings, near: Sequence[str]) -> str:
    """Return a map of embeddings; the symbols in `near` are on it in any case, and highlighted."""
    symbols, points = embeddings.map(near=near)
    low, high = points.min(axis=0), points.max(axis=0)
    places = (points - low) / np.maximum(high - low, 1e-9) * [700, 500]
    marks = [
        (visible(symbol), round(x, 1), round(500 - y, 1), symbol in near)
        for symbol, (x, y) in zip(symbols, places.tolist(), strict=True)
    ]
    return _render("map", points=sorted(marks, key=lambda mark: mark[3]))  # the highlighted ones on top


def _render(name: str, **values: object) -> str:
    return _TEMPLATES.get_template(f"{name}.html.jinja").render(values)
