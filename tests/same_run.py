"""What the last checkpoint of a run holds, and whether two runs are the same."""

import tensorflow as tf

from common.checkpoints import find


def saved_variables(run):
    """Return every variable in a run's latest checkpoint by name."""
    path = str(find(run.checkpoints, "latest")[0] / "variables")
    reader = tf.train.load_checkpoint(path)
    return {name: reader.get_tensor(name) for name, _ in tf.train.list_variables(path) if "OBJECT_GRAPH" not in name}


def assert_same_run(mine, theirs):
    """Check that two runs have the same numbers and weights, to the bit, and different times only."""
    for row, other in zip(mine.read_metrics(), theirs.read_metrics(), strict=True):
        assert {**row, "seconds": 0} == {**other, "seconds": 0}
    variables, others = saved_variables(mine), saved_variables(theirs)
    assert variables.keys() == others.keys() and len(variables) > 20
    assert all((variables[name] == others[name]).all() for name in variables)
