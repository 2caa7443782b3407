import json
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from PIL import Image

from common.training.run_directory import RunDirectory
from common.training.samples import read_samples, sample_path
from examples.nmt_attention.demonstrate.attention_plots import LOSS_UNIT, TranslationSamples, choose_samples
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


def test_the_weights_that_are_kept_are_those_of_the_first_reference(tmp_path):
    def score(pairs):
        return [
            SimpleNamespace(source_tokens=source.split(), tokens=target.split(), attention=np.eye(2))
            for source, target in pairs
        ]

    translator = SimpleNamespace(
        translate=lambda sources: [[SimpleNamespace(text=source.upper())] for source in sources], score=score
    )
    run = RunDirectory.start(tmp_path / "run", "nmt_attention", {}, {})
    TranslationSamples(run, [("el gato", "the cat"), ("la casa", "the house")], translator).write(1, {})
    entry = json.loads(sample_path(run, 1, ".json").read_text())
    assert entry == {"source": ["el", "gato"], "target": ["the", "cat"], "attention": [[1, 0], [0, 1]]}
    assert sample_path(run, 1).read_text() == "el gato\n  -> EL GATO\nla casa\n  -> LA CASA\n"
