import numpy as np
from PIL import Image

from tests.test_readmes import ROOT, python_in


def test_the_python_lines_of_the_page_work(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros([40, 60, 3], np.uint8)).save("dog.png")
    [lines] = [block for block in python_in(ROOT / "docs" / "serving.md") if "RunDirectory" in block]
    lines = lines.replace('"runs/', f'"{runs}/').replace("/quick", "/tiny").replace("JULIET:", "MIRA:")
    names = {}
    exec(lines, names)
    assert names["images"].shape == (16, 28, 28, 1) and names["photo"].size == (60, 40)
    assert len(capsys.readouterr().out) > 500
