"""Sentences a second in translating: greedily and with a beam, one at a time and in batches, and in the plain way.

python -m benchmarks.translating --data-dir DIR
"""

import statistics
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
import tyro

from benchmarks.measure import Table, alternate, goal
from common.training import trainer
from examples.nmt_attention.config import PRESETS
from examples.nmt_attention.data import Corpus, EncodedPairs, load_corpus
from examples.nmt_attention.demo import SentenceTranslator
from examples.nmt_attention.preprocess.tokenizer import END, START, clean, tokenise
from examples.nmt_attention.train import build_model, build_optimizer, build_schedule

STEPS, FEW, MANY = 300, 20, 1280
PLAIN, ONE, BATCHES = "plain, one at a time", "{}, one at a time", "{}, batches of 128"


def briefly_trained(corpus: Corpus) -> SentenceTranslator:
    """Return a translator of the `quick` preset after a few hundred steps: its sentences end where sentences do."""
    config = PRESETS["quick"].with_precision()
    trainer.set_seed_and_precision(config.seed, config.precision)
    sizes = len(corpus.source_tokenizer), len(corpus.target_tokenizer)
    model = build_model(config, *sizes)
    model.compile(build_optimizer(config, build_schedule(config, STEPS)))
    pairs = EncodedPairs(corpus.train, corpus.source_tokenizer, corpus.target_tokenizer)
    batches = pairs.batches(config.batch_size, config.seed, epoch=0)
    step = tf.function(model.train_step, input_signature=[batches.element_spec])
    for batch in batches.take(STEPS):
        step(batch)
    trainer.set_seed_and_precision(config.seed, "float32")  # as `SentenceTranslator.load`
    translator = build_model(config, *sizes)
    translator.set_weights(model.get_weights())
    return SentenceTranslator(translator, corpus.source_tokenizer, corpus.target_tokenizer, config.max_tokens)


def translate_plainly(translator: SentenceTranslator, sentence: str) -> list[int]:
    """Translate one sentence greedily, eagerly."""
    tokenizer, model = translator.source_tokenizer, translator.model
    ids = tokenizer.encode(tokenizer.truecase(tokenise(clean(sentence))))[None]
    mask = tf.ones(ids.shape, bool)
    values = model.encoder(tf.constant(ids), mask)
    memory, state = model.decoder.prepare_attention(values, mask), model.decoder.initial_state(values, mask)
    translation, decode_step = [START], model.decoder.make_decode_step()
    while translation[-1] != END and len(translation) < 2 * ids.shape[1] + 10:
        logits, state, _ = decode_step(tf.constant(translation[-1:]), state, memory)
        translation.append(int(tf.argmax(logits[0])))
    return translation


def main(data_dir: Path | None = None, turns: int = 20) -> None:
    """Measure and save the table.

    Args:
        data_dir: the download cache.
        turns: of each way.
    """
    corpus = load_corpus("spa-eng", **PRESETS["quick"].corpus(), data_dir=data_dir)
    translator = briefly_trained(corpus)
    sentences = [source for source, _ in corpus.test[:: len(corpus.test) // MANY]][:MANY]
    few = sentences[:: MANY // FEW]
    ways: dict[str, tuple[int, Callable[[], object]]] = {
        PLAIN: (FEW, lambda: [translate_plainly(translator, sentence) for sentence in few])
    }
    for name, beam in (("greedy", 1), ("beam 5", 5)):
        ways[ONE.format(name)] = FEW, lambda b=beam: [translator.translate([sentence], b) for sentence in few]
        ways[BATCHES.format(name)] = MANY, lambda b=beam: translator.translate(sentences, b)
    seconds = alternate({name: way for name, (_, way) in ways.items()}, turns)
    rates = {name: count / statistics.median(seconds[name]) for name, (count, _) in ways.items()}
    tokens = statistics.mean(len(best.tokens) for best, *_ in translator.translate(sentences))
    Table(
        "Translating",
        f"Sentences a second, medians of {turns} turns of {MANY:,} sentences of the test split, one at a time of {FEW} "
        f"of them; {tokens:.1f} tokens a translation in the mean. A model of the `quick` preset, trained for {STEPS} "
        "steps, in float32. Plain: word by word, eagerly.",
        ["way", "sentences a second", "times plain"],
        [[name, f"{rate:,.0f}", f"{rate / rates[PLAIN]:.1f}"] for name, rate in rates.items()],
        goals=[
            goal("sentences a second, one at a time, greedy", rates[ONE.format("greedy")], least=200),
            goal("sentences a second, in batches, greedy", rates[BATCHES.format("greedy")], least=2000),
        ],
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
