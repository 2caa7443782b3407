from dataclasses import replace

from examples.image_captioning.config import PRESETS
from examples.image_captioning.train import extractor_weights


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
    assert extractor_weights(replace(config, init_from=None)) == "imagenet"
