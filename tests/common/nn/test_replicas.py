"""What two replicas compute, beside what one computes of the whole batch. A process of its own, for its two devices."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn import dropout, replicas
from common.nn.adam import Adam
from common.nn.muon import Muon

ROWS = 5  # an odd number: the second replica has one more
x = np.random.default_rng(0).normal(size=(ROWS, 3)).astype("float32")


def computed(strategy):
    """Return what is compared, by name, as lists; what only replicas know is added with a strategy."""
    from common.nn.batch_norm import BatchNormalization
    from common.nn.carried_state import CarriedState
    from common.nn.dropout import Dropout
    from common.nn.ema import ExponentialMovingAverage
    from common.nn.gradients import apply_gradients
    from common.nn.losses import masked_mean
    from common.training.devices import training_devices

    with training_devices(strategy):
        keras.utils.set_random_seed(1)
        dense, norm, dropout_layer = keras.layers.Dense(2), BatchNormalization(momentum=0.9), Dropout(0.5)
        state = CarriedState([tf.zeros([ROWS, 3])])
        average = ExponentialMovingAverage(keras.layers.Dense(2), 0.9)
        for layer in (dense, norm, average.averaged_network):
            layer.build([None, 3])
        optimizer = keras.optimizers.SGD(0.5, global_clipnorm=0.1)
        optimizer.build(dense.trainable_variables)
        seed = keras.random.SeedGenerator(1)

        def step():
            rows = replicas.take_rows(tf.constant(x))
            mask = rows[:, :2] > 0
            with tf.GradientTape() as tape:
                loss = masked_mean(dense(norm(rows, training=True)) ** 2, mask)
            apply_gradients(optimizer, tape, loss, dense.trainable_variables)
            average.update(dense)
            state.write([rows + state.read(reset=False)[0]])
            return {
                "shares": {"masked_mean": loss, "batch_mean": replicas.batch_mean(rows)},
                "rows": {
                    "normal": replicas.normal_rows(tf.shape(rows)[0], 4, seed),
                    "norm": norm(rows, training=True),
                    "state": state.read(reset=False)[0],
                },
                "all": {"gathered": replicas.gather_rows(rows), "sum": replicas.sum_over_replicas(tf.size(rows))},
                "mask": dropout_layer(tf.ones([64]), training=True),
            }

        if strategy:
            local = strategy.experimental_local_results
            parts = [tf.function(lambda: strategy.run(step))() for _ in range(2)][-1]
            values = {"shares": lambda parts: sum(parts), "rows": lambda parts: np.concatenate(parts)}
            found = {
                name: values.get(kind, lambda parts: parts[0])([part.numpy() for part in local(value)])
                for kind in ("shares", "rows", "all")
                for name, value in parts[kind].items()
            }
            masks = [part.numpy().tolist() for part in local(parts["mask"])]
            weights = [local(weight.value)[0].numpy() for weight in dense.weights + average.weights + norm.weights]
        else:
            parts = [step() for _ in range(2)][-1]
            found = {name: value.numpy() for kind in ("shares", "rows", "all") for name, value in parts[kind].items()}
            masks = [parts["mask"].numpy().tolist()]
            weights = [weight.numpy() for weight in dense.weights + average.weights + norm.weights]
    found |= {f"weight {number}": weight for number, weight in enumerate(weights)}
    return {name: np.asarray(value).tolist() for name, value in found.items()} | {"masks": masks}


@pytest.fixture(scope="module")
def outputs():
    done = subprocess.run([sys.executable, "-m", __name__], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def one_and_two(outputs):
    return outputs["computed"]


def test_two_replicas_compute_what_one_computes(one_and_two):
    one, two = one_and_two
    assert one.keys() == two.keys()
    for name in one.keys() - {"masks"}:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_dropout_differs_between_replicas_and_the_first_is_as_alone(one_and_two):
    one, two = one_and_two
    assert two["masks"][0] != two["masks"][1] and two["masks"][0] == one["masks"][0]


def test_seeds_of_replicas_differ_in_the_number_that_does_not_count_draws(monkeypatch):
    seeds = []
    for replica in range(3):
        monkeypatch.setattr(dropout, "replica_index", lambda replica=replica: replica)
        generator = dropout.ReplicaSeedGenerator(7)
        generator.next()
        seeds.append((generator.next().numpy() % (2**31 - 2)).tolist())  # as Keras takes it
    assert seeds == [[7, 1], [8, 1], [9, 1]]


def test_without_a_strategy_nothing_is_split():
    tensor = tf.constant(x)
    assert replicas.take_rows(tensor) is tensor and replicas.gather_rows(tensor) is tensor
    assert float(replicas.batch_mean(tensor)) == pytest.approx(x.mean(), rel=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 8])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_row_belongs_to_one_replica(count, number, monkeypatch):
    monkeypatch.setattr(replicas, "replica_count", lambda: number)
    parts = [replicas.rows_of_replica(tf.range(count), replica).numpy() for replica in range(number)]
    assert [row for part in parts for row in part] == [*range(count)]
    lengths = [len(part) for part in parts]
    assert max(lengths) - min(lengths) <= 1


OPTIMIZERS = {
    "adam": lambda: Adam(0.1, weight_decay=0.1),
    "muon": lambda: Muon(0.1, weight_decay=0.1),
    "float16": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), 2.0**10),
}


def stepped(strategy, name):
    """Return the weights of two layers after a step of an optimizer, as lists."""
    from common.nn.gradients import apply_gradients
    from common.nn.losses import masked_mean
    from common.training.devices import training_devices

    with training_devices(strategy):
        keras.utils.set_random_seed(1)
        layers = [keras.layers.Dense(4), keras.layers.Dense(2)]
        for layer, width in zip(layers, (3, 4), strict=True):
            layer.build([None, width])
        optimizer = OPTIMIZERS[name]()
        if name != "float16":
            optimizer.set_layer_rates(layers[::-1], factor=2.6)
        variables = [variable for layer in layers for variable in layer.trainable_variables]
        optimizer.build(variables)

        def step():
            rows = replicas.take_rows(tf.constant(x))
            with tf.GradientTape() as tape:
                outputs = layers[1](layers[0](rows))
                loss = masked_mean(outputs**2, tf.ones_like(outputs) > 0)
            apply_gradients(optimizer, tape, loss, variables)

        tf.function(lambda: strategy.run(step) if strategy else step())()
        return [np.array(layer.kernel).tolist() for layer in layers]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_layers_with_rates_of_their_own_and_scaled_losses_step_as_on_one_device(outputs, name):
    for one, two in zip(*outputs["steps"][name], strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)


if __name__ == "__main__":
    from common.training.devices import set_up_devices

    both = set_up_devices("cpu:2")
    ways = (None, both)
    steps = {name: [stepped(way, name) for way in ways] for name in OPTIMIZERS}
    print(json.dumps({"computed": [computed(way) for way in ways], "steps": steps}))
