import numpy as np
from PIL import Image

from tools import strip


def test_the_strip_in_the_repository_shows_the_pictures_of_the_examples():
    composed = np.asarray(strip.compose().convert("RGB"), np.float32)
    with Image.open(strip.STRIP) as opened:
        committed = np.asarray(opened.convert("RGB"), np.float32)
    assert committed.shape == composed.shape
    assert np.abs(committed - composed).mean() < 4, "run `python -m tools.strip` and commit what it changes"


def test_every_panel_of_a_row_is_as_tall_as_the_others_and_rows_are_as_wide_as_each_other():
    rows = [[strip.draw(panel) for panel in row] for row in strip.ROWS]
    assert all(panel.height == row[0].height for row in rows for panel in row)
    assert len({sum(panel.width for panel in row) for row in rows}) == 1


def test_pictures_in_the_repository_are_below_500_kb():
    pictures = [strip.STRIP, *strip.ROOT.glob("examples/*/images/*")]
    assert len(pictures) > 4
    assert [path.name for path in pictures if path.stat().st_size >= 500_000] == []
