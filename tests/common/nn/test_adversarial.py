import keras
import pytest
import tensorflow as tf

from common.nn.adversarial import AdversarialModel
from common.training import trainer
from common.training.checkpoints import training_variables


class Pair(AdversarialModel):
    """A generator and a discriminator of one layer each."""

    def __init__(self):
        super().__init__()
        self.generator = keras.Sequential([keras.Input([3]), keras.layers.Dense(2)])
        self.discriminator = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])

    def call(self, z):
        return self.discriminator(self.generator(z))

    def train_step(self, z):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self(z) ** 2)
        variables = self.generator.trainable_variables
        self.generator_optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"generator_loss": loss}


def pair():
    model = Pair()
    model(tf.zeros([1, 3]))
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.Adam(0.2))
    return model


def test_each_optimizer_has_the_variables_of_its_own_network():
    model = pair()
    of_generator, of_discriminator = (
        [(tf.ones_like(variable), variable) for variable in network.trainable_variables]
        for network in (model.generator, model.discriminator)
    )
    model.generator_optimizer.apply_gradients(of_generator)
    model.discriminator_optimizer.apply_gradients(of_discriminator)
    with pytest.raises(ValueError):
        model.generator_optimizer.apply_gradients(of_discriminator)
    assert float(model.generator_optimizer.learning_rate) == pytest.approx(0.1)
    assert float(model.discriminator_optimizer.learning_rate) == pytest.approx(0.2)


def test_both_optimizers_are_part_of_a_checkpoint():
    assert {"model", "generator_optimizer", "discriminator_optimizer"} == training_variables(pair()).keys()


def test_fit_trains_and_reports_the_results_of_the_step():
    model = pair()
    history = model.fit(tf.data.Dataset.from_tensors(tf.ones([4, 3])).repeat(5), epochs=2, verbose=0).history
    assert history["generator_loss"][1] < history["generator_loss"][0]


@pytest.mark.parametrize(("precision", "scales"), [("float32", False), ("bfloat16", False), ("float16", True)])
def test_in_float16_both_losses_are_scaled(precision, scales):
    trainer.set_seed_and_precision(1, precision)
    model = pair()
    for optimizer in (model.generator_optimizer, model.discriminator_optimizer):
        assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer) == scales
