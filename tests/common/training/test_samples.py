import pytest

from common.training.run_directory import RunDirectory
from common.training.samples import SampleCallback, read_samples, sample_path


class WriteEpochs(SampleCallback):
    prepared = False

    def prepare(self):
        self.prepared = True

    def write(self, epoch, logs):
        sample_path(self.run, epoch).write_text(f"{epoch} {logs}\n")


@pytest.fixture
def run(tmp_path):
    run = RunDirectory(tmp_path)
    run.samples.mkdir()
    return run


def test_samples_are_written_before_training_and_after_every_epoch(run):
    callback = WriteEpochs(run)
    callback.on_train_begin()
    assert callback.prepared
    callback.on_epoch_end(0, {"loss": 2.0})
    run.write_metrics([{"epoch": 1, "step": 3, "seconds": 1.0, "loss": 2.0}])
    assert read_samples(run, "nats") == [("before training", "0 {}"), ("after epoch 1: 2.000 nats", "1 {'loss': 2.0}")]


def test_a_resumed_run_keeps_its_first_samples_but_not_incomplete_ones(run):
    sample_path(run, 0, ".json").write_text("written before the other")
    WriteEpochs(run).on_train_begin()
    assert sample_path(run, 0).read_text() == "0 {}\n"
    sample_path(run, 0).write_text("kept")
    WriteEpochs(run).on_train_begin()
    assert sample_path(run, 0).read_text() == "kept"
