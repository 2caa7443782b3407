# %% [markdown]
# # Translation: training
#
# Everything meets here: the batches, the model with its tape, and the loop that drives them, keeps the best weights and
# can be interrupted anywhere.

# %%
"""Step 4: put data, model and loop together in a run directory; draw the pictures when training is over."""

import math
from functools import partial

import keras

from common.io.terminal import echo
from common.nn.adam import Adam
from common.nn.muon import Muon
from common.training import trainer
from common.training.run_directory import Run
from common.training.schedule import WarmUpAndDecay
from common.viz import figures

# %% tags=["module"]
from examples.nmt_attention.config import Config
from examples.nmt_attention.data import Corpus, EncodedPairs, load_corpus
from examples.nmt_attention.model import Translator
from examples.nmt_attention.pairs import Pair
from examples.nmt_attention.showing import ShowEveryEpoch, choose_sentences, draw_attention_maps, draw_training_gif

# %% [markdown]
# Two optimizers share the work. **Adam** moves the embeddings, where each row is a word's own, and the biases. All
# other matrices are moved by **Muon** (`common/nn/muon.py`): a step as long in every direction of the matrix, not only
# in the few that dominate its gradient. That takes time, so it is done at every fourth step, four times as far. In
# 2,400 steps that came to 1.427 nats a token; at every step to 1.418, in a third more time; with Adam alone to 1.470.
#
# Now that the matrices have a step of their own, the word vectors can have theirs, and want a far larger one than a GRU
# would bear: with the matrices' step as it was and Adam's rate at 4, 6, 10 and 20 thousandths instead of 3, the loss of
# 1.427 fell to 1.381, 1.324, 1.245 and 1.168.
#
# The step size climbs over the first steps, while the averages are still poor, and then falls along a cosine to nothing
# at the end. The fall is worth much: most of the last points of BLEU come while the steps get small.


# %%
def build_model(config: Config, source_size: int, target_size: int) -> Translator:
    """Return the untrained model of `config` with all its variables."""
    return Translator(source_size, target_size, **config.architecture()).build_weights()


def build_schedule(config: Config, total_steps: int) -> WarmUpAndDecay:
    """Return the learning rate of a run of so many steps."""
    return WarmUpAndDecay(config.learning_rate, total_steps, config.warmup_steps)


def build_optimizer(config: Config, schedule: WarmUpAndDecay) -> keras.optimizers.Optimizer:
    """Return Muon or Adam at the rate of `schedule`, with clipping."""
    if config.optimizer == "adam":
        return Adam(schedule, beta_2=config.beta_2, global_clipnorm=config.clip_norm)
    return Muon(
        schedule,
        rms_rate=config.matrix_step,
        every=4,
        ns_steps=3,  # of the usual 5, as in text generation
        exclude_layers=["score"],  # a single column, which has one direction anyway
        adam_beta_2=config.beta_2,
        adam_weight_decay=None,
        weight_decay=None,
        global_clipnorm=config.clip_norm,
    )


def train(config: Config) -> Run:
    """Train as `config` says, or resume the run that is there, and draw the pictures.

    Raises:
        UserError: bad data, or a run directory with other settings.
        Interrupted: stopped by a signal, with everything saved.
    """
    trainer.prepare(config.seed, config.precision)
    corpus = load_corpus(config.data, **config.corpus(), data_dir=config.data_dir)
    run = Run.start(
        config.run_path,
        config.EXAMPLE,
        settings=config.settings(),
        data=corpus.fingerprint,
        fresh=config.fresh,
    )
    save_words(run, corpus)

    train_pairs = EncodedPairs(corpus.train, corpus.source_words, corpus.target_words)
    validation_pairs = EncodedPairs(corpus.validation, corpus.source_words, corpus.target_words)
    batches = partial(train_pairs.batches, config.batch_size, config.seed)
    steps_per_epoch = min(config.steps_per_epoch or len(batches(0)), len(batches(0)))
    model = build_model(config, len(corpus.source_words), len(corpus.target_words))
    schedule = build_schedule(config, config.epochs * steps_per_epoch)
    model.compile(build_optimizer(config, schedule))
    announce(config, corpus, model)
    shown = choose_sentences(config.data, corpus)
    trainer.Trainer(
        model,
        run,
        epochs=config.epochs,
        steps_per_epoch=steps_per_epoch,
        patience=config.patience,
        callbacks=[ShowEveryEpoch(run, shown, corpus, config.max_tokens)],
        eager=config.eager,
        schedule=schedule,
        max_minutes=config.max_minutes,
        checkpoint_seconds=config.checkpoint_seconds,
    ).fit(batches, validation_pairs.batches(config.batch_size, seed=0, epoch=0))
    draw_pictures(run, corpus, shown)
    return run


def save_words(run: Run, corpus: Corpus) -> None:
    """Write both vocabularies into the run directory."""
    for side, words in (("source", corpus.source_words), ("target", corpus.target_words)):
        words.vocabulary.save(run.path / f"vocabulary_{side}.json")


def announce(config: Config, corpus: Corpus, model: keras.Model) -> None:
    """Say what is about to be trained on what."""
    echo(
        f"{config.data}: {len(corpus.train):,} pairs to train on, {len(corpus.validation):,} to validate, "
        f"{len(corpus.test):,} to test; {len(corpus.source_words):,} source and {len(corpus.target_words):,} target "
        f"tokens; guessing costs {math.log(len(corpus.target_words)):.3f} nats\n"
        f"bidirectional GRU {config.encoder_units}, attention {config.attention_units}, GRU {config.decoder_units}, "
        f"{sum(math.prod(weight.shape) for weight in model.trainable_weights):,} weights"
    )


def draw_pictures(run: Run, corpus: Corpus, shown: list[Pair]) -> None:
    """Draw learning curve, attention maps and training GIF of the run so far; nothing if no epoch is finished."""
    rows = run.read_metrics()
    if not rows:
        return
    guessing = ("guessing", math.log(len(corpus.target_words)))
    figures.learning_curve(rows, run.figures / "learning_curve.png", "nats per token", guessing)
    draw_training_gif(run)
    draw_attention_maps(run, shown)
    echo(f"pictures: {run.figures}")
