import json

import numpy as np
import pytest
from PIL import Image

from tests.trained_runs import trained_run


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of the tiny preset, two short epochs long."""
    return trained_run(tmp_path_factory, "image_captioning")


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
