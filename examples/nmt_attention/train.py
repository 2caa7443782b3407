"""Step 4: train the model in a run directory; draw the figures at the end."""

import math
from dataclasses import replace
from functools import partial

import keras

from common.data.pieces import SPACE
from common.io.terminal import echo
from common.nn.adam import Adam
from common.nn.muon import Muon
from common.training import trainer
from common.training.init_from import inherit_settings, init_from_run, init_from_vectors
from common.training.plan import fit_plan, stored_plan, warn_if_few
from common.training.projector import write_projector
from common.training.run_directory import RunDirectory
from common.training.schedule import WarmupCosine, build_schedule
from common.viz import figures
from examples.nmt_attention.config import Config
from examples.nmt_attention.data import Corpus, EncodedPairs, load_corpus
from examples.nmt_attention.demo import SentenceTranslator
from examples.nmt_attention.demonstrate import attention_plots
from examples.nmt_attention.model import Translator
from examples.nmt_attention.preprocess.parallel_corpus import Pair
from examples.nmt_attention.preprocess.tokenizer import JOINER

MIN_STEPS = 600
"""Planned for the user's own pairs at least; fewer leave all translations alike."""
MIN_PAIRS = 2000


def build_model(
    config: Config, source_size: int, target_size: int, model_class: type[Translator] = Translator
) -> Translator:
    """Return the untrained model of `config` for vocabularies of these sizes, with its weights."""
    return model_class(source_size, target_size, **config.architecture()).build_weights()


# **Muon** (`common/nn/muon.py`) updates the matrices: its step has the same length in every direction of a matrix. It
# runs at every fourth step and goes four times as far, which saves time. **Adam** updates embeddings and biases. Its
# learning rate can be tuned for the embeddings alone, which tolerate a much larger one than the matrices.
#
# The learning rate rises to its peak over the warm-up steps, while the averages of the gradients are inaccurate. Then
# it falls to zero along a cosine. The formula is in common/training/schedule.py, the numbers are in config.py.
def build_optimizer(config: Config, schedule: WarmupCosine) -> keras.optimizers.Optimizer:
    """Return Muon or Adam with the learning rate `schedule` and clipping."""
    if config.optimizer == "adam":
        return Adam(schedule, beta_2=config.beta_2, global_clipnorm=config.clip_norm)
    return Muon(
        schedule,
        rms_rate=config.muon_rms_rate,
        every=4,
        exclude_layers=["energy"],  # a single column, which has one direction anyway
        adam_beta_2=config.beta_2,
        global_clipnorm=config.clip_norm,
    )


def train(config: Config, model_class: type[Translator] = Translator) -> RunDirectory:
    """Train with the settings `config`, or resume the run in its directory, and draw the figures.

    The notebook passes the `model_class` that it defines.

    Raises:
        UserError: the data cannot be used, or the run directory has other settings.
        Interrupted: a signal stopped the training, and everything is saved.
    """
    config = config.with_precision()
    trainer.set_seed_and_precision(config.seed, config.precision)
    config = stored_plan(inherit_settings(config))
    corpus = load_corpus(config.data, **config.corpus(), data_dir=config.data_dir)
    config = replace(config, tokens=corpus.tokens, held_out=corpus.held_out, min_count=corpus.min_count)
    if config.adaptable:
        config = fit_plan(config, len(corpus.train), f"{len(corpus.train):,} pairs", MIN_STEPS)
        consequence = "the model will know their words, and sentences much like them, and nothing else"
        warn_if_few(len(corpus.train), MIN_PAIRS, "pairs", consequence)
    run = config.start_run(corpus.fingerprint)
    corpus.source_tokenizer.vocabulary.save(run.path / "vocabulary_source.json")
    corpus.target_tokenizer.vocabulary.save(run.path / "vocabulary_target.json")

    train_pairs = EncodedPairs(corpus.train, corpus.source_tokenizer, corpus.target_tokenizer)
    validation_pairs = EncodedPairs(corpus.validation, corpus.source_tokenizer, corpus.target_tokenizer)
    batches = partial(train_pairs.batches, config.batch_size, config.seed)
    model = build_model(config, len(corpus.source_tokenizer), len(corpus.target_tokenizer), model_class)
    schedule = build_schedule(config)
    model.compile(build_optimizer(config, schedule))
    set_initial_weights(model, config, corpus, run)
    print_summary(config, corpus, model)
    samples = attention_plots.choose_samples(config.data, corpus)
    translator = SentenceTranslator(model, corpus.source_tokenizer, corpus.target_tokenizer, config.max_tokens)
    trainer.Trainer(
        model,
        run,
        callbacks=[attention_plots.TranslationSamples(run, samples, translator)],
        schedule=schedule,
        **config.loop_settings(),
    ).fit(batches, validation_pairs.batches(config.batch_size, seed=0, epoch=0))
    draw_figures(run, corpus, samples, model_class)
    return run


def set_initial_weights(model: Translator, config: Config, corpus: Corpus, run: RunDirectory) -> None:
    """Start at the weights of another run, or at word vectors, if `config` names them."""
    sides = (
        ("source", corpus.source_tokenizer, model.encoder.embedding, config.source_embeddings),
        ("target", corpus.target_tokenizer, model.decoder.embedding, config.target_embeddings),
    )
    of_tokens = {
        f"vocabulary_{side}.json": (tokenizer.vocabulary, [(embedding.embeddings, 0)])
        for side, tokenizer, embedding, _ in sides
    }
    init_from_run(model, config, run, of_tokens)
    for side, tokenizer, embedding, file in sides:
        words = [token.strip(JOINER + SPACE) for token in tokenizer.vocabulary.symbols]
        init_from_vectors(embedding, file, run, words, f"{side} {tokenizer.kind}")


def print_summary(config: Config, corpus: Corpus, model: keras.Model) -> None:
    """Print the sizes of data, vocabularies and model."""
    source_size, target_size = len(corpus.source_tokenizer), len(corpus.target_tokenizer)
    echo(
        f"{config.data}: {len(corpus.train):,} pairs to train on, {len(corpus.validation):,} to validate, "
        f"{len(corpus.test):,} to test; {source_size:,} source {corpus.source_tokenizer.kind} and {target_size:,} "
        f"target {corpus.target_tokenizer.kind}; "
        f"uniform guess: a loss of {math.log(target_size):.3f} nats\n"
        f"bidirectional GRU {config.encoder_units}, attention {config.attention_units}, GRU {config.decoder_units}, "
        f"{sum(math.prod(weight.shape) for weight in model.trainable_weights):,} weights"
    )


def draw_figures(run: RunDirectory, corpus: Corpus, samples: list[Pair], model_class: type[Translator]) -> None:
    """Draw the learning curve, the training GIF and attention maps, once an epoch is finished."""
    rows = run.read_metrics()
    if not rows:
        return
    uniform_nll = math.log(len(corpus.target_tokenizer))
    figures.learning_curve(rows, run.figures / "learning_curve.png", attention_plots.LOSS_UNIT, uniform_nll)
    attention_plots.draw_training_gif(run)
    translator = SentenceTranslator.load(run, model_class)
    write_projector(run, translator.embeddings())
    attention_plots.draw_attention_maps(translator, samples, run)
    echo(f"pictures: {run.figures}")
