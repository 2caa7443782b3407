"""Step 5, continued: compute the metrics of the trained model on held-out sentences.

**BLEU** (Papineni et al. 2002) is the precision of the n-grams of one to four words of a translation, with a penalty
for translations that are too short. **chrF** (Popović 2015) is an F-score of character n-grams. **TER** (Snover
et al. 2006) is the number of edits that turn a translation into the reference, in percent of the words of the
reference, or of its letters in Chinese, Japanese and Thai; less is better. Scores can only be compared if they are
computed in the same way. So sacrebleu computes them on the raw text, with case and punctuation, and its signature is
stored. Each row has one reference, though several translations may be right.
"""

import math
import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from sacrebleu.metrics import BLEU, CHRF, TER

from common.data.scripts import space_letters, unspaced_language
from common.io.files import write_atomically
from common.io.terminal import echo
from common.training import trainer
from common.training.run_directory import RunDirectory
from examples.nmt_attention.config import Config, EvaluateOptions
from examples.nmt_attention.data import EncodedPairs, load_corpus, load_test_pairs
from examples.nmt_attention.demo import SentenceTranslator
from examples.nmt_attention.download.toy_grammar import tiny_pairs
from examples.nmt_attention.model import Translator
from examples.nmt_attention.preprocess.parallel_corpus import Pair
from examples.nmt_attention.preprocess.tokenizer import first_word, strip_joiners, tokenise

LENGTHS = {"1_to_5_words": range(1, 6), "6_to_10_words": range(6, 11), "over_10_words": range(11, 10**6)}
NUM_SAMPLES = 10


def evaluate(
    options: EvaluateOptions, model_class: type[Translator] = Translator
) -> dict[str, float | dict[str, float]]:
    """Measure the best checkpoint of a run on all held-out pairs, print ten translations, and return the metrics.

    Raises:
        UserError: there is no checkpoint, or the model was trained on other pairs.
    """
    started = time.monotonic()
    run = RunDirectory.open(options.run, Config.EXAMPLE)
    config = Config.from_settings(run.read_config().settings)
    if options.test_data is None:
        split, (pairs, part) = options.split, held_out_pairs(run, config, options)
    else:
        corpus = options.for_test_data(config).corpus()
        settings = {name: corpus[name] for name in ("columns", "max_skipped", "encoding")}
        split, pairs = "test-data", load_test_pairs(options.test_data, **settings, data_dir=options.data_dir)
        part = f"all {len(pairs):,} pairs"
    translator = SentenceTranslator.load(run, model_class)
    metrics = measure_tokens(translator, pairs, config.batch_size)
    sources, references = zip(*pairs, strict=True)
    for name, width in (("greedy", 1), ("beam", options.beam)):
        translations = [best[0].text for best in translator.translate(sources, width, options.length_penalty)]
        metrics[name] = measure_text(sources, translations, references, bleu_tokenizer(references))
    if config.data == "tiny" and config.tokens == "words,words" and options.test_data is None:
        metrics["alignment"] = alignment_accuracy([each.attention for each in translator.score(pairs)], pairs)
    examples = format_samples(sources, translations, references)
    echo(examples)
    if options.write:
        write_atomically(run.samples / f"{split.replace('-', '_')}.txt", examples)
        rule = protocol(part, references, options)
        run.write_evaluation(split, rule, time.monotonic() - started, metrics, options.test_data)
    return metrics


def held_out_pairs(run: RunDirectory, config: Config, options: EvaluateOptions) -> tuple[list[Pair], str]:
    """Return the held-out pairs of a split, and what they are, for the protocol.

    Raises:
        UserError: the model was trained on other pairs.
    """
    data = run.data_to_use(options.data, Config.DATA_SETS)
    corpus = load_corpus(data, **config.corpus(), data_dir=options.data_dir)
    run.require_training_data(corpus.fingerprint, data)
    pairs = getattr(corpus, options.split)
    trained = [{pair[side] for pair in corpus.train} for side in range(2)]
    known = sum(source in trained[0] or target in trained[1] for source, target in pairs)
    overlap = (
        f"{known:,} of which share a sentence with training" if known else "no sentence of which stands in training"
    )
    return pairs, f"all {len(pairs):,} {options.split} pairs, {overlap}"


def protocol(part: str, references: Sequence[str], options: EvaluateOptions) -> str:
    """Return the rule by which the metrics are computed, with sacrebleu's signatures."""
    bleu = BLEU(tokenize=bleu_tokenizer(references))
    ter = _signature(TER(case_sensitive=True)) + (" of letters" if unspaced_language(references) else "")
    return (
        f"{part}; raw text, cased, one reference a row; "
        f"greedy, and beam {options.beam} with length penalty {options.length_penalty:g}; BLEU {_signature(bleu)}, "
        f"chrF {_signature(CHRF())}, TER {ter}; by words of the source between spaces; nats, perplexity "
        "and accuracy a token with the reference as context; float32; best checkpoint by validation loss"
    )


