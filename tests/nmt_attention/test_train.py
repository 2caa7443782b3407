from common.nn.adam import Adam
from examples.nmt_attention.config import Config
from examples.nmt_attention.train import build_model, build_optimizer, build_schedule


def built(**settings):
    config = Config(embedding_dim=4, encoder_units=3, decoder_units=5, attention_units=2, **settings)
    model = build_model(config, source_size=9, target_size=7)
    optimizer = build_optimizer(config, build_schedule(config, total_steps=10))
    optimizer.build(model.trainable_variables)
    return model, optimizer


def test_muon_steps_all_matrices_but_the_embeddings():
    model, optimizer = built()
    for variable, second in zip(model.trainable_variables, optimizer.adam_velocities, strict=True):
        is_muons = variable.path.endswith("kernel") and "energy" not in variable.path
        assert (second is None) == is_muons, variable.path


def test_the_gates_of_the_decoder_are_three_matrices_each():
    model, optimizer = built()
    gates = {variable.path: count for variable, count in zip(model.trainable_variables, optimizer._gates, strict=True)}
    split = [path for path, count in gates.items() if count == 3 and path.endswith("kernel")]
    names = ["forward_gru", "backward_gru", "attention_gru_cell"]
    assert all(any(name in path for name in names) for path in split) and len(split) == 7


def test_adam_steps_everything_when_asked():
    _, optimizer = built(optimizer="adam")
    assert type(optimizer) is Adam
