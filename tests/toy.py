"""A small regression with everything that makes exact resume hard: dropout, batch norm, layers in a list, shuffling."""

import keras
import numpy as np
import tensorflow as tf

from common.training.checkpoints import Checkpoints
from common.training.run_directory import RunDirectory
from common.training.schedule import WarmupCosine
from common.training.trainer import Trainer, set_seed_and_precision

BATCHES, EPOCHS = 5, 3


class Toy(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(8, activation="relu")]
        self.norm = keras.layers.BatchNormalization()
        self.dropout = keras.layers.Dropout(0.5)
        self.out = keras.layers.Dense(1)
        self.error = keras.metrics.Mean(name="loss")

    def call(self, x, training=False):
        for layer in self.hidden:
            x = self.dropout(self.norm(layer(x), training=training), training=training)
        return self.out(x)

    def train_step(self, batch):
        x, y = batch
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        self.error.update_state(loss)
        return {"loss": loss}

    def test_step(self, batch):
        x, y = batch
        self.error.update_state((self(x) - y) ** 2)
        return {"loss": self.error.result()}


def build(seed=3):
    set_seed_and_precision(seed, precision="float32")
    model = Toy()
    model(tf.zeros([1, 4]))
    model.schedule = WarmupCosine(0.02, EPOCHS * BATCHES, warmup_steps=0)
    model.compile(keras.optimizers.Adam(model.schedule))
    return model


def examples(count=40):
    x = np.random.default_rng(0).normal(size=(count, 4)).astype("float32")
    return x, x[:, :1] * x[:, 1:2] + x[:, 2:3]


def train_data(epoch):
    x, y = examples()
    order = np.random.default_rng([7, epoch]).permutation(len(x))
    return tf.data.Dataset.from_tensor_slices((x[order], y[order])).batch(len(x) // BATCHES)


def validation_data():
    return tf.data.Dataset.from_tensor_slices(examples(12)).batch(5)  # the last batch is smaller


class Recorder(keras.callbacks.Callback):
    """Keeps every step's loss; raises at a given step, before the loop can save it, as a kill would."""

    def __init__(self, die_after=None):
        super().__init__()
        self.losses, self.die_after = [], die_after

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"]).hex())
        if self.die_after is not None and len(self.losses) == self.die_after:
            raise Died


class Died(Exception):
    pass


def start_run(path, **settings):
    return RunDirectory.start(path, "toy", settings={"seed": 3} | settings, data={})


def make_trainer(path, model, *callbacks, **options):
    options = {"epochs": EPOCHS, "checkpoint_seconds": 0.0} | options
    return Trainer(model, start_run(path), callbacks=callbacks, **options)


def fit(path, die_after=None, **options):
    """Train to the end, or until step `die_after` of this session; return the losses seen and the final state."""
    model, recorder = build(), Recorder(die_after)
    trainer = make_trainer(path, model, recorder, **options)
    try:
        trainer.fit(train_data, validation_data())
    except Died:
        return recorder.losses, None
    return recorder.losses, [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]


def same(weights, others):
    return all(np.array_equal(one, other) for one, other in zip(weights, others, strict=True))


def without_seconds(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def saved_steps(folder, steps=(1, 2, 3)):
    """Save a variable that holds the step, at each of `steps`."""
    variable = tf.Variable(0.0)
    checkpoints = Checkpoints(folder, model={"value": variable})
    for step in steps:
        variable.assign(step)
        checkpoints.save("latest", step, {"step": step})
    variable.assign(-1.0)
    return checkpoints, variable
