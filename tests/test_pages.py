"""What `python -m examples demo` leaves, its pages in a real browser. On Debian: apt-get install chromium."""

import re
import subprocess
import sys

import pytest

from examples.__main__ import example_names
from tests.chromium import CHROMIUM, look_at

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """What `python -m examples demo` leaves: an index, and a whole run of each example."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "examples", "demo", "--out", str(folder), "--steps-per-epoch", "6"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def test_the_demo_runs_everything_without_a_network(demo):
    index = (demo / "index.html").read_text()
    assert index.count("<img") >= len(example_names())
    for target in re.findall(r'href="([^"]+)"', index):
        assert target.startswith("data:") or (demo / target).exists()


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("page", ["index", *example_names()])
def test_a_page_is_whole_on_a_phone_and_on_a_desk(demo, page, width):
    path = demo / "index.html" if page == "index" else demo / page / "report.html"
    found = look_at(path, width)
    assert found["title"] and found["console"] == []
    assert len(found["images"]) >= 2 and min(found["images"]) > 0
    assert (found["overflow"], found["wide"]) == (0, [])
    assert all(link.startswith("#") or (path.parent / link).exists() for link in found["links"])


@needs_chromium
def test_the_probe_sees_what_is_wrong(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text("<title>t</title><img src='none.png'><div style='width: 2000px'>wide</div><script>gone()</script>")
    found = look_at(page, 390)
    assert found["images"] == [0] and found["overflow"] > 1000 and "DIV: wide" in found["wide"] and found["console"]
