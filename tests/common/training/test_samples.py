import pytest

from common.training.run_directory import RunDirectory
from common.training.samples import SampleCallback, read_samples, sample_path, sample_titles


class WriteEpochs(SampleCallback):
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
    callback.on_epoch_end(0, {"loss": 2.0})
    assert read_samples(run, "nats") == []  # before the epoch is in the metrics
    run.write_metrics([{"epoch": 1, "step": 3, "seconds": 1.0, "loss": 2.0}])
    assert read_samples(run, "nats") == [("before training", "0 {}"), ("after epoch 1: 2.000 nats", "1 {'loss': 2.0}")]


def test_samples_are_files_by_epoch_with_the_validation_loss_in_their_titles(run):
    assert sample_path(run, 12, ".png") == run.samples / "epoch_0012.png"
    run.write_metrics([{"epoch": 1, "step": 3, "seconds": 1.0, "loss": 2.0, "val_loss": 2.5}])
    assert sample_titles(run, "nats") == {0: "before training", 1: "after epoch 1: 2.500 nats"}
    run.write_metrics([{"epoch": n, "step": n, "seconds": 1.0, "loss": 2.5} for n in range(1, 301)])
    epochs = [*sample_titles(run, "nats")]
    assert len(epochs) == 60 and epochs[0] == 0 and epochs[-1] == 300 and epochs == sorted({*epochs})


def test_a_resumed_run_keeps_its_first_samples_but_not_incomplete_ones(run):
    sample_path(run, 0, ".json").write_text("written before the other")
    WriteEpochs(run).on_train_begin()
    assert sample_path(run, 0).read_text() == "0 {}\n"
    sample_path(run, 0).write_text("kept")
    callback = WriteEpochs(run)
    callback.on_train_begin()
    assert sample_path(run, 0).read_text() == "kept"
    callback.on_epoch_end(4)  # as Keras may call it
    assert sample_path(run, 5).read_text() == "5 {}\n"
