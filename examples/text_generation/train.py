"""Step 4: put data, model and loop together in a run directory; draw the pictures when training is over."""

import math
from dataclasses import replace
from functools import partial

import keras
import tensorflow as tf

from common.data.text_files import normalise
from common.io.terminal import echo
from common.nn.adam import Adam
from common.nn.gradients import inner_optimizer
from common.nn.muon import Muon
from common.training import trainer
from common.training.init_from import inherit_settings, init_from_run
from common.training.plan import fit_plan, stored_plan, warn_if_few
from common.training.projector import write_projector
from common.training.run_directory import RunDirectory
from common.training.schedule import WarmupCosine, build_schedule
from common.viz import figures
from examples.text_generation.config import Config
from examples.text_generation.data import VALIDATION_STREAMS, Corpus, contiguous_batches, load_corpus, training_batches
from examples.text_generation.demo import TextGenerator, WriteSamples, build_model, draw_training_gif
from examples.text_generation.demonstrate.loss_heatmap import character_losses, choose_passage, draw_loss_heatmap
from examples.text_generation.model import CharRNN, TrainableCharRNN

# Two optimizers share the work. **Adam** (Kingma and Ba 2015, arXiv:1412.6980) updates embedding, biases and output
# layer. **Muon** (`common/nn/muon.py`) updates the matrices of the recurrent layers, with equally long steps in all
# directions of a matrix. `--optimizer adam` uses Adam for everything. Muon's steps are divided by the square root of
# the planned number of steps: a longer run takes shorter ones. The learning rate rises over the first steps and then
# falls along a cosine.


MIN_STEPS = 500
"""Planned for the user's own text at least; fewer do not teach it to spell."""
MIN_CHARACTERS = 100_000


def muon_rms_rate(config: Config, schedule: WarmupCosine) -> tf.Tensor:
    """Return the root mean square of Muon's step in units of the learning rate, float32, for the planned steps."""
    steps = tf.maximum(schedule.cycle_steps, 200)  # shorter runs were not measured
    return config.muon_rms_rate * tf.sqrt(942 / steps)  # `quick`, for which the setting was chosen, has 942


def set_layer_rates(model: CharRNN, config: Config, steps_per_epoch: int) -> None:
    """Let the learning rate differ between the layers, as in ULMFiT, if `config` says so."""
    if config.rate_factor != 1 or config.gradual_unfreezing:
        layers = [model.logits, *reversed(model.rnn.rnn_layers), model.embedding]
        steps_per_layer = steps_per_epoch if config.gradual_unfreezing else 0
        inner_optimizer(model.optimizer).set_layer_rates(layers, config.rate_factor, steps_per_layer)


def build_optimizer(config: Config, schedule: WarmupCosine) -> keras.optimizers.Optimizer:
    """Return Muon or Adam at the rate of `schedule`, with clipping, and decoupled weight decay if any."""
    decay = config.weight_decay or None
    if config.optimizer == "adam":
        return Adam(schedule, beta_2=config.beta_2, weight_decay=decay, global_clipnorm=config.clip_norm)
    return Muon(
        schedule,
        rms_rate=partial(muon_rms_rate, config, schedule),
        every=2,  # every second step, twice as far, to save time
        exclude_layers=["logits"],  # for Adam, as the embedding: each column is the vector of one character
        adam_beta_2=config.beta_2,
        weight_decay=decay,
        global_clipnorm=config.clip_norm,
    )


def train(
    config: Config, model_class: type[TrainableCharRNN] = TrainableCharRNN, network_class: type[CharRNN] = CharRNN
) -> RunDirectory:
    """Train a model by the settings of `config`, or resume its run, and draw the figures.

    The notebook passes the classes that it defines: `model_class` is trained, and the best weights are restored into a
    `network_class`, the same without the training steps.

    Raises:
        UserError: bad data, or a run directory with other settings.
        Interrupted: stopped by a signal, with everything saved.
    """
    config = config.with_precision()
    trainer.set_seed_and_precision(config.seed, config.precision)
    config = stored_plan(inherit_settings(config))
    corpus = load_corpus(config.data, config.window, **config.corpus(), data_dir=config.data_dir)
    config = replace(config, prompt=normalise(config.prompt or corpus.prompt))
    if config.adaptable:
        count = len(corpus.train)
        config = fit_plan(config, count / config.window, f"{count:,} {config.tokens}", MIN_STEPS, min_batch_size=8)
        consequence = "the model will repeat their words and make no new sentences"
        warn_if_few(corpus.fingerprint["characters"], MIN_CHARACTERS, "characters", consequence)
    corpus.vocabulary.encode(config.prompt)  # fail now, not after the first epoch
    run = config.start_run(corpus.fingerprint)
    corpus.vocabulary.save(run.vocabulary)

    batches = partial(training_batches, corpus.train, config.batch_size, config.window, config.seed)
    steps_per_epoch = len(batches(0).take(config.steps_per_epoch or -1))
    model = build_model(config, len(corpus.vocabulary), model_class)
    schedule = build_schedule(config)
    model.compile(build_optimizer(config, schedule))
    set_layer_rates(model, config, steps_per_epoch)
    of_vocabulary = [(model.embedding.embeddings, 0), (model.logits.kernel, 1), (model.logits.bias, 0)]
    init_from_run(model, config, run, {"vocabulary.json": (corpus.vocabulary, of_vocabulary)})
    print_summary(config, corpus, model)
    trainer.Trainer(
        model,
        run,
        callbacks=[WriteSamples(run, TextGenerator(model, corpus.vocabulary), config.prompt, config.sample_length)],
        schedule=schedule,
        **config.loop_settings(),
    ).fit(batches, contiguous_batches(corpus.validation, VALIDATION_STREAMS, config.window))
    draw_figures(run, config, corpus, network_class)
    return run


def print_summary(config: Config, corpus: Corpus, model: keras.Model) -> None:
    """Print the sizes of the data and of the model."""
    echo(
        f"{config.data}: {len(corpus.train):,} {config.tokens} to train on, {len(corpus.validation):,} to validate on, "
        f"{len(corpus.vocabulary)} different; uniform guess: a loss of {math.log(len(corpus.vocabulary)):.3f} nats\n"
        f"{config.layers} x {config.cell.upper()} {config.units}, "
        f"{sum(math.prod(weight.shape) for weight in model.trainable_weights):,} weights"
    )


def draw_figures(run: RunDirectory, config: Config, corpus: Corpus, network_class: type[CharRNN]) -> None:
    """Draw the learning curve, the training GIF and the loss heatmap; nothing if no epoch is finished."""
    rows = run.read_metrics()
    if not rows:
        return
    uniform_nll = math.log(len(corpus.vocabulary))
    figures.learning_curve(rows, run.figures / "learning_curve.png", config.loss_unit, uniform_nll)
    draw_training_gif(run, config)
    passage, context = choose_passage("".join(corpus.vocabulary.decode(corpus.validation[:1000]))[:1000])
    generator = TextGenerator.load(run, network_class)
    write_projector(run, generator.embeddings())
    losses = character_losses(generator, passage, context)
    draw_loss_heatmap(losses, run.figures / "loss_heatmap.png")
    echo(f"figures: {run.figures}")
