from dataclasses import replace

from examples.image_captioning.config import PRESETS
from examples.image_captioning.train import extractor_weights


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
