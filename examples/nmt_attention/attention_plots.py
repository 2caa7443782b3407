# %% [markdown]
# ### Attention over the epochs
#
# Before training and after every epoch the same sentences are translated. For the first of them the attention weights
# of its reference translation are stored. The GIF of these maps shows how the weights, nearly equal at first,
# concentrate on the words that translate each other. The data contain no alignment.

# %%
"""Step 5, continued: sample translations of every epoch, attention maps, and a GIF of the attention by epoch."""

import json
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from common.data.images import save_image
from common.errors import UserError
from common.io.files import write_atomically
from common.training.run_directory import RunDirectory, read_listing
from common.viz import figures

# %% tags=["module"]
from examples.nmt_attention.data import Corpus
from examples.nmt_attention.demo import SentenceTranslator, Translation
from examples.nmt_attention.model import Translator, shift_right
from examples.nmt_attention.pairs import Pair
from examples.nmt_attention.tokenizer import PAD, WordTokenizer, clean, strip_joiners, tokenise

# %%
_SPANISH = [  # the first two are those that readers of other tutorials know
    ("¿todavía están en casa?", "Are they still at home?"),
    ("hace mucho frío aquí.", "It's very cold here."),
]


def choose_samples(data: str, corpus: Corpus) -> list[Pair]:
    """Return the sample pairs: two fixed ones if the source is the Spanish of spa-eng, and three held-out ones."""
    by_length = sorted(corpus.validation, key=lambda pair: (len(tokenise(pair[0])), pair))
    held_out = [by_length[len(by_length) * tenths // 10] for tenths in (5, 8, 9)]
    is_spanish = data == "spa-eng" and "¿" in "".join(source for source, _ in corpus.validation)
    return [*(_SPANISH if is_spanish else []), *held_out]


def reference_attention(
    model: Translator, pairs: Sequence[Pair], source_tokenizer: WordTokenizer, target_tokenizer: WordTokenizer
) -> list[np.ndarray]:
    """Return the attention weights of given translations, each float32 [target tokens, source tokens]."""
    sources, targets = (
        [tokenizer.encode(tokenizer.truecase(tokenise(clean(pair[side])))) for pair in pairs]
        for side, tokenizer in enumerate((source_tokenizer, target_tokenizer))
    )
    source, target = (tf.ragged.constant(ids, tf.int32).to_tensor(PAD) for ids in (sources, targets))  # B S, B T
    _, weights = model(source, shift_right(target))  # B T S
    shapes = zip(map(len, targets), map(len, sources), strict=True)
    return [each[:rows, :columns] for each, (rows, columns) in zip(weights.numpy(), shapes, strict=True)]


class TranslationSamples(keras.callbacks.Callback):
    """Writes `samples/epoch_0000.txt` (untrained), `epoch_0001.txt` and so on, and `.json` with the attention."""

    def __init__(self, run: RunDirectory, pairs: Sequence[Pair], corpus: Corpus, max_tokens: int):
        """Keep the pairs to translate; Keras sets the model."""
        super().__init__()
        self.run, self.pairs, self.max_tokens = run, list(pairs), max_tokens
        self.tokenizers = (corpus.source_tokenizer, corpus.target_tokenizer)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Write the samples of the untrained model, unless the run is resumed."""
        self.translator = SentenceTranslator(self.model, *self.tokenizers, self.max_tokens)
        if not sample_path(self.run, 0).exists():
            self._write(0)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the samples of `epoch`, which Keras counts from 0."""
        self._write(epoch + 1)

    def _write(self, epochs_done: int) -> None:
        found = self.translator.translate([source for source, _ in self.pairs])
        lines = [f"{source}\n  -> {best[0].text}\n" for (source, _), best in zip(self.pairs, found, strict=True)]
        [attention] = reference_attention(self.model, self.pairs[:1], *self.tokenizers)
        entry = {"pair": self.pairs[0], "attention": attention.round(4).tolist()}
        write_atomically(sample_path(self.run, epochs_done, ".json"), json.dumps(entry, ensure_ascii=False))
        write_atomically(sample_path(self.run, epochs_done), "".join(lines))


def sample_path(run: RunDirectory, epochs_done: int, suffix: str = ".txt"):
    """Return the path of the samples after so many epochs."""
    return run.samples / f"epoch_{epochs_done:04d}{suffix}"


def titles(run: RunDirectory) -> dict[int, str]:
    """Return a title for the state before training and after each epoch, by the number of epochs."""
    return {0: "before training"} | {
        int(row["epoch"]): f"after epoch {int(row['epoch'])}: {row['val_loss']:.3f} nats per token"
        for row in run.read_metrics("val_loss")
    }


def read_samples(run: RunDirectory) -> list[tuple[str, str]]:
    """Return (title, text) of the samples of this run's epochs, in order."""
    return [(title, read_listing(sample_path(run, epoch))) for epoch, title in titles(run).items()]


def draw_training_gif(run: RunDirectory) -> None:
    """Draw the attention after every epoch as `figures/training.gif`.

    Raises:
        UserError: one of the samples is missing or damaged.
    """
    frames = []
    for epoch, title in titles(run).items():
        path = sample_path(run, epoch, ".json")
        try:
            entry = json.loads(read_listing(path))
            source, target = ([*map(strip_joiners, tokenise(text))] for text in entry["pair"])
            frames.append(figures.attention_map(np.array(entry["attention"], float), target, source, title))
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise UserError(f"{path}: damaged ({error}); restore it from a copy of the run") from error
    figures.save_gif(frames, run.figures / "training.gif")


def draw_attention_maps(run: RunDirectory, pairs: Sequence[Pair]) -> None:
    """Draw `figures/attention_1.png` and so on: each sentence with the trained model's translation."""
    found = SentenceTranslator.load(run).translate([source for source, _ in pairs])
    for number, [translation] in enumerate(found, start=1):
        if translation.tokens:
            save_image(draw(translation), run.figures / f"attention_{number}.png")


def draw(translation: Translation):
    """Return the heat map of a translation, a PIL image; there must be at least one token."""
    return figures.attention_map(translation.attention, translation.tokens, translation.source_tokens)
