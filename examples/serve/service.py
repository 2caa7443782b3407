"""What the service does, for the API and the page alike: each function takes a checked request and gives its answer."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from common.data.images import decode_image, from_pixels
from common.errors import UserError
from examples.image_captioning.config import LENGTH_PENALTY
from examples.serve import schemas
from examples.serve.batcher import Batcher, padded
from examples.serve.embeddings import Embeddings
from examples.serve.limits import MAX_UPLOAD, Refused
from examples.serve.registry import RunRegistry

PIECE = 32
"""Tokens of a piece of a stream: characters, or words or subwords."""


class Service:
    """The trained models behind their batchers. TensorFlow is imported by the first request, or by `warm_up`."""

    def __init__(self, registry: RunRegistry, max_batch: int = 32, max_waiting: int = 256):
        """Make a batcher for each kind of request."""
        self.registry = registry
        self.observe: Callable[[str, int], None] = lambda kind, size: None  # is told the size of each batch

        def batcher(name: str, answer: Callable[[Any, Sequence[Any]], Sequence[Any]]) -> Batcher:
            return Batcher(answer, max_batch, max_waiting, lambda size: self.observe(name, size))

        self.batchers = {
            "text_begin": batcher("text_begin", _begin_texts),
            "text_pieces": batcher("text_pieces", _write_pieces),
            "text_loss": batcher("text_loss", _measure_texts),
            "images": batcher("images", _generate_images),
            "translate": batcher("translate", _translate),
            "score": batcher("score", _score),
            "caption": batcher("caption", _caption),
        }
        self._decoders = ThreadPoolExecutor(2)  # no more, because a decoded photo may take 150 MB

    async def warm_up(self, *names: str) -> None:
        """Load the newest run of each example named and answer a request, which compiles what the next ones need."""
        first_requests = {
            "nmt_attention": lambda: self.translate(schemas.TranslateSentences(sentences=["a"])),
            "text_generation": self._first_text,
            "dcgan": lambda: self.images(schemas.GenerateImages()),
            "image_captioning": lambda: self.caption(Image.new("RGB", (32, 32)), beam=3),
        }
        for example in names:
            if self.registry.runs(example):
                with contextlib.suppress(Refused):  # told in the log by then; the others are still served
                    await first_requests[example]()

    async def _first_text(self) -> None:
        model = await self.load("text_generation", None)
        async for _ in self.generate_text(schemas.GenerateText(prompt=model.vocabulary.symbols[-1], length=1)):
            pass

    async def load(self, example: str, id_: str | None) -> Any:
        """Return the model of the run with this id, by default the newest.

        Raises:
            Refused: there is none, or it is damaged.
        """
        run = self.registry.choose(example, id_)
        return self.registry.loaded(run) or await asyncio.to_thread(self.registry.model, run)

    async def generate_text(self, request: schemas.GenerateText) -> AsyncIterator[str]:
        """Yield the continuation of a prompt, `PIECE` tokens at a time.

        Texts with the same sampling settings are written together; each joins and leaves between two pieces.

        Raises:
            Refused: the prompt has characters that are not in the vocabulary; likewise in all functions here, what
                cannot be answered.
        """
        model = await self.load("text_generation", request.run)
        _require_known(model, request.prompt)
        pieces = -(-request.length // PIECE)
        begin = (request.prompt, request.seed, pieces * PIECE)
        text, uniforms = await self.batchers["text_begin"].submit((model,), begin)
        key = (model, request.temperature, request.top_k, request.top_p)
        for number in range(pieces):
            noise = uniforms[number * PIECE : (number + 1) * PIECE]
            tokens, text = await self.batchers["text_pieces"].submit(key, (text, noise))
            yield "".join(tokens[: request.length - number * PIECE])

    async def measure_text(self, request: schemas.MeasureText) -> schemas.TextLosses:
        """Return the loss of each character of a text."""
        model = await self.load("text_generation", request.run)
        _require_known(model, request.text)
        if len(model.vocabulary.encode(request.text)) < 2:
            raise Refused("Losses start at the second token of a text, and this one has no second; write more.")
        losses = await self.batchers["text_loss"].submit((model,), request.text)
        return schemas.TextLosses.model_validate(losses)

    async def latents(self, run_id: str | None, seed: int, count: int) -> np.ndarray:
        """Return the latents of a seed, float32 [count, Z]."""
        model = await self.load("dcgan", run_id)
        from examples.dcgan.demo import sample_latents

        return sample_latents(count, model.model.latent_dim, seed).numpy()

    async def pixels(self, run_id: str | None, latents: np.ndarray) -> np.ndarray:
        """Return the images uint8 [N, H, W, C] of latents float32 [N, Z]."""
        model = await self.load("dcgan", run_id)
        if latents.shape[1] != model.model.latent_dim:
            raise Refused(f"A latent of this run has {model.model.latent_dim} numbers, got {latents.shape[1]}.")
        return await self.batchers["images"].submit((model,), latents)

    async def images(self, request: schemas.GenerateImages) -> schemas.Images:
        """Return the images of a seed, or of given latents."""
        if request.latents is None:
            latents = await self.latents(request.run, request.seed, request.count)
        elif len({*map(len, request.latents)}) > 1:
            raise Refused("The latents have different lengths.")
        else:
            latents = np.array(request.latents, np.float32)
        pixels = await self.pixels(request.run, latents)
        from examples.serve.widgets import data_uri

        return schemas.Images(images=[data_uri(from_pixels(each)) for each in pixels], latents=latents.tolist())

    async def translate(self, request: schemas.TranslateSentences) -> schemas.Translations:
        """Return the n best translations of each sentence."""
        model = await self.load("nmt_attention", request.run)
        key = (model, request.beam, request.length_penalty)
        found = await self.batchers["translate"].submit_all(key, request.sentences)
        return schemas.Translations(translations=[beams[: request.n_best] for beams in found])

    async def score(self, request: schemas.ScoreTranslation) -> schemas.TranslationScore:
        """Return how likely the model finds a translation."""
        model = await self.load("nmt_attention", request.run)
        pair = request.source, request.translation
        found = await self.batchers["score"].submit((model,), pair)
        if found is None:
            raise Refused("The source and the translation should each have at least one word.")
        return schemas.TranslationScore.model_validate(found)

    async def read_photo(self, content: bytes, name: str, run: str | None = None) -> tuple[Image.Image, Image.Image]:
        """Return the image of an uploaded file at the size that the model of a run reads, and at that of the page.

        Raises:
            Refused: it has too many bytes, or is no picture that can be read.
        """
        model = await self.load("image_captioning", run)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoders, _read_photo, content, name, model.extractor.image_size)

    async def caption(
        self,
        image: Image.Image,
        run: str | None = None,
        beam: int = 3,
        n_best: int = 1,
        length_penalty: float = LENGTH_PENALTY,
    ) -> schemas.Captions:
        """Return the n best captions of an image, best at the size that the model reads: it may wait for a while."""
        model = await self.load("image_captioning", run)
        key = (model, beam, length_penalty)
        found = await self.batchers["caption"].submit(key, image)
        return schemas.Captions(captions=found[:n_best])

    async def embeddings(self, example: str, run: str | None, side: str) -> Embeddings:
        """Return the word vectors of a run, without symbols that no text has.

        Raises:
            Refused: the example has no such vocabulary.
        """
        tables = (await self.load(example, run)).embeddings()
        if side not in tables:
            raise Refused(f"A run of {example} has no vocabulary {side!r}; it has {' and '.join(tables)}.")
        return Embeddings(*tables[side])


def _read_photo(content: bytes, name: str, size: int) -> tuple[Image.Image, Image.Image]:
    from examples.image_captioning.demonstrate.attention_overlay import fit_to_width
    from examples.image_captioning.download.image_files import resize
    from examples.serve.widgets import PHOTO_WIDTH

    if len(content) > MAX_UPLOAD:
        raise Refused(f"The photo is too large; at most {MAX_UPLOAD / 2**20:g} MiB are taken.", 413)
    try:
        image = decode_image(io.BytesIO(content), name).convert("RGB")  # with the checks of a file of this machine
    except UserError as error:
        raise Refused(str(error)) from error
    return from_pixels(resize(image, size)), fit_to_width(image, PHOTO_WIDTH)


# The functions below run in the threads of the batchers: a key and its requests in, the answers out.


def _begin_texts(key: tuple, requests: Sequence[tuple[str, int, int]]) -> list[Any]:
    from common.nn.sampling import uniform_noise

    [model] = key
    return [(model.prefill(prompt), uniform_noise(seed, 1, length)[:, 0].numpy()) for prompt, seed, length in requests]


def _write_pieces(key: tuple, requests: Sequence[tuple[Any, np.ndarray]]) -> list[Any]:
    from examples.text_generation.demo import Sampling

    model, temperature, top_k, top_p = key
    texts, noises = zip(*padded(requests), strict=True)
    written = model.generate_batch(texts, np.stack(noises, axis=1), Sampling(temperature, top_k, top_p))
    return written[: len(requests)]


def _measure_texts(key: tuple, texts: Sequence[str]) -> list[Any]:
    from examples.text_generation.demonstrate.loss_heatmap import character_losses

    [model] = key
    return [character_losses(model, text, context=1) for text in texts]


def _generate_images(key: tuple, requests: Sequence[np.ndarray]) -> list[np.ndarray]:
    [model] = key
    latents = np.concatenate(requests)  # N Z
    pixels = model.generate(np.stack(padded(latents)))
    return np.split(pixels[: len(latents)], np.cumsum([len(each) for each in requests])[:-1])


def _translate(key: tuple, sentences: Sequence[str]) -> list[Any]:
    model, beam, length_penalty = key
    return model.translate(padded(sentences), beam, length_penalty)[: len(sentences)]


def _score(key: tuple, pairs: Sequence[tuple[str, str]]) -> list[Any]:
    [model] = key
    return model.score(padded(pairs))[: len(pairs)]


def _caption(key: tuple, images: Sequence[Image.Image]) -> list[Any]:
    model, beam, length_penalty = key
    features = model.encode_images(padded(images))
    return model.hypotheses(features, beam, length_penalty)[: len(images)]


def _require_known(model: Any, text: str) -> None:
    try:
        model.vocabulary.encode(text)
    except UserError as error:
        raise Refused(str(error)) from error
