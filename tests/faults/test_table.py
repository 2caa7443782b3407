"""The table in docs/reliability.md and the tests of this folder name the same rows."""

import re

from tests.downloads import ROOT

ROWS = {"A": 23, "B": 11, "C": 20, "D": 9, "E": 7}


def test_every_row_is_tried_or_does_not_apply():
    table = re.findall(r"^\| ([A-E]\d\d) \|.*\| (.+) \|$", (ROOT / "docs" / "reliability.md").read_text(), re.M)
    assert [row for row, _ in table] == [f"{group}{n:02}" for group, last in ROWS.items() for n in range(1, last + 1)]
    sources = "".join(path.read_text() for path in (ROOT / "tests" / "faults").glob("test_*.py"))
    tried = {row.upper() for row in re.findall(r"^def test_([a-e]\d\d)_", sources, re.M)}
    assert tried == {row for row, holds in table if not holds.startswith("does not apply")}
