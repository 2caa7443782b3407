"""Step 5, continued: sample translations of every epoch, attention maps, and a GIF of the attention by epoch.

Before training and after every epoch the same sentences are translated. For the first of them the attention weights
of its reference translation are stored. The GIF of these maps shows how the weights, nearly equal at first,
concentrate on the words that translate each other. The data contain no alignment.
"""

import json
from collections.abc import Sequence

import numpy as np
from PIL import Image

from common.data.images import save_image
from common.errors import UserError
from common.io.files import write_atomically
from common.training.run_directory import RunDirectory, read_listing
from common.training.samples import SampleCallback, sample_path, sample_titles
from common.viz import figures
from examples.nmt_attention.data import Corpus
from examples.nmt_attention.demo import SentenceTranslator, Translation
from examples.nmt_attention.preprocess.parallel_corpus import Pair

LOSS_UNIT = "nats per token"
_SPANISH = [  # the first two are those that readers of other tutorials know
    ("¿todavía están en casa?", "Are they still at home?"),
    ("hace mucho frío aquí.", "It's very cold here."),
]


def choose_samples(data: str, corpus: Corpus) -> list[Pair]:
    """Return the sample pairs: two fixed ones if the source is the Spanish of spa-eng, and three held-out ones."""
    by_length = sorted(corpus.validation, key=lambda pair: (len(corpus.source_tokenizer.tokenise(pair[0])), pair))
    held_out = [by_length[len(by_length) * tenths // 10] for tenths in (5, 8, 9)]
    is_spanish = data == "spa-eng" and "¿" in "".join(source for source, _ in corpus.validation)
    return [*(_SPANISH if is_spanish else []), *held_out]


class TranslationSamples(SampleCallback):
    """Writes translations of the same sentences as text, and as JSON the attention weights of the first reference."""

    def __init__(self, run: RunDirectory, pairs: Sequence[Pair], translator: SentenceTranslator):
        super().__init__(run)
        self.pairs, self.translator = pairs, translator

    def write(self, epoch: int, logs: dict[str, float]) -> None:
        """Write the samples after `epoch` epochs."""
        found = self.translator.translate([source for source, _ in self.pairs])
        lines = [f"{source}\n  -> {best[0].text}\n" for (source, _), best in zip(self.pairs, found, strict=True)]
        [reference] = self.translator.score(self.pairs[:1])
        attention = reference.attention.round(4).tolist()
        entry = {"source": reference.source_tokens, "target": reference.tokens, "attention": attention}
        write_atomically(sample_path(self.run, epoch, ".json"), json.dumps(entry, ensure_ascii=False))
        write_atomically(sample_path(self.run, epoch), "".join(lines))


def draw_training_gif(run: RunDirectory) -> None:
    """Draw the attention after every epoch as `figures/training.gif`.

    Raises:
        UserError: one of the samples is missing or damaged.
    """
    frames = []
    for epoch, title in sample_titles(run, LOSS_UNIT).items():
        path = sample_path(run, epoch, ".json")
        try:
            entry = json.loads(read_listing(path))
            source, target = ([str(label) for label in entry[side]] for side in ("source", "target"))
            frames.append(figures.attention_map(np.array(entry["attention"], float), target, source, title))
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise UserError(f"{path}: damaged ({error}); restore it from a copy of the run") from error
    figures.save_gif(frames, run.figures / "training.gif")


def draw_attention_maps(translator: SentenceTranslator, pairs: Sequence[Pair], run: RunDirectory) -> None:
    """Draw `figures/attention_1.png` and so on: the attention map of each source and its translation."""
    found = translator.translate([source for source, _ in pairs])
    for number, [translation] in enumerate(found, start=1):
        if translation.tokens:
            save_image(draw_attention(translation), run.figures / f"attention_{number}.png")


def draw_attention(translation: Translation) -> Image.Image:
    """Return the attention map of a translation, which must have at least one token."""
    return figures.attention_map(translation.attention, translation.tokens, translation.source_tokens)
