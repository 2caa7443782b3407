# %% [markdown]
# ## Step 5: measure
#
# **BLEU** counts which runs of one to four words of a translation also stand in the reference, and punishes
# translations that are too short; **chrF** compares runs of letters. Figures can only be compared if everything about
# them is the same, so they are computed by sacrebleu on the raw text, with case and punctuation, and its signature is
# kept beside them. Each row has one reference, though several translations may be right.

# %%
"""Step 5, continued: measure BLEU, chrF and the loss of the trained model on held-out sentences."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sacrebleu.metrics import BLEU, CHRF

from common.errors import UserError
from common.io.files import write_atomically
from common.io.terminal import echo
from common.training import trainer
from common.training.run_directory import RunDirectory
from examples.nmt_attention.attention_plots import reference_attention

# %% tags=["module"]
from examples.nmt_attention.config import Config
from examples.nmt_attention.data import EncodedPairs, load_corpus
from examples.nmt_attention.demo import SentenceTranslator
from examples.nmt_attention.grammar import tiny_pairs
from examples.nmt_attention.pairs import Pair
from examples.nmt_attention.tokenizer import first_word, strip_joiners, tokenise

# %%
LENGTHS = {"1_to_5_words": range(1, 6), "6_to_10_words": range(6, 11), "over_10_words": range(11, 10**6)}
NUM_SAMPLES = 10


def evaluate(
    run: RunDirectory,
    split: str = "test",
    beam: int = 5,
    length_penalty: float = 1.0,
    data: str | None = None,
    data_dir: Path | None = None,
    write: bool = True,
) -> dict[str, float | dict[str, float]]:
    """Measure the best checkpoint on all held-out pairs, print ten translations, and return the metrics.

    Args:
        run: a trained run.
        split: "test" or "validation".
        beam: of the beam search; likewise `length_penalty`.
        length_penalty: see `common.nn.beam_search.beam_search`.
        data: what pairs it was trained on; None to take that from the run, see `RunDirectory.data_to_use`.
        data_dir: the download cache; None for the default one.
        write: write `evaluation.json` and the ten translations.

    Raises:
        UserError: no checkpoint, or the data is not what the model was trained on.
    """
    started = time.monotonic()
    trained = run.read_config()
    config = Config.from_settings(trained.settings)
    data = run.data_to_use(data, Config.DATA_SETS)
    corpus = load_corpus(data, **config.corpus(), data_dir=data_dir)
    if corpus.fingerprint != trained.data:
        raise UserError(f"{data}: not the pairs that {run.path} was trained on; name those with --data")
    translator = SentenceTranslator.load(run)
    pairs = getattr(corpus, split)
    metrics = measure_tokens(translator, pairs, config.batch_size)
    sources, references = zip(*pairs, strict=True)
    for name, width in (("greedy", 1), ("beam", beam)):
        translations = [best[0].text for best in translator.translate(sources, width, length_penalty)]
        metrics[name] = measure_text(sources, translations, references)
    if config.data == "tiny":
        metrics["alignment"] = measure_alignment(translator, pairs)
    examples = format_samples(sources, translations, references)
    echo(examples)
    if write:
        write_atomically(run.samples / f"{split}.txt", examples)
        run.write_evaluation(
            split, protocol(split, len(pairs), beam, length_penalty), time.monotonic() - started, metrics
        )
    return metrics


def protocol(split: str, count: int, beam: int, length_penalty: float) -> str:
    """Return how the figures were measured, with sacrebleu's signatures."""
    return (
        f"all {count:,} {split} pairs, no sentence of which stands in training; raw text, cased, one reference a row; "
        f"greedy, and beam {beam} with length penalty {length_penalty:g}; BLEU {_signature(BLEU)}, "
        f"chrF {_signature(CHRF)}; by words of the source between spaces; nats, perplexity and accuracy a token "
        "with the reference as context; float32; best checkpoint by validation loss"
    )


def measure_tokens(translator: SentenceTranslator, pairs: Sequence[Pair], batch_size: int) -> dict[str, float]:
    """Return nats, perplexity and accuracy per token of the references, END included, given the tokens before."""
    encoded = EncodedPairs(list(pairs), translator.source_tokenizer, translator.target_tokenizer)
    measured = trainer.evaluate(translator.model, encoded.batches(batch_size, seed=0, epoch=0))
    nats = measured["loss"]
    return {"nats_per_token": nats, "perplexity": math.exp(nats), "accuracy": measured["accuracy"]}


def measure_text(sources: Sequence[str], translations: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Return BLEU and chrF of all translations, BLEU by length of the source, and the share that is exactly right."""
    metrics = {
        "bleu": _bleu(translations, references),
        "chrf": CHRF().corpus_score(translations, [references]).score,
        "exact_match": float(np.mean([mine == theirs for mine, theirs in zip(translations, references, strict=True)])),
    }
    for name, words in LENGTHS.items():
        chosen = [number for number, source in enumerate(sources) if len(source.split()) in words]
        if chosen:
            metrics[f"bleu_{name}"] = _bleu(*([texts[n] for n in chosen] for texts in (translations, references)))
    return metrics


def _signature(metric: type) -> str:
    return str(metric(references=[["one"]]).get_signature())


def _bleu(translations: Sequence[str], references: Sequence[str]) -> float:
    return BLEU().corpus_score(translations, [references]).score


def format_samples(sources: Sequence[str], translations: Sequence[str], references: Sequence[str]) -> str:
    """Return ten of the sentences, evenly spread from the shortest to the longest, with translation and reference."""
    order = sorted(range(len(sources)), key=lambda number: (len(sources[number]), sources[number]))
    chosen = [order[len(order) * place // NUM_SAMPLES] for place in range(min(NUM_SAMPLES, len(order)))]
    return "\n".join(
        f"{sources[number]}\n  model      {translations[number]}\n  reference  {references[number]}\n"
        for number in chosen
    )


# %% [markdown]
# The grammar of the tiny data gives the word alignment, so the attention itself can be measured: for each noun, verb
# and adjective of a reference, is the greatest weight on the source word that it translates?


# %%
def measure_alignment(translator: SentenceTranslator, pairs: Sequence[Pair]) -> float:
    """Return the fraction of the content words of tiny pairs for which the attention is on the right word."""
    attention = reference_attention(translator.model, pairs, translator.source_tokenizer, translator.target_tokenizer)
    return alignment_accuracy(attention, pairs)


def alignment_accuracy(attention: Sequence[np.ndarray], pairs: Sequence[Pair]) -> float:
    """Return the fraction of aligned words for which `attention` [target tokens, source tokens] is greatest.

    Args:
        attention: of each pair.
        pairs: sentences of the grammar, Spanish and English, whichever is the source.
    """
    links = {frozenset((pair.spanish, pair.english)): pair for pair in tiny_pairs()}
    hits = []
    for weights, (source, target) in zip(attention, pairs, strict=True):
        known = links[frozenset((source, target))]
        source_indices, target_indices = (_word_indices(text) for text in (source, target))
        for spanish, english in known.links:
            target_word, source_word = (english, spanish) if source == known.spanish else (spanish, english)
            hits.append(weights[target_indices[target_word]].argmax() == source_indices[source_word])
    return float(np.mean(hits))


def _word_indices(sentence: str) -> list[int]:
    """Return the index of each word of a sentence among its tokens."""
    return [i for i, token in enumerate(tokenise(sentence)) if first_word([strip_joiners(token)]) is not None]
