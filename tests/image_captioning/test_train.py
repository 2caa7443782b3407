from dataclasses import replace

import pytest

from common.training import trainer
from examples.image_captioning import data
from examples.image_captioning.config import PRESETS, Config
from examples.image_captioning.train import build_optimizer, build_schedule, extractor_weights, train


def test_a_resumed_run_goes_on_with_its_own_encoder(tmp_path):
    config = replace(PRESETS["quick"], run_dir=tmp_path)
    assert extractor_weights(config) == "imagenet"
    (tmp_path / "encoder.safetensors").touch()
    assert extractor_weights(config) == str(tmp_path / "encoder.safetensors")
    assert extractor_weights(replace(config, fresh=True)) == "imagenet"


def test_fine_tuning_goes_on_with_the_encoder_of_the_old_run(tmp_path):
    old, new = (tmp_path / name / "encoder.safetensors" for name in ("old", "new"))
    config = replace(PRESETS["quick"], init_from=str(old.parent), run_dir=new.parent)
    assert extractor_weights(config) == "imagenet"
    for path in (old, new):
        path.parent.mkdir()
        path.touch()
        assert extractor_weights(config) == str(path)  # resumed, it needs the old run no more
    assert extractor_weights(replace(config, fresh=True)) == str(old)
    assert extractor_weights(replace(config, encoder_weights="random")) == "random"


def test_gradients_are_clipped_as_the_flag_says():
    config = Config(clip_norm=0.5)
    assert build_optimizer(config, build_schedule(config)).global_clipnorm == 0.5


def test_the_loss_is_validated_on_the_photos_for_validation(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "TINY_SCENES", {"train": 50, "validation": 7})
    counts = []

    def count(self, *batches):
        train_data, validation_data = batches[0](0), batches[1]
        counts.extend(sum(len(inputs) for _, inputs, *_ in each) for each in (train_data, validation_data))
        raise ZeroDivisionError

    monkeypatch.setattr(trainer.Trainer, "fit", count)
    with pytest.raises(ZeroDivisionError):
        train(replace(PRESETS["tiny"], run_dir=tmp_path / "run"))
    photos = data.load_photos("tiny")
    assert counts == [sum(len(photo.captions) for photo in photos if photo.split == s) for s in ("train", "validation")]
