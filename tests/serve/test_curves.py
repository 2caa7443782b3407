from examples.serve.curves import draw_curves
from examples.serve.registry import RunRegistry


def test_a_figure_says_which_metric_it_shows(runs):
    registry = RunRegistry(runs)
    units = {example: draw_curves(registry.runs(example))[1] for example in ("dcgan", "nmt_attention")}
    assert units == {"dcgan": "diversity", "nmt_attention": "val_loss"}
    assert draw_curves([]) is None
