"""What the last checkpoint of a run holds, and whether two runs are the same."""

from safetensors.numpy import load_file

from common.training.checkpoints import list_checkpoints


def saved_variables(run):
    """Return every variable in a run's latest checkpoint by name."""
    return load_file(list_checkpoints(run.checkpoints, "latest")[0] / "variables.safetensors")


def assert_same_run(mine, theirs):
    """Check that two runs have the same numbers and weights, to the bit, and different times only."""
    for row, other in zip(mine.read_metrics(), theirs.read_metrics(), strict=True):
        assert {**row, "seconds": 0} == {**other, "seconds": 0}
    variables, others = saved_variables(mine), saved_variables(theirs)
    assert variables.keys() == others.keys() and len(variables) > 20
    assert all((variables[name] == others[name]).all() for name in variables)