def measure_tokens(translator: SentenceTranslator, pairs: Sequence[Pair], batch_size: int) -> dict[str, float]:
    """Return nats, perplexity and accuracy per token of the references, END included, given the tokens before."""
    encoded = EncodedPairs(list(pairs), translator.source_tokenizer, translator.target_tokenizer)
    max_tokens = batch_size * (translator.max_tokens + 1)  # those of the largest batch in training, END included
    measured = trainer.evaluate(translator.model, batches_up_to(max_tokens, encoded, batch_size))
    nats = measured["loss"]
    return {"nats_per_token": nats, "perplexity": math.exp(nats), "accuracy": measured["accuracy"]}


def batches_up_to(max_tokens: int, encoded: EncodedPairs, batch_size: int) -> tf.data.Dataset:
    """Return the batches of `encoded`, those with more than `max_tokens` tokens a side cut into smaller ones."""

    def cut(source: tf.Tensor, targets: tf.Tensor) -> tf.data.Dataset:
        length = tf.maximum(tf.shape(source)[1], tf.shape(targets)[1])
        rows = tf.maximum(max_tokens // length, 1)
        return tf.data.Dataset.from_tensor_slices((source, targets)).batch(tf.cast(rows, tf.int64))

    return encoded.batches(batch_size, seed=0, epoch=0).flat_map(cut)


def bleu_tokenizer(references: Sequence[str]) -> str:
    """Return the name of sacrebleu's tokenizer for the language of `references`.

    BLEU compares words. Languages without spaces between them are cut by rules of their own, or into characters.
    """
    language = unspaced_language(references)
    return {None: "13a", "Chinese": "zh"}.get(language, "char")


def measure_text(
    sources: Sequence[str], translations: Sequence[str], references: Sequence[str], tokenizer: str = "13a"
) -> dict[str, float]:
    """Return BLEU, chrF and TER of all translations, BLEU by length of the source, and the fraction of exact matches.

    `tokenizer` is sacrebleu's name of the tokenizer of BLEU.
    """
    metrics = {
        "bleu": _bleu(translations, references, tokenizer),
        "chrf": CHRF().corpus_score(translations, [references]).score,
        "ter": _ter(translations, references),
        "exact_match": float(np.mean(np.array(translations) == np.array(references))),
    }
    for name, words in LENGTHS.items() if unspaced_language(sources) is None else ():
        indices = [i for i, source in enumerate(sources) if len(source.split()) in words]
        if indices:
            chosen = ([texts[i] for i in indices] for texts in (translations, references))
            metrics[f"bleu_{name}"] = _bleu(*chosen, tokenizer)
    return metrics


def _signature(metric: BLEU | CHRF | TER) -> str:
    metric.corpus_score(["one"], [["one"]])  # before, the number of references is unknown
    return str(metric.get_signature())


def _bleu(translations: Sequence[str], references: Sequence[str], tokenizer: str) -> float:
    return BLEU(tokenize=tokenizer).corpus_score(translations, [references]).score


def _ter(translations: Sequence[str], references: Sequence[str]) -> float:
    if unspaced_language(references):  # TER cuts at spaces, so a sentence would be one word
        translations, references = ([space_letters(text) for text in texts] for texts in (translations, references))
    return TER(case_sensitive=True).corpus_score(translations, [references]).score


def format_samples(sources: Sequence[str], translations: Sequence[str], references: Sequence[str]) -> str:
    """Return ten sentences, evenly spaced from the shortest to the longest, with translation and reference."""
    order = sorted(range(len(sources)), key=lambda i: (len(sources[i]), sources[i]))
    places = np.linspace(0, len(order) - 1, min(NUM_SAMPLES, len(order))).round().astype(int)
    indices = [order[place] for place in places]
    return "\n".join(f"{sources[i]}\n  model      {translations[i]}\n  reference  {references[i]}\n" for i in indices)


# The grammar of the tiny data also gives the word alignment, so the attention itself can be measured. For each noun,
# verb and adjective of a reference: is the largest weight on the source word that it translates?
def alignment_accuracy(attention: Sequence[np.ndarray], pairs: Sequence[Pair]) -> float:
    """Return the fraction of the links of the grammar at which the attention weights are the largest of their row.

    `attention` are the weights for the reference of each pair, [target tokens, source tokens]; either language may be
    the source.
    """
    links = {frozenset((pair.spanish, pair.english)): pair for pair in tiny_pairs()}
    hits = []
    for weights, (source, target) in zip(attention, pairs, strict=True):
        known = links[frozenset((source, target))]
        source_indices, target_indices = (_word_indices(text) for text in (source, target))
        for spanish, english in known.links:
            j, i = (spanish, english) if source == known.spanish else (english, spanish)
            hits.append(weights[target_indices[i]].argmax() == source_indices[j])
    return float(np.mean(hits))


def _word_indices(sentence: str) -> list[int]:
    """Return the index of each word of a sentence among its tokens."""
    return [i for i, token in enumerate(tokenise(sentence)) if first_word([strip_joiners(token)]) is not None]
