"""Report and index in a real browser. On Debian: apt-get install chromium."""

import pytest

from examples.__main__ import example_names
from tests.chromium import CHROMIUM, look_at

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("page", ["index", *example_names()])
def test_a_page_is_whole_on_a_phone_and_on_a_desk(demo, page, width):
    path = demo / "index.html" if page == "index" else demo / page / "report.html"
    found = look_at(path, width)
    assert found["title"] and found["console"] == []
    assert len(found["images"]) >= 2 and min(found["images"]) > 0
    assert (found["overflow"], found["wide"]) == (0, [])
    assert all(link.startswith("#") or (path.parent / link).exists() for link in found["links"])


def test_the_probe_sees_what_is_wrong(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text("<title>t</title><img src='none.png'><div style='width: 2000px'>wide</div><script>gone()</script>")
    found = look_at(page, 390)
    assert found["images"] == [0] and found["overflow"] > 1000 and "DIV: wide" in found["wide"] and found["console"]
