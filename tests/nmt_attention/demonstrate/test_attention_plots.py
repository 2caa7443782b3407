import json
from dataclasses import dataclass

import numpy as np
from PIL import Image

from common.training.samples import read_samples
from examples.nmt_attention.demonstrate.attention_plots import LOSS_UNIT, choose_samples
from examples.nmt_attention.preprocess.tokenizer import WordTokenizer


def test_every_epoch_has_its_translations_and_its_frame(trained):
    texts = [text for _, text in read_samples(trained, LOSS_UNIT)]
    assert len(texts) == 7 and all(text.count("->") == 3 for text in texts) and texts[0] != texts[-1]
    assert Image.open(trained.figures / "training.gif").n_frames == 7
    assert len([*trained.figures.glob("attention_*.png")]) == 3


def test_attention_gets_sharp(trained):
    def sharpness(epoch):
        entry = json.loads((trained.samples / f"epoch_{epoch:04d}.json").read_text())
        return np.max(entry["attention"], axis=1).mean()

    assert sharpness(0) < 0.4 < 0.7 < sharpness(6)


TOKENIZER = WordTokenizer.build(["one"], 1)


@dataclass
class Held:
    validation: list
    source_tokenizer: object


def test_the_sentences_shown_are_fixed_ones_for_spanish_and_held_out_ones():
    pairs = [("¿" + "uno " * n, "one " * n) for n in range(1, 20)]
    chosen = choose_samples("spa-eng", Held(pairs, TOKENIZER))
    assert [source for source, _ in chosen[:2]] == ["¿todavía están en casa?", "hace mucho frío aquí."]
    assert len(chosen) == 5 and {*chosen[2:]} < {*pairs}
    assert choose_samples("mine.tsv", Held(pairs, TOKENIZER)) == chosen[2:]
    english = [pair[::-1] for pair in pairs]
    assert {*choose_samples("spa-eng", Held(english, TOKENIZER))} < {*english}
