"""The requests and answers of the API, with the range of every value."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from common.app.intervals import MAX_SEED
from common.data.text_files import normalise
from common.errors import UserError
from examples.serve.limits import MAX_BEAM, MAX_IMAGES, MAX_SENTENCE, MAX_SENTENCES, MAX_TEXT, Refused


def _normalised(text: str) -> str:
    try:
        return normalise(text)
    except UserError as error:
        raise ValueError(str(error)) from error


RunId = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$", description="from /v1/runs; by default the newest run")]
Sentence = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_SENTENCE),
    AfterValidator(_normalised),
]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_normalised)]
Latent = Annotated[list[Annotated[float, Field(ge=-100, le=100)]], Field(min_length=1, max_length=4096)]


def _rounded(array: np.ndarray) -> list:
    """Return an array of any shape as lists of numbers with four decimals."""
    return np.round(np.asarray(array, float), 4).tolist()


Numbers = Annotated[list[float], BeforeValidator(_rounded)]
Rows = Annotated[list[list[float]], BeforeValidator(_rounded)]
Grids = Annotated[list[list[list[float]]], BeforeValidator(_rounded)]


def refusal(error: Mapping[str, Any]) -> Refused:
    """Return the refusal of a request whose value pydantic found wrong; `error` is the first of its errors."""
    if error["type"] == "json_invalid":
        return Refused("The body is not valid JSON.")
    if error["loc"] == ("body",) and error["type"] in ("missing", "model_attributes_type"):
        return Refused("The body should be a JSON object, with the header Content-Type: application/json.")
    name = " ".join(str(part) for part in error["loc"] if part not in ("body", "query")).replace("_", " ")
    if error["loc"][-1:] == ("photo",) and isinstance(error["input"], str):
        return Refused("photo: expected a file, got a text; with curl, write photo=@FILE.")
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] in ("string_too_long", "too_long"):
        unit = "characters" if error["type"] == "string_too_long" else "items"
        return Refused(
            f"{name}: at most {error['ctx']['max_length']:,} {unit} are taken, got {len(error['input']):,}.", 413
        )
    if error["type"] == "string_too_short" and not error["input"].strip():
        return Refused(f"{name}: expected some text, got none.")
    return Refused(f"{name}: {message[:1].lower()}{message[1:]}." if name else f"{message}.")


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    run: RunId | None = None


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)  # made from what the model of an example returns


class _BeamSearch(BaseModel):
    beam: int = Field(5, ge=1, le=MAX_BEAM, description="hypotheses side by side; 1 is greedy search")
    n_best: int = Field(1, ge=1, le=MAX_BEAM, description="answers to return, at most beam")

    @model_validator(mode="after")
    def _check(self):
        if self.n_best > self.beam:
            raise ValueError(f"n_best should be at most beam, which is {self.beam}")
        return self


class RunSummary(BaseModel):
    """A finished run."""

    id: str
    name: str
    example: str
    summary: str
    created: str
    newest: bool = Field(description="whether it answers when a request names no run")


class Refusal(BaseModel):
    """The answer to a request that is refused."""

    detail: str = Field(description="a plain sentence")


class GenerateText(_Request):
    """A prompt to continue."""

    prompt: Text
    length: int = Field(200, ge=1, le=MAX_TEXT, description="characters, or words or subwords, as the run has")
    temperature: float = Field(0.8, ge=0, le=5)
    top_k: int = Field(0, ge=0, le=65_536, description="0 keeps all")
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int = Field(1, ge=0, le=MAX_SEED)


class MeasureText(_Request):
    """A text whose loss is measured."""

    text: Annotated[str, Field(min_length=2, max_length=MAX_TEXT), AfterValidator(_normalised)]


class TextLosses(_Answer):
    """The negative log-likelihood of each character after the first token: a character, or a word or subword."""

    text: str
    nll_bits: Numbers
    predictions: list[list[str]] = Field(
        description="the likeliest three in place of each character; of words or subwords none"
    )
    mean_bits: float


class GenerateImages(_Request):
    """Images of a seed, or of given latents."""

    seed: int = Field(1, ge=0, le=MAX_SEED)
    count: int = Field(16, ge=1, le=MAX_IMAGES)
    latents: Annotated[list[Latent], Field(min_length=1, max_length=MAX_IMAGES)] | None = Field(
        None, description="vectors to map to images, in place of seed and count"
    )


class Images(BaseModel):
    """Generated images and their latents."""

    images: list[str] = Field(description="PNG files as data URIs")
    latents: list[list[float]]


class TranslateSentences(_Request, _BeamSearch):
    """Sentences to translate."""

    sentences: Annotated[list[Sentence], Field(min_length=1, max_length=MAX_SENTENCES)]
    length_penalty: float = Field(1.0, ge=0, le=5)


class TranslationOut(_Answer):
    """A translation with its attention weights."""

    text: str
    score: float = Field(description="ln p / (tokens + 1) ** length_penalty")
    tokens: list[str]
    source_tokens: list[str]
    attention: Rows = Field(description="a row a token, a column a source token")


class Translations(BaseModel):
    """The n best translations of each sentence; none of one without words."""

    translations: list[list[TranslationOut]]


class ScoreTranslation(_Request):
    """A translation to score."""

    source: Sentence
    translation: Sentence


class TranslationScore(_Answer):
    """How likely the model finds a translation."""

    score: float = Field(description="mean ln p of the tokens and the end")
    tokens: list[str]
    nll: Numbers = Field(description="-ln p in nats of each token and of the end")
    source_tokens: list[str]
    attention: Rows


class CaptionOut(_Answer):
    """A caption with the attention of each word."""

    text: str
    score: float = Field(description="ln p / (words + 1) ** length_penalty; the end counts, too")
    words: list[str]
    attention: Grids = Field(description="for each word a grid over the photo, which sums to 1")


class Captions(BaseModel):
    """The n best captions of a photo."""

    captions: list[CaptionOut]


class Neighbour(BaseModel):
    """A symbol near another one."""

    symbol: str
    similarity: float = Field(description="cosine of the angle between the vectors")


class MapPoint(BaseModel):
    """A symbol on the map of embeddings."""

    symbol: str
    x: float
    y: float
