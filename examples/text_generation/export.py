"""Write the trained model for use without this code: a SavedModel, text in and text out, or the network alone."""

from pathlib import Path

import keras
import tensorflow as tf

from common.app.saved_model import SymbolTable, save_model
from common.data.pieces import cut_in_graph
from common.nn.sampling import sample_sequence, uniform_noise
from common.training.checkpoints import named_variables
from examples.text_generation.demo import TextGenerator
from examples.text_generation.model import CharRNN


def export(generator: TextGenerator, folder: Path, maker: str, overwrite: bool = False) -> Path:
    """Write the SavedModel to `folder` and return it; see `common.app.saved_model.save_model` for the arguments.

    Its one signature takes prompt (string), length, top_k, seed (int32), temperature and top_p (float32), all scalars,
    and gives {"text": the prompt and its continuation}. It fails on characters that are not in the vocabulary.
    """
    table = SymbolTable(generator.vocabulary.symbols)

    @tf.function(
        input_signature=[
            tf.TensorSpec([], tf.string, "prompt"),
            tf.TensorSpec([], tf.int32, "length"),
            tf.TensorSpec([], tf.float32, "temperature"),
            tf.TensorSpec([], tf.int32, "top_k"),
            tf.TensorSpec([], tf.float32, "top_p"),
            tf.TensorSpec([], tf.int32, "seed"),
        ]
    )
    def generate(prompt, length, temperature, top_k, top_p, seed):
        ids = _encode(prompt, table, generator.vocabulary.max_length)  # T
        model = generator.model
        logits, state = model(ids[None], model.initial_state(1))  # 1 T V
        uniforms = uniform_noise(seed, 1, length)  # length 1
        drawn, _, _ = sample_sequence(
            model.make_decode_step(), logits[:, -1], state, uniforms, length, temperature, top_k, top_p
        )  # 1 length
        return {"text": prompt + tf.strings.reduce_join(tf.gather(table.symbols, drawn[0]))}

    resources = [*named_variables(generator.model).values(), table]
    return save_model(generate, resources, folder, maker, overwrite)


def plain_network(model: CharRNN, form: str) -> keras.Model:
    """Return the network in Keras' own layers, for the file formats that know no others, in float32.

    Inputs: `ids` int32 [B, T], and the states of the layers, float32 [B, U]: `state_0`, `state_1` and so on; a GRU has
    one, h, an LSTM two, h and c. Outputs: logits float32 [B, T, V] of the next symbols, and the new states.

    Args:
        model: with its weights.
        form: "keras", or one of the others, with B and T of 1 and without a loop, which converters do not know.
    """
    one_step = form != "keras"
    batch, length = (1, 1) if one_step else (None, None)
    ids = keras.Input([length], batch, dtype="int32", name="ids")
    embedding = keras.layers.Embedding(model.embedding.input_dim, model.embedding.output_dim, dtype="float32")
    kind = keras.layers.LSTM if isinstance(model.rnn.rnn_layers[0], keras.layers.LSTM) else keras.layers.GRU
    x, inputs, outputs, copies = embedding(ids), [ids], [], [(embedding, model.embedding)]
    for layer in model.rnn.rnn_layers:
        size = len(layer.get_initial_state(1))
        state = [keras.Input([layer.units], batch, name=f"state_{len(inputs) - 1 + n}") for n in range(size)]
        copy = kind(layer.units, return_sequences=True, return_state=True, unroll=one_step, dtype="float32")
        x, *new_state = copy(x, initial_state=state)
        inputs, outputs, copies = [*inputs, *state], [*outputs, *new_state], [*copies, (copy, layer)]
    logits = keras.layers.Dense(model.logits.units, dtype="float32", name="logits")
    network = keras.Model(inputs, [logits(x), *outputs], name="network")
    for copy, original in [*copies, (logits, model.logits)]:
        copy.set_weights(original.get_weights())
    return network


def _encode(prompt: tf.Tensor, table: SymbolTable, max_length: int) -> tf.Tensor:
    pieces = cut_in_graph(prompt[None], lambda pieces: table.ids.lookup(pieces) < table.size, max_length)[0]  # T
    ids = table.ids.lookup(pieces)  # T
    unseen = tf.boolean_mask(pieces, ids == table.size)
    checks = [
        tf.debugging.Assert(tf.size(ids) > 0, ["the prompt is empty"]),
        tf.debugging.Assert(tf.size(unseen) == 0, ["characters that are not in the vocabulary:", unseen], summarize=20),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(ids)
