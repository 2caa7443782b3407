import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from common.training.run_directory import RunDirectory
from examples.image_captioning.config import PRESETS
from tests.image_captioning.tiny import SETTINGS
from tests.shared_folder import filled_once


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of the tiny preset, two short epochs long."""
    from examples.image_captioning.train import train

    def fill(folder):
        train(replace(PRESETS["tiny"], run_dir=folder, **SETTINGS))

    return RunDirectory(filled_once(tmp_path_factory, "image_captioning", fill))


@pytest.fixture
def album(tmp_path):
    """A folder of twelve small photos with captions.json."""
    return make_album(tmp_path / "album", 12)


def make_album(folder, count):
    folder.mkdir()
    draw = np.random.default_rng(1)
    entries = []
    for number in range(count):
        name = f"photo {number}.png"
        Image.fromarray(draw.integers(255, size=(40, 60, 3), dtype=np.uint8)).save(folder / name)
        split = "validation" if number % 4 == 3 else "train"
        entries.append(
            {"image": name, "captions": ["A noisy picture.", f"Noise, of kind {number % 2}!"], "split": split}
        )
    (folder / "captions.json").write_text(json.dumps(entries))
    return folder
