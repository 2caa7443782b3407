"""The table in docs/reliability.md and the tests of this folder name the same rows."""

import re

from tests.downloads import ROOT

ROWS = {"A": 25, "B": 12, "C": 24, "D": 15, "E": 7, "F": 9}


def test_every_row_is_tried_or_does_not_apply():
    table = re.findall(r"^\| ([A-F]\d\d) \|.*\| (.+) \|$", (ROOT / "docs" / "reliability.md").read_text(), re.M)
    assert [row for row, _ in table] == [f"{group}{n:02}" for group, last in ROWS.items() for n in range(1, last + 1)]
    sources = "".join(path.read_text() for path in (ROOT / "tests" / "faults").glob("test_*.py"))
    tried = {row.upper() for row in re.findall(r"^def test_([a-f]\d\d)_", sources, re.M)}
    assert tried == {row for row, holds in table if not holds.startswith("does not apply")}
